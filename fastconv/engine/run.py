"""What a plan is made for."""

from typing import Any, NamedTuple

from ..nn.losses import Loss
from ..nn.optimizers import Optimizer


class Run(NamedTuple):
    """All that decides, beside the network, which operations run: engines of equal runs serve each other.

    Attributes
    ----------
    purpose : str
        "predict" (outputs), "evaluate" (loss), "gradients" (loss and gradients) or "train" (and the
        optimizer's step).
    batch_size : int
        Samples of a step; the last one may have fewer.
    threads : int
        At most so many.
    loss : Loss or None
    optimizer : Optimizer or None
        For "train".
    weighted : bool
        Whether there is a weight for each sample, which its loss and gradient are multiplied by.
    augmentation : Augment or None
        How images are changed at random as they are packed.
    outputs : bool
        Whether the outputs are written, too, where there is a loss.
    frozen : frozenset of str
        The places of the layers that training leaves as they are.
    precision : str
        How convolutions are summed up: see `set_precision`.
    few : int
        So many samples are a block, with their channels in the lanes; 0 where the samples of a block lie in
        them. In training, all of the batch.
    """

    purpose: str
    batch_size: int
    threads: int
    loss: Loss | None = None
    optimizer: Optimizer | None = None
    weighted: bool = False
    augmentation: Any = None
    outputs: bool = False
    frozen: frozenset[str] = frozenset()
    precision: str = "high"
    few: int = 0

    @property
    def training(self) -> bool:
        """Whether gradients are wanted: dropout drops, batch normalisation takes the batch's statistics."""
        return self.purpose in ("gradients", "train")
