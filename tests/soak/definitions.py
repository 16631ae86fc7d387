"""What a network gives by the definitions of its layers, in float64, node by node."""

import numpy as np

import fastconv as fc
from fastconv.nn.layer import entry_of
from fastconv.nn.merge import Stack, Sum
from tests.soak.answers import ANSWERS, softmax


def outputs(model, inputs):
    """The outputs of a network for a list of its inputs, as floats."""
    values = dict(zip(model.inputs, inputs, strict=True))
    for node in model.nodes:
        own = {name: array.astype(float) for name, array in model.arrays_of(node).items()}
        x = [values[value] for value in node.inputs]
        values[node.output] = step(node.layer, x if node.layer.takes_several else x[0], own)
    return [values[value] for value in model.outputs]


def step(layer, x, own):
    """What a layer gives."""
    found = entry_of(STEPS, layer)
    if found is not None:
        return found(layer, x, own)
    # Of signals: the layer over images of one line.
    image = x.reshape((*x.shape[:2], 1, *x.shape[2:], 1)[:4])
    y = step(layer.image_layer(), image, {n: a[:, :, None] if a.ndim == 3 else a for n, a in own.items()})
    return y.reshape(*y.shape[:2], *y.shape[3:][: x.ndim - 2])


def conv(layer, x, own):
    (top, bottom), (left, right) = layer.pads(x.shape[1:])
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    y = ANSWERS["conv2d"](
        padded, own["weight"], stride=layer.stride, dilation=layer.dilation, groups=layer.groups
    )
    return y + own["bias"][:, None, None] if "bias" in own else y


def conv_transpose(layer, x, own):
    names = "stride", "padding", "output_padding", "groups", "dilation"
    settings = {name: getattr(layer, name) for name in names} | {"padding": layer.pads(x.shape[1:])}
    return ANSWERS["conv_transpose2d"](x, own["weight"], own.get("bias"), **settings)


def upsample(layer, x, own):
    if x.ndim == 4:
        return ANSWERS["upsample"](x, layer.scale_factor, layer.mode, layer.align_corners)
    factor = (1, layer.scale_factor[0])
    return ANSWERS["upsample"](x[:, :, None], factor, layer.mode, layer.align_corners)[:, :, 0]


def pool(name, *settings):
    def answer(layer, x, own):
        given = {key: getattr(layer, key) for key in ("stride", "ceil_mode", *settings)}
        y = ANSWERS[name](x, layer.kernel_size, padding=layer.pads(x.shape[1:]), **given)
        return y[0] if name == "max_pool2d" else y

    return answer


def batch_norm(layer, x, own):
    mean, var, gamma, beta = (
        own[n].reshape(-1, *[1] * (x.ndim - 2)) for n in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + layer.eps) * gamma + beta


def normalised(rows, eps):
    """Rows with the mean 0 and, nearly, the variance 1."""
    rows = rows - rows.mean(axis=-1, keepdims=True)
    return rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + eps)


def group_norm(layer, x, own):
    """Mean and variance of each group of channels of each sample."""
    groups = getattr(layer, "num_groups", x.shape[1])
    y = normalised(x.reshape(len(x), groups, -1), layer.eps).reshape(x.shape)
    weight, bias = (
        own[n].reshape(-1, *[1] * (x.ndim - 2)) if own else k for n, k in (("weight", 1), ("bias", 0))
    )
    return y * weight + bias


def layer_norm(layer, x, own):
    return normalised(x.reshape(len(x), -1), layer.eps).reshape(x.shape) * own["weight"] + own["bias"]


def curve(name, *settings):
    return lambda layer, x, own: ANSWERS[name](x, *(getattr(layer, key) for key in settings))


def unchanged(layer, x, own):
    return x


STEPS = {
    Sum: lambda layer, x, own: sum(x),
    Stack: lambda layer, x, own: np.concatenate(x, axis=1),
    fc.Conv2d: conv,
    fc.ConvTranspose2d: conv_transpose,
    fc.Upsample: upsample,
    fc.MaxPool2d: pool("max_pool2d", "dilation"),
    fc.AvgPool2d: pool("avg_pool2d", "count_include_pad"),
    fc.GlobalAvgPool2d: lambda layer, x, own: x.mean(axis=(2, 3), keepdims=True),
    fc.GlobalMaxPool2d: lambda layer, x, own: x.max(axis=(2, 3), keepdims=True),
    fc.AdaptiveAvgPool2d: lambda layer, x, own: ANSWERS["adaptive_avg_pool2d"](
        x, layer.output_shape(x.shape[1:])[1:]
    ),
    fc.BatchNorm2d: batch_norm,
    fc.BatchNorm1d: batch_norm,
    fc.GroupNorm: group_norm,
    fc.InstanceNorm2d: group_norm,
    fc.LayerNorm: layer_norm,
    fc.Dropout: unchanged,
    fc.SpatialDropout2d: unchanged,
    fc.ReLU: lambda layer, x, own: np.maximum(x, 0),
    fc.LeakyReLU: lambda layer, x, own: np.where(x > 0, x, layer.negative_slope * x),
    fc.PReLU: lambda layer, x, own: ANSWERS["prelu"](x, own["weight"]),
    fc.ReLU6: curve("relu6"),
    fc.ELU: curve("elu", "alpha"),
    fc.SiLU: curve("silu"),
    fc.GELU: lambda layer, x, own: ANSWERS["gelu"](x, layer.approximate == "tanh"),
    fc.Hardsigmoid: curve("hardsigmoid"),
    fc.Hardswish: curve("hardswish"),
    fc.Softplus: curve("softplus"),
    fc.Sigmoid: curve("sigmoid"),
    fc.Tanh: lambda layer, x, own: np.tanh(x),
    fc.Flatten: lambda layer, x, own: x.reshape(len(x), -1),
    fc.Dense: lambda layer, x, own: x @ own["weight"].T + own.get("bias", 0),
    fc.Softmax: lambda layer, x, own: softmax(np.moveaxis(x, 1, -1) if x.ndim > 2 else x),
}
