"""Losses: records of what a network's output is compared with, and how.

A loss answers what everybody asks: whether an output and targets fit it, which operation computes it in the
compiled step, what it and its gradient are in the public kernels, and what it is in words. `loss="mse"` and
`loss=MSE()` are the same; `LOSSES` has the names.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from .. import kernels
from ..checks.import_path import import_path
from ..checks.settings import real_number
from ..kernels.lanes import losses, user_functions
from ..kernels.lanes.operation import Operation
from ..simd.user_functions import check_function, python_function
from .activations import Sigmoid, Softmax
from .layer import Array, Layer, Shape, record_name

LossName = Literal["bce", "bce_with_logits", "cross_entropy", "mse", "huber"]

__all__ = ["BCE", "MSE", "BCEWithLogits", "CrossEntropy", "ElementwiseLoss", "Huber", "Loss"]


class Loss:
    """What every loss is; a loss of your own is an `ElementwiseLoss`.

    Attributes
    ----------
    name : str
        What it goes by in `loss="..."`, in messages and in files.
    targets : {"numbers", "probabilities", "labels", "distributions"}
        What it is compared with: numbers of the output's shape, such from 0 to 1, a class number a sample, or
        a part of each sample for each class.
    threshold : float or None
        The output above which the answer is yes, where targets are probabilities.
    formula : pair of str, or None
        The loss and its gradient in words, of the output {z} and the target {y}.

    Examples
    --------
    >>> import fastconv as fc
    >>> isinstance(fc.losses.MSE(), fc.losses.Loss)
    True
    """

    name: ClassVar[str]
    targets: ClassVar[Literal["numbers", "probabilities", "labels", "distributions"]] = "numbers"
    threshold: ClassVar[float | None] = None
    formula: ClassVar[tuple[str, str] | None] = None
    operation: ClassVar[Any]  # of the compiled step, on the network's output
    # Final layers that are computed together with the loss, from their input: what then is the loss, ...
    absorbs: ClassVar[Mapping[type[Layer], "AbsorbedLayer"]] = {}

    def numbers(self) -> list[float]:
        """Settings that the operation reads, in its order.

        Returns
        -------
        list of float

        Examples
        --------
        >>> MSE().numbers()
        []
        """
        return []

    def absorbed(self, layer: Layer) -> "AbsorbedLayer | None":
        """How the loss is computed from the input of the final layer `layer`, or None where it is not.

        Parameters
        ----------
        layer : layer
            The last one of a network.

        Returns
        -------
        AbsorbedLayer or None

        Examples
        --------
        >>> BCE().absorbed(Sigmoid()).loss
        BCEWithLogits()
        """
        return next((how for kind, how in self.absorbs.items() if isinstance(layer, kind)), None)

    def check_output(self, output_shape: Shape) -> None:
        """Raise ValueError unless the loss can be had of an output of this shape.

        Parameters
        ----------
        output_shape : tuple
            Of one sample.

        Raises
        ------
        ValueError
            The message names the loss and the shape.

        Examples
        --------
        >>> MSE().check_output((3, 8, 8))
        """
        if self.targets == "labels" and (len(output_shape) != 1 or output_shape[0] < 2):
            raise ValueError(
                f'`loss` "{self.name}" needs an output of at least 2 features, got {output_shape}'
            )

    def for_targets(self, target: Array) -> "Loss":
        """The loss as it is computed for such targets.

        Parameters
        ----------
        target : ndarray
            As the engine reads it.

        Returns
        -------
        Loss
            This one, but for cross-entropy with a part for each class.

        Examples
        --------
        >>> MSE().for_targets(np.zeros((4, 2)))
        MSE()
        """
        return self

    def value(self, output: Array, target: Array) -> float:
        """The mean loss of a batch, by the public kernels.

        Parameters
        ----------
        output : ndarray, shape (N, features)
        target : ndarray
            Labels (N,), or numbers of the output's shape and dtype.

        Returns
        -------
        float

        Examples
        --------
        >>> MSE().value(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]]))
        2.5
        """
        return float(getattr(kernels, self.name)(output, target))

    def gradient(self, output: Array, target: Array) -> Array:
        """The gradient of the mean loss with respect to the output.

        Parameters
        ----------
        output, target : ndarray
            As for `value`.

        Returns
        -------
        ndarray, shape of output

        Examples
        --------
        >>> MSE().gradient(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]]))
        array([[1., 2.]])
        """
        slope: Array = getattr(kernels, f"{self.name}_grad")(output, target)
        return slope

    def record(self) -> Any:
        """The loss as files hold it: its name, or a dictionary where it has settings.

        Returns
        -------
        str or dict

        Examples
        --------
        >>> MSE().record()
        'mse'
        """
        settings = asdict(self)  # type: ignore[call-overload]
        return {"name": self.name, **settings} if settings else self.name

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in asdict(self).items())  # type: ignore[call-overload]
        return f"{self.name}({settings})" if settings else self.name


@dataclass(frozen=True)
class AbsorbedLayer:
    """How a loss and the final layer before it are computed in one: exact where their factors overflow."""

    operation: Operation  # on the layer's input
    loss: Loss  # of the layer's input, which is equal
    output_gradient: Callable[
        [Array, Array], Array
    ]  # of (output, target), with respect to the layer's output
    formula: tuple[str, str, str]  # in words: the loss, the chain rule's factors, what they come to


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

    def value(self, output: Array, target: Array) -> float:
        return float(kernels.huber(output, target, self.delta))

    def gradient(self, output: Array, target: Array) -> Array:
        return kernels.huber_grad(output, target, self.delta)


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


def _cross_entropy_slope(p: Array, target: Array) -> Array:
    """The gradient of the mean of -log p[label] with respect to p, or of -sum of t log p for parts t."""
    if target.ndim == 2:
        return -target / (np.maximum(p, np.finfo(p.dtype).tiny) * len(target))
    rows, dp = np.arange(len(target)), np.zeros_like(p)
    dp[rows, target] = -1.0 / (np.maximum(p[rows, target], np.finfo(p.dtype).tiny) * len(target))
    return dp


@dataclass(frozen=True, repr=False)
class CrossEntropy(Loss):
    """Cross-entropy of logits, one for each class, with the number of the right class, or a part for each.

    After a final Softmax it is computed from the layer's input.

    Parameters
    ----------
    label_smoothing : float
        0 to 1: what all classes share in equal parts, while the target keeps the rest, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If `label_smoothing` is not a number from 0 to 1.

    Notes
    -----
    Targets are class numbers (N,), or rows (N, classes): where each has a single 1, they are taken as the
    class numbers, to the same bits; otherwise each row, which must sum to 1, says how much of the sample
    belongs to each class. Metrics go by the class of the largest part.

    Examples
    --------
    >>> import fastconv as fc
    >>> model = fc.Sequential([fc.Dense(2)], input_shape=(3,))
    >>> trainer = fc.Trainer(model, loss=fc.losses.CrossEntropy(label_smoothing=0.1))
    >>> trainer.train_on_batch(np.zeros((2, 3)), [[0.0, 1.0], [0.3, 0.7]]) > 0
    True
    """

    label_smoothing: float = field(default=0.0, kw_only=True)
    name: ClassVar[str] = "cross_entropy"
    targets: ClassVar[Literal["labels", "distributions"]] = "labels"
    formula: ClassVar = ("log(sum over k of exp({z}[k])) - {z}[y]", "softmax({z}), minus 1 at k = y")
    operation: ClassVar = losses.cross_entropy

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "label_smoothing", real_number(self.label_smoothing, "label_smoothing", 0.0, 1.0)
        )

    def for_targets(self, target: Array) -> Loss:
        if target.ndim == 1 and not self.label_smoothing:
            return self
        kind = _SmoothedLabels if target.ndim == 1 else _SoftLabels
        return kind(label_smoothing=self.label_smoothing)

    def value(self, output: Array, target: Array) -> float:
        if target.ndim == 1 and not self.label_smoothing:
            return float(kernels.cross_entropy(output, target))
        return float(kernels.soft_cross_entropy(output, self._parts(output, target)))

    def gradient(self, output: Array, target: Array) -> Array:
        if target.ndim == 1 and not self.label_smoothing:
            return kernels.cross_entropy_grad(output, target)
        return kernels.soft_cross_entropy_grad(output, self._parts(output, target))

    def record(self) -> Any:
        return super().record() if self.label_smoothing else self.name  # as files always had it

    def __str__(self) -> str:
        return super().__str__() if self.label_smoothing else self.name

    def __repr__(self) -> str:
        settings = f"label_smoothing={self.label_smoothing!r}" if self.label_smoothing else ""
        return f"CrossEntropy({settings})"

    def _parts(self, output: Array, target: Array) -> Array:
        """What each class has of the samples, smoothed."""
        parts = target if target.ndim == 2 else np.eye(output.shape[1])[target]
        parts = parts * (1 - self.label_smoothing) + self.label_smoothing / output.shape[1]
        return parts.astype(output.dtype)


CrossEntropy.absorbs = {
    Softmax: AbsorbedLayer(
        losses.cross_entropy,
        CrossEntropy(),
        _cross_entropy_slope,
        (
            "-log {a}[y]",
            "dL/d{a}[k] is -1 / {a}[y] at k = y, else 0; with the derivative of the softmax, {a}[y] cancels:",
            "{a}, minus 1 at k = y",
        ),
    )
}


@dataclass(frozen=True, repr=False)
class _SmoothedLabels(CrossEntropy):
    """Cross-entropy with labels that are smoothed, as it is computed."""

    operation: ClassVar = losses.soft_cross_entropy

    @property
    def formula(self) -> tuple[str, str]:  # type: ignore[override]
        value = "sum over k of t[k] * (log(sum over j of exp({z}[j])) - {z}[k])"
        return f"{value} for {self._smoothing()}", "softmax({z}) - t"

    def _smoothing(self) -> str:
        """What t is, of the target y as parts of K classes, in words."""
        smoothing = self.label_smoothing
        return f"t = (1 - {smoothing:g}) * y + {smoothing:g} / K" if smoothing else "t = y"

    def numbers(self) -> list[float]:
        return [self.label_smoothing]

    def absorbed(self, layer: Layer) -> AbsorbedLayer | None:
        if not isinstance(layer, Softmax):
            return None
        return AbsorbedLayer(
            self.operation,
            self,
            lambda p, target: _cross_entropy_slope(p, self._parts(p, target)),
            (
                f"-sum over k of t[k] * log {{a}}[k] for {self._smoothing()}",
                "dL/d{a}[k] is -t[k] / {a}[k]; with the derivative of the softmax, factors cancel:",
                "{a} - t",
            ),
        )


@dataclass(frozen=True, repr=False)
class _SoftLabels(_SmoothedLabels):
    """Cross-entropy with a part for each class, as it is computed."""

    targets: ClassVar = "distributions"


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
        return float(numbers(output, target).mean()) if output.size else 0.0

    def gradient(self, output: Array, target: Array) -> Array:
        slopes = np.vectorize(python_function(self.gradient_function), otypes=[output.dtype])
        return slopes(output, target) / output.dtype.type(output.size)

    def record(self) -> Any:
        paths = {"function": import_path(self.function), "gradient": import_path(self.gradient_function)}
        return {"name": record_name(self), **paths}

    def __str__(self) -> str:
        return self.name


LOSSES: dict[str, type[Loss]] = {kind.name: kind for kind in (BCE, BCEWithLogits, CrossEntropy, MSE, Huber)}


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
