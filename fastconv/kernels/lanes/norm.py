"""Batch normalisation in the lane layout. Its sums run over a whole batch, so each thread takes channels.

g: C, H, W, plane and row steps of x, of y (or dy), of dx, the distance between blocks of x and of dy in
scalars, [11] 1 in training. The lanes past the batch's samples hold numbers that do not count.
`saved` holds the mean of each channel, then its inverse standard deviation.
"""

import math

from ... import simd
from ...simd import add, advance, fill, fma, lane_mask, load, multiply, select, store, subtract, total
from .operation import operation, share


@operation
def batch_norm_statistics(x, saved, running, options, _d, _e, g, s):
    """Mean and inverse deviation of every channel, and the running ones after them (PyTorch's rule).

    options: momentum, eps. running: the means, then the variances (unbiased).
    """
    channels, height, width = g[0], g[1], g[2]
    count = s[0] * height * width
    lane_count = simd.lanes(x)
    first, last = share(channels, s)
    for c in range(first, last):
        if g[11]:
            mean = 0.0
            variance = 0.0
            for turn in range(2):
                centre = fill(x, mean)
                result = 0.0
                for block in range(s[3]):
                    plane = advance(x, block * g[9])
                    valid = lane_mask(x, s[0] - block * lane_count)
                    for h in range(height):
                        acc = fill(x, 0.0)
                        for w in range(width):
                            v = subtract(load(plane, c * g[3] + h * g[4] + w), centre)
                            acc = add(acc, v) if turn == 0 else fma(v, v, acc)
                        result += total(select(valid, acc, fill(x, 0.0)))
                if turn == 0:
                    mean = result / count
                else:
                    variance = result / count
            unbiased = variance * count / max(count - 1, 1)
            running[c] += options[0] * (mean - running[c])
            running[channels + c] += options[0] * (unbiased - running[channels + c])
        else:
            mean, variance = running[c], running[channels + c]
        saved[c] = mean
        saved[channels + c] = 1.0 / math.sqrt(variance + options[1])


@operation
def batch_norm(x, y, saved, gamma, beta, _e, g, s):
    """y = gamma * (x - mean) * inverse deviation + beta."""
    for c in range(g[0]):
        scale = gamma[c] * saved[g[0] + c]
        factor, mean, shift = fill(x, scale), fill(x, saved[c]), fill(x, beta[c])
        for h in range(g[1]):
            for w in range(g[2]):
                v = subtract(load(x, c * g[3] + h * g[4] + w), mean)
                store(y, c * g[5] + h * g[6] + w, fma(v, factor, shift))


@operation
def batch_norm_grad_sums(x, dy, saved, dgamma, dbeta, _e, g, s):
    """dbeta = the sum of dy, dgamma = the sum of dy * xhat, channel by channel over the whole batch."""
    channels, height, width = g[0], g[1], g[2]
    lane_count = simd.lanes(x)
    first, last = share(channels, s)
    for c in range(first, last):
        mean = fill(x, saved[c])
        sum_dy, sum_dy_x = 0.0, 0.0
        for block in range(s[3]):
            x_block, dy_block = advance(x, block * g[9]), advance(dy, block * g[10])
            valid = lane_mask(x, s[0] - block * lane_count)
            for h in range(height):
                acc, acc_x = fill(x, 0.0), fill(x, 0.0)
                for w in range(width):
                    slope = load(dy_block, c * g[5] + h * g[6] + w)
                    acc = add(acc, slope)
                    acc_x = fma(slope, subtract(load(x_block, c * g[3] + h * g[4] + w), mean), acc_x)
                zero = fill(x, 0.0)
                sum_dy += total(select(valid, acc, zero))
                sum_dy_x += total(select(valid, acc_x, zero))
        dbeta[c] = sum_dy
        dgamma[c] = sum_dy_x * saved[channels + c]


@operation
def batch_norm_grad_input(x, dy, dx, saved, gamma, dgamma_dbeta, g, s):
    """dx = gamma * inverse deviation * (dy - dbeta / m - xhat * dgamma / m); 0 past the batch.

    m: elements of a channel over the batch.
    """
    channels = g[0]
    m = s[0] * g[1] * g[2]
    valid, zero = lane_mask(x, s[2]), fill(x, 0.0)
    for c in range(channels):
        inverse = saved[channels + c]
        mean = fill(x, saved[c])
        slope = fill(x, -dgamma_dbeta[c] * inverse / m)
        offset = fill(x, -dgamma_dbeta[channels + c] / m)
        factor = fill(x, gamma[c] * inverse)
        for h in range(g[1]):
            for w in range(g[2]):
                v = subtract(load(x, c * g[3] + h * g[4] + w), mean)
                v = fma(v, slope, add(load(dy, c * g[5] + h * g[6] + w), offset))
                store(dx, c * g[7] + h * g[8] + w, select(valid, multiply(v, factor), zero))
