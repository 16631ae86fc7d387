"""Upsampling of images and signals by whole factors, and its gradients.

x   a     b           nearest, factor 2    a a b b
                      linear               a, (3a + b) / 4, (a + 3b) / 4, b
                      aligned corners      a, (2a + b) / 3, (a + 2b) / 3, b
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from ..checks.arrays import check_shape4, float_array
from ..checks.jit import Array, IntOrPair, checked, public_with_text
from ..checks.scalars import flag, positive_int, positive_pair
from ..checks.windows import check_total
from ..simd.compiling import compiled
from .lanes.resize import between
from .signal import _no_line, _one_line

__all__ = ["upsample", "upsample1d", "upsample1d_grad", "upsample_grad"]


@public_with_text
def upsample(
    x: Array, scale_factor: IntOrPair = 2, mode: str = "nearest", align_corners: bool = False
) -> Array:
    """Images made larger by whole factors.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    scale_factor : int or pair of ints
        How many times as high and wide the images become.
    mode : {"nearest", "bilinear"}
        Whether each element is repeated, or the new ones lie on straight lines between the old.
    align_corners : bool
        With "bilinear": whether the centres of the corner elements stay the corners, so that the lines reach
        from edge to edge; otherwise elements are areas, and the outermost half of one is constant.

    Returns
    -------
    ndarray, shape (N, C, H * scale, W * scale)

    Raises
    ------
    TypeError
        If `x` is not of float32 or float64, or a setting is of the wrong type.
    ValueError
        If a setting is out of range, or the images have no elements.

    Notes
    -----
    As torch.nn.Upsample. Source: Gonzalez and Woods, Digital Image Processing, section 2.4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import upsample
    >>> x = np.array([[[[0.0, 4.0]]]])
    >>> upsample(x, (1, 2))
    array([[[[0., 0., 4., 4.]]]])
    >>> upsample(x, (1, 2), "bilinear")
    array([[[[0., 1., 3., 4.]]]])
    """
    x = float_array(x, "x", 4)
    scale = positive_pair(scale_factor, "scale_factor")
    linear = _is_linear(mode, _IMAGES)
    aligned = flag(align_corners, "align_corners")
    _check_upsample(x.shape, scale, linear, aligned)
    y = np.empty((x.shape[0], x.shape[1], x.shape[2] * scale[0], x.shape[3] * scale[1]), x.dtype)
    if linear:
        _upsample_linear(x, scale, aligned, y)
    else:
        _upsample_nearest(x, scale, y)
    return y


@public_with_text
def upsample_grad(
    dy: Array, scale_factor: IntOrPair = 2, mode: str = "nearest", align_corners: bool = False
) -> Array:
    """Gradient of `upsample`: each dy is shared out over the elements that it was made of.

    Parameters
    ----------
    dy : ndarray, shape (N, C, H * scale, W * scale)
        Gradient of the loss with respect to the output.
    scale_factor, mode, align_corners
        As in `upsample`.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        As in `upsample`, and if the size of `dy` is not a multiple of the factors.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import upsample_grad
    >>> upsample_grad(np.ones((1, 1, 2, 4)), 2)
    array([[[[4., 4.]]]])
    """
    dy = float_array(dy, "dy", 4)
    scale = positive_pair(scale_factor, "scale_factor")
    linear = _is_linear(mode, _IMAGES)
    aligned = flag(align_corners, "align_corners")
    height, width = dy.shape[2] // scale[0], dy.shape[3] // scale[1]
    check_shape4(dy.shape, dy.shape[0], dy.shape[1], height * scale[0], width * scale[1], "dy")
    dx = np.empty((dy.shape[0], dy.shape[1], height, width), dy.dtype)
    _check_upsample(dx.shape, scale, linear, aligned)
    if linear:
        _upsample_linear_grad(dy, scale, aligned, dx)
    else:
        _upsample_nearest_grad(dy, scale, dx)
    return dx


@public_with_text
def upsample1d(x: Array, scale_factor: int = 2, mode: str = "nearest", align_corners: bool = False) -> Array:
    """Signals made longer by a whole factor.

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
        float32 or float64, any strides.
    scale_factor : int
        How many times as long the signals become.
    mode : {"nearest", "linear"}
        As in `upsample`.
    align_corners : bool
        With "linear", as in `upsample`.

    Returns
    -------
    ndarray, shape (N, C, L * scale)

    Raises
    ------
    TypeError, ValueError
        As in `upsample`.

    Notes
    -----
    As torch.nn.Upsample.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import upsample1d
    >>> upsample1d(np.array([[[0.0, 6.0]]]), 2, "linear", align_corners=True)
    array([[[0., 2., 4., 6.]]])
    """
    x = float_array(x, "x", 3)
    scale = positive_int(scale_factor, "scale_factor")
    if _is_linear(mode, _SIGNALS):
        return _no_line(upsample(_one_line(x), (1, scale), "bilinear", align_corners))
    return _no_line(upsample(_one_line(x), (1, scale), "nearest", align_corners))


@public_with_text
def upsample1d_grad(
    dy: Array, scale_factor: int = 2, mode: str = "nearest", align_corners: bool = False
) -> Array:
    """Gradient of `upsample1d`.

    Parameters
    ----------
    dy : ndarray, shape (N, C, L * scale)
        Gradient of the loss with respect to the output.
    scale_factor, mode, align_corners
        As in `upsample1d`.

    Returns
    -------
    ndarray, shape (N, C, L)

    Raises
    ------
    TypeError, ValueError
        As in `upsample_grad`.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import upsample1d_grad
    >>> upsample1d_grad(np.array([[[1.0, 2.0, 3.0, 4.0]]]), 2)
    array([[[3., 7.]]])
    """
    dy = float_array(dy, "dy", 3)
    scale = positive_int(scale_factor, "scale_factor")
    if _is_linear(mode, _SIGNALS):
        return _no_line(upsample_grad(_one_line(dy), (1, scale), "bilinear", align_corners))
    return _no_line(upsample_grad(_one_line(dy), (1, scale), "nearest", align_corners))


# The mode

_IMAGES, _SIGNALS = "bilinear", "linear"  # what the mode of straight lines is called


def _is_linear(mode: Any, linear: str) -> bool:
    """Whether a mode draws straight lines: it is `linear`, or else "nearest".

    Raises
    ------
    ValueError
        If it is neither.
    """
    if not isinstance(mode, str) or mode not in ("nearest", linear):
        raise ValueError(f'`mode` must be "nearest" or "{linear}", got {mode!r}')
    return mode == linear


@overload(_is_linear, prefer_literal=True)
def _is_linear_typed(mode, linear):
    value = getattr(mode, "value", getattr(mode, "literal_value", None))
    if isinstance(mode, types.UnicodeType) and value is None:
        return lambda mode, linear: _is_linear_text(mode, linear)
    answer = _is_linear(value, linear.literal_value)
    return lambda mode, linear: answer


@compiled
def _is_linear_text(mode, linear):
    """`_is_linear` of a text that compiled code does not know before it runs."""
    if mode != "nearest" and mode != linear:
        raise ValueError('`mode` must be "nearest" or "' + linear + '", got ' + mode)
    return mode == linear


@checked
def _check_upsample(x_shape, scale, linear, aligned):
    if x_shape[2] < 1 or x_shape[3] < 1:
        raise ValueError(f"`x` must have images of at least (1, 1), got ({x_shape[2]}, {x_shape[3]})")
    if aligned and not linear:
        raise ValueError("`align_corners` must be False where the mode is nearest, got True")
    check_total(x_shape[0], x_shape[1], x_shape[2] * scale[0], x_shape[3] * scale[1], "scale_factor")


# The sums


@compiled
def _upsample_nearest(x, scale, y):
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    y[n, c, i, j] = x[n, c, i // scale[0], j // scale[1]]


@compiled
def _upsample_nearest_grad(dy, scale, dx):
    for n in range(dx.shape[0]):
        for c in range(dx.shape[1]):
            for h in range(dx.shape[2]):
                for w in range(dx.shape[3]):
                    total = 0.0
                    for i in range(h * scale[0], (h + 1) * scale[0]):
                        for j in range(w * scale[1], (w + 1) * scale[1]):
                            total += dy[n, c, i, j]
                    dx[n, c, h, w] = total


@compiled
def _upsample_linear(x, scale, aligned, y):
    lines, below = between(x.shape[2], scale[0], aligned)
    columns, right = between(x.shape[3], scale[1], aligned)
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for i in range(y.shape[2]):
                upper, lower = x[n, c, lines[i, 0]], x[n, c, lines[i, 1]]
                for j in range(y.shape[3]):
                    j0, j1, b = columns[j, 0], columns[j, 1], right[j]
                    top = upper[j0] * (1 - b) + upper[j1] * b
                    bottom = lower[j0] * (1 - b) + lower[j1] * b
                    y[n, c, i, j] = top * (1 - below[i]) + bottom * below[i]


@compiled
def _upsample_linear_grad(dy, scale, aligned, dx):
    lines, below = between(dx.shape[2], scale[0], aligned)
    columns, right = between(dx.shape[3], scale[1], aligned)
    total = np.empty(dx.shape[2:])  # in float64, so that large factors lose nothing
    for n in range(dx.shape[0]):
        for c in range(dx.shape[1]):
            total[:] = 0.0
            for i in range(dy.shape[2]):
                upper, lower = total[lines[i, 0]], total[lines[i, 1]]
                for j in range(dy.shape[3]):
                    j0, j1, b = columns[j, 0], columns[j, 1], right[j]
                    top, bottom = dy[n, c, i, j] * (1 - below[i]), dy[n, c, i, j] * below[i]
                    upper[j0] += top * (1 - b)
                    upper[j1] += top * b
                    lower[j0] += bottom * (1 - b)
                    lower[j1] += bottom * b
            dx[n, c] = total
