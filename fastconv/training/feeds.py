"""What the trainer needs of a source of samples, and what the samples must look like."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from ..engine.columns import Columns, inputs_as_given, named, outputs_as_given
from ..engine.inputs import check_layout
from ..engine.ranks.communicator import ALONE, Alone
from ..engine.ranks.spread import Spread
from ..nn.losses import Loss
from ..nn.network import Network
from .parts import Part
from .sample_weights import Weights, combine

EVALUATED_AT_ONCE = 256  # samples in work at a time where nobody says
WANTED = {
    "X": "an array, with y, or an iterable of batches",
    "validation_data": "a pair (X, y), or (X, y, sample_weight), or an iterable of batches",
}


class Feed(Protocol):
    """What the trainer needs of a source of samples."""

    steps: int | None  # in one pass, where that is known
    samples: int | None  # the same; of an iterable, an estimate
    batch_size: int  # of the first step
    weighted: bool  # whether the first step has weights
    targets: Any  # those of the first step, and perhaps others
    ended: bool  # whether there was less than was to be

    def parts(self, epoch: int) -> Iterator[Part]:
        """One pass over the data."""

    def fingerprint(self) -> dict[str, Any]:
        """What tells these data from others, as far as that can be had without reading all of them."""


class Form(NamedTuple):
    """What samples and targets must look like for a network and a loss, and who has them.

    `local` says that each of the `ranks` has samples of its own, rather than all of them the same.
    """

    network: Network
    loss: Loss
    ranks: Alone = ALONE
    local: bool = False

    def spread(self, here: int) -> Spread:
        """How samples lie with the ranks, of which there are so many here."""
        return Spread(self.ranks if self.local else ALONE, here)

    def check(self, X: Any, y: Any, names: tuple[str, str] = ("X", "y")) -> tuple[Any, Any]:
        """X and y as the engine reads them: arrays, or columns where there are several.

        Raises
        ------
        TypeError, ValueError
            If they don't fit, or there are no samples (which one of several ranks need not have).
        """
        network = self.network
        X = inputs_as_given(X, network.input_names, network.input_shapes, names[0])
        for array, name in named(X, names[0]):
            check_layout(array.shape, name)
        y = outputs_as_given(y, len(X), network.output_names, network.output_shapes, self.loss, names[1])
        if not len(X) and not self.local:
            raise ValueError(f"`{names[0]}` must hold at least one sample, got none")
        return X, y

    def combine(
        self, weight: Weights | None, class_weight: Any, y: NDArray[Any], batch: bool = False
    ) -> Weights | None:
        """The weight of each sample: its own times that of its class.

        All ranks call it together, unless it is for a batch.
        """
        if class_weight is not None and isinstance(y, Columns):
            raise ValueError(
                "`class_weight` is for a network with one output: give `sample_weight`, or `loss_weights`"
            )
        features = 0 if isinstance(y, Columns) else math.prod(self.network.output_shape)
        spread = None if batch else self.spread(len(y))
        return combine(weight, class_weight, y, self.loss, features, batch, spread)
