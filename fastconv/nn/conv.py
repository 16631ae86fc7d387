"""Convolution layers."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from .. import kernels
from ..checks.scalars import nonnegative_pair, positive_pair
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
    _: KW_ONLY
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
        set_fields(
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

    def _padded(self, x: Array) -> Array:
        """x in its padding, which may differ on the two sides."""
        return np.pad(x, ((0, 0), (0, 0), *self.pads()))

    def _windows(self) -> dict[str, Any]:
        return {"stride": self.stride, "dilation": self.dilation, "groups": self.groups}

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.conv2d(self._padded(x), arrays["weight"], arrays.get("bias"), **self._windows())

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        padded, windows, ((top, _), (left, _)) = self._padded(x), self._windows(), self.pads()
        dx = kernels.conv2d_grad_input(dy, arrays["weight"], padded.shape[2:], **windows)
        gradients = {"weight": kernels.conv2d_grad_weight(padded, dy, self.kernel_size, **windows)}
        if self.bias:
            gradients["bias"] = kernels.conv2d_grad_bias(dy)
        return dx[:, :, top : top + x.shape[2], left : left + x.shape[3]].copy(), gradients
