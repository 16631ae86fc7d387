"""What is left of a training run that was interrupted: its last epoch, and a word on how to go on."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ..checks import interrupts
from ..training import callbacks
from . import output


class LastEpoch:
    """The state of a network after the last whole epoch, kept in memory for an interrupt."""

    def __init__(self) -> None:
        self.epochs = 0
        self.state: dict[str, Any] = {}

    def on_epoch_end(self, trainer: Any, logs: callbacks.Logs) -> None:
        """Keep a copy."""
        self.epochs = logs["epoch"] + 1
        self.state = trainer.model.state()

    def settle(self, model: Any) -> None:
        """Training is over: what the network is now counts, which may be the weights of an earlier epoch."""
        self.state = model.state()


@contextlib.contextmanager
def keeping(args: argparse.Namespace, model: Any, about: dict[str, Any]) -> Iterator[LastEpoch]:
    """After an interrupt in this block, say how to go on, or where the last epoch is, which is saved then.

    What it gives must be the last of the trainer's callbacks: an interrupt in another one finds the epoch
    before.
    """
    last = LastEpoch()
    try:
        yield last
    except KeyboardInterrupt:
        interrupts.settle()
        if args.checkpoint is not None and os.path.exists(args.checkpoint):
            words = args.command if args.resume else f"{args.command} --resume"
            output.note(f"go on with: {words}")
        elif last.epochs:
            _keep(args.output, model, last, about)
        raise


def _keep(path: str, model: Any, last: LastEpoch, about: dict[str, Any]) -> None:
    """Save the network of the last whole epoch beside the file that a whole run would write."""
    stem, suffix = os.path.splitext(path)
    kept = f"{stem}-interrupted{suffix}"
    model.load_state(last.state)
    with output.writing(kept):
        model.save(kept, metadata=about)
    epochs = f"{last.epochs} epoch{'s' * (last.epochs > 1)}"
    output.note(f"the network after {epochs} is in {kept}; with --checkpoint FILE a run can go on")
