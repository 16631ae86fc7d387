"""What is seen while a model trains: a line for each epoch, and a tqdm bar below them if tqdm is there.

A progress object has five methods, called in this order by the trainer:

    start(epochs, samples_per_epoch)       # None samples where an iterable of batches does not say how many
    compiling(text)                        # before what may be a wait for the compiler
    batch(epoch, samples_done, loss)       # every now and then (after each batch, if they come one by one)
    epoch_end(logs)
    close()                                # always, an error or Ctrl-C included

and perhaps a sixth, `compiled(seconds)`, called when that wait is over.
"""

import contextlib
import importlib.util
import math
import sys
import threading
from collections.abc import Mapping
from typing import Any, Protocol, TextIO, cast

from ..checks.waiting import ticking, waiting

_METHODS = ("start", "compiling", "batch", "epoch_end", "close")
# Code that was compiled before is found in well under this time; then there is nothing to say.
_PATIENCE_SECONDS = 1.0
_VERBOSE = {"auto": None, 0: False, 1: True}
_NOT_SHOWN = {"epoch", "epochs", "learning_rate", "seconds", "exchange"}


class Progress(Protocol):
    """What the trainer calls."""

    def start(self, epochs: int, samples_per_epoch: int | None) -> None:
        """Training begins; how many samples there are may be an estimate, or not known (None)."""

    def compiling(self, text: str) -> None:
        """A wait for the compiler may begin; `text` says for what."""

    def batch(self, epoch: int, samples_done: int, loss: float) -> None:
        """Some batches of an epoch (from 0) are done; `loss` is the mean over them."""

    def epoch_end(self, logs: Mapping[str, Any]) -> None:
        """An epoch is done; `logs` is what callbacks get, and of ranks "exchange", a part of the time."""

    def close(self) -> None:
        """Training is over."""


def resolve(progress: Any = None, verbose: Any = None) -> Progress:
    """The progress object that a `progress=` or a `verbose=` argument stands for.

    Parameters
    ----------
    progress : None, bool or object
        None shows progress only on a terminal or in a notebook, True always (without a bar where
        there is no terminal), False never; an object with the methods of `Progress` is used as it is.

    verbose : None, "auto", 0, 1 or 2
        Keras's way to say it: None (for `progress`), False, True, or a line for each epoch.

    Raises
    ------
    TypeError
        If an object lacks one of the methods.
    ValueError
        If `verbose` is something else, or both are given.

    Examples
    --------
    >>> type(resolve(False)).__name__
    'Silent'
    >>> type(resolve(verbose=2)).__name__
    'Lines'
    """
    if verbose is not None:
        if progress is not None:
            raise ValueError(
                f"`verbose` and `progress` are one: give one of them, got {verbose!r} and {progress!r}"
            )
        if not any(verbose == known for known in (*_VERBOSE, 2)):
            raise ValueError(f"`verbose` must be 'auto', 0, 1 or 2, got {verbose!r}")
        if verbose == 2:
            return Lines()
        progress = _VERBOSE[verbose]
    if progress is None:
        progress = _interactive(sys.stdout)
    if progress is False:
        return Silent()
    if progress is True:
        return Bar() if _interactive(sys.stderr) and _has_bar() else Lines()
    missing = [name for name in _METHODS if not callable(getattr(progress, name, None))]
    if missing:
        raise TypeError(f"`progress` must be None, True, False or have {missing[0]}(), got {progress!r}")
    return cast(Progress, progress)


def _has_bar() -> bool:
    """Whether tqdm is there, which in a notebook without ipywidgets would warn and write many lines."""
    needed = ["tqdm", "ipywidgets"] if "ipykernel" in sys.modules else ["tqdm"]
    return all(importlib.util.find_spec(module) is not None for module in needed)


def compiled(display: Progress, seconds: float) -> None:
    """Tell a progress object that the wait for the compiler is over, if it wants to know."""
    getattr(display, "compiled", lambda _: None)(seconds)


def _interactive(stream: TextIO | None) -> bool:
    """Whether someone watches: a terminal, or a Jupyter notebook."""
    return "ipykernel" in sys.modules or (stream is not None and stream.isatty())


def format_figure(value: float) -> str:
    """A figure in six characters, so that columns line up.

    Examples
    --------
    >>> [format_figure(value) for value in (0.98437, 12.3456, 5.1e-5, 123456.0, float("nan"))]
    ['0.9844', '12.346', '5.1e-5', '1.2e+5', '   nan']
    """
    text = f"{value:.4f}"
    if math.isfinite(value) and value != 0 and not 1e-3 <= abs(value) < 99999.5:
        text = f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")
    elif len(text) > 6:
        text = f"{value:#.5g}"
    return f"{text:>6}"


def format_seconds(seconds: float) -> str:
    """A time in seven characters, or in minutes if it is long.

    Examples
    --------
    >>> [format_seconds(seconds) for seconds in (0.00021, 0.0512, 1.234, 45.2, 200.0)]
    ['0.21 ms', '0.051 s', ' 1.23 s', ' 45.2 s', '3 m 20 s']
    """
    if seconds >= 100:
        return f"{int(seconds // 60)} m {int(seconds % 60):02d} s"
    if seconds < 0.00999:
        return f"{1000 * seconds:.2f} ms"
    digits = 3 if seconds < 1 else 2 if seconds < 10 else 1
    return f"{seconds:.{digits}f} s".rjust(7)


