"""Multiplications and sums with constants: of a scale of pixels, of channels, after a layer with weights.

After a dense layer or a convolution they go into its weights, after a normalisation that has none of its own
into its scale and shift; of images they become a convolution of each channel with one weight. A scale at the
very beginning waits for what tells the order of the axes.
"""

from dataclasses import replace

import numpy as np

from ...nn.conv_transpose import ConvTranspose1d, ConvTranspose2d
from ...nn.dense import Dense
from ...nn.layer import Layer, Shape
from ...nn.norm import GroupNorm, InstanceNorm2d, LayerNorm
from ...nn.signal_channels import InstanceNorm1d
from .net import Step
from .node import Node
from .norm import in_sample
from .tables import reads
from .value import WEIGHTED, Array, Value

PLACES = (
    "a {} is supported only as the bias of a layer without one, of the channels of images, of features before"
    " a dense layer, or after a layer with weights"
)
SCALER = {"offset": [0.0], "scale": [1.0]}
NORMS = (GroupNorm, InstanceNorm2d, InstanceNorm1d, LayerNorm)


@reads("Mul", "Div")
def read_scale(value: Value, node: Node) -> None:
    scale = node.weights(1 - node.value)
    if node.kind == "Div":
        if not scale.all():
            raise ValueError("it divides by 0")
        scale = (1 / scale).astype(scale.dtype)
    take_affine(value, node, scale, None)


@reads("Add", "Sub", "Sum")
def read_shift(value: Value, node: Node) -> None:
    if len(node.inputs) == 1:  # the sum of one value
        return
    if len(node.inputs) > 2:
        raise ValueError(f"a sum with one constant is supported, got {len(node.inputs) - 1}")
    shift = node.weights(1 - node.value)
    shift = -shift if node.kind == "Sub" else shift
    step = value.maker
    if step is not None and isinstance(step.layer, WEIGHTED) and not step.layer.bias:
        value.add_bias(shift)
    else:
        take_affine(value, node, None, shift)


def take_affine(value: Value, node: Node, scale: Array | None, shift: Array | None) -> None:
    """Multiply with a scale, then add a shift; one of them may be None.

    Raises
    ------
    ValueError
        If there is no place for it.
    """
    value.check_plain()
    given = scale if scale is not None else shift
    assert given is not None
    step = value.maker
    if step is not None and isinstance(step.layer, WEIGHTED):
        _into_weights(value, step, scale, shift)
    elif step is not None and isinstance(step.layer, NORMS) and _is_bare(step, scale):
        _into_norm(value, step, scale, shift)
    elif value.is_input and given.size == 1:
        value.start_with(
            None if scale is None else scale.reshape(()), None if shift is None else shift.reshape(())
        )
    elif value.is_input and len(value.shape) == 1:
        value.start_with(
            None if scale is None else value.per_channel(scale, "multiplies with"),
            None if shift is None else value.per_channel(shift, "adds"),
        )
        value.unplaced = f"node {node}: {PLACES.format(node.kind)}"
    elif len(value.shape) > 1:
        value.begin()
        channels = value.shape[0]
        value.net.check_room(channels)
        weight = (
            np.ones(channels, given.dtype) if scale is None else value.per_channel(scale, "multiplies with")
        )
        bias = None if shift is None else value.per_channel(shift, "adds")
        value.append_by_channel(weight, bias)
    else:
        raise ValueError(PLACES.format(node.kind))


@reads("Scaler")
def read_scaler(value: Value, node: Node) -> None:
    """As scikit-learn's exporters write a StandardScaler: (x - offset) * scale."""
    offset, scale = (np.array(node.get(name, default), np.float32) for name, default in SCALER.items())
    take_affine(value, node, None, -offset)
    take_affine(value, node, scale, None)


def _into_weights(value: Value, step: Step, scale: Array | None, shift: Array | None) -> None:
    """Change the weights of the layer before so that it does this too."""
    layer: Dense = step.layer  # type: ignore[assignment]
    weight = step.arrays["weight"]
    bias = step.arrays["bias"] if layer.bias else np.zeros(value.shape[0], weight.dtype)
    if scale is not None:
        factors = value.per_channel(scale, "multiplies with")
        step.arrays["weight"] = weight * _for_weights(step.layer, factors, weight.shape)
        bias = bias * factors
    if shift is not None:
        bias = bias + value.per_channel(shift, "adds")
    if layer.bias or shift is not None:
        step.layer = replace(layer, bias=True)
        step.arrays["bias"] = bias


def _for_weights(layer: Layer, factors: Array, shape: Shape) -> Array:
    """A factor for each output channel, as the weights take it."""
    taps = (1,) * (len(shape) - 2)
    if not isinstance(layer, (ConvTranspose2d, ConvTranspose1d)):
        return factors.reshape(-1, 1, *taps)
    rows = factors.reshape(layer.groups, shape[1])  # a row for the input channels of each group
    return np.repeat(rows, shape[0] // layer.groups, axis=0).reshape(*shape[:2], *taps)


def _is_bare(step: Step, scale: Array | None) -> bool:
    """Whether a normalisation still has the scale and shift that change nothing."""
    if not step.arrays:
        return True
    return bool((scale is None or (step.arrays["weight"] == 1).all()) and not step.arrays["bias"].any())


def _into_norm(value: Value, step: Step, scale: Array | None, shift: Array | None) -> None:
    if not step.arrays:
        layer: InstanceNorm2d | InstanceNorm1d = step.layer  # type: ignore[assignment]
        step.layer = replace(layer, affine=True)
        dtype = (scale if scale is not None else shift).dtype  # type: ignore[union-attr]
        channels = value.shape[0]
        value.net.check_room(channels)
        step.arrays.update(weight=np.ones(channels, dtype), bias=np.zeros(channels, dtype))
    for name, array, verb in (("weight", scale, "multiplies with"), ("bias", shift, "adds")):
        if array is not None and isinstance(step.layer, LayerNorm):
            step.arrays[name] = in_sample(value, array).copy()
        elif array is not None:
            step.arrays[name] = value.per_channel(array, verb).copy()
