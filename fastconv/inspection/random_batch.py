"""Random samples that suit a network, for what depends on their shapes and not on what they show."""

from typing import Any

import numpy as np

from ..models.building import loss_for
from ..nn.joint_loss import parts_of
from ..nn.losses import Loss
from ..nn.network import Network


def random_batch(model: Network, count: int, loss: Loss | None = None, seed: int = 0) -> tuple[Any, Any]:
    """(X, y) of `count` samples in the network's dtype: lists of arrays where there are several.

    Parameters
    ----------
    model : Sequential or Model
    count : int
    loss : Loss, optional
        What y is for; default is the one that suits the outputs.
    seed : int

    Examples
    --------
    >>> import fastconv as fc
    >>> X, y = random_batch(fc.models.lenet5(), 4)
    >>> X.shape, y.shape
    ((4, 1, 28, 28), (4,))
    """
    rng = np.random.default_rng(seed)
    loss = loss_for(model) if loss is None else loss
    X = [rng.random((count, *shape)).astype(model.dtype) for shape in model.input_shapes]
    y: list[Any] = []
    for (part, _), shape in zip(parts_of(loss), model.output_shapes, strict=True):
        if part.targets == "labels":
            y.append(rng.integers(0, shape[0], (count, *shape[1:])))
        else:
            y.append(rng.random((count, *shape)).astype(model.dtype))
    return X if len(X) > 1 else X[0], y if len(y) > 1 else y[0]
