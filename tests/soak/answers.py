"""What every public kernel should answer, in float64, from plain NumPy: slow, and obviously right."""

import math

import numpy as np

from tests.kernels import reference, reference_pool, reference_resize, reference_taps


def wide(a):
    return np.asarray(a).astype(np.float64)


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -wide(x)))


def softmax(x):
    x = wide(x)
    powers = np.exp(x - x.max(axis=-1, keepdims=True)) if x.size else x
    return powers / powers.sum(axis=-1, keepdims=True)


def reduced(values, reduction, count=None):
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.sum() / (count or values.size)


def share(values, reduction, count=None):
    """The gradient of a reduction."""
    return values / (count or values.size) if reduction == "mean" else values


def bce(p, target, reduction="mean"):
    p, t = wide(p), wide(target)
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return reduced(-(t * logs[0] + (1 - t) * logs[1]), reduction)


def bce_grad(p, target, reduction="mean"):
    p, t = wide(p), wide(target)
    return share((p - t) / np.maximum(p * (1 - p), 1e-12), reduction)


def bce_with_logits(z, target, reduction="mean"):
    z, t = wide(z), wide(target)
    return reduced(t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z), reduction)


def bce_with_logits_grad(z, target, reduction="mean"):
    return share(sigmoid(z) - wide(target), reduction)


def mse(y, target, reduction="mean"):
    return reduced((wide(y) - wide(target)) ** 2, reduction)


def mse_grad(y, target, reduction="mean"):
    return share(2 * (wide(y) - wide(target)), reduction)


def cross_entropy(logits, labels, reduction="mean"):
    z = wide(logits)
    top = z.max(axis=1, keepdims=True) if z.size else z[:, :1]
    logs = z - top - np.log(np.exp(z - top).sum(axis=1, keepdims=True))
    return reduced(-logs[np.arange(len(z)), np.asarray(labels)], reduction)


def cross_entropy_grad(logits, labels, reduction="mean"):
    slopes = softmax(logits)
    slopes[np.arange(len(slopes)), np.asarray(labels)] -= 1
    return share(slopes, reduction, len(slopes))


def huber(y, target, delta=1.0, reduction="mean"):
    size = np.abs(wide(y) - wide(target))
    return reduced(np.where(size < delta, size**2 / 2, delta * (size - delta / 2)), reduction)


def huber_grad(y, target, delta=1.0, reduction="mean"):
    return share(np.clip(wide(y) - wide(target), -float(delta), float(delta)), reduction)


def soft_cross_entropy(logits, target, reduction="mean"):
    z, t = wide(logits), wide(target)
    top = z.max(axis=1, keepdims=True) if z.size else z[:, :1]
    logs = z - top - np.log(np.exp(z - top).sum(axis=1, keepdims=True))
    return reduced(-(t * logs).sum(axis=1), reduction)


def soft_cross_entropy_grad(logits, target, reduction="mean"):
    t = wide(target)
    return share(softmax(logits) * t.sum(axis=1, keepdims=True) - t, reduction, len(t))


def smooth_l1(y, target, beta=1.0, reduction="mean"):
    size = np.abs(wide(y) - wide(target))
    return reduced(np.where(size < beta, size**2 / 2 / beta, size - beta / 2), reduction)


def smooth_l1_grad(y, target, beta=1.0, reduction="mean"):
    return share(np.clip((wide(y) - wide(target)) / beta, -1, 1), reduction)


def focal(logits, labels, gamma=2.0, reduction="mean"):
    p = softmax(logits)[np.arange(len(logits)), np.asarray(labels)]
    return reduced((1 - p) ** float(gamma) * -np.log(p), reduction)


def focal_grad(logits, labels, gamma=2.0, reduction="mean"):
    slopes, rows = softmax(logits), np.arange(len(logits))
    p = slopes[rows, np.asarray(labels)]
    slopes[rows, np.asarray(labels)] -= 1
    miss = 1 - p
    steepness = np.where(miss > 0, -np.log(p) / np.where(miss > 0, miss, 1), 1)  # the limit
    factor = miss ** float(gamma) * (1 + gamma * p * steepness)
    return share(slopes * factor[:, None], reduction, len(slopes))


