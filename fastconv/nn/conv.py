"""Convolution layers."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import kernels
from ..checks.padding import Pads, checked_padding, padding_around
from ..checks.scalars import positive_pair
from ..checks.settings import whole_number
from ..checks.windows import conv_output_size
from .layer import Array, Arrays, IntOrPair, Layer, Shape, set_fields

__all__ = ["Conv2d"]


@dataclass(frozen=True)
class Conv2d(Layer):
    """A convolution (cross-correlation) over images.

    Parameters
    ----------
    out_channels : int
        Images of one output sample.
    kernel_size, stride, dilation : int or pair of ints
        (height, width) of the kernel, and the steps of its windows and taps.
    padding : int, pair of ints, pair of pairs, "same", "same_lower" or "valid"
        Zeros around the image: on all sides, (above and below, left and right), or ((top, bottom), (left,
        right)). "same" gives ceil(H / stride) rows, as in Keras, and an odd zero lies below or right;
        "same_lower" has it above or left.
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
    _: KW_ONLY
    stride: IntOrPair = 1
    padding: IntOrPair = 0
    dilation: IntOrPair = 1
    groups: int = 1
    bias: bool = True
    takes: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        set_fields(
            self,
            out_channels=whole_number(self.out_channels, "out_channels"),
            kernel_size=positive_pair(self.kernel_size, "kernel_size"),
            stride=positive_pair(self.stride, "stride"),
            padding=checked_padding(self.padding),
            dilation=positive_pair(self.dilation, "dilation"),
            groups=whole_number(self.groups, "groups"),
            bias=bool(self.bias),
        )
        if self.out_channels % self.groups:
            raise ValueError(
                f"`out_channels` must be a multiple of groups = {self.groups}, got {self.out_channels}"
            )

    def pads(self, input_shape: Shape) -> Pads:
        """((top, bottom), (left, right)) in zeros, for images of this shape.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W).

        Returns
        -------
        tuple of two pairs

        Examples
        --------
        >>> Conv2d(6, 4, padding="same").pads((1, 9, 9))
        ((1, 2), (1, 2))
        """
        size = input_shape[1:]
        return padding_around(self.padding, "padding", size, self.kernel_size, self.stride, self.dilation)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        if input_shape[0] % self.groups:
            raise ValueError(
                f"{self} needs input channels that are a multiple of groups, got {input_shape[0]}"
            )
        sizes = [
            conv_output_size(*s)
            for s in zip(
                input_shape[1:],
                self.kernel_size,
                self.stride,
                self.pads(input_shape),
                self.dilation,
                strict=True,
            )
        ]
        if min(sizes) < 1:
            raise ValueError(f"{self}: the kernel is larger than the padded image {input_shape[1:]}")
        return self.out_channels, *sizes

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        weight = (self.out_channels, input_shape[0] // self.groups, *self.kernel_size)
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    def _windows(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.conv2d(x, arrays["weight"], arrays.get("bias"), **self._windows())

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        windows = self._windows()
        dx = kernels.conv2d_grad_input(dy, arrays["weight"], x.shape[2:], **windows)
        gradients = {"weight": kernels.conv2d_grad_weight(x, dy, self.kernel_size, **windows)}
        if self.bias:
            gradients["bias"] = kernels.conv2d_grad_bias(dy)
        return dx, gradients
