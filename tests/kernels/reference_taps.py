"""Convolution in float64, one tap of the kernel at a time for all images: fast enough for large ones.

    y = bias + sum over kh, kw of  (every x that tap (kh, kw) meets)  times  weight[:, :, kh, kw]

The interface is that of `reference`, and so are the results.
"""

import numpy as np

from tests.kernels.reference import output_size, padded, pair, sides


def taps(kernel_size, size, stride, dilation):
    """(kh, kw, what a tap meets in the padded x) for every tap."""
    (sh, sw), (dh, dw), (height, width) = pair(stride), pair(dilation), size
    for kh, kw in np.ndindex(*pair(kernel_size)):
        rows = slice(kh * dh, kh * dh + (height - 1) * sh + 1, sh)
        yield kh, kw, np.s_[:, :, rows, kw * dw : kw * dw + (width - 1) * sw + 1 : sw]


def by_groups(array, groups):
    """(N, C, ...) as (N, groups, C // groups, ...)."""
    return array.reshape(len(array), groups, -1, *array.shape[2:]).astype(np.float64)


def weights_of(weight, groups):
    return weight.reshape(groups, -1, *weight.shape[1:]).astype(np.float64)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    size = output_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    x, w = padded(x, padding), weights_of(weight, groups)
    y = np.zeros((len(x), len(weight), *size))
    for kh, kw, met in taps(weight.shape[2:], size, stride, dilation):
        products = np.einsum("ngchw,goc->ngohw", by_groups(x[met], groups), w[..., kh, kw], optimize=True)
        y += products.reshape(y.shape)
    return y if bias is None else y + bias.astype(np.float64)[:, None, None]


def conv2d_grad_input(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1):
    (height, width), ((top, _), (left, _)) = pair(input_size), sides(padding)
    w = weights_of(weight, groups)
    dx = padded(np.zeros((len(dy), weight.shape[1] * groups, height, width)), padding)
    for kh, kw, met in taps(weight.shape[2:], dy.shape[2:], stride, dilation):
        products = np.einsum("ngohw,goc->ngchw", by_groups(dy, groups), w[..., kh, kw], optimize=True)
        dx[met] += products.reshape(dx[met].shape)
    return dx[:, :, top : top + height, left : left + width]


def conv2d_grad_weight(x, dy, kernel_size, stride=1, padding=0, dilation=1, groups=1):
    x, dweight = padded(x, padding), np.zeros((dy.shape[1], x.shape[1] // groups, *pair(kernel_size)))
    for kh, kw, met in taps(kernel_size, dy.shape[2:], stride, dilation):
        slopes, images = by_groups(dy, groups), by_groups(x[met], groups)
        products = np.einsum("ngohw,ngchw->goc", slopes, images, optimize=True)
        dweight[..., kh, kw] = products.reshape(dweight.shape[:2])
    return dweight


def conv2d_grad_bias(dy):
    return dy.sum((0, 2, 3), dtype=np.float64)
