"""The sums of convolutions, forward and back: those of a depthwise one have kernels of their own."""

from ...kernels.lanes import conv, conv_grad_weight, depthwise
from ...kernels.lanes.depthwise_grad_weight import depthwise_grad_weight
from . import conv_geometry


def emit_forward(plan, operands, shape, sizes, windows, *rest):
    """Emit a convolution from x to y.

    `shape` is (channels, output channels, kernel), `sizes` are those of x and y, `windows` is (stride,
    padding, dilation, groups), and `rest` what `conv_forward` takes behind these.
    """
    channels, out_channels, _ = shape
    if conv_geometry.takes(windows[-1], channels, out_channels):
        g = conv_geometry.depthwise_forward(*shape, *sizes, *windows, *rest)
        plan.emit(depthwise.depthwise, operands, g)
    else:
        plan.emit(conv.contract, operands, conv_geometry.conv_forward(*shape, *sizes, *windows, *rest))


def takes_grad_input(shape, groups):
    """Whether an input gradient has a kernel of its own."""
    channels, out_channels, _ = shape
    return conv_geometry.takes(groups, out_channels, channels)


def emit_grad_input(plan, operands, shape, sizes, windows, dx_steps, dy_steps, *rest, adds=False):
    """Emit the input gradient of a convolution, dx from dy; arguments as those of `emit_forward`.

    It may be added to what dx holds, unless it has a kernel of its own.
    """
    if takes_grad_input(shape, windows[-1]):
        g = conv_geometry.depthwise_grad_input(*shape, *sizes, *windows, dx_steps, dy_steps, *rest)
        plan.emit(depthwise.depthwise, operands, g)
        return
    rows, columns = map(min, windows[0], sizes[0])  # from there on there are no positions
    for row in range(rows):
        for column in range(columns):
            g = conv_geometry.conv_grad_input(
                *shape, *sizes, *windows, dx_steps, dy_steps, (row, column), *rest
            )
            if not adds or conv_geometry.add_to_target(g):
                plan.emit(conv.contract, operands, g)


def emit_grad_weight(plan, operands, shape, out_size, windows, *rest):
    """Emit the weight gradient of a convolution; `rest` is what `conv_grad_weight` takes behind these."""
    _, out_channels, kernel = shape
    stride, _, dilation, groups = windows
    if conv_geometry.takes_grad_weight(groups, out_channels, kernel, stride, dilation):
        g = conv_geometry.depthwise_weight_geometry(*shape, out_size, *windows, *rest)
        plan.emit(depthwise_grad_weight, operands, g)
    else:
        g = conv_geometry.conv_grad_weight(*shape, out_size, *windows, *rest)
        plan.emit(conv_grad_weight.contract_grad_weight, operands, g)
