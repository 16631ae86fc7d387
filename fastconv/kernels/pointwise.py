"""1x1 convolutions of NCHW arrays, and their gradients, where the arrays lie.

    x [N][C][H * W]  =  [N][C][vectors][lanes]      Each position has the same sums, so that lanes may as well
                                                    hold positions as samples, and nothing is packed. Samples
    line n of the "image": sample n                 are the lines of an image whose planes are C; tiles go on
                                                    across their ends.

For that a plane must be whole vectors: 8x8 and 16x16 are, 7x7 is not.
"""

import numpy as np

from .. import simd
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .lanes import conv_geometry
from .lanes.conv import PLAIN, contract
from .lanes.conv_grad_weight import contract_grad_weight
from .lanes.operation import STATE_SIZE

_contract, _contract_grad_weight = contract.function, contract_grad_weight.function

POSITIONS_AT_ONCE = 1024  # vectors of all lines of an image: tables of more would not stay in cache
ONE, NOTHING = (1, 1), (0, 0)


@compiled
def is_pointwise(x, y, kernel, stride):
    """Whether y, or its gradient, is made position by position from an x of whole vectors."""
    one = kernel[0] == 1 and kernel[1] == 1 and stride[0] == 1 and stride[1] == 1
    positions = x.shape[2] * x.shape[3]
    alike = x.shape[2] == y.shape[2] and x.shape[3] == y.shape[3]
    return one and alike and x.size > 0 and y.size > 0 and positions % simd.lanes(pointer(x)) == 0


@compiled
def _vectors(x):
    """How many vectors a plane has."""
    return x.shape[2] * x.shape[3] // simd.lanes(pointer(x))


@compiled
def _geometry(source, target, lines, groups, has_bias, turned):
    """The geometry of a convolution of so many samples, or `turned`, that of the gradient of its input."""
    width, read, written = _vectors(source), source.shape[1], target.shape[1]
    size, near, far = (lines, width), (width, read * width), (width, written * width)
    if turned:
        return conv_geometry.conv_grad_input(
            written, read, ONE, size, size, ONE, NOTHING, ONE, groups, far, near, NOTHING, has_bias, PLAIN
        )
    return conv_geometry.conv_forward(
        read, written, ONE, size, size, ONE, NOTHING, ONE, groups, near, far, has_bias, PLAIN
    )


@compiled
def pointwise(source, weight, bias, groups, target, turned):
    """y of a 1x1 convolution from x; `turned`, dx from dy, with a bias for the transposed convolution.

    An empty bias stands for none.
    """
    at_once, state = max(1, POSITIONS_AT_ONCE // _vectors(source)), np.zeros(STATE_SIZE, np.int64)
    planes, lines, g = source.shape[2] * source.shape[3], np.int64(0), state
    for first in range(0, source.shape[0], at_once):
        if min(at_once, source.shape[0] - first) != lines:
            lines = min(at_once, source.shape[0] - first)
            g = _geometry(source, target, lines, groups, 1 if bias.size else 0, turned)
        x = advance(pointer(source), first * source.shape[1] * planes)
        y = advance(pointer(target), first * target.shape[1] * planes)
        _contract(x, pointer(weight), pointer(bias), x, y, x, pointer(g), pointer(state))
    keep((g, state))


@compiled
def pointwise_grad_weight(x, dy, groups, dweight):
    """Add the gradient of the weight of a 1x1 convolution to dweight."""
    width, channels, out_channels = _vectors(x), x.shape[1], dy.shape[1]
    g = conv_geometry.conv_grad_weight(
        channels, out_channels, ONE, (x.shape[0], width), ONE, NOTHING, ONE, groups,
        (width, channels * width), (width, out_channels * width), 0,
    )  # fmt: skip
    state, total = np.zeros(STATE_SIZE, np.int64), pointer(dweight)
    _contract_grad_weight(pointer(x), pointer(dy), total, total, total, total, pointer(g), pointer(state))
    keep((g, state))
