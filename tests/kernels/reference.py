"""Convolution and dense layers straight from their definitions, in float64, one product at a time.

    y[n, o, i, j] = bias[o] + sum over c, kh, kw of x[n, first + c, h, w] * weight[o, c, kh, kw]

where x has its padding of zeros, h = i * stride + kh * dilation, w likewise, and `first` is the first channel
of o's group. The gradients are the same products, each added to what it is the slope of.
"""

import itertools

import numpy as np


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def sides(padding):
    """((top, bottom), (left, right)) of a number, a pair of them, or a pair of pairs."""
    down, across = padding if isinstance(padding, (tuple, list)) else (padding, padding)
    return tuple(tuple(p) if isinstance(p, (tuple, list)) else (p, p) for p in (down, across))


def padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), *sides(padding)))


def output_size(size, kernel_size, stride, padding, dilation):
    """(OH, OW)."""
    steps = zip(size, *map(pair, (kernel_size, stride)), sides(padding), pair(dilation), strict=True)
    return tuple((s + sum(p) - d * (k - 1) - 1) // t + 1 for s, k, t, p, d in steps)


def products(y_shape, weight_shape, stride, dilation, groups):
    """The indices into y, the padded x and weight of every product in a convolution."""
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    out_channels, channels = weight_shape[:2]
    for n, o, i, j in itertools.product(*map(range, y_shape)):
        first = o // (out_channels // groups) * channels
        for c, kh, kw in itertools.product(*map(range, weight_shape[1:])):
            yield (n, o, i, j), (n, first + c, i * sh + kh * dh, j * sw + kw * dw), (o, c, kh, kw)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    size = output_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    x, y = padded(x, padding), np.zeros((len(x), len(weight), *size))
    for at_y, at_x, at_weight in products(y.shape, weight.shape, stride, dilation, groups):
        y[at_y] += float(x[at_x]) * float(weight[at_weight])
    return y if bias is None else y + bias.astype(np.float64)[:, None, None]


def conv2d_grad_input(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1):
    (height, width), ((top, _), (left, _)) = pair(input_size), sides(padding)
    dx = padded(np.zeros((len(dy), weight.shape[1] * groups, height, width)), padding)
    for at_y, at_x, at_weight in products(dy.shape, weight.shape, stride, dilation, groups):
        dx[at_x] += float(dy[at_y]) * float(weight[at_weight])
    return dx[:, :, top : top + height, left : left + width]


def conv2d_grad_weight(x, dy, kernel_size, stride=1, padding=0, dilation=1, groups=1):
    x, dweight = padded(x, padding), np.zeros((dy.shape[1], x.shape[1] // groups, *pair(kernel_size)))
    for at_y, at_x, at_weight in products(dy.shape, dweight.shape, stride, dilation, groups):
        dweight[at_weight] += float(dy[at_y]) * float(x[at_x])
    return dweight


def conv2d_grad_bias(dy):
    dbias = np.zeros(dy.shape[1])
    for n, o, i, j in itertools.product(*map(range, dy.shape)):
        dbias[o] += float(dy[n, o, i, j])
    return dbias


def dense(x, weight, bias=None):
    y = np.zeros((len(x), len(weight)))
    for n, o, i in itertools.product(*map(range, (*y.shape, x.shape[1]))):
        y[n, o] += float(x[n, i]) * float(weight[o, i])
    return y if bias is None else y + bias.astype(np.float64)


def dense_grad_input(dy, weight):
    dx = np.zeros((len(dy), weight.shape[1]))
    for n, o, i in itertools.product(*map(range, (*dy.shape, dx.shape[1]))):
        dx[n, i] += float(dy[n, o]) * float(weight[o, i])
    return dx


def dense_grad_weight(x, dy):
    dweight = np.zeros((dy.shape[1], x.shape[1]))
    for n, o, i in itertools.product(*map(range, (*dy.shape, x.shape[1]))):
        dweight[o, i] += float(dy[n, o]) * float(x[n, i])
    return dweight


def dense_grad_bias(dy):
    dbias = np.zeros(dy.shape[1])
    for n, o in np.ndindex(dy.shape):
        dbias[o] += float(dy[n, o])
    return dbias
