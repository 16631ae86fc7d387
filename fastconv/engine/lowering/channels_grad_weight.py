"""Weight gradients of convolutions of few samples, whose channels lie in the lanes."""

import numpy as np

from ...kernels.lanes import channels, conv, grad_weight_channels


def emit_channels_grad_weight(windows):
    """Emit the gradient of a convolution's weight, from the x and the y of `windows`, which is dy.

    Returns where it lies.
    """
    lowering, x, dy, plan = windows.lowering, windows.x, windows.y, windows.plan
    outputs, lanes = windows.outputs, plan.lanes
    taps, blocks = windows.scalars_of(range(windows.channels)), -(-outputs // lanes)
    places, _ = windows.positions(1 if windows.scalars else lanes)
    images = np.arange(x.samples)[:, None] * x.sample_distance(lanes)
    positions = (images + places).ravel()
    columns = plan.rows(blocks * len(positions) * lanes, "thread", f"columns{lowering.number}")
    g = grad_weight_channels.slope_geometry(dy, outputs, lanes, len(taps))
    plan.emit(grad_weight_channels.pack_columns, [dy, columns], g)
    at_once, nowhere = grad_weight_channels.POSITIONS_AT_ONCE, (1, 0, 0)
    g = channels.sums_geometry(
        positions, at_once, taps, np.arange(len(taps)), blocks, len(taps), nowhere, conv.PLAIN, 0
    )
    packed = _packed(lowering, outputs, len(taps))
    plan.emit(channels.contract_channels, [x, columns, None, packed], g)
    return _emit_unpacked(lowering, packed, outputs, len(taps))


def emit_depthwise_grad_weight(windows):
    """As `emit_channels_grad_weight`, of a depthwise convolution."""
    lowering, x, dy = windows.lowering, windows.x, windows.y
    outputs, taps = windows.outputs, windows.window()
    packed, blocks = _packed(lowering, outputs, len(taps)), -(-outputs // windows.plan.lanes)
    images = dy.samples, x.plane, dy.plane
    g = grad_weight_channels.depthwise_weights_geometry(
        taps, windows.order, *windows.positions(1), blocks, images
    )
    windows.plan.emit(grad_weight_channels.depthwise_weights, [x, dy, packed], g)
    return _emit_unpacked(lowering, packed, outputs, len(taps))


def _packed(lowering, outputs, taps):
    """Where the sums lie, with outputs in the lanes."""
    size = grad_weight_channels.unpacked_from(outputs, taps, lowering.plan.lanes)
    return lowering.plan.rows(size, "thread", f"grad_weight{lowering.number}")


def _emit_unpacked(lowering, packed, outputs, taps):
    """Emit the weight's gradient, from the sums, where it belongs; returns where that is."""
    sums = lowering.sums_of_blocks()
    g = grad_weight_channels.UnpackGeometry(outputs=outputs, taps=taps)
    lowering.plan.emit(grad_weight_channels.unpack_weights, [packed, sums], g)
    return sums


def emit_channels_grad_bias(lowering, dy, sums):
    """Emit the gradient of a bias, if there is one, behind that of the weight."""
    if lowering.layer.bias:
        g = grad_weight_channels.slope_geometry(dy, dy.image[0], lowering.plan.lanes)
        lowering.plan.emit(grad_weight_channels.plane_sums, [dy, lowering.behind_weight(sums)], g)
