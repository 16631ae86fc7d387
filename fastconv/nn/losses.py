"""Losses: records of what a network's output is compared with, and how. Here are those of single numbers.

A loss answers what everybody asks: whether an output and targets fit it, which operation computes it in the
compiled step, what it and its gradient are in the public kernels, and what it is in words. `loss="mse"` and
`loss=MSE()` are the same; `LOSSES` has the names.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from .. import kernels
from ..checks.import_path import import_path
from ..checks.settings import real_number
from ..kernels.lanes import focal_losses, hinge_losses, losses, user_functions
from ..kernels.lanes.operation import Operation
from ..simd.user_functions import check_function, python_function
from .activations import Sigmoid
from .class_losses import CrossEntropy, Focal, Hinge
from .layer import Array, Layer, Shape, record_name, set_fields
from .loss import AbsorbedLayer, Loss

LossName = Literal[
    "bce",
    "bce_with_logits",
    "cross_entropy",
    "mse",
    "huber",
    "smooth_l1",
    "focal",
    "binary_focal",
    "hinge",
    "binary_hinge",
]

__all__ = [
    "BCE",
    "MSE",
    "BCEWithLogits",
    "BinaryFocal",
    "BinaryHinge",
    "CrossEntropy",
    "ElementwiseLoss",
    "Focal",
    "Hinge",
    "Huber",
    "Loss",
    "SmoothL1",
]


@dataclass(frozen=True)
class MSE(Loss):
    """The mean squared error, (z - y)^2.

    Examples
    --------
    >>> import fastconv as fc
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss=fc.losses.MSE())
    """

    name: ClassVar[str] = "mse"
    formula: ClassVar = ("({z} - {y})^2", "2 * ({z} - y)")
    operation: ClassVar = losses.mse


@dataclass(frozen=True)
class Huber(Loss):
    """The Huber loss: the squared error's half for errors up to `delta`, a straight line beyond it.

    Parameters
    ----------
    delta : float
        Above 0.

    Raises
    ------
    TypeError, ValueError
        If `delta` is not a positive number.

    Examples
    --------
    >>> import fastconv as fc
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss=fc.losses.Huber(delta=0.5))
    """

    delta: float = 1.0
    name: ClassVar[str] = "huber"
    formula: ClassVar = (
        "e^2 / 2 for e = {z} - {y} from -delta to delta, else delta * (|e| - delta / 2)",
        "e, cut off at -delta and delta",
    )
    operation: ClassVar = losses.huber

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", real_number(self.delta, "delta", above=True))

    def numbers(self) -> list[float]:
        return [self.delta]


@dataclass(frozen=True)
class SmoothL1(Loss):
    """The smooth L1 loss: the error's size, rounded off by a parabola up to `beta`; the Huber loss over beta.

    Parameters
    ----------
    beta : float
        Above 0.

    Raises
    ------
    TypeError, ValueError
        If `beta` is not a positive number.

    Examples
    --------
    >>> import fastconv as fc
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss=fc.losses.SmoothL1(beta=0.1))
    """

    beta: float = field(default=1.0, kw_only=True)
    name: ClassVar[str] = "smooth_l1"
    formula: ClassVar = (
        "e^2 / (2 * beta) for e = {z} - {y} from -beta to beta, else |e| - beta / 2",
        "e / beta, cut off at -1 and 1",
    )
    operation: ClassVar = losses.smooth_l1

    def __post_init__(self) -> None:
        set_fields(self, beta=real_number(self.beta, "beta", above=True))

    def numbers(self) -> list[float]:
        return [self.beta]


@dataclass(frozen=True)
class BCEWithLogits(Loss):
    """Binary cross-entropy of logits: outputs whose sigmoid is the probability of a yes.

    Examples
    --------
    >>> BCEWithLogits().threshold
    0.0
    """

    name: ClassVar[str] = "bce_with_logits"
    targets: ClassVar = "probabilities"
    threshold: ClassVar = 0.0
    formula: ClassVar = ("log(1 + exp {z}) - {y} * {z}", "sigmoid({z}) - y")
    operation: ClassVar = losses.bce_with_logits


@dataclass(frozen=True)
class BCE(Loss):
    """Binary cross-entropy of probabilities, -y log p - (1 - y) log(1 - p), logarithms clipped at -100.

    After a final Sigmoid it is computed from the layer's input.

    Examples
    --------
    >>> BCE().threshold
    0.5
    """

    name: ClassVar[str] = "bce"
    targets: ClassVar = "probabilities"
    threshold: ClassVar = 0.5
    formula: ClassVar = ("-{y} * log {z} - (1 - {y}) * log(1 - {z})", "({z} - y) / ({z} * (1 - {z}))")
    operation: ClassVar = losses.bce
    absorbs: ClassVar = {
        Sigmoid: AbsorbedLayer(
            losses.bce_with_logits,
            BCEWithLogits(),
            lambda p, target: kernels.bce_grad(p, target),
            (
                "-{y} * log {a} - (1 - {y}) * log(1 - {a})",
                "dL/d{z} = dL/d{a} * d{a}/d{z} = ({a} - y) / ({a} * (1 - {a})) * {a} * (1 - {a}); "
                "factors cancel:",
                "{a} - y",
            ),
        )
    }


@dataclass(frozen=True)
class BinaryFocal(Loss):
    """Focal loss of logits of a yes: binary cross-entropy times alpha_t (1 - p_t)^gamma.

    p_t is the probability of what is right, and alpha_t is alpha for a yes, 1 - alpha for a no.

    Parameters
    ----------
    alpha : float or None
        Part of the loss that a yes has, 0 to 1; None: yes and no count as they are.
    gamma : float
        How much less a sure answer counts, at least 0.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    Names, defaults and values are those of torchvision's sigmoid_focal_loss. Source: Lin and others (2017),
    Focal loss for dense object detection.

    Examples
    --------
    >>> import fastconv as fc
    >>> model = fc.Sequential([fc.Dense(1)], input_shape=(3,))
    >>> trainer = fc.Trainer(model, loss=fc.losses.BinaryFocal(alpha=0.75))
    """

    alpha: float | None = field(default=0.25, kw_only=True)
    gamma: float = field(default=2.0, kw_only=True)
    name: ClassVar[str] = "binary_focal"
    targets: ClassVar = "probabilities"
    threshold: ClassVar = 0.0
    formula: ClassVar = (
        "a * u^gamma * (log(1 + exp {z}) - {y} * {z}) for p = sigmoid({z}), "
        "u = p * (1 - {y}) + (1 - p) * {y}, a = alpha * {y} + (1 - alpha) * (1 - {y})",
        "a * u^gamma * (p - y + gamma * (1 - 2 * y) * p * (1 - p) / u * (log(1 + exp {z}) - y * {z}))",
    )
    operation: ClassVar = focal_losses.binary_focal

    def __post_init__(self) -> None:
        alpha = None if self.alpha is None else real_number(self.alpha, "alpha")
        if alpha is not None and alpha > 1:
            raise ValueError(f"`alpha` must be a number from 0 to 1, or None, got {self.alpha!r}")
        set_fields(self, alpha=alpha, gamma=real_number(self.gamma, "gamma"))

    def numbers(self) -> list[float]:
        return [-1.0 if self.alpha is None else self.alpha, self.gamma]


@dataclass(frozen=True)
class BinaryHinge(Loss):
    """Hinge loss of scores of a yes: max(0, 1 - t z) for t = 1 or -1, that is 2 y - 1; Keras's hinge.

    Notes
    -----
    Targets are 0 and 1. Scores are no logits: `predict_proba` makes no good probabilities of them.

    Examples
    --------
    >>> BinaryHinge().threshold
    0.0
    """

    name: ClassVar[str] = "binary_hinge"
    targets: ClassVar = "probabilities"
    threshold: ClassVar = 0.0
    formula: ClassVar = (
        "max(0, 1 - (2 * {y} - 1) * {z})",
        "1 - 2 * y where there is something to pay, else 0",
    )
    operation: ClassVar = hinge_losses.binary_hinge


@dataclass(frozen=True)
class ElementwiseLoss(Loss):
    """A loss of your own: the mean of a function of (output, target) over the numbers of an output.

    It runs inside the compiled step, on all threads, with the same bits on any number of them.

    Parameters
    ----------
    function : function
        (output, target) -> number, of single numbers, best decorated with `numba.njit`. Numbers that it names
        take the dtype of the network.
    gradient : function
        (output, target) -> its derivative with respect to the output.

    Raises
    ------
    TypeError
        If one is no function of two arguments.

    Notes
    -----
    `fastconv.check_gradients` tells whether the two fit each other.

    Examples
    --------
    >>> import fastconv as fc, numba, numpy as np
    >>> @numba.njit
    ... def log_cosh(output, target):
    ...     return np.log(np.cosh(output - target))
    >>> @numba.njit
    ... def log_cosh_grad(output, target):
    ...     return np.tanh(output - target)
    >>> loss = fc.losses.ElementwiseLoss(log_cosh, log_cosh_grad)
    >>> model = fc.Sequential([fc.Dense(2)], input_shape=(3,))
    >>> fc.check_gradients(model, np.ones((4, 3)), np.zeros((4, 2)), loss) < 1e-5
    True
    """

    function: Any
    gradient_function: Any

    def __init__(self, function: Any, gradient: Any) -> None:
        object.__setattr__(self, "function", check_function(function, "function", 2))
        object.__setattr__(self, "gradient_function", check_function(gradient, "gradient", 2))

    @property
    def name(self) -> str:  # type: ignore[override]
        """The function's name.

        Returns
        -------
        str

        Examples
        --------
        >>> ElementwiseLoss(lambda z, y: abs(z - y), lambda z, y: 1 if z > y else -1).name
        '<lambda>'
        """
        return python_function(self.function).__name__

    @property
    def operation(self) -> Operation:  # type: ignore[override]
        """The operation of the compiled step.

        Returns
        -------
        Operation

        Examples
        --------
        >>> ElementwiseLoss(lambda z, y: abs(z - y), lambda z, y: 1 if z > y else -1).operation.name
        '<lambda>'
        """
        return user_functions.loss(self.function, self.gradient_function)

    def value(self, output: Array, target: Array) -> float:
        numbers = np.vectorize(python_function(self.function), otypes=[np.float64])
        return float(numbers(output, target.reshape(output.shape)).mean()) if output.size else 0.0

    def gradient(self, output: Array, target: Array) -> Array:
        slopes = np.vectorize(python_function(self.gradient_function), otypes=[output.dtype])
        return slopes(output, target.reshape(output.shape)) / output.dtype.type(output.size)

    def record(self) -> Any:
        paths = {"function": import_path(self.function), "gradient": import_path(self.gradient_function)}
        return {"name": record_name(self), **paths}

    def __str__(self) -> str:
        return self.name


LOSSES: dict[str, type[Loss]] = {
    kind.name: kind
    for kind in (
        BCE,
        BCEWithLogits,
        CrossEntropy,
        MSE,
        Huber,
        SmoothL1,
        Focal,
        BinaryFocal,
        Hinge,
        BinaryHinge,
    )
}


def resolve(loss: Any) -> Loss:
    """A loss from itself or from its name.

    Parameters
    ----------
    loss : Loss or str

    Returns
    -------
    Loss

    Raises
    ------
    TypeError, ValueError
        If it is neither.

    Examples
    --------
    >>> resolve("mse")
    MSE()
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, Loss):
        raise TypeError(f"`loss` must be a loss, not its class: write {loss.__name__}()")
    if isinstance(loss, str):
        if loss in LOSSES:
            return LOSSES[loss]()
        raise ValueError(f"`loss` must be one of {', '.join(map(repr, LOSSES))}, got {loss!r}")
    raise TypeError(
        f"`loss` must be one of {', '.join(map(repr, LOSSES))} or a loss such as losses.MSE(), got {loss!r}"
    )


def default_loss(last_layer: Layer, output_shape: Shape) -> Loss:
    """The loss that suits a network's output.

    Binary cross-entropy after a Sigmoid and cross-entropy after a Softmax, which they absorb; otherwise
    cross-entropy for two features or more, and the squared error for a single number or an image.

    Parameters
    ----------
    last_layer : layer
    output_shape : tuple

    Returns
    -------
    Loss

    Examples
    --------
    >>> default_loss(Sigmoid(), (1,))
    BCE()
    """
    for kind in LOSSES.values():
        loss = kind()
        if loss.absorbed(last_layer) is not None:
            return loss
    return CrossEntropy() if len(output_shape) == 1 and output_shape[0] > 1 else MSE()
