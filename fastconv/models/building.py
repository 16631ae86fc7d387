"""Networks from what has been written down of them, and what is asked of one that a function was given."""

from typing import Any

from ..nn.joint_loss import JointLoss, default_for, parts_of, resolve_for
from ..nn.losses import Loss
from ..nn.network import Network
from ..nn.outline import Outline
from .model import Model
from .sequential import Sequential


def network_of(outline: Outline, dtype: str = "float32", seed: int = 0) -> Model:
    """The network of an outline: a Sequential of a row, otherwise a Model."""
    return (Sequential if outline.is_row else Model).of_outline(outline, dtype, seed)


def given_model(model: Any) -> Model:
    """The argument `model`, if it is a network.

    Examples
    --------
    >>> given_model("lenet5")
    Traceback (most recent call last):
    ...
    TypeError: `model` must be a Sequential or a Model, got 'lenet5'
    """
    if not isinstance(model, Model):
        raise TypeError(f"`model` must be a Sequential or a Model, got {model!r}")
    return model


def loss_for(network: Network, loss: Any = None, loss_weights: Any = None) -> Loss:
    """The arguments `loss` and `loss_weights` as one loss; without any, what suits the network's outputs.

    Examples
    --------
    >>> import fastconv as fc
    >>> print(loss_for(fc.models.lenet5()), loss_for(fc.models.lenet5(), "mse"))
    cross_entropy mse
    """
    names, shapes = network.output_names, network.output_shapes
    if isinstance(loss, JointLoss) and loss_weights is None:
        return loss
    if loss is None:
        suiting = default_for(network.last_layers(), names, shapes)
        if loss_weights is None:
            return suiting
        loss = [part for part, _ in parts_of(suiting)]
    return resolve_for(loss, names, shapes, loss_weights)