def binary_focal(z, target, alpha=0.25, gamma=2.0, reduction="mean"):
    t, p = wide(target), sigmoid(z)
    part = 1 if alpha < 0 else alpha * t + (1 - alpha) * (1 - t)
    losses = part * (p * (1 - t) + (1 - p) * t) ** float(gamma) * bce_with_logits(z, target, "none")
    return reduced(losses, reduction)


def binary_focal_grad(z, target, alpha=0.25, gamma=2.0, reduction="mean"):
    t, p = wide(target), sigmoid(z)
    part, miss = 1 if alpha < 0 else alpha * t + (1 - alpha) * (1 - t), p * (1 - t) + (1 - p) * t
    steeper = gamma * (1 - 2 * t) * p * (1 - p) / miss * bce_with_logits(z, target, "none")
    return share(part * miss ** float(gamma) * (steeper + p - t), reduction)


def leads(scores, labels, margin):
    """What each other score lacks to be the margin below the right one; minus infinity for that itself."""
    z, rows = wide(scores), np.arange(len(scores))
    lacks = margin - z[rows, np.asarray(labels)][:, None] + z
    lacks[rows, np.asarray(labels)] = -np.inf
    return lacks


def hinge(scores, labels, margin=1.0, reduction="mean"):
    lacks = leads(scores, labels, margin)
    return reduced(np.maximum(lacks, 0).sum(axis=1) / lacks.shape[1], reduction)


def hinge_grad(scores, labels, margin=1.0, reduction="mean"):
    slopes = (leads(scores, labels, margin) > 0).astype(float)
    slopes[np.arange(len(slopes)), np.asarray(labels)] = -slopes.sum(axis=1)
    return share(slopes / slopes.shape[1], reduction, len(slopes))


def binary_hinge(z, target, reduction="mean"):
    return reduced(np.maximum(1 - (2 * wide(target) - 1) * wide(z), 0), reduction)


def binary_hinge_grad(z, target, reduction="mean"):
    sign = 2 * wide(target) - 1
    return share(np.where(1 - sign * wide(z) > 0, -sign, 0), reduction)


def group_norm(x, num_groups, gamma, beta, eps=1e-5):
    x = wide(x)
    rows = x.reshape(len(x), num_groups, x[0].size // num_groups if len(x) else 1)
    count = max(rows.shape[2], 1)  # the mean of no elements is 0
    mean = rows.sum(axis=2) / count
    inverse = 1 / np.sqrt(((rows - mean[..., None]) ** 2).sum(axis=2) / count + eps)
    normal = ((rows - mean[..., None]) * inverse[..., None]).reshape(x.shape)
    return normal * wide(gamma)[:, None, None] + wide(beta)[:, None, None], np.stack([mean, inverse])


def group_norm_grad(dy, x, gamma, saved):
    dy, x, (mean, inverse) = wide(dy), wide(x), wide(saved)
    groups = mean.shape[1]

    def rows(a):
        return a.reshape(len(x), groups, x[0].size // groups if len(x) else 1)

    normal = (rows(x) - mean[..., None]) * inverse[..., None]
    d = rows(dy * wide(gamma)[:, None, None])
    count = max(d.shape[2], 1)
    means = d.sum(axis=2, keepdims=True) / count, (d * normal).sum(axis=2, keepdims=True) / count
    dx = (inverse[..., None] * (d - means[0] - normal * means[1])).reshape(x.shape)
    return dx, (dy * normal.reshape(x.shape)).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))


def layer_norm(x, gamma, beta, eps=1e-5):
    x = wide(x)
    rows, count = (
        x.reshape(len(x), -1) if x.size else x.reshape(len(x), 0),
        max(x[0].size if len(x) else 1, 1),
    )
    mean = rows.sum(axis=1) / count
    inverse = 1 / np.sqrt(((rows - mean[:, None]) ** 2).sum(axis=1) / count + eps)
    normal = ((rows - mean[:, None]) * inverse[:, None]).reshape(x.shape)
    return normal * wide(gamma) + wide(beta), np.stack([mean, inverse])


def layer_norm_grad(dy, x, gamma, saved):
    dy, x, (mean, inverse) = (
        wide(dy),
        wide(x),
        (wide(row).reshape(-1, *[1] * (np.ndim(x) - 1)) for row in saved),
    )
    axes, count = tuple(range(1, x.ndim)), max(np.size(gamma), 1)
    normal, d = (x - mean) * inverse, dy * wide(gamma)
    means = (a.sum(axis=axes, keepdims=True) / count for a in (d, d * normal))
    dx = inverse * (d - next(means) - normal * next(means))
    return dx, (dy * normal).sum(axis=0), dy.sum(axis=0)


