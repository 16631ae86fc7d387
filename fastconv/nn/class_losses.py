"""Losses of outputs that have a number for each class: cross-entropy, focal and hinge.

The output is that of a sample, (classes,), or of every pixel of an image or place of a signal, (classes, H,
W) or (classes, L), whose targets then have a label a place. The mean is over all places of all samples.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

import numpy as np

from .. import kernels
from ..checks.settings import real_number
from ..kernels.lanes import focal_losses, hinge_losses, losses
from .activations import Softmax
from .layer import Array, Layer, Shape, set_fields
from .loss import AbsorbedLayer, Loss

__all__ = ["ClassLoss", "CrossEntropy", "Focal", "Hinge", "is_labels"]

ClassWeight = Sequence[float] | None


def is_labels(targets: Array) -> bool:
    """Whether checked targets of a loss with classes are labels, which are ints; parts of classes are not."""
    return targets.dtype.kind == "i"


@dataclass(frozen=True, repr=False)
class ClassLoss(Loss):
    """What losses with classes share: weights of the classes, and outputs with classes at many places."""

    class_weight: ClassWeight = field(default=None, kw_only=True)
    targets: ClassVar[Literal["labels", "distributions"]] = "labels"
    own_numbers: ClassVar[tuple[str, ...]] = ()  # settings that the kernel takes

    def __post_init__(self) -> None:
        set_fields(self, class_weight=_checked_weights(self.class_weight))

    def numbers(self) -> list[float]:
        return [*(getattr(self, name) for name in self.own_numbers), *(self.class_weight or ())]

    def geometry(self, output_shape: Shape, clipped: bool, weighted: bool) -> losses.LossGeometry:
        return losses.LossGeometry(
            output_shape[0],
            int(clipped),
            int(weighted),
            labels=int(self.targets == "labels"),
            places=math.prod(output_shape[1:]),
            class_weights=int(self.class_weight is not None),
        )

    def target_shape(self, output_shape: Shape) -> Shape:
        return output_shape if self.targets == "distributions" else output_shape[1:] or (1,)

    def check_output(self, output_shape: Shape) -> None:
        if output_shape[0] < 2:
            what = "features" if len(output_shape) == 1 else "channels"
            raise ValueError(f'`loss` "{self.name}" needs an output of at least 2 {what}, got {output_shape}')
        if self.class_weight is not None and len(self.class_weight) != output_shape[0]:
            raise ValueError(
                f"`class_weight` of the loss must have a weight for each of {output_shape[0]} classes, "
                f"got {len(self.class_weight)}"
            )

    def value(self, output: Array, target: Array) -> float:
        kernel, numbers = getattr(kernels, self.name), [getattr(self, name) for name in self.own_numbers]
        rows, labels = _rows(output), target.reshape(-1)
        if self.class_weight is None:
            return float(kernel(rows, labels, *numbers))
        each = kernel(rows, labels, *numbers, "none").astype(np.float64)
        return float((each * np.array(self.class_weight)[labels]).mean())

    def gradient(self, output: Array, target: Array) -> Array:
        kernel = getattr(kernels, f"{self.name}_grad")
        numbers = [getattr(self, name) for name in self.own_numbers]
        rows, labels = _rows(output), target.reshape(-1)
        slopes: Array = kernel(rows, labels, *numbers)
        if self.class_weight is not None:
            slopes *= np.array(self.class_weight, output.dtype)[labels][:, None]
        return _as_output(slopes, output)

    def __repr__(self) -> str:
        given = asdict(self)
        settings = [f"{f.name}={given[f.name]!r}" for f in fields(self) if given[f.name] != f.default]
        return f"{type(self).__name__}({', '.join(settings)})"


def _checked_weights(class_weight: Any) -> tuple[float, ...] | None:
    """The weights of the classes as a tuple of numbers."""
    if class_weight is None:
        return None
    try:
        given = list(class_weight)
    except TypeError:
        given = []
    if isinstance(class_weight, (str, dict)) or len(given) < 2:
        raise TypeError(
            f"`class_weight` of a loss must be a list of a number for each class, got {class_weight!r}: "
            'those of `fit` may be a dict or "balanced"'
        )
    weights = tuple(real_number(w, f"class_weight[{k}]") for k, w in enumerate(given))
    if not any(weights):
        raise ValueError("`class_weight` must have a weight above 0, got only zeros")
    return weights


def _rows(values: Array) -> Array:
    """Numbers (N, classes, ...) with a row for each place of each sample."""
    return np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])


def _as_output(rows: Array, output: Array) -> Array:
    """What `_rows` of an output made, in the output's shape."""
    return np.moveaxis(rows.reshape(len(output), *output.shape[2:], output.shape[1]), -1, 1)


