"""Fully connected layers on rows of samples, and their gradients: register-tiled matrix products.

    y [N][out] = x [N][in] * weight [out][in]^T + bias

Products run over tiles of rows x vectors: a scalar of the left matrix times a vector of the right one's row,
so the right matrix is transposed first where its rows run the other way.
"""

import numpy as np

from .. import simd
from ..checks.arrays import check_length, float_array, same_dtype
from ..checks.jit import Array, public
from ..simd import advance, keep, pointer, tiles, transpose
from ..simd.compiling import compiled
from ..simd.tiles import columns, multiply_add, offsets, tile
from .lanes.dense import DENSE_PRODUCTS

__all__ = ["dense", "dense_grad_bias", "dense_grad_input", "dense_grad_weight"]

COLUMNS_4 = tiles.tile_columns(4)
COLUMNS_1 = tiles.tile_columns(1)


@public
def dense(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """A fully connected layer: y = x weight^T + bias.

    Parameters
    ----------
    x : ndarray, shape (N, in_features)
        float32 or float64, any strides.
    weight : ndarray, shape (out_features, in_features)
        Of the dtype of `x`.
    bias : ndarray, shape (out_features,), optional

    Returns
    -------
    ndarray, shape (N, out_features)

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or their dtypes differ.
    ValueError
        If shapes do not fit each other.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville (2016), eq. 6.1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import dense
    >>> dense(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.5, 0.0]))
    array([[11.5, 17. ]])
    """
    x = float_array(x, "x", 2)
    weight = float_array(weight, "weight", 2)
    same_dtype(weight, "weight", x, "x")
    check_length(weight.shape[1], x.shape[1], "weight", "columns, one for each feature of `x`")
    y = np.zeros((x.shape[0], weight.shape[0]), x.dtype)
    if bias is not None:
        bias = float_array(bias, "bias", 1)
        same_dtype(bias, "bias", x, "x")
        check_length(bias.size, weight.shape[0], "bias", "entries, one for each row of `weight`")
        y += bias
    _add_product(x, _transposed(weight), y)
    return y


@public
def dense_grad_input(dy: Array, weight: Array) -> Array:
    """Gradient of `dense` with respect to its input: dy weight.

    Parameters
    ----------
    dy : ndarray, shape (N, out_features)
        Gradient of the loss with respect to the output.
    weight : ndarray, shape (out_features, in_features)

    Returns
    -------
    ndarray, shape (N, in_features)

    Raises
    ------
    TypeError, ValueError
        As in `dense`.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville (2016), section 6.5.6.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import dense_grad_input
    >>> dense_grad_input(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]))
    array([[13., 16.]])
    """
    dy = float_array(dy, "dy", 2)
    weight = float_array(weight, "weight", 2)
    same_dtype(weight, "weight", dy, "dy")
    check_length(weight.shape[0], dy.shape[1], "weight", "rows, one for each column of `dy`")
    dx = np.zeros((dy.shape[0], weight.shape[1]), dy.dtype)
    _add_product(dy, weight, dx)
    return dx


@public
def dense_grad_weight(x: Array, dy: Array) -> Array:
    """Gradient of `dense` with respect to its weight: dy^T x, summed over samples.

    Parameters
    ----------
    x : ndarray, shape (N, in_features)
    dy : ndarray, shape (N, out_features)
        Gradient of the loss with respect to the output.

    Returns
    -------
    ndarray, shape (out_features, in_features)

    Raises
    ------
    TypeError, ValueError
        As in `dense`.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville (2016), section 6.5.6.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import dense_grad_weight
    >>> dense_grad_weight(np.array([[1.0, 2.0]]), np.array([[3.0], ]))
    array([[3., 6.]])
    """
    x = float_array(x, "x", 2)
    dy = float_array(dy, "dy", 2)
    same_dtype(dy, "dy", x, "x")
    check_length(dy.shape[0], x.shape[0], "dy", "rows, one for each sample of `x`")
    dweight = np.zeros((dy.shape[1], x.shape[1]), x.dtype)
    _add_product(_transposed(dy), x, dweight)
    return dweight


@public
def dense_grad_bias(dy: Array) -> Array:
    """Gradient of `dense` with respect to its bias: the sum of dy over samples.

    Parameters
    ----------
    dy : ndarray, shape (N, out_features)
        float32 or float64, any strides.

    Returns
    -------
    ndarray, shape (out_features,)

    Raises
    ------
    TypeError, ValueError
        If `dy` is not a 2-D array of float32 or float64.

    Notes
    -----
    The sum is carried in float64. Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import dense_grad_bias
    >>> dense_grad_bias(np.ones((3, 2)))
    array([3., 3.])
    """
    dy = float_array(dy, "dy", 2)
    dbias = np.zeros(dy.shape[1], dy.dtype)
    _sum_rows(dy, dbias)
    return dbias


@compiled
def _transposed(a):
    """The transposed matrix, by squares of vectors: twice as fast as NumPy's copy."""
    rows, width = a.shape
    turned = np.empty((width, rows), a.dtype)
    source, target = pointer(a), pointer(turned)
    lanes = simd.lanes(source)
    whole_rows, whole_width = rows // lanes * lanes, width // lanes * lanes
    for m in range(0, whole_rows, lanes):
        for k in range(0, whole_width, lanes):
            square = transpose.transpose(transpose.square(source, m * width + k, width))
            tiles.store_rows(square, target, k * rows + m, rows, 0, lanes)
    for m in range(rows):
        for k in range(whole_width if m < whole_rows else 0, width):
            turned[k, m] = a[m, k]
    return turned


@compiled
def _sum_rows(dy, dbias):
    totals = np.zeros(dy.shape[1])
    for n in range(dy.shape[0]):
        for o in range(dy.shape[1]):
            totals[o] += dy[n, o]
    dbias[:] = totals


@compiled
def _add_product(a, b, c):
    """c += a b, for a (M, K), b (K, J), c (M, J); columns in groups so that a panel of b stays in cache."""
    lanes = simd.lanes(pointer(c))
    whole = b.shape[1] // lanes * lanes
    panel = np.zeros((b.shape[0], lanes), b.dtype)  # the last, partial vector of each row of b
    for k in range(b.shape[0]):
        for j in range(whole, b.shape[1]):
            panel[k, j - whole] = b[k, j]
    fours = a.shape[0] // 4 * 4
    for m in range(0, a.shape[0], 4):
        if m < fours:
            _row_tiles(tile(pointer(c), 4, COLUMNS_4), tile(pointer(c), 4, 1), a, b, panel, c, m, whole)
        else:
            for single in range(m, a.shape[0]):
                _row_tiles(
                    tile(pointer(c), 1, COLUMNS_1), tile(pointer(c), 1, 1), a, b, panel, c, single, whole
                )


@compiled
def _row_tiles(zero, narrow, a, b, panel, c, m, whole):
    """The rows m, m + 1, ... of c that a tile has, all columns; the last, partial vector in a narrow tile."""
    lanes = simd.lanes(pointer(c))
    inner, width = b.shape[0], b.shape[1]
    left, target = advance(pointer(a), m * inner), advance(pointer(c), m * width)
    table = np.zeros(16, np.int64)
    for j in range(0, whole, columns(zero) * lanes):
        for k in range(16):
            table[k] = min(k, (whole - j) // lanes - 1)
        at = offsets(zero, pointer(table), 0)
        right = advance(pointer(b), j)
        for start in range(0, inner, DENSE_PRODUCTS):
            acc = zero
            for k in range(start, min(start + DENSE_PRODUCTS, inner)):
                acc = multiply_add(acc, left, k, inner, advance(right, k * width), 0, at)
            tiles.add_to_rows(acc, target, j, width, 0, whole - j)
    if width > whole:
        table[:] = 0
        first = offsets(narrow, pointer(table), 0)
        for start in range(0, inner, DENSE_PRODUCTS):
            rest = narrow
            for k in range(start, min(start + DENSE_PRODUCTS, inner)):
                rest = multiply_add(rest, left, k, inner, pointer(panel), k, first)
            tiles.add_to_rows(rest, target, whole, width, 0, width - whole)
    keep(table)
