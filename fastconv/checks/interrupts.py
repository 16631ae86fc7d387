"""Ctrl-C in a process of the command line: one line and exit code 130, at whatever moment it comes.

An interrupt that Python raises inside a compiler's callback or an import is swallowed there, or comes out as
some other error. So the process ends at once when it comes in such code, where nothing of ours is
half-written; elsewhere it is raised, and files that are being written are tidied up. A second one ends the
process at once.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_CODE = 130
LINE = "fastconv: interrupted\n"
# What tidies up after an interrupt is done within this time; otherwise the interrupt was swallowed.
PATIENCE_SECONDS = 3.0
_COMPILERS = tuple(f"{os.sep}{package}{os.sep}" for package in ("numba", "llvmlite"))


class _Interrupts:
    """Whether an interrupt has come, and what became of it."""

    def __init__(self) -> None:
        self.watched = self.came = self.raised = self.said = False
        self.ends: tuple[socket.socket, socket.socket] | None = None
        self.last_acts: list[Callable[[], None]] = []


_state = _Interrupts()


def is_program() -> bool:
    """Whether this process is `python -m fastconv` or the script `fastconv`."""
    words = sys.orig_argv
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    script = os.path.basename((getattr(sys, "argv", None) or [""])[0])
    return module == ["fastconv"] or script in ("fastconv", "fastconv.exe", "fastconv-script.py")


def watch() -> None:
    """Take interrupts over, unless they are ignored, as in a shell's background jobs."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    _state.watched = True
    signal.signal(signal.SIGINT, _on_interrupt)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, lambda number, frame: _react(frame))
    _state.ends = socket.socketpair()
    for end, waits in zip(_state.ends, (True, False), strict=True):
        end.setblocking(waits)
    signal.set_wakeup_fd(_state.ends[1].fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_at_the_second, args=(_state.ends[0],), daemon=True).start()


def came() -> bool:
    """Whether an interrupt has come, though it may have been swallowed or become another error."""
    return _state.came


def before_the_end(act: Callable[[], None]) -> None:
    """Call a function before an interrupt ends the process."""
    _state.last_acts.append(act)


def be_silent() -> None:
    """Another process of the same command says that it was interrupted."""
    _state.said = True


def settle() -> None:
    """The interrupt was noticed: what follows may take its time."""
    if _state.watched and hasattr(signal, "SIGALRM"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def finish() -> None:
    """Say that the command was interrupted; end its process, whatever other threads do."""
    settle()
    if _state.watched:
        _end()
    if not _state.said:
        sys.stderr.write(LINE)


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    if _state.came:
        _end()
    _state.came = True
    _react(frame)


def _react(frame: FrameType | None) -> None:
    """End, raise, or come back later, as the code allows in which the interrupt came."""
    files = [one.f_code.co_filename for one in _frames(frame)]
    compiling = any(part in file for file in files for part in _COMPILERS)
    if compiling and any(file.endswith("caching.py") for file in files):
        _come_back(0.05)  # a file of the code cache is being written
    elif compiling or _state.raised or any(file.startswith("<frozen importlib") for file in files):
        _end()
    else:
        _state.raised = True
        _come_back(PATIENCE_SECONDS)
        raise KeyboardInterrupt


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _come_back(seconds: float) -> None:
    if hasattr(signal, "SIGALRM"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _end_at_the_second(signals: socket.socket) -> None:
    """Also while the main thread is in code that serves no signals."""
    count = 0
    while received := signals.recv(64):
        count += received.count(signal.SIGINT)
        if count > 1:
            _end()


def _end() -> None:
    for act in _state.last_acts:
        with contextlib.suppress(Exception):
            act()
    if not _state.said:
        _state.said = True
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            # A moving line of progress is wiped away first.
            os.write(2, (("\r\x1b[K" if os.isatty(2) else "") + LINE).encode())
    os._exit(EXIT_CODE)