def _cross_entropy_slope(p: Array, target: Array) -> Array:
    """The gradient of the mean of -log p[label] with respect to p, or of -sum of t log p for parts t."""
    if target.ndim == 2:
        return -target / (np.maximum(p, np.finfo(p.dtype).tiny) * len(target))
    rows, dp = np.arange(len(target)), np.zeros_like(p)
    dp[rows, target] = -1.0 / (np.maximum(p[rows, target], np.finfo(p.dtype).tiny) * len(target))
    return dp


@dataclass(frozen=True, repr=False)
class CrossEntropy(ClassLoss):
    """Cross-entropy of logits, one for each class, with the number of the right class, or a part for each.

    After a final Softmax it is computed from the layer's input.

    Parameters
    ----------
    label_smoothing : float
        0 to 1: what all classes share in equal parts, while the target keeps the rest, as in PyTorch.
    class_weight : sequence of floats, optional
        How much each class counts, at each pixel too. The mean still divides by the number of samples (or
        pixels), as in Keras; PyTorch's `weight` divides by the sum of their weights instead. For
        weights by name, or "balanced" ones, of whole samples there is `class_weight` of `fit`.

    Raises
    ------
    TypeError, ValueError
        If `label_smoothing` is not a number from 0 to 1, or `class_weight` no list of numbers of at least 0.

    Notes
    -----
    Targets are class numbers (N,), or rows (N, classes): where each has a single 1, they are taken as the
    class numbers, to the same bits; otherwise each row, which must sum to 1, says how much of the sample
    belongs to each class. Metrics go by the class of the largest part.

    Of outputs (classes, H, W), as segmentation has them, targets are class numbers (N, H, W) or parts
    (N, classes, H, W); accuracy is the part of the pixels that is right. Signals (classes, L) likewise.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> model = fc.Sequential([fc.Dense(2)], input_shape=(3,))
    >>> trainer = fc.Trainer(model, loss=fc.losses.CrossEntropy(label_smoothing=0.1))
    >>> trainer.train_on_batch(np.zeros((2, 3)), [[0.0, 1.0], [0.3, 0.7]]) > 0
    True

    Three classes for each pixel:

    >>> model = fc.Sequential([fc.Conv2d(3, 3, padding="same")], input_shape=(1, 8, 8))
    >>> trainer = fc.Trainer(model, loss=fc.losses.CrossEntropy(class_weight=[0.5, 1, 1]))
    >>> trainer.train_on_batch(np.ones((2, 1, 8, 8)), np.ones((2, 8, 8), int)) > 0
    True
    """

    label_smoothing: float = field(default=0.0, kw_only=True)
    name: ClassVar[str] = "cross_entropy"
    formula: ClassVar = ("log(sum over k of exp({z}[k])) - {z}[y]", "softmax({z}), minus 1 at k = y")
    operation: ClassVar = losses.cross_entropy

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, label_smoothing=real_number(self.label_smoothing, "label_smoothing", 0.0, 1.0))

    def for_targets(self, target: Array) -> Loss:
        if not is_labels(target):
            return _SoftLabels(label_smoothing=self.label_smoothing, class_weight=self.class_weight)
        if self._plain():
            return self
        return _SmoothedLabels(label_smoothing=self.label_smoothing, class_weight=self.class_weight)

    def _plain(self) -> bool:
        return not self.label_smoothing and self.class_weight is None

    def value(self, output: Array, target: Array) -> float:
        if is_labels(target) and self._plain():
            return super().value(output, target)
        return float(kernels.soft_cross_entropy(_rows(output), self._parts(output, target)))

    def gradient(self, output: Array, target: Array) -> Array:
        if is_labels(target) and self._plain():
            return super().gradient(output, target)
        slopes = kernels.soft_cross_entropy_grad(_rows(output), self._parts(output, target))
        return _as_output(slopes, output)

    def record(self) -> Any:
        return self.name if self._plain() else super().record()  # as files always had it

    def __str__(self) -> str:
        return self.name if self._plain() else super().__str__()

    def _parts(self, output: Array, target: Array) -> Array:
        """What each class has of the places, smoothed, times its weight: a row for each place."""
        classes = output.shape[1]
        parts = np.eye(classes)[target.reshape(-1)] if is_labels(target) else _rows(target)
        parts = parts * (1 - self.label_smoothing) + self.label_smoothing / classes
        if self.class_weight is not None:
            parts = parts * np.array(self.class_weight)
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
    """Cross-entropy with labels that are smoothed, or whose classes have weights, as it is computed."""

    operation: ClassVar = losses.soft_cross_entropy
    own_numbers: ClassVar = ("label_smoothing",)

    @property
    def formula(self) -> tuple[str, str]:  # type: ignore[override]
        value = "sum over k of t[k] * (log(sum over j of exp({z}[j])) - {z}[k])"
        return f"{value} for {self._words()}", f"softmax({{z}}){self._whole()} - t"

    def _words(self) -> str:
        """What t is, of the target y as parts of K classes, in words."""
        smoothing = self.label_smoothing
        words = f"t = (1 - {smoothing:g}) * y + {smoothing:g} / K" if smoothing else "t = y"
        if self.class_weight is None:
            return words
        return f"{words}, times the weights {', '.join(f'{w:g}' for w in self.class_weight)}"

    def _whole(self) -> str:
        """What the softmax is multiplied by, in words: parts with weights don't sum to 1."""
        return "" if self.class_weight is None else " * (the sum of t)"

    def absorbed(self, layer: Layer) -> AbsorbedLayer | None:
        if not isinstance(layer, Softmax):
            return None
        return AbsorbedLayer(
            self.operation,
            self,
            lambda p, target: _cross_entropy_slope(p, self._parts(p, target)),
            (
                f"-sum over k of t[k] * log {{a}}[k] for {self._words()}",
                "dL/d{a}[k] is -t[k] / {a}[k]; with the derivative of the softmax, factors cancel:",
                f"{{a}}{self._whole()} - t",
            ),
        )


