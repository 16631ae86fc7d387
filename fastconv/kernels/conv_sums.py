"""Which kernel makes the sums of a convolution of blocks, and on which geometry.

A depthwise convolution has kernels of its own: `depthwise` says in these functions whether they are taken,
which `takes` and `takes_grad_weight` decide.
"""

from ..simd import pointer
from ..simd.compiling import compiled
from .lanes import conv_geometry, depthwise_geometry
from .lanes.conv import PLAIN, contract
from .lanes.conv_grad_weight import contract_grad_weight
from .lanes.depthwise import depthwise as depthwise_operation
from .lanes.depthwise_grad_weight import depthwise_grad_weight, depthwise_weight_geometry

_contract, _depthwise = contract.function, depthwise_operation.function
_contract_grad_weight = contract_grad_weight.function
_depthwise_grad_weight = depthwise_grad_weight.function


@compiled
def forward_geometry(
    depthwise, channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
    x_distances, y_distances, has_bias,
):  # fmt: skip
    """The geometry of a convolution."""
    if depthwise:
        return depthwise_geometry.depthwise_forward(
            channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
            x_distances, y_distances, has_bias, PLAIN,
        )  # fmt: skip
    return conv_geometry.conv_forward(
        channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
        x_distances, y_distances, has_bias, PLAIN,
    )  # fmt: skip


@compiled
def input_geometries(
    depthwise, channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
    dx_distances, dy_distances, has_bias,
):  # fmt: skip
    """The geometries of an input gradient: `make_sums` runs one after the other."""
    if depthwise:
        return [
            depthwise_geometry.depthwise_grad_input(
                channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
                dx_distances, dy_distances, has_bias, PLAIN,
            )
        ]  # fmt: skip
    return [
        conv_geometry.conv_grad_input(
            channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
            dx_distances, dy_distances, (row, column), has_bias, PLAIN,
        )
        for row in range(min(stride[0], size[0]))
        for column in range(min(stride[1], size[1]))
    ]  # fmt: skip


@compiled
def weight_geometry(
    depthwise, channels, out_channels, kernel, out_size, stride, padding, dilation, groups,
    x_distances, dy_distances,
):  # fmt: skip
    """The geometry of a weight gradient."""
    if depthwise:
        return depthwise_weight_geometry(
            channels, out_channels, kernel, out_size, stride, padding, dilation, groups,
            x_distances, dy_distances, 0,
        )  # fmt: skip
    return conv_geometry.conv_grad_weight(
        channels, out_channels, kernel, out_size, stride, padding, dilation, groups,
        x_distances, dy_distances, 0,
    )  # fmt: skip


@compiled
def make_sums(depthwise, x, weight, bias, y, g, state):
    """Run a convolution or a part of an input gradient on a block."""
    w, b = pointer(weight), pointer(bias)
    if depthwise:
        _depthwise(x, w, b, x, y, x, pointer(g), pointer(state))
    else:
        _contract(x, w, b, x, y, x, pointer(g), pointer(state))


@compiled
def make_weight_sums(depthwise, x, dy, dweight, g, state):
    """Add the weight gradient of a block to dweight."""
    total = pointer(dweight)
    if depthwise:
        _depthwise_grad_weight(x, dy, total, total, total, total, pointer(g), pointer(state))
    else:
        _contract_grad_weight(x, dy, total, total, total, total, pointer(g), pointer(state))
