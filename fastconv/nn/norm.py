"""Normalisation layers."""

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, cast

import numpy as np

from .. import kernels
from ..checks.settings import real_number, whole_number
from .layer import Array, Arrays, Layer, Shape, set_fields

__all__ = ["BatchNorm2d", "GroupNorm", "InstanceNorm2d", "LayerNorm"]


class _Affine(Layer):
    """What normalisations share: a learned scale and shift of each channel, which change nothing at first."""

    decayed: ClassVar[tuple[str, ...]] = ()

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"weight": (input_shape[0],), "bias": (input_shape[0],)}

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        start = {"weight": np.ones, "bias": np.zeros}
        return {name: start[name](shape) for name, shape in self.parameter_shapes(input_shape).items()}


@dataclass(frozen=True)
class BatchNorm2d(_Affine):
    """Batch normalisation of each channel, with a learned scale and shift.

    Parameters
    ----------
    momentum : float
        Share of a batch in the running mean and variance, 0 to 1.
    eps : float
        Added to the variance.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    Training uses the batch's own mean and variance, prediction the running ones, as in PyTorch. As there, a
    step with a single value per channel (one sample of 1x1 pixels, be it the rest of an epoch) is refused.
    Source: Ioffe and Szegedy (2015).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.BatchNorm2d().output_shape((6, 24, 24))
    (6, 24, 24)
    """

    momentum: float = 0.1
    eps: float = 1e-5
    takes: ClassVar[str] = "image"

    def __new__(cls, *args: Any, **kwargs: Any) -> "BatchNorm2d":
        cls.refuse_channels(cls, args)
        return cast("BatchNorm2d", super().__new__(cls, *args, **kwargs))

    @staticmethod
    def refuse_channels(kind: type[Layer], args: tuple[Any, ...]) -> None:
        """Raise TypeError where a first argument can only be PyTorch's number of channels."""
        if args and isinstance(args[0], int) and not isinstance(args[0], bool):
            raise TypeError(
                f"{kind.__name__} takes `momentum`, 0.0 to 1.0, got {args[0]}; the number of channels is "
                "left out: it follows from the input"
            )

    def __post_init__(self) -> None:
        set_fields(
            self,
            momentum=real_number(self.momentum, "momentum"),
            eps=real_number(self.eps, "eps", above=True),
        )
        if self.momentum > 1:
            raise ValueError(f"`momentum` must be a number from 0 to 1, got {self.momentum!r}")

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape

    def initial_statistics(self, input_shape: Shape) -> Arrays:
        return {"running_mean": np.zeros(input_shape[0]), "running_var": np.ones(input_shape[0])}

    def values_per_mean(self, input_shape: Shape, samples: int) -> int:
        return samples * math.prod(input_shape[1:])

    def _normalised(self, x: Array, arrays: Arrays) -> tuple[Array, Array]:
        gamma, beta, mean, var = (arrays[n] for n in ("weight", "bias", "running_mean", "running_var"))
        return kernels.batch_norm2d(x, gamma, beta, mean, var, training=False, eps=self.eps)

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return self._normalised(x, arrays)[0]

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        # The running mean and variance do not depend on x: dx = gamma / deviation * dy.
        mean, inverse = (row[:, None, None] for row in self._normalised(x, arrays)[1])
        dgamma = (dy * (x - mean) * inverse).sum(axis=(0, 2, 3))
        dx = dy * (arrays["weight"][:, None, None] * inverse)
        return dx, {"weight": dgamma, "bias": dy.sum(axis=(0, 2, 3))}


