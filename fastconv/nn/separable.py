"""Convolutions channel by channel, and those followed by one across channels: thin names for `Conv2d`s."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from ..checks.settings import whole_number
from .block import Block, Composite
from .conv import Conv2d
from .graph import Graph
from .layer import IntOrPair, set_fields
from .signal import Conv1d

__all__ = ["DepthwiseConv1d", "DepthwiseConv2d", "SeparableConv1d", "SeparableConv2d"]


class _Depthwise(Composite):
    """A convolution with a group for each channel of its input, whose number only the input's shape tells."""

    kind: ClassVar[Any]  # of convolution
    kernel_size: Any
    stride: Any
    padding: Any
    depth_multiplier: int
    bias: bool
    dilation: Any

    def __post_init__(self) -> None:
        set_fields(self, depth_multiplier=whole_number(self.depth_multiplier, "depth_multiplier"))
        checked = self.convolution(1)
        for name in ("kernel_size", "stride", "padding", "bias", "dilation"):
            set_fields(self, **{name: getattr(checked, name)})

    def convolution(self, channels: int) -> Any:
        """The convolution that it is, for samples of so many channels.

        Parameters
        ----------
        channels : int

        Returns
        -------
        Conv2d, or Conv1d for signals

        Examples
        --------
        >>> DepthwiseConv2d(3).convolution(8).call()
        'Conv2d(8, kernel_size=3, groups=8)'
        """
        return self.kind(
            channels * self.depth_multiplier,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=channels,
            bias=self.bias,
        )

    def lay_out(self, graph: Graph, name: str, inputs: tuple[int, ...]) -> int:
        return graph.add(name, self.convolution(graph.shapes[inputs[0]][0]), inputs)


@dataclass(frozen=True)
class DepthwiseConv2d(_Depthwise):
    """A convolution of each channel on its own: `Conv2d(channels * depth_multiplier, groups=channels)`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation
        As in `Conv2d`.
    depth_multiplier : int
        Output channels for each input channel.
    bias : bool
        Whether one number is added to each output channel.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fastconv as fc
    >>> layer = fc.DepthwiseConv2d(3, padding="same", depth_multiplier=2)
    >>> layer.output_shape((8, 14, 14)), layer.parameter_shapes((8, 14, 14))["weight"]
    ((16, 14, 14), (16, 1, 3, 3))
    """

    kernel_size: IntOrPair
    _: KW_ONLY
    stride: IntOrPair = 1
    padding: IntOrPair = 0
    depth_multiplier: int = 1
    bias: bool = True
    dilation: IntOrPair = 1
    kind: ClassVar[type[Conv2d]] = Conv2d


@dataclass(frozen=True)
class DepthwiseConv1d(_Depthwise):
    """A convolution of each channel of a signal on its own.

    Parameters
    ----------
    kernel_size, stride, padding, dilation
        As in `Conv1d`.
    depth_multiplier : int
        Output channels for each input channel.
    bias : bool
        Whether one number is added to each output channel.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.DepthwiseConv1d(5, padding="causal").output_shape((8, 40))
    (8, 40)
    """

    kernel_size: int
    _: KW_ONLY
    stride: int = 1
    padding: Any = 0
    depth_multiplier: int = 1
    bias: bool = True
    dilation: int = 1
    kind: ClassVar[type[Conv1d]] = Conv1d


class _Separable(Block):
    """A depthwise convolution, and one of size 1 across the channels."""

    depthwise: ClassVar[Any]  # kinds of convolutions
    pointwise: ClassVar[Any]
    out_channels: int
    kernel_size: Any
    stride: Any
    padding: Any
    depth_multiplier: int
    bias: bool
    dilation: Any

    def __post_init__(self) -> None:
        """Keep the settings as the two convolutions have them."""
        depthwise, pointwise = self.layers()
        set_fields(self, kernel_size=depthwise.kernel_size, **_windows(depthwise))
        set_fields(self, out_channels=pointwise.out_channels, bias=pointwise.bias)

    def layers(self) -> list[Any]:
        depthwise = self.depthwise(self.kernel_size, bias=False, **_windows(self))
        return [depthwise, self.pointwise(self.out_channels, 1, bias=self.bias)]


def _windows(layer: Any) -> dict[str, Any]:
    """The settings that a separable convolution shares with its depthwise one."""
    return {name: getattr(layer, name) for name in ("stride", "padding", "depth_multiplier", "dilation")}


@dataclass(frozen=True)
class SeparableConv2d(_Separable):
    """A `DepthwiseConv2d`, then a `Conv2d` of size 1 across the channels, which has the bias.

    Parameters
    ----------
    out_channels : int
        Images of one output sample.
    kernel_size, stride, padding, dilation, depth_multiplier
        As in `DepthwiseConv2d`.
    bias : bool
        Whether one number is added to each output channel.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    As in Keras. Source: Chollet (2017), "Xception: deep learning with depthwise separable convolutions".

    Examples
    --------
    >>> import fastconv as fc
    >>> model = fc.Sequential([fc.SeparableConv2d(16, 3, padding="same")], input_shape=(8, 6, 6))
    >>> {name: array.shape for name, array in model.parameters().items()}
    {'0.0.weight': (8, 1, 3, 3), '0.1.weight': (16, 8, 1, 1), '0.1.bias': (16,)}
    """

    out_channels: int
    kernel_size: IntOrPair
    _: KW_ONLY
    stride: IntOrPair = 1
    padding: IntOrPair = 0
    depth_multiplier: int = 1
    bias: bool = True
    dilation: IntOrPair = 1
    depthwise: ClassVar[type[DepthwiseConv2d]] = DepthwiseConv2d
    pointwise: ClassVar[type[Conv2d]] = Conv2d


@dataclass(frozen=True)
class SeparableConv1d(_Separable):
    """A `DepthwiseConv1d`, then a `Conv1d` of size 1 across the channels, which has the bias.

    Parameters
    ----------
    out_channels : int
        Channels of one output sample.
    kernel_size, stride, padding, dilation, depth_multiplier
        As in `DepthwiseConv1d`.
    bias : bool
        Whether one number is added to each output channel.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.SeparableConv1d(16, 5, stride=2, padding="same").output_shape((8, 41))
    (16, 21)
    """

    out_channels: int
    kernel_size: int
    _: KW_ONLY
    stride: int = 1
    padding: Any = 0
    depth_multiplier: int = 1
    bias: bool = True
    dilation: int = 1
    depthwise: ClassVar[type[DepthwiseConv1d]] = DepthwiseConv1d
    pointwise: ClassVar[type[Conv1d]] = Conv1d