@dataclass(frozen=True, repr=False)
class _SoftLabels(_SmoothedLabels):
    """Cross-entropy with a part for each class, as it is computed."""

    targets: ClassVar = "distributions"


@dataclass(frozen=True, repr=False)
class Focal(ClassLoss):
    """Focal loss of logits, one for each class: -(1 - p)^gamma log p, with p the softmax of the right one.

    What the network is sure of counts little, so that many easy samples don't drown the hard ones.

    Parameters
    ----------
    gamma : float
        How much less a sure answer counts, at least 0; with 0 it is the cross-entropy.
    class_weight : sequence of floats, optional
        How much each class counts (the alpha of the source), as in `CrossEntropy`.

    Raises
    ------
    TypeError, ValueError
        If `gamma` is not a number of at least 0, or `class_weight` no list of numbers of at least 0.

    Notes
    -----
    Targets are class numbers (N,), or (N, H, W) for outputs (classes, H, W). For logits of a yes there is
    `BinaryFocal`. Source: Lin and others (2017), Focal loss for dense object detection.

    Examples
    --------
    >>> import fastconv as fc
    >>> trainer = fc.Trainer(fc.models.lenet5(), loss=fc.losses.Focal(gamma=1.5))
    """

    gamma: float = field(default=2.0, kw_only=True)
    name: ClassVar[str] = "focal"
    own_numbers: ClassVar = ("gamma",)
    formula: ClassVar = (
        "-(1 - p)^gamma * log p for p = softmax({z})[y]",
        "(softmax({z}), minus 1 at k = y) * ((1 - p)^gamma - gamma * p * log p * (1 - p)^(gamma - 1))",
    )
    operation: ClassVar = focal_losses.focal

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, gamma=real_number(self.gamma, "gamma"))


@dataclass(frozen=True, repr=False)
class Hinge(ClassLoss):
    """Hinge loss of scores, one for each class: what the others lack to be `margin` below the right one.

    For K classes the sum over k != y of max(0, margin - z[y] + z[k]), divided by K: MultiMarginLoss of
    PyTorch. (Keras's categorical hinge counts the largest of the others only.)

    Parameters
    ----------
    margin : float
        By how much the right score must lead; above 0.
    class_weight : sequence of floats, optional
        How much each class counts, as in `CrossEntropy`.

    Raises
    ------
    TypeError, ValueError
        If `margin` is not a number above 0, or `class_weight` no list of numbers of at least 0.

    Notes
    -----
    Targets are class numbers (N,), or (N, H, W) for outputs (classes, H, W). Scores are no logits:
    `predict_proba` makes no good probabilities of them.

    Examples
    --------
    >>> import fastconv as fc
    >>> trainer = fc.Trainer(fc.models.lenet5(), loss=fc.losses.Hinge(margin=0.5))
    """

    margin: float = field(default=1.0, kw_only=True)
    name: ClassVar[str] = "hinge"
    own_numbers: ClassVar = ("margin",)
    formula: ClassVar = (
        "sum over k != y of max(0, margin - {z}[y] + {z}[k]), divided by the number of classes",
        "1 for each k != y that pays, minus their number at y, divided by the number of classes",
    )
    operation: ClassVar = hinge_losses.hinge

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, margin=real_number(self.margin, "margin", above=True))
