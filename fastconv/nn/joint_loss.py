"""The loss of a network with several outputs: a weighted sum of one for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..checks.settings import real_number
from .layer import Layer, Shape
from .losses import Loss, default_loss, resolve


@dataclass(frozen=True)
class JointLoss(Loss):
    """weights[0] * losses[0] + weights[1] * losses[1] + ..., each of its own output.

    Attributes
    ----------
    losses : tuple of Loss
    weights : tuple of float
    names : tuple of str
        Of the outputs.
    """

    losses: tuple[Loss, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...]
    name: ClassVar[str] = "joint"

    def check_output(self, output_shape: Any) -> None:
        for loss, name, shape in zip(self.losses, self.names, output_shape, strict=True):
            try:
                loss.check_output(shape)
            except ValueError as error:
                raise ValueError(f"output {name!r}: {error}") from None

    def for_targets(self, target: Any) -> Loss:
        return rebuilt(
            self, [loss.for_targets(y) for loss, y in zip(self.losses, target.arrays, strict=True)]
        )

    def record(self) -> Any:
        parts = zip(self.names, self.losses, self.weights, strict=True)
        return {name: [loss.record(), weight] for name, loss, weight in parts}

    def __str__(self) -> str:
        parts = zip(self.names, self.losses, self.weights, strict=True)
        return " + ".join(f"{weight:g} x {loss} of {name}" for name, loss, weight in parts)


def parts_of(loss: Loss | None) -> list[tuple[Loss, float]]:
    """(loss, weight) of each output; none where there is no loss."""
    if isinstance(loss, JointLoss):
        return list(zip(loss.losses, loss.weights, strict=True))
    return [] if loss is None else [(loss, 1.0)]


def rebuilt(loss: Loss, parts: list[Loss]) -> Loss:
    """The same sum of other losses."""
    return JointLoss(tuple(parts), loss.weights, loss.names) if isinstance(loss, JointLoss) else parts[0]


def taking(loss: Loss, had: Loss) -> Loss:
    """The loss, of each output as an engine has it already where that takes such targets, too."""
    pairs = [(new, old) for (new, _), (old, _) in zip(parts_of(loss), parts_of(had), strict=True)]
    return rebuilt(loss, [old if old.targets == "distributions" else new for new, old in pairs])


def targets_of(loss: Loss) -> list[str]:
    """What each output is compared with: see `Loss.targets`."""
    return [part.targets for part, _ in parts_of(loss)]


def default_for(last_layers: Sequence[Layer], names: tuple[str, ...], shapes: tuple[Shape, ...]) -> Loss:
    """The loss that suits a network's outputs, which come from these layers."""
    losses = [default_loss(layer, shape) for layer, shape in zip(last_layers, shapes, strict=True)]
    return losses[0] if len(losses) == 1 else resolve_for(losses, names, shapes)


def resolve_for(
    loss: Any, names: tuple[str, ...], shapes: tuple[Shape, ...], loss_weights: Any = None
) -> Loss:
    """The loss of a network whose outputs have these names and shapes, checked against them.

    Raises
    ------
    TypeError, ValueError
        If there is not a loss, or not a weight, for each output, or one does not fit its output.
    """
    if len(names) == 1:
        if loss_weights is not None:
            raise ValueError("`loss_weights` are for several outputs, got some for a network with one")
        if isinstance(loss, Mapping):
            (loss,) = _by_output(loss, "loss", names)
        found = resolve(loss)
        found.check_output(shapes[0])
        return found
    weights = [1.0] * len(names)
    if loss_weights is not None:
        given = _by_output(loss_weights, "loss_weights", names)
        weights = [
            real_number(weight, f"loss_weights[{name!r}]") for weight, name in zip(given, names, strict=True)
        ]
    several = isinstance(loss, (Mapping, list, tuple))
    losses = [resolve(one) for one in (_by_output(loss, "loss", names) if several else [loss] * len(names))]
    joint = JointLoss(tuple(losses), tuple(weights), names)
    joint.check_output(shapes)
    return joint


def _by_output(given: Any, what: str, names: tuple[str, ...]) -> list[Any]:
    """One thing for each output, from a dict by their names, or a list in their order."""
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise ValueError(
                f"`{what}` must have the outputs' names, {', '.join(names)}, got {', '.join(map(str, given))}"
            )
        return [given[name] for name in names]
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        raise ValueError(
            f"`{what}` must be a list of {len(names)}, one for each output, or a dict by their names "
            f"({', '.join(names)}), got {given!r}"
        )
    return list(given)
