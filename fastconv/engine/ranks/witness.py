"""A small process beside each rank that says how the rank ended, where it could not do so itself: killed.

MPI's launchers end all ranks when one is killed, at once and without a word to them; what they print names a
process, not a rank. So a rank starts this file as a process, which waits for the rank's end. The ranks that
the launcher kills after the first have such processes too: the first of a machine speaks, the others are
silent. It may be that of a rank that the launcher has killed within the same millisecond, where the kernel
was done with that one first; and on other machines one may speak of such a rank, too.

When all ranks have said farewell, their hearts no longer beat, but MPI still waits for each: one that is
stopped then is killed by its witness.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

_SAID, _FAREWELL = b".", b"e"


class Witness:
    """The process that watches over this one.

    Parameters
    ----------
    name : str
        What it calls this process, such as "rank 2 of 4 on host b".
    spoken : int
        An open file, the same one for all witnesses of this machine, which is empty until one has spoken.
    seconds : float
        How long a rank may be stopped at its end.
    """

    def __init__(self, name: str, spoken: int, seconds: float) -> None:
        self._spoken = spoken
        command = [sys.executable, "-I", "-S", __file__, name, str(spoken), str(seconds), str(os.getpid())]
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[spoken],
            cwd="/",
            start_new_session=True,  # what ends the rank with all of its group must not end the witness
        )

    def dismiss(self) -> None:
        """What comes now is no surprise: say nothing of it."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.communicate(_SAID, timeout=5.0)

    def farewell(self) -> None:
        """Nothing is left but to end."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(_FAREWELL)
                process.stdin.flush()

    def silence_all(self) -> None:
        """All has been said: no witness of this machine has to, that of a rank that is stopped included."""
        with contextlib.suppress(OSError):
            _is_first(self._spoken)


def main() -> None:
    """Wait until the process that has started this one ends, or says that nothing has to be said."""
    name, spoken, seconds, number = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    word = _last_word(number)
    stopped = word == _FAREWELL and _stays_stopped(number, seconds)
    if stopped:
        cause = f"does not end: it was stopped, for {seconds:.0f} s"
    elif word:
        return
    else:
        cause = _cause(number)
    if _is_first(spoken):
        with contextlib.suppress(OSError):  # nobody reads any more
            os.write(2, f"fastconv: {name} (process {number}) {cause}\n".encode(errors="replace"))
    if stopped and os.getppid() == number:
        os.kill(number, signal.SIGKILL)


def _is_first(spoken: int) -> bool:
    """Whether nobody on this machine has spoken before; from now on someone has."""
    import fcntl  # not on every system

    fcntl.flock(spoken, fcntl.LOCK_EX)
    try:
        return not os.fstat(spoken).st_size and bool(os.write(spoken, b"."))
    finally:
        fcntl.flock(spoken, fcntl.LOCK_UN)


def _last_word(number: int) -> bytes:
    """What came on standard input before the process ended; nothing if it was killed."""
    waits_for: list[int] = [0]
    with contextlib.suppress(AttributeError, OSError):  # another system, or the process has ended
        waits_for.append(os.pidfd_open(number))
    patience = 0.1 if len(waits_for) == 1 else None
    while os.getppid() == number:
        ready = select.select(waits_for, [], [], patience)[0]
        if 0 in ready:
            if word := os.read(0, 1):
                return word
            waits_for.remove(0)  # closed without a word: the end is near
        elif ready:
            break
    return os.read(0, 1) if 0 in waits_for and select.select([0], [], [], 0)[0] else b""


def _stays_stopped(number: int, seconds: float) -> bool:
    """Whether the process is stopped for so long before it ends."""
    ticks = 0
    while os.getppid() == number and ticks < 5 * seconds:
        ready = select.select([0], [], [], 0.2)[0]
        if ready and os.read(0, 1) == _SAID:
            break
        if ready:
            time.sleep(0.2)  # its other end is closed, and it is nearly gone
        ticks = ticks + 1 if _state(number) == "T" else 0
    return ticks >= 5 * seconds


def _state(number: int) -> str:
    """The letter that Linux has for what a process is doing, "T" of one that is stopped."""
    try:
        with open(f"/proc/{number}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""


def _cause(number: int) -> str:
    """How a process ended, as far as it can be known: whoever has started it may have buried it already."""
    try:
        with open(f"/proc/{number}/stat", "rb") as file:
            status = int(file.read().split()[-1])
    except (OSError, ValueError, IndexError):
        return "was killed, or ended all of a sudden"
    if os.WIFSIGNALED(status):
        killer = signal.Signals(os.WTERMSIG(status)).name
        return f"was killed by {killer}" + (", by hand or for want of memory" if killer == "SIGKILL" else "")
    return f"ended all of a sudden, with exit code {os.waitstatus_to_exitcode(status)}"


if __name__ == "__main__":
    main()
