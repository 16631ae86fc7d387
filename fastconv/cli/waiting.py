"""What is said while a command waits for something that takes more than a second."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

PATIENCE_SECONDS = 1.0
# A first network of its kind takes so long on two busy cores; later ones find their code in the cache.
FIRST_TIME = "the first time with compiling, up to a minute"
_WIPE = "\r\x1b[K"


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """On a terminal, say what the wait is for once it is over a second, with the seconds ticking.

    Where standard error is no terminal nothing is said: what reads it may take each line for an error.

    Examples
    --------
    >>> with waiting("reading 500 images"):
    ...     pass
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    ticking = threading.Thread(target=_tick, args=(text, done), daemon=True)
    ticking.start()
    try:
        yield
    finally:
        done.set()
        ticking.join()


def _tick(text: str, done: threading.Event) -> None:
    started = time.monotonic()
    if done.wait(PATIENCE_SECONDS):
        return
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more
        while True:
            print(f"{_WIPE}{text}: {time.monotonic() - started:.0f} s", end="", file=sys.stderr, flush=True)
            if done.wait(1.0):
                break
        print(_WIPE, end="", file=sys.stderr, flush=True)
