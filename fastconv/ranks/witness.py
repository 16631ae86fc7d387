"""A small process beside each rank that says how the rank ended, where it could not do so itself: killed.

MPI's launchers end all ranks when one is killed, at once and without a word to them; what they print names a
process, not a rank. So a rank starts this file as a process, which waits for the rank's end. The ranks that
the launcher kills after the first have such processes too: the first of a machine speaks, the others are
silent. (On other machines one may speak, too, of a rank that the launcher has killed.)
"""

import contextlib
import os
import select
import signal
import subprocess
import sys


class Witness:
    """The process that watches over this one.

    Parameters
    ----------
    name : str
        What it calls this process, such as "rank 2 of 4 on host b".
    spoken : int
        An open file, the same one for all witnesses of this machine, which is empty until one has spoken.
    """

    def __init__(self, name: str, spoken: int) -> None:
        self._spoken = spoken
        command = [sys.executable, "-I", "-S", __file__, name, str(spoken), str(os.getpid())]
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
                process.communicate(b".", timeout=5.0)

    def silence_all(self) -> None:
        """All has been said: no witness of this machine has to, that of a rank that is stopped included."""
        with contextlib.suppress(OSError):
            _is_first(self._spoken)


def main() -> None:
    """Wait until the process that has started this one ends, or says that nothing has to be said."""
    name, spoken, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if _dismissed(number):
        return
    cause = _cause(number)
    if _is_first(spoken):
        with contextlib.suppress(OSError):  # nobody reads any more
            os.write(2, f"fastconv: {name} (process {number}) {cause}\n".encode(errors="replace"))


def _is_first(spoken: int) -> bool:
    """Whether nobody on this machine has spoken before; from now on someone has."""
    import fcntl  # not on every system

    fcntl.flock(spoken, fcntl.LOCK_EX)
    try:
        return not os.fstat(spoken).st_size and bool(os.write(spoken, b"."))
    finally:
        fcntl.flock(spoken, fcntl.LOCK_UN)


def _dismissed(number: int) -> bool:
    """Whether a word came on standard input before the process ended."""
    waits_for: list[int] = [0]
    with contextlib.suppress(AttributeError, OSError):  # another system, or the process has ended
        waits_for.append(os.pidfd_open(number))
    patience = 0.1 if len(waits_for) == 1 else None
    while os.getppid() == number:
        ready = select.select(waits_for, [], [], patience)[0]
        if 0 in ready:
            if os.read(0, 1):
                return True
            waits_for.remove(0)  # closed without a word: the end is near
        elif ready:
            break
    return 0 in waits_for and bool(select.select([0], [], [], 0)[0] and os.read(0, 1))


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