def epoch_line(logs: Mapping[str, Any]) -> str:
    """One epoch's figures on a line; of several ranks, with the part of the time that they talked and waited.

    Examples
    --------
    >>> epoch_line({"epoch": 2, "epochs": 12, "loss": 0.05123, "accuracy": 0.98432, "seconds": 1.2})
    'epoch  3/12  loss 0.0512  accuracy 0.9843   1.20 s'
    >>> epoch_line({"epoch": 0, "epochs": 1, "loss": 0.05, "seconds": 1.2, "exchange": 0.071})
    'epoch 1/1  loss 0.0500   1.20 s  exchange 7%'
    """
    epochs = str(logs["epochs"])
    parts = [f"epoch {logs['epoch'] + 1:>{len(epochs)}}/{epochs}"]
    parts += [f"{name} {format_figure(value)}" for name, value in logs.items() if name not in _NOT_SHOWN]
    if "seconds" in logs:
        parts.append(format_seconds(logs["seconds"]))
    if "exchange" in logs:
        parts.append(f"exchange {logs['exchange']:.0%}")
    return "  ".join(parts)


def compiled_line(seconds: float) -> str:
    """What is said after a wait for the compiler.

    Examples
    --------
    >>> compiled_line(12.34)
    'compiled in 12.3 s; later runs start at once'
    """
    return f"compiled in {format_seconds(seconds).strip()}; later runs start at once"


class Silent:
    """Shows nothing."""

    def start(self, epochs: int, samples_per_epoch: int | None) -> None:
        """Show nothing."""

    def compiling(self, text: str) -> None:
        """Show nothing."""

    def compiled(self, seconds: float) -> None:
        """Show nothing."""

    def batch(self, epoch: int, samples_done: int, loss: float) -> None:
        """Show nothing."""

    def epoch_end(self, logs: Mapping[str, Any]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class Lines(Silent):
    """One line for each epoch on standard output; a long wait for the compiler on standard error."""

    def __init__(self) -> None:
        self._notice: threading.Timer | None = None
        self._wait = contextlib.ExitStack()

    def compiling(self, text: str) -> None:
        """Say what is being compiled, if that takes a while; on a terminal the seconds tick."""
        self.close()
        if sys.stderr is not None and sys.stderr.isatty():
            self._wait.enter_context(waiting(f"compiling {text}, only this once, up to a minute"))
            return
        line = f"compiling {text} (only this once)"
        self._notice = threading.Timer(_PATIENCE_SECONDS, print, [line], {"file": sys.stderr, "flush": True})
        self._notice.daemon = True
        self._notice.start()

    def compiled(self, seconds: float) -> None:
        """Say how long it took, if that was a while."""
        self.close()
        if seconds > _PATIENCE_SECONDS:
            print(compiled_line(seconds), file=sys.stderr, flush=True)

    def batch(self, epoch: int, samples_done: int, loss: float) -> None:
        """Show nothing: the line comes at the end of the epoch."""
        self.close()

    def epoch_end(self, logs: Mapping[str, Any]) -> None:
        """Print the epoch's line."""
        self.close()
        print(epoch_line(logs), flush=True)

    def close(self) -> None:
        """The wait is over."""
        self._wait.close()
        if self._notice is not None:
            self._notice.cancel()
            self._notice = None


class Bar(Silent):
    """The lines of `Lines` above a tqdm bar over the whole run: samples per second, time left, loss."""

    def __init__(self) -> None:
        self._tqdm = importlib.import_module("tqdm.auto").tqdm
        self._bar: Any = None
        self._wait = contextlib.ExitStack()

    def start(self, epochs: int, samples_per_epoch: int | None) -> None:
        """Draw the empty bar."""
        self.close()
        self._epochs, self._samples_per_epoch = epochs, samples_per_epoch
        total = None if samples_per_epoch is None else epochs * samples_per_epoch
        self._bar = self._tqdm(total=total, unit=" samples", unit_scale=True, leave=False, dynamic_ncols=True)
        self._started = False
        self._samples_before, self._batches = 0, 0

    def compiling(self, text: str) -> None:
        """Say beside the bar what is being compiled, with the seconds ticking."""
        bar = self._bar
        if bar is None:
            return
        self._wait.close()
        bar.set_description_str(f"compiling {text}")
        self._wait.enter_context(
            ticking(lambda seconds: bar.set_description_str(f"compiling {text}, {seconds:.0f} s"))
        )

    def compiled(self, seconds: float) -> None:
        """Say above the bar how long it took, if that was a while."""
        self._wait.close()
        if self._bar is not None and seconds > _PATIENCE_SECONDS:
            self._tqdm.write(compiled_line(seconds), file=sys.stderr)

    def batch(self, epoch: int, samples_done: int, loss: float) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        if self._samples_per_epoch is not None:
            self._samples_before = epoch * self._samples_per_epoch
        if not self._started:
            # Neither the wait for the compiler nor epochs of an earlier run count as speed.
            self._bar.initial = self._bar.n = self._samples_before
            self._bar.unpause()
            self._bar.start_t = self._bar.last_print_t
            self._started = True
        self._batches += 1
        batch = f" batch {self._batches}" if self._samples_per_epoch is None else ""
        self._bar.set_description_str(f"epoch {epoch + 1}/{self._epochs}{batch}", refresh=False)
        self._bar.set_postfix_str(f"loss {format_figure(loss).strip()}", refresh=False)
        self._bar.update(self._samples_before + samples_done - self._bar.n)

    def epoch_end(self, logs: Mapping[str, Any]) -> None:
        """Print the epoch's line above the bar."""
        self._batches = 0
        if self._bar is not None:
            self._samples_before = self._bar.n
        self._tqdm.write(epoch_line(logs), file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Take the bar away."""
        self._wait.close()
        if self._bar is not None:
            self._bar.close()
            self._bar = None