def slopes_of(x, weight):
    """The slopes of PReLU, to be multiplied with x."""
    return wide(weight) if np.size(weight) == 1 else wide(weight).reshape(-1, *[1] * (np.ndim(x) - 2))


def prelu_grad(dy, x, weight):
    dy, x = wide(dy), wide(x)
    products = np.where(x > 0, 0, dy * x)
    axes = None if np.size(weight) == 1 else tuple(a for a in range(x.ndim) if a != 1)
    return np.where(x > 0, dy, slopes_of(x, weight) * dy), np.reshape(
        products.sum(axis=axes), np.shape(weight)
    )


def shares(size, count):
    """(count, size): the part that each element has in each window of an adaptive pool."""
    matrix = np.zeros((count, size))
    for i in range(count):
        first, end = int(np.floor(i * size / count)), int(np.ceil((i + 1) * size / count))
        matrix[i, first:end] = 1 / (end - first)
    return matrix


def adaptive_avg_pool2d(x, output_size):
    height, width = reference.pair(output_size)
    return np.einsum(
        "nchw,ih,jw->ncij",
        wide(x),
        shares(np.shape(x)[2], height),
        shares(np.shape(x)[3], width),
        optimize=True,
    )


def adaptive_avg_pool2d_grad(dy, input_size):
    height, width = reference.pair(input_size)
    return np.einsum(
        "ncij,ih,jw->nchw",
        wide(dy),
        shares(height, np.shape(dy)[2]),
        shares(width, np.shape(dy)[3]),
        optimize=True,
    )


def of_lines(name):
    """The answer for signals: that for images of one line."""

    def pair_of(key, value):
        if key == "padding":
            return (0, 0), tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        return (0 if key == "output_padding" else 1, value)

    def answer(**given):
        sizes = (
            "kernel_size", "stride", "padding", "output_padding", "dilation", "input_size", "output_size",
            "scale_factor",
        )  # fmt: skip
        images = {
            key: value[:, :, None]
            if isinstance(value, np.ndarray) and value.ndim == 3
            else pair_of(key, value)
            if key in sizes and value is not None
            else value
            for key, value in given.items()
        }
        results = ANSWERS[name](**images)
        several = results if isinstance(results, tuple) else (results,)
        lines = tuple(a[:, :, 0] if a.ndim == 4 else a for a in several)
        return lines if isinstance(results, tuple) else lines[0]

    return answer


def elu(x, alpha=1.0):
    x = wide(x)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def normal_share(x):
    """The share of standard normal numbers below x."""
    return np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)) / 2, otypes=[float])(wide(x))


def gelu(x, approximate=False):
    x = wide(x)
    if approximate:
        return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
    return x * normal_share(x)


def gelu_grad(dy, x, approximate=False):
    x = wide(x)
    if approximate:
        inner = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
        slope = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        return wide(dy) * ((1 + inner) / 2 + x * (1 - inner**2) * slope / 2)
    return wide(dy) * (normal_share(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


def hardsigmoid(x):
    return np.clip(wide(x) / 6 + 0.5, 0, 1)


def hardswish_grad(dy, x):
    x = wide(x)
    return wide(dy) * np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6))


def silu_grad(dy, x):
    s = sigmoid(x)
    return wide(dy) * s * (1 + wide(x) * (1 - s))


def max_pool2d(x, kernel_size, **settings):
    """The place of a window with nothing of the image in it is the image's last."""
    y, argmax = reference_pool.max_pool2d(np.asarray(x), kernel_size, **settings)
    return y, np.where(argmax < 0, np.shape(x)[2] * np.shape(x)[3] - 1, argmax)


def avg_pool2d(x, kernel_size, **settings):
    """Sums of infinities, which `math.fsum` refuses, are NaN where they meet their like."""
    x = wide(x)
    if np.isfinite(x).all():
        return reference_pool.avg_pool2d(x, kernel_size, **settings)
    finite, kinds = np.where(np.isfinite(x), x, 0), (np.isnan(x), x == np.inf, x == -np.inf)
    mean = reference_pool.avg_pool2d(finite, kernel_size, **settings)
    nan, high, low = (reference_pool.avg_pool2d(wide(kind), kernel_size, **settings) > 0 for kind in kinds)
    return np.where(nan | (high & low), np.nan, np.where(high, np.inf, np.where(low, -np.inf, mean)))


