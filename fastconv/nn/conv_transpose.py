"""Transposed convolution layers: they undo the sizes of a convolution, and learn what to fill in."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import kernels
from ..checks.padding import Pads, along, checked_padding, checked_padding_along, padding_around
from ..checks.scalars import nonnegative_pair, positive_pair
from ..checks.settings import whole_number
from ..checks.windows import conv_transpose_output_size
from .layer import Array, Arrays, IntOrPair, Layer, Shape, set_fields
from .signal import _Signal

__all__ = ["ConvTranspose1d", "ConvTranspose2d"]


@dataclass(frozen=True)
class ConvTranspose2d(Layer):
    """A transposed convolution over images, also called deconvolution: the input gradient of a `Conv2d`.

    Parameters
    ----------
    out_channels : int
        Images of one output sample.
    kernel_size, stride, dilation : int or pair of ints
        (height, width) of the kernel; how far the windows of two inputs are apart, and their taps.
    padding : int, pair of ints, pair of pairs, "same", "same_lower" or "valid"
        What is cut off the output: on all sides, (above and below, left and right), or ((top, bottom), (left,
        right)). "same" cuts off what goes beyond H * stride rows, as in Keras, an odd row below; "same_lower"
        has it above.
    output_padding : int or pair of ints
        Rows and columns more below and right of the output, fewer than the stride or the dilation.
    groups : int
        Divides the channels into groups, each on its own.
    bias : bool
        Whether one number is added to each output channel.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.ConvTranspose2d(8, 2, stride=2).output_shape((16, 14, 14))
    (8, 28, 28)
    """

    out_channels: int
    kernel_size: IntOrPair
    _: KW_ONLY
    stride: IntOrPair = 1
    padding: IntOrPair = 0
    output_padding: IntOrPair = 0
    groups: int = 1
    bias: bool = True
    dilation: IntOrPair = 1
    takes: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        set_fields(
            self,
            out_channels=whole_number(self.out_channels, "out_channels"),
            kernel_size=positive_pair(self.kernel_size, "kernel_size"),
            stride=positive_pair(self.stride, "stride"),
            padding=checked_padding(self.padding),
            output_padding=nonnegative_pair(self.output_padding, "output_padding"),
            groups=whole_number(self.groups, "groups"),
            bias=bool(self.bias),
            dilation=positive_pair(self.dilation, "dilation"),
        )
        if self.out_channels % self.groups:
            raise ValueError(
                f"`out_channels` must be a multiple of groups = {self.groups}, got {self.out_channels}"
            )
        steps = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(more >= max(stride, dilation) for more, stride, dilation in steps):
            raise ValueError(
                "`output_padding` must be smaller than the stride or the dilation, got "
                f"{self.output_padding} with stride {self.stride} and dilation {self.dilation}"
            )

    def pads(self, input_shape: Shape) -> Pads:
        """((top, bottom), (left, right)) that is cut off, for images of this shape.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W).

        Returns
        -------
        tuple of two pairs

        Examples
        --------
        >>> ConvTranspose2d(6, 3, stride=2, padding="same").pads((1, 7, 7))
        ((0, 1), (0, 1))
        """
        size = [n * stride for n, stride in zip(input_shape[1:], self.stride, strict=True)]
        return padding_around(self.padding, "padding", size, self.kernel_size, self.stride, self.dilation)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        if input_shape[0] % self.groups:
            raise ValueError(
                f"{self} needs input channels that are a multiple of groups, got {input_shape[0]}"
            )
        sizes = [
            conv_transpose_output_size(*s)
            for s in zip(
                input_shape[1:],
                self.kernel_size,
                self.stride,
                self.pads(input_shape),
                self.output_padding,
                self.dilation,
                strict=True,
            )
        ]
        if min(sizes) < 1:
            raise ValueError(f"{self}: the padding leaves nothing of the output for {input_shape[1:]}")
        return self.out_channels, *sizes

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        weight = (input_shape[0], self.out_channels // self.groups, *self.kernel_size)
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    def _windows(self) -> dict[str, Any]:
        names = ("stride", "padding", "output_padding", "groups", "dilation")
        return {name: getattr(self, name) for name in names}

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.conv_transpose2d(x, arrays["weight"], arrays.get("bias"), **self._windows())

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        windows = self._windows()
        dx = kernels.conv_transpose2d_grad_input(dy, arrays["weight"], **windows)
        gradients = {"weight": kernels.conv_transpose2d_grad_weight(x, dy, self.kernel_size, **windows)}
        if self.bias:
            gradients["bias"] = kernels.conv2d_grad_bias(dy)
        return dx, gradients


@dataclass(frozen=True)
class ConvTranspose1d(_Signal):
    """A transposed convolution along signals.

    Parameters
    ----------
    out_channels : int
        Channels of one output sample.
    kernel_size, stride, dilation, output_padding, groups : int
        As in `ConvTranspose2d`.
    padding : int, pair of ints, "same", "same_lower" or "valid"
        What is cut off on both sides, or (before, after).
    bias : bool
        Whether one number is added to each output channel.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.ConvTranspose1d(8, 4, stride=2, padding=1).output_shape((16, 20))
    (8, 40)
    """

    out_channels: int
    kernel_size: int
    _: KW_ONLY
    stride: int = 1
    padding: Any = 0
    output_padding: int = 0
    groups: int = 1
    bias: bool = True
    dilation: int = 1

    def __post_init__(self) -> None:
        for name in ("out_channels", "kernel_size", "stride", "dilation", "groups"):
            set_fields(self, **{name: whole_number(getattr(self, name), name)})
        padding = checked_padding_along(self.padding)
        if padding == "causal":
            raise ValueError('`padding` of a transposed convolution must not be "causal"')
        more = whole_number(self.output_padding, "output_padding", 0)
        set_fields(self, padding=padding, output_padding=more, bias=bool(self.bias))
        self.image_layer()  # checks the rest

    def image_layer(self) -> ConvTranspose2d:
        return ConvTranspose2d(
            self.out_channels,
            (1, self.kernel_size),
            stride=(1, self.stride),
            padding=self.padding if isinstance(self.padding, str) else along(self.padding),
            output_padding=(0, self.output_padding),
            groups=self.groups,
            bias=self.bias,
            dilation=(1, self.dilation),
        )
