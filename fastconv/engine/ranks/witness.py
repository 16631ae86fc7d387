"""A small process beside each rank that says how the rank ended, where it could not do so itself: killed.

MPI's launchers end all ranks when one is killed, at once and without a word to them; what they print names a
process, not a rank. So a rank starts this file as a process, which waits for the end of any rank of its
machine. However late it comes to run, the kernel has kept in which order they ended: it names the first. One
such process of a machine speaks, the others are silent. (On other machines one may speak, too, of a rank that
the launcher has killed.)

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
    names : dict of str
        What it calls the ranks of this machine, such as "rank 2 of 4 on host b", by their process numbers.
    spoken : int
        An open file, the same one for all witnesses of this machine, which is empty until one has spoken.
    seconds : float
        How long a rank may be stopped at its end.
    """

    def __init__(self, names: dict[int, str], spoken: int, seconds: float) -> None:
        self._spoken = spoken
        command = [sys.executable, "-I", "-S", __file__, str(spoken), str(seconds), str(os.getpid())]
        command += [text for number, name in names.items() for text in (str(number), name)]
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
    """Wait until a rank ends, or that which has started this process says that nothing has to be said."""
    spoken, seconds, number = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    names = dict(zip(map(int, sys.argv[4::2]), sys.argv[5::2], strict=True))
    word, first = _last_word(number, list(names))
    stopped = word == _FAREWELL and _stays_stopped(number, seconds)
    if stopped:
        cause = f"does not end: it was stopped, for {seconds:.0f} s"
    elif word:
        return
    else:
        number, cause = first, _cause(first)
    if _is_first(spoken):
        with contextlib.suppress(OSError):  # nobody reads any more
            os.write(2, f"fastconv: {names[number]} (process {number}) {cause}\n".encode(errors="replace"))
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


def _last_word(number: int, ranks: list[int]) -> tuple[bytes, int]:
    """What came on standard input before a rank ended, or nothing; and which rank was the first to end."""
    if not hasattr(os, "pidfd_open"):  # on other systems than Linux it knows of its own rank alone
        while os.getppid() == number and not select.select([0], [], [], 0.1)[0]:
            pass
        return _word(), number
    ends: dict[int, int] = {}
    with select.epoll() as epoll:
        epoll.register(0, select.EPOLLIN)
        for rank in ranks:
            try:
                end = os.pidfd_open(rank)
            except OSError:
                return _word(), rank  # it has ended before
            ends[end] = rank
            epoll.register(end, select.EPOLLIN)
        while True:
            ready = [file for file, _ in epoll.poll(-1, 1 + len(ends))]
            if word := _word():
                return word, number
            for file in ready:
                if file in ends:
                    return b"", ends[file]
            epoll.unregister(0)  # closed without a word: the end is near


def _word() -> bytes:
    """What has come on standard input, if something has."""
    return os.read(0, 1) if select.select([0], [], [], 0)[0] else b""


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
