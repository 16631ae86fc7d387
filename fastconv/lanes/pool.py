"""Max and average pooling in the lane layout.

g: C, OH, OW, H, W, kernel (2), stride (2), padding (2), dilation (2), plane and row steps of x, of y
(and of its argmax), [17] flags. A window is clipped to the image; `argmax` holds kh * KW + kw.
"""

from numba.extending import register_jitable

from ..simd import add, either, equal, fill, greater, is_nan, load, multiply, select, store
from .operation import operation


@operation
def max_pool(x, y, argmax, _c, _d, _e, g, s):
    """y = the largest element of each window, argmax = which tap it was.

    NaN wins over numbers, and the first in row-major order wins a tie.
    """
    for c in range(g[0]):
        for i in range(g[1]):
            for j in range(g[2]):
                top, left = i * g[7] - g[9], j * g[8] - g[10]
                best = fill(x, 0.0)
                where = fill(x, -1.0)
                empty = True
                for kh in range(g[5]):
                    h = top + kh * g[11]
                    if h < 0 or h >= g[3]:
                        continue
                    for kw in range(g[6]):
                        w = left + kw * g[12]
                        if w < 0 or w >= g[4]:
                            continue
                        v = load(x, c * g[13] + h * g[14] + w)
                        tap = fill(x, kh * g[6] + kw)
                        if empty:
                            best, where, empty = v, tap, False
                        else:
                            better = either(greater(v, best), is_nan(v))
                            best, where = select(better, v, best), select(better, tap, where)
                at = c * g[15] + i * g[16] + j
                store(y, at, best)
                store(argmax, (c * g[1] + i) * g[2] + j, where)


@operation
def max_pool_grad(dy, argmax, dx, x, _d, _e, g, s):
    """dx = dy at each window's maximum, summed where windows overlap (g[17] = 1).

    With g[18] = 1, dx is 0 where x is not positive: the gradient of a ReLU before the pooling.
    """
    zero = fill(dy, 0.0)
    if g[17]:
        for c in range(g[0]):
            for h in range(g[3]):
                for w in range(g[4]):
                    store(dx, c * g[13] + h * g[14] + w, zero)
    for c in range(g[0]):
        for i in range(g[1]):
            for j in range(g[2]):
                top, left = i * g[7] - g[9], j * g[8] - g[10]
                slope = load(dy, c * g[15] + i * g[16] + j)
                where = load(argmax, (c * g[1] + i) * g[2] + j)
                for kh in range(g[5]):
                    h = top + kh * g[11]
                    if h < 0 or h >= g[3]:
                        continue
                    for kw in range(g[6]):
                        w = left + kw * g[12]
                        if w < 0 or w >= g[4]:
                            continue
                        here = select(equal(where, fill(dy, kh * g[6] + kw)), slope, zero)
                        if g[18]:
                            here = select(greater(load(x, c * g[19] + h * g[20] + w), zero), here, zero)
                        at = c * g[13] + h * g[14] + w
                        if g[17]:
                            here = add(here, load(dx, at))
                        store(dx, at, here)


@register_jitable
def _window(start, size, kernel, padding, include_padding):
    """First and last (excluded) row of a clipped window, and the length that an average divides by."""
    last = min(start + kernel, size + padding)
    length = last - start
    first, last = max(start, 0), min(last, size)
    return first, last, length if include_padding else last - first


@operation
def avg_pool(x, y, _b, _c, _d, _e, g, s):
    """y = the mean of each window; padding counts as zeros where g[17] = 1."""
    for c in range(g[0]):
        for i in range(g[1]):
            h0, h1, height = _window(i * g[7] - g[9], g[3], g[5], g[9], g[17])
            for j in range(g[2]):
                w0, w1, width = _window(j * g[8] - g[10], g[4], g[6], g[10], g[17])
                acc = fill(x, 0.0)
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        acc = add(acc, load(x, c * g[13] + h * g[14] + w))
                store(y, c * g[15] + i * g[16] + j, multiply(acc, fill(x, 1.0 / (height * width))))


@operation
def avg_pool_grad(dy, dx, _b, _c, _d, _e, g, s):
    """dx = dy / size of the window, summed over the windows that hold the element."""
    zero = fill(dy, 0.0)
    for c in range(g[0]):
        for h in range(g[3]):
            for w in range(g[4]):
                store(dx, c * g[13] + h * g[14] + w, zero)
        for i in range(g[1]):
            h0, h1, height = _window(i * g[7] - g[9], g[3], g[5], g[9], g[17])
            for j in range(g[2]):
                w0, w1, width = _window(j * g[8] - g[10], g[4], g[6], g[10], g[17])
                share = multiply(load(dy, c * g[15] + i * g[16] + j), fill(dy, 1.0 / (height * width)))
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        at = c * g[13] + h * g[14] + w
                        store(dx, at, add(load(dx, at), share))