@dataclass(frozen=True)
class GroupNorm(_Affine):
    """Normalisation of groups of channels of each sample, with a learned scale and shift of each channel.

    Samples do not depend on each other, so that it suits small batches, and is the same in training and
    prediction.

    Parameters
    ----------
    num_groups : int
        Into how many groups the channels (or features) are divided: 1 normalises them all together, as many
        as there are channels each on its own.
    eps : float
        Added to the variance.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    Source: Wu and He (2018).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.GroupNorm(2).output_shape((6, 24, 24))
    (6, 24, 24)
    """

    num_groups: int
    eps: float = field(default=1e-5, kw_only=True)  # PyTorch's second argument is the number of channels

    def __post_init__(self) -> None:
        set_fields(
            self,
            num_groups=whole_number(self.num_groups, "num_groups"),
            eps=real_number(self.eps, "eps", above=True),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape[0] % self.num_groups:
            raise ValueError(
                f"{self} needs channels that are a multiple of num_groups, got samples of shape {input_shape}"
            )
        return input_shape

    def values_per_mean(self, input_shape: Shape, samples: int) -> int:
        return math.prod(input_shape) // self.num_groups

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return self._normalised(x, arrays)[0].reshape(x.shape)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        saved = self._normalised(x, arrays)[1]
        images = _images(x)
        dx, dgamma, dbeta = kernels.group_norm_grad(dy.reshape(images.shape), images, arrays["weight"], saved)
        return dx.reshape(x.shape), {"weight": dgamma, "bias": dbeta}

    def _normalised(self, x: Array, arrays: Arrays) -> tuple[Array, Array]:
        return kernels.group_norm(_images(x), self.num_groups, arrays["weight"], arrays["bias"], self.eps)


@dataclass(frozen=True)
class InstanceNorm2d(_Affine):
    """Normalisation of each channel of each sample, as GroupNorm with as many groups as channels.

    Parameters
    ----------
    eps : float
        Added to the variance.
    affine : bool
        Whether each channel has a learned scale and shift.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    The same in training and prediction, as in PyTorch without running statistics. Source: Ulyanov, Vedaldi
    and Lempitsky (2016).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.InstanceNorm2d().parameter_shapes((6, 24, 24))
    {}
    >>> fc.InstanceNorm2d(affine=True).parameter_shapes((6, 24, 24))
    {'weight': (6,), 'bias': (6,)}
    """

    _: KW_ONLY  # PyTorch's first argument is the number of channels
    eps: float = 1e-5
    affine: bool = False
    takes: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        set_fields(self, eps=real_number(self.eps, "eps", above=True), affine=bool(self.affine))

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return super().parameter_shapes(input_shape) if self.affine else {}

    def values_per_mean(self, input_shape: Shape, samples: int) -> int:
        return math.prod(input_shape[1:])

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return self._normalised(x, arrays)[0]

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        (_, saved), (gamma, _) = self._normalised(x, arrays), self._scale_and_shift(x, arrays)
        dx, dgamma, dbeta = kernels.group_norm_grad(dy, x, gamma, saved)
        return dx, {"weight": dgamma, "bias": dbeta} if self.affine else {}

    def _scale_and_shift(self, x: Array, arrays: Arrays) -> tuple[Array, Array]:
        if self.affine:
            return arrays["weight"], arrays["bias"]
        return np.ones(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)

    def _normalised(self, x: Array, arrays: Arrays) -> tuple[Array, Array]:
        return kernels.group_norm(x, x.shape[1], *self._scale_and_shift(x, arrays), self.eps)


@dataclass(frozen=True)
class LayerNorm(_Affine):
    """Normalisation of each whole sample, with a learned scale and shift of each element.

    Parameters
    ----------
    eps : float
        Added to the variance.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    Mean and variance are those of all elements of a sample: PyTorch's LayerNorm of the sample's shape. With a
    scale for each channel instead it is GroupNorm(1). Source: Ba, Kiros and Hinton (2016).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.LayerNorm().parameter_shapes((6, 4, 4))
    {'weight': (6, 4, 4), 'bias': (6, 4, 4)}
    """

    _: KW_ONLY  # PyTorch's first argument is the shape
    eps: float = 1e-5

    def __post_init__(self) -> None:
        set_fields(self, eps=real_number(self.eps, "eps", above=True))

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"weight": input_shape, "bias": input_shape}

    def values_per_mean(self, input_shape: Shape, samples: int) -> int:
        return math.prod(input_shape)

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.layer_norm(x, arrays["weight"], arrays["bias"], self.eps)[0]

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        saved = kernels.layer_norm(x, arrays["weight"], arrays["bias"], self.eps)[1]
        dx, dgamma, dbeta = kernels.layer_norm_grad(dy, x, arrays["weight"], saved)
        return dx, {"weight": dgamma, "bias": dbeta}


def _images(x: Array) -> Array:
    """Samples as images; signals are images of one column, features of one pixel."""
    return x.reshape((*x.shape, 1, 1)[:4])


def check_batch(nodes: Iterable[Any], samples: int) -> None:
    """Raise ValueError where a training step on so many samples would normalise single values.

    A single value is its own mean: what is left of it is 0, and nothing before the layer can learn.

    Parameters
    ----------
    nodes : iterable of nodes
        The layers of a network at their places.
    samples : int

    Raises
    ------
    ValueError
        The message names the layer.

    Examples
    --------
    >>> import fastconv as fc
    >>> check_batch(fc.Sequential([fc.BatchNorm2d()], (4, 1, 1)).nodes, samples=2)
    """
    for node in nodes:
        if node.layer.values_per_mean(node.input_shape, samples) == 1:
            alone = node.layer.values_per_mean(node.input_shape, 2) == 1
            got = f"got {node.input_shape}" + ("" if alone else f" of {samples} sample")
            way_out = "take fewer groups" if alone else "take batches that leave no single sample over"
            raise ValueError(
                f"layer {node.name}, {node.layer.call()}, must get more than one value for each mean in "
                f"training, {got}: {way_out}"
            )
