"""Slow, obvious pooling and batch normalisation: plain loops in float64, one output at a time."""

import itertools
import math

import numpy as np

from tests.kernels.reference import sides


def pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def output_size(size, kernel, stride, padding, dilation=1, ceil_mode=False):
    """Windows that fit, counted one by one; in ceil mode also the next, if it starts left of the padding."""
    before, after = padding if isinstance(padding, tuple) else (padding, padding)
    span = dilation * (kernel - 1) + 1
    count, start = 0, -before
    while start + span <= size + after:
        count, start = count + 1, start + stride
    something_left = start - stride + span < size + after
    return count + 1 if ceil_mode and something_left and start < size else count


def window(index, kernel, stride, padding, dilation=1):
    """The positions along one axis that a window looks at, those outside the image too."""
    before = padding[0] if isinstance(padding, tuple) else padding
    return [index * stride - before + k * dilation for k in range(kernel)]


def windows(size, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """(i, j), rows and columns of every window of an image of this size."""
    kernel = pair(kernel_size)
    stride = kernel if stride is None else pair(stride)
    axes = list(zip(size, kernel, stride, sides(padding), pair(dilation), strict=True))
    high, wide = (output_size(*axis, ceil_mode) for axis in axes)
    for i, j in itertools.product(range(high), range(wide)):
        yield (i, j), window(i, *axes[0][1:]), window(j, *axes[1][1:])


def inside(positions, size):
    return [p for p in positions if 0 <= p < size]


def _empty(x, cases, dtype=np.float64):
    """An array for one number a window; `cases` ends with the last window."""
    high, wide = cases[-1][0] if cases else (-1, -1)
    return np.empty((*x.shape[:2], high + 1, wide + 1), dtype)


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The maxima and where they are; -infinity and -1 for a window with nothing of the image in it."""
    height, width = x.shape[2:]
    cases = list(windows((height, width), kernel_size, stride, padding, dilation, ceil_mode))
    y, argmax = _empty(x, cases), _empty(x, cases, np.int64)
    for n, c in np.ndindex(x.shape[:2]):
        for (i, j), rows, columns in cases:
            y[n, c, i, j], argmax[n, c, i, j] = -math.inf, -1
            for h, w in itertools.product(inside(rows, height), inside(columns, width)):
                value = float(x[n, c, h, w])
                first = argmax[n, c, i, j] == -1
                if first or value > y[n, c, i, j] or math.isnan(value):
                    y[n, c, i, j], argmax[n, c, i, j] = value, h * width + w
    return y, argmax


def max_pool2d_grad(dy, argmax, input_size):
    dx = np.zeros((*dy.shape[:2], *pair(input_size)))
    for n, c, i, j in np.ndindex(dy.shape):
        h, w = divmod(int(argmax[n, c, i, j]), dx.shape[3])
        dx[n, c, h, w] += float(dy[n, c, i, j])
    return dx


def _mean_windows(size, kernel_size, stride, padding, ceil_mode, count_include_pad):
    """(i, j), rows and columns inside the image, and how many elements the mean is over."""
    for at, *axes in windows(size, kernel_size, stride, padding, 1, ceil_mode):
        within = [inside(positions, s) for positions, s in zip(axes, size, strict=True)]
        padded = [
            [p for p in positions if -before <= p < s + after]
            for positions, s, (before, after) in zip(axes, size, sides(padding), strict=True)
        ]
        rows, columns = padded if count_include_pad else within
        yield at, *within, len(rows) * len(columns)


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    cases = list(_mean_windows(x.shape[2:], kernel_size, stride, padding, ceil_mode, count_include_pad))
    y = _empty(x, cases)
    for n, c in np.ndindex(x.shape[:2]):
        for (i, j), rows, columns, count in cases:
            values = [float(x[n, c, h, w]) for h, w in itertools.product(rows, columns)]
            y[n, c, i, j] = math.fsum(values) / count
    return y


def avg_pool2d_grad(
    dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    size = pair(input_size)
    dx = np.zeros((*dy.shape[:2], *size))
    cases = list(_mean_windows(size, kernel_size, stride, padding, ceil_mode, count_include_pad))
    for n, c in np.ndindex(dy.shape[:2]):
        for (i, j), rows, columns, count in cases:
            for h, w in itertools.product(rows, columns):
                dx[n, c, h, w] += float(dy[n, c, i, j]) / count
    return dx


def batch_norm2d(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """y, the mean, the variance, and the new running mean and variance."""
    y = np.empty(x.shape)
    mean, variance = np.array(running_mean, float), np.array(running_var, float)
    new_mean, new_variance = mean.copy(), variance.copy()
    for c in range(x.shape[1]):
        values = [float(v) for v in x[:, c].ravel()]
        if training:
            mean[c] = math.fsum(values) / len(values)
            squares = math.fsum((v - mean[c]) ** 2 for v in values)
            variance[c] = squares / len(values)
            unbiased = squares / max(len(values) - 1, 1)
            new_mean[c] = (1 - momentum) * new_mean[c] + momentum * mean[c]
            new_variance[c] = (1 - momentum) * new_variance[c] + momentum * unbiased
        for n, i, j in np.ndindex(x[:, c].shape):
            standard = (float(x[n, c, i, j]) - mean[c]) / np.sqrt(variance[c] + eps)
            y[n, c, i, j] = standard * float(gamma[c]) + float(beta[c])
    return y, mean, variance, new_mean, new_variance


def batch_norm2d_grad(dy, x, gamma, eps=1e-5):
    """dx, dgamma and dbeta in training: the chain rule with every pair of elements of a channel."""
    dx, dgamma, dbeta = np.zeros(x.shape), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        values, slopes = x[:, c].astype(float).ravel(), dy[:, c].astype(float).ravel()
        deviation = math.sqrt(values.var() + eps)
        standard = (values - values.mean()) / deviation
        dgamma[c], dbeta[c] = math.fsum(slopes * standard), math.fsum(slopes)
        jacobian = np.eye(values.size)  # of the standardised values with respect to the values
        for a, b in np.ndindex(jacobian.shape):
            jacobian[a, b] -= (1 + standard[a] * standard[b]) / values.size
        dx[:, c] = (float(gamma[c]) / deviation * slopes @ jacobian).reshape(x[:, c].shape)
    return dx, dgamma, dbeta
