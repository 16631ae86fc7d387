"""Layers: records of hyper-parameters that answer what a network has to know to be built.

Every layer answers the same four questions, given the shape of one input sample:

    output_shape(input_shape)            the shape of one output sample
    parameter_shapes(input_shape)        name -> shape, in the order in which they are stored
    initial_parameters(input_shape, rng) name -> array
    initial_statistics(input_shape)      name -> array, numbers that training updates without a gradient

How a layer is computed stands in `lowering.py`.
"""

import math
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from .arguments import conv_output_size, nonnegative_pair, pool_output_size, positive_pair
from .checks import real_number, whole_number

Shape = tuple[int, ...]
Arrays = dict[str, NDArray[Any]]
IntOrPair = Any  # an int or a pair goes in, a pair is kept: no static type says that


class Layer:
    """What layers have in common; a layer without parameters or a change of shape needs no more."""

    takes: ClassVar[str] = ""  # "image" or "features" where only that input shape makes sense

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of one output sample for one input sample of `input_shape`.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.

        Returns
        -------
        tuple

        Raises
        ------
        ValueError
            If the layer can't take such a sample.

        Examples
        --------
        >>> MaxPool2d(2).output_shape((6, 24, 24))
        (6, 12, 12)
        """
        return input_shape

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Name -> shape of the parameters.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.

        Returns
        -------
        dict
            In the order in which the parameters are stored.

        Examples
        --------
        >>> Dense(10).parameter_shapes((84,))
        {'weight': (10, 84), 'bias': (10,)}
        """
        return {}

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        """Name -> array of the parameters before training.

        Uniform within 1 / sqrt(fan_in), PyTorch's default for convolution and linear layers.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.
        rng : numpy.random.Generator
            Where the numbers come from.

        Returns
        -------
        dict
            Name -> ndarray of float64, shaped as in `parameter_shapes`.

        Examples
        --------
        >>> weight = Dense(3).initial_parameters((4,), np.random.default_rng(0))["weight"]
        >>> bool(abs(weight).max() <= 1 / 4**0.5)
        True
        """
        shapes = self.parameter_shapes(input_shape)
        if not shapes:
            return {}
        bound = 1.0 / math.sqrt(math.prod(shapes["weight"][1:]))
        return {name: rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}

    def initial_statistics(self, input_shape: Shape) -> Arrays:
        """Name -> array of the numbers that training keeps beside the parameters.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.

        Returns
        -------
        dict
            Name -> ndarray of float64.

        Examples
        --------
        >>> sorted(BatchNorm2d().initial_statistics((2, 8, 8)))
        ['running_mean', 'running_var']
        """
        return {}

    def check_input(self, input_shape: Shape) -> None:
        """Raise ValueError where the layer can't take a sample of this shape.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.

        Raises
        ------
        ValueError
            The message names the layer and the shape.

        Examples
        --------
        >>> Dense(10).check_input((84,))
        """
        if self.takes == "image" and len(input_shape) != 3:
            raise ValueError(f"{self} takes images (C, H, W), got samples of shape {input_shape}")
        if self.takes == "features" and len(input_shape) != 1:
            raise ValueError(
                f"{self} takes samples of shape (features,), got {input_shape}: put a Flatten() before it"
            )

    def call(self) -> str:
        """The layer as one would write it: only settings that differ from their defaults.

        Returns
        -------
        str

        Examples
        --------
        >>> Conv2d(32, 3, padding="same").call()
        "Conv2d(32, kernel_size=3, padding='same')"
        """
        record = fields(cast(Any, self))
        needed = [f.name for f in record if f.default is MISSING]
        plain = type(self)(*[getattr(self, name) for name in needed])
        parts = []
        for number, f in enumerate(record):
            value = getattr(self, f.name)
            if f.name in needed or value != getattr(plain, f.name):
                if isinstance(value, tuple) and len(set(value)) == 1:
                    value = value[0]
                parts.append(f"{value!r}" if number == 0 else f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def settings(self) -> dict[str, Any]:
        """Hyper-parameter name -> value, as JSON can hold them.

        Returns
        -------
        dict
            Pairs are lists.

        Examples
        --------
        >>> LeakyReLU(0.1).settings()
        {'negative_slope': 0.1}
        """
        values = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def record(self) -> dict[str, Any]:
        """The layer as files hold it: its name and its settings.

        Returns
        -------
        dict

        Examples
        --------
        >>> Dropout(0.25).record()
        {'name': 'Dropout', 'p': 0.25}
        """
        return {"name": type(self).__name__, **self.settings()}


def _set(layer: Layer, **values: Any) -> None:
    """Fill in checked values while a frozen record is being made."""
    for name, value in values.items():
        object.__setattr__(layer, name, value)


@dataclass(frozen=True)
class Conv2d(Layer):
    """A convolution (cross-correlation) over images.

    Parameters
    ----------
    out_channels : int
        Images of one output sample.
    kernel_size, stride, dilation : int or pair of ints
        (height, width) of the kernel, and the steps of its windows and taps.
    padding : int, pair of ints, "same" or "valid"
        Zeros around the image. "same" keeps its size (stride 1 only); an odd one is larger below and right.
    groups : int
        Divides the channels into groups which are convolved on their own.
    bias : bool
        Whether one number is added to each output channel.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Conv2d(6, 5).output_shape((1, 28, 28))
    (6, 24, 24)
    """

    out_channels: int
    kernel_size: IntOrPair
    stride: IntOrPair = 1
    padding: IntOrPair = 0
    dilation: IntOrPair = 1
    groups: int = 1
    bias: bool = True
    takes: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        padding = self.padding
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(
                    f'`padding` must be an int, a pair of them, "same" or "valid", got {padding!r}'
                )
        else:
            padding = nonnegative_pair(padding, "padding")
        _set(
            self,
            out_channels=whole_number(self.out_channels, "out_channels"),
            kernel_size=positive_pair(self.kernel_size, "kernel_size"),
            stride=positive_pair(self.stride, "stride"),
            padding=padding,
            dilation=positive_pair(self.dilation, "dilation"),
            groups=whole_number(self.groups, "groups"),
            bias=bool(self.bias),
        )
        if padding == "same" and self.stride != (1, 1):
            raise ValueError(f'`padding` "same" needs stride 1, got {self.stride}')
        if self.out_channels % self.groups:
            raise ValueError(
                f"`out_channels` must be a multiple of groups = {self.groups}, got {self.out_channels}"
            )

    def pads(self) -> tuple[tuple[int, int], ...]:
        """((top, bottom), (left, right)) in zeros.

        Returns
        -------
        tuple of two pairs

        Examples
        --------
        >>> Conv2d(6, 4, padding="same").pads()
        ((1, 2), (1, 2))
        """
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return tuple((t // 2, t - t // 2) for t in totals)
        return tuple((p, p) for p in self.padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        if input_shape[0] % self.groups:
            raise ValueError(
                f"{self} needs input channels that are a multiple of groups, got {input_shape[0]}"
            )
        if self.padding == "same":
            return self.out_channels, *input_shape[1:]
        pads = [p for p, _ in self.pads()]
        sizes = [
            conv_output_size(*s)
            for s in zip(input_shape[1:], self.kernel_size, self.stride, pads, self.dilation, strict=True)
        ]
        if min(sizes) < 1:
            raise ValueError(f"{self}: the kernel is larger than the padded image {input_shape[1:]}")
        return self.out_channels, *sizes

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        weight = (self.out_channels, input_shape[0] // self.groups, *self.kernel_size)
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: y = W x + b.

    Parameters
    ----------
    out_features : int
        Numbers of one output sample.
    bias : bool
        Whether b is there.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Dense(10).output_shape((84,))
    (10,)
    """

    out_features: int
    bias: bool = True
    takes: ClassVar[str] = "features"

    def __post_init__(self) -> None:
        _set(self, out_features=whole_number(self.out_features, "out_features"), bias=bool(self.bias))

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return (self.out_features,)

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        weight = (self.out_features, input_shape[0])
        return {"weight": weight} | ({"bias": (self.out_features,)} if self.bias else {})


class _Pool(Layer):
    """What both poolings share: windows of `kernel_size` at every `stride`."""

    takes: ClassVar[str] = "image"
    kernel_size: IntOrPair
    stride: IntOrPair
    padding: IntOrPair
    ceil_mode: bool

    def _check_windows(self) -> None:
        kernel = positive_pair(self.kernel_size, "kernel_size")
        stride = kernel if self.stride is None else positive_pair(self.stride, "stride")
        padding = nonnegative_pair(self.padding, "padding")
        if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            raise ValueError(f"`padding` must be at most half of kernel_size = {kernel}, got {padding}")
        _set(self, kernel_size=kernel, stride=stride, padding=padding, ceil_mode=bool(self.ceil_mode))

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        dilation = getattr(self, "dilation", (1, 1))
        sizes = [
            pool_output_size(*s, self.ceil_mode)
            for s in zip(input_shape[1:], self.kernel_size, self.stride, self.padding, dilation, strict=True)
        ]
        if min(sizes) < 1:
            raise ValueError(f"{self}: the window is larger than the padded image {input_shape[1:]}")
        return input_shape[0], *sizes


@dataclass(frozen=True)
class MaxPool2d(_Pool):
    """The largest element of each window.

    Parameters
    ----------
    kernel_size, dilation : int or pair of ints
        Size of a window, and the step between its elements.
    stride : int, pair of ints or None
        Step of the windows; None stands for `kernel_size`.
    padding : int or pair of ints
        Elements of -infinity around the image, at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window that hangs over the edge counts.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.MaxPool2d(2).output_shape((6, 24, 24))
    (6, 12, 12)
    """

    kernel_size: IntOrPair
    stride: IntOrPair = None
    padding: IntOrPair = 0
    dilation: IntOrPair = 1
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        self._check_windows()
        _set(self, dilation=positive_pair(self.dilation, "dilation"))


@dataclass(frozen=True)
class AvgPool2d(_Pool):
    """The mean of each window.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool2d`; the padding is zeros.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.AvgPool2d(3, stride=2, padding=1).output_shape((8, 7, 7))
    (8, 4, 4)
    """

    kernel_size: IntOrPair
    stride: IntOrPair = None
    padding: IntOrPair = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        self._check_windows()
        _set(self, count_include_pad=bool(self.count_include_pad))


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    """The mean of each whole channel: (C, H, W) to (C, 1, 1).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.GlobalAvgPool2d().output_shape((64, 7, 7))
    (64, 1, 1)
    """

    takes: ClassVar[str] = "image"

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape[0], 1, 1


@dataclass(frozen=True)
class BatchNorm2d(Layer):
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
    Training uses the batch's own mean and variance, prediction the running ones, as in PyTorch.
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

    def __post_init__(self) -> None:
        _set(
            self,
            momentum=real_number(self.momentum, "momentum"),
            eps=real_number(self.eps, "eps", above=True),
        )
        if self.momentum > 1:
            raise ValueError(f"`momentum` must be a number from 0 to 1, got {self.momentum!r}")

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"weight": (input_shape[0],), "bias": (input_shape[0],)}

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        return {"weight": np.ones(input_shape[0]), "bias": np.zeros(input_shape[0])}

    def initial_statistics(self, input_shape: Shape) -> Arrays:
        return {"running_mean": np.zeros(input_shape[0]), "running_var": np.ones(input_shape[0])}


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, zero for a random share `p` of the elements; the others are divided by 1 - p.

    Parameters
    ----------
    p : float
        From 0 up to, not including, 1.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Dropout(0.25)
    Dropout(p=0.25)
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        _set(self, p=real_number(self.p, "p", 0.0, 1.0))


@dataclass(frozen=True)
class Flatten(Layer):
    """(C, H, W) to (C * H * W,), in row-major order.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Flatten().output_shape((16, 4, 4))
    (256,)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0), elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.ReLU().output_shape((84,))
    (84,)
    """


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """x where it is positive, else negative_slope * x.

    Parameters
    ----------
    negative_slope : float
        Not negative.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.LeakyReLU(0.1)
    LeakyReLU(negative_slope=0.1)
    """

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        _set(self, negative_slope=real_number(self.negative_slope, "negative_slope"))


@dataclass(frozen=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-x)), elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sigmoid()
    Sigmoid()
    """


@dataclass(frozen=True)
class Tanh(Layer):
    """The hyperbolic tangent, elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Tanh()
    Tanh()
    """


@dataclass(frozen=True)
class Softmax(Layer):
    """exp(x) / sum(exp(x)) over the features of each sample.

    With loss="cross_entropy", a final Softmax and the loss are computed together from the layer's input.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Softmax().output_shape((10,))
    (10,)
    """

    takes: ClassVar[str] = "features"

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape


LAYERS = {
    layer.__name__: layer
    for layer in (
        Conv2d, MaxPool2d, AvgPool2d, GlobalAvgPool2d, BatchNorm2d, Dropout, Flatten, Dense,
        ReLU, LeakyReLU, Sigmoid, Tanh, Softmax,
    )
}  # fmt: skip
