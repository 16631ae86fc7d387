"""What is said while someone waits for something that takes more than a second."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from .text import printable

PATIENCE_SECONDS = 1.0
TICK_SECONDS = 1.0
# A first network of its kind takes so long on two busy cores; later ones find their code in the cache.
FIRST_TIME = "the first time with compiling, up to a minute"
BAR_WIDTH = 20
_WIPE = "\r\x1b[K"


class Wait:
    """What is waited for; `count` moves a bar, if there is something to be counted."""

    def __init__(self, text: str) -> None:
        self.text, self._counted = text, (0, 0)

    def count(self, done: int, total: int) -> None:
        """So many of all are done."""
        self._counted = done, total

    def line(self, seconds: float) -> str:
        """What is said after some seconds.

        Examples
        --------
        >>> wait = Wait("reading photos")
        >>> wait.count(120, 480)
        >>> wait.line(3.2)
        'reading photos: [#####...............] 120 of 480, 3 s'
        """
        done, total = self._counted
        if not total:
            return f"{self.text}: {seconds:.0f} s"
        bar = "#" * (BAR_WIDTH * done // total)
        return f"{self.text}: [{bar:.<{BAR_WIDTH}}] {done} of {total}, {seconds:.0f} s"


@contextlib.contextmanager
def waiting(text: str) -> Iterator[Wait]:
    """On a terminal, say what the wait is for once it is over a second, with the seconds ticking.

    Where standard error is no terminal nothing is said: what reads it may take each line for an error.

    Examples
    --------
    >>> with waiting("reading 500 images") as wait:
    ...     wait.count(1, 500)
    """
    wait = Wait(printable(text))
    if sys.stderr is None or not sys.stderr.isatty():
        yield wait
        return
    told = False

    def tell(seconds: float) -> None:
        nonlocal told
        told = True
        print(f"{_WIPE}{wait.line(seconds)}", end="", file=sys.stderr, flush=True)

    try:
        with ticking(tell):
            yield wait
    finally:
        if told:
            with contextlib.suppress(OSError, ValueError):  # nobody reads any more
                print(_WIPE, end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def ticking(tell: Callable[[float], None]) -> Iterator[None]:
    """Call a function with the seconds that have passed, from the first second on and then every second.

    Examples
    --------
    >>> with ticking(print):
    ...     pass
    """
    done = threading.Event()
    ticks = threading.Thread(target=_tick, args=(tell, done), daemon=True)
    ticks.start()
    try:
        yield
    finally:
        done.set()
        ticks.join()


def _tick(tell: Callable[[float], None], done: threading.Event) -> None:
    started = time.monotonic()
    if done.wait(PATIENCE_SECONDS):
        return
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more
        while True:
            tell(time.monotonic() - started)
            if done.wait(TICK_SECONDS):
                break
