"""What a call of `fit` was asked for: checked, and made into feeds."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..checks.settings import real_number, whole_number
from ..engine.ranks.agreement import check_same_call
from ..formats.model_file import check_target
from . import progress as progress_displays
from .augment import check_augment
from .batch_feed import BatchFeed
from .batches import array_feeds, validation_feed
from .callbacks.callback import check_callbacks
from .callbacks.files import check_files
from .feeds import Feed, Form
from .fitting import Fitting
from .grouped import GroupedFeed
from .progress import Progress, Silent
from .same_call import form_of, warned_once
from .sample_weights import Weights, check_sample_weight
from .settings import TrainerSettings


@dataclass
class Samples:
    """X, y and weights of a call, as they are given and, after `check`, as they are used."""

    X: Any
    y: Any
    sample_weight: Any
    weight: Weights | None = field(default=None, init=False)

    def check(self, trainer: TrainerSettings, form: Form, may_be_zeros: bool = True) -> None:
        """Check them as far as that can be done without other ranks."""
        self.X, self.y = form.check(self.X, self.y)
        if self.sample_weight is not None:
            self.weight = check_sample_weight(self.sample_weight, len(self.X), may_be_zeros=may_be_zeros)

    def facts(self, trainer: TrainerSettings) -> dict[str, Any]:
        """What must be the same on all ranks, after `check`."""
        weights = {"sample_weight": "missing" if self.weight is None else "given"}
        return {**form_of(trainer, "X", self.X), **form_of(trainer, "y", self.y), **weights}


@dataclass
class Asked(Samples):
    """The arguments of `fit`."""

    epochs: int
    batch_size: int
    validation_data: Any
    validation_split: float
    shuffle: bool
    callbacks: Any
    progress: Any
    checkpoint: str | os.PathLike[str] | None
    resume: bool
    class_weight: Any
    augment: Any
    steps_per_epoch: int | None
    verbose: Any
    display: Progress = field(default_factory=Silent, init=False)

    def check(self, trainer: TrainerSettings, form: Form, may_be_zeros: bool = True) -> None:
        """Check all arguments."""
        self.epochs = whole_number(self.epochs, "epochs")
        self.batch_size = whole_number(self.batch_size, "batch_size")
        self.validation_split = real_number(self.validation_split, "validation_split", 0.0, 1.0)
        self._check_files()
        if not isinstance(self.shuffle, (bool, np.bool_)):
            raise TypeError(f"`shuffle` must be True or False, got {self.shuffle!r}")
        self.callbacks = check_callbacks(() if self.callbacks is None else self.callbacks)
        check_files(self.callbacks, self.checkpoint)
        if self.augment is not None and len(trainer.model.inputs) > 1:
            raise ValueError("`augment` is for a network with one input: change the images beforehand")
        self.augment = check_augment(self.augment, trainer.model.input_shape)
        self.display = progress_displays.resolve(self.progress, self.verbose)
        if self.validation_data is not None and self.validation_split:
            raise ValueError(
                "`validation_split` must be 0 where `validation_data` is given, got "
                f"{self.validation_split!r}"
            )
        self._check_samples(trainer, form, may_be_zeros)

    def _check_files(self) -> None:
        if self.resume and self.checkpoint is None:
            raise ValueError("`resume` needs `checkpoint`, the file to go on from")
        if self.checkpoint is not None:
            check_target(self.checkpoint, "checkpoint")

    def facts(self, trainer: TrainerSettings) -> dict[str, Any]:
        """What must be the same on all ranks: settings, and the form of arrays."""
        names = (
            "epochs", "batch_size", "validation_split", "shuffle", "resume", "class_weight", "augment",
            "steps_per_epoch",
        )  # fmt: skip
        given = ("y", "validation_data", "checkpoint")
        return {
            **{name: getattr(self, name) for name in names},
            **{name: "missing" if getattr(self, name) is None else "given" for name in given},
            **({} if self.y is None else super().facts(trainer)),
        }

    def _check_samples(self, trainer: TrainerSettings, form: Form, may_be_zeros: bool) -> None:
        """Check X and y, and what only arrays, or only batches, can have."""
        if self.y is None:
            refuse(validation_split=self.validation_split > 0, sample_weight=self.sample_weight is not None)
            if isinstance(self.class_weight, str):
                raise ValueError(f"`class_weight` must be a dict for batches, got {self.class_weight!r}")
            return
        if self.steps_per_epoch is not None:
            raise ValueError(
                f"`steps_per_epoch` is for batches, not for arrays, got {self.steps_per_epoch!r}"
            )
        super().check(trainer, form, may_be_zeros)

    def fitting(self, trainer: TrainerSettings, form: Form) -> Fitting:
        """What was asked for, ready to run; all ranks call it together."""
        held_out: Feed | None = None
        if self.validation_data is not None:
            held_out = validation_feed(self.validation_data, form, self.epochs)
        with warned_once(trainer):
            feed, rest = self._feeds(trainer, form)
        held_out = rest if held_out is None else held_out
        if trainer.ranks.count > 1 and not form.local:
            check_same_call(trainer.ranks, lambda: _fingerprints(feed, held_out))
        display = self.display if trainer.ranks.leads else Silent()
        return Fitting(
            trainer, feed, held_out, self.epochs, self.callbacks, display, self.augment, self.checkpoint
        )

    def _feeds(self, trainer: TrainerSettings, form: Form) -> tuple[Feed, Feed | None]:
        """The samples to train on, and those of them that are held out."""
        if self.y is None:
            feed = BatchFeed(self.X, form, self.epochs, self.steps_per_epoch, self.class_weight)
            return (feed if trainer.accumulate == 1 else GroupedFeed(feed, trainer.accumulate)), None
        seed = trainer.seed if self.shuffle else None
        at_once, split = self.batch_size * trainer.accumulate, self.validation_split
        return array_feeds(self.X, self.y, self.weight, split, self.class_weight, form, at_once, seed)


def refuse(**given: bool) -> None:
    """Raise ValueError if an argument that only arrays can have is given with batches."""
    for name, is_given in given.items():
        if is_given:
            raise ValueError(f"`{name}` is for arrays X and y, and there is no y")


def _fingerprints(feed: Feed, held_out: Feed | None) -> dict[str, Any]:
    """What tells the samples from others."""
    feeds = {"data": feed} if held_out is None else {"data": feed, "validation_data": held_out}
    return {
        f"{name}: {part}": found
        for name, source in feeds.items()
        for part, found in source.fingerprint().items()
    }