def batch_norm2d(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    if not np.isfinite(wide(x)).all():  # which `math.fsum` refuses: the shapes remain
        return np.zeros(np.shape(x)), np.zeros((2, np.shape(x)[1]))
    y, mean, variance, _, _ = reference_pool.batch_norm2d(
        np.asarray(x), gamma, beta, running_mean, running_var, training, momentum, eps
    )
    saved = np.stack([mean, 1 / np.sqrt(variance + eps)])
    return y, saved


def batch_norm2d_grad(dy, x, gamma, saved):
    dy, x = wide(dy), wide(x)
    mean, inverse = (wide(row)[:, None, None] for row in saved)
    standard = (x - mean) * inverse
    dgamma, dbeta = (dy * standard).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))
    count = x.size // max(x.shape[1], 1)
    means = dbeta[:, None, None] / max(count, 1), dgamma[:, None, None] / max(count, 1)
    return wide(gamma)[:, None, None] * inverse * (dy - means[0] - standard * means[1]), dgamma, dbeta


def convolution(name):
    """Tap by tap, or, of empty arrays, which those sums cannot be reshaped for, product by product."""

    def answer(first, second, *rest, **settings):
        module = reference_taps if np.size(first) and np.size(second) else reference
        return getattr(module, name)(np.asarray(first), np.asarray(second), *rest, **settings)

    return answer


def down_and_across(value):
    return value if isinstance(value, tuple) else (value, value)


def sides(padding):
    """((top, bottom), (left, right))."""
    return tuple(map(down_and_across, down_and_across(padding)))


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The input gradient of the convolution that goes back, then the padding cut off."""
    steps = map(down_and_across, (stride, output_padding, dilation))
    size = tuple(
        (n - 1) * s + d * (k - 1) + 1 + more
        for n, k, s, more, d in zip(np.shape(x)[2:], np.shape(weight)[2:], *steps, strict=True)
    )
    back = {"stride": stride, "dilation": dilation, "groups": groups}
    y = convolution("conv2d_grad_input")(x, weight, size, **back)
    (top, bottom), (left, right) = sides(padding)
    y = y[:, :, top : size[0] - bottom, left : size[1] - right]
    return y if bias is None else y + wide(bias)[:, None, None]


def conv_transpose2d_grad_input(dy, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The convolution of dy, as far as there is an input."""
    dy = np.pad(dy, ((0, 0), (0, 0), *sides(padding)))
    dx = convolution("conv2d")(dy, weight, stride=stride, dilation=dilation, groups=groups)
    more, steps = down_and_across(output_padding), down_and_across(stride)
    rows, columns = (n - m // s for n, m, s in zip(dx.shape[2:], more, steps, strict=True))
    return dx[:, :, :rows, :columns]


def conv_transpose2d_grad_weight(x, dy, kernel_size, padding=0, output_padding=0, **back):
    dy = np.pad(dy, ((0, 0), (0, 0), *sides(padding)))
    return convolution("conv2d_grad_weight")(dy, x, kernel_size, **back)


def upsample(x, scale_factor=2, mode="nearest", align_corners=False):
    return reference_resize.upsample(np.asarray(x), scale_factor, mode, align_corners)


def upsample_grad(dy, scale_factor=2, mode="nearest", align_corners=False):
    return reference_resize.upsample_grad(np.asarray(dy), scale_factor, mode, align_corners)


ANSWERS = {
    "conv2d": lambda x, weight, **more: convolution("conv2d")(x, weight, **more),
    "conv2d_grad_input": lambda dy, weight, **more: convolution("conv2d_grad_input")(dy, weight, **more),
    "conv2d_grad_weight": lambda x, dy, **more: convolution("conv2d_grad_weight")(x, dy, **more),
    "conv2d_grad_bias": lambda dy: wide(dy).sum(axis=(0, 2, 3)),
    "conv_transpose2d": conv_transpose2d,
    "conv_transpose2d_grad_input": conv_transpose2d_grad_input,
    "conv_transpose2d_grad_weight": conv_transpose2d_grad_weight,
    "upsample": upsample,
    "upsample_grad": upsample_grad,
    "max_pool2d": max_pool2d,
    "max_pool2d_grad": reference_pool.max_pool2d_grad,
    "avg_pool2d": avg_pool2d,
    "avg_pool2d_grad": reference_pool.avg_pool2d_grad,
    "dense": lambda x, weight, bias=None: wide(x) @ wide(weight).T + (0 if bias is None else wide(bias)),
    "dense_grad_input": lambda dy, weight: wide(dy) @ wide(weight),
    "dense_grad_weight": lambda x, dy: wide(dy).T @ wide(x),
    "dense_grad_bias": lambda dy: wide(dy).sum(axis=0),
    "relu": lambda x: np.where(wide(x) < 0, 0, wide(x)),
    "relu_grad": lambda dy, x: np.where(wide(x) > 0, wide(dy), 0),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(wide(x) < 0, negative_slope * wide(x), wide(x)),
    "leaky_relu_grad": lambda dy, x, negative_slope=0.01: np.where(
        wide(x) > 0, wide(dy), negative_slope * wide(dy)
    ),
    "sigmoid": sigmoid,
    "sigmoid_grad": lambda dy, y: wide(dy) * wide(y) * (1 - wide(y)),
    "tanh": lambda x: np.tanh(wide(x)),
    "tanh_grad": lambda dy, y: wide(dy) * (1 - wide(y) ** 2),
    "softmax": softmax,
    "relu6": lambda x: np.clip(wide(x), 0, 6),
    "relu6_grad": lambda dy, y: np.where((wide(y) > 0) & (wide(y) < 6), wide(dy), 0),
    "elu": elu,
    "elu_grad": lambda dy, y, alpha=1.0: wide(dy) * np.where(wide(y) > 0, 1, wide(y) + alpha),
    "silu": lambda x: wide(x) * sigmoid(x),
    "silu_grad": silu_grad,
    "gelu": gelu,
    "gelu_grad": gelu_grad,
    "hardsigmoid": hardsigmoid,
    "hardsigmoid_grad": lambda dy, y: np.where((wide(y) > 0) & (wide(y) < 1), wide(dy) / 6, 0),
    "hardswish": lambda x: wide(x) * hardsigmoid(x),
    "hardswish_grad": hardswish_grad,
    "softplus": lambda x: np.logaddexp(0, wide(x)),
    "softplus_grad": lambda dy, y: wide(dy) * -np.expm1(-wide(y)),
    "prelu": lambda x, weight: np.where(wide(x) > 0, wide(x), slopes_of(x, weight) * wide(x)),
    "prelu_grad": prelu_grad,
    "layer_norm": layer_norm,
    "layer_norm_grad": layer_norm_grad,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "adaptive_avg_pool2d_grad": adaptive_avg_pool2d_grad,
    "bce": bce,
    "bce_grad": bce_grad,
    "bce_with_logits": bce_with_logits,
    "bce_with_logits_grad": bce_with_logits_grad,
    "cross_entropy": cross_entropy,
    "cross_entropy_grad": cross_entropy_grad,
    "huber": huber,
    "huber_grad": huber_grad,
    "smooth_l1": smooth_l1,
    "smooth_l1_grad": smooth_l1_grad,
    "focal": focal,
    "focal_grad": focal_grad,
    "binary_focal": binary_focal,
    "binary_focal_grad": binary_focal_grad,
    "hinge": hinge,
    "hinge_grad": hinge_grad,
    "binary_hinge": binary_hinge,
    "binary_hinge_grad": binary_hinge_grad,
    "soft_cross_entropy": soft_cross_entropy,
    "soft_cross_entropy_grad": soft_cross_entropy_grad,
    "group_norm": group_norm,
    "group_norm_grad": group_norm_grad,
    "mse": mse,
    "mse_grad": mse_grad,
    "batch_norm2d": batch_norm2d,
    "batch_norm2d_grad": batch_norm2d_grad,
}
ANSWERS |= {
    name.replace("2d", "1d"): of_lines(name)
    for name in ANSWERS
    if name.startswith(
        ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "batch_norm2d")
    )
}
ANSWERS |= {"upsample1d": of_lines("upsample"), "upsample1d_grad": of_lines("upsample_grad")}
