"""Hinge losses of a block: nothing to pay where the right answer leads by a margin.

Memory is that of the other losses: see losses.py.
"""

from ...simd import (
    add,
    equal,
    fill,
    greater,
    lane_mask,
    load,
    multiply,
    select,
    splat,
    store,
    subtract,
    total,
)
from .losses import LOSS, SUMS, add_exactly, lane_weights, largest, record_classes, same_side, share_of_place
from .operation import STATE, operation


@operation
def hinge(x, target, dx, sums, weight, options, g, s):
    """The sum over k != label of max(0, margin - x[label] + x[k]), divided by the number of classes.

    options: margin, weights of the classes. Source: Weston and Watkins (1999), Support vector machines for
    multi-class pattern recognition, eq. 3; PyTorch's multi_margin_loss.
    """
    zero, one, margin = fill(x, 0.0), fill(x, 1.0), fill(x, options[0])
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale, portion = share_of_place(x, weights, g, s), fill(x, 1.0 / g[LOSS.features])
    loss, lost, right = zero, zero, zero
    for place in range(g[LOSS.places]):
        label, answer = load(target, place), largest(x, place, g)[1]
        own, factor = zero, portion
        for k in range(g[LOSS.features]):
            here = equal(label, fill(x, k))
            own = select(here, load(x, k * g[LOSS.places] + place), own)
            if g[LOSS.class_weights]:
                factor = select(here, multiply(portion, splat(options, 1 + k)), factor)
        limit, slope = subtract(margin, own), multiply(factor, scale)
        paid, payers = zero, zero
        for k in range(g[LOSS.features]):
            at = k * g[LOSS.places] + place
            v = add(limit, load(x, at))
            v = select(equal(label, fill(x, k)), zero, v)
            pays = greater(v, zero)
            paid = add(paid, select(greater(zero, v), zero, v))  # so that NaN stays NaN
            payers = add(payers, select(pays, one, zero))
            store(dx, at, select(valid, select(pays, slope, zero), zero))
        for k in range(g[LOSS.features]):
            at = k * g[LOSS.places] + place
            pull = subtract(zero, multiply(payers, slope))
            store(dx, at, select(equal(label, fill(x, k)), select(valid, pull, zero), load(dx, at)))
        loss, lost = add_exactly(loss, lost, multiply(factor, paid))
        right = add(right, select(equal(label, answer), one, zero))
    record_classes(sums, loss, right, weights, valid, g)


@operation
def binary_hinge(x, target, dx, sums, weight, _e, g, s):
    """max(0, 1 - t x) for t = 2 y - 1; dx = -t where that is positive.

    Source: Cortes and Vapnik (1995), Support-vector networks; Keras's hinge.
    """
    zero, one, half, two = fill(x, 0.0), fill(x, 1.0), fill(x, 0.5), fill(x, 2.0)
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = multiply(weights, fill(x, 1.0 / (s[STATE.samples] * g[LOSS.features])))
    loss, lost, right = zero, zero, zero
    for k in range(g[LOSS.features]):
        v, y = load(x, k), load(target, k)
        sign = subtract(multiply(two, y), one)
        paid = subtract(one, multiply(sign, v))
        slope = select(greater(paid, zero), subtract(zero, sign), zero)
        store(dx, k, select(valid, multiply(slope, scale), zero))
        loss, lost = add_exactly(loss, lost, select(greater(zero, paid), zero, paid))
        right = add(right, select(same_side(v, zero, y, half), one, zero))
    sums[SUMS.loss] = total(select(valid, multiply(weights, loss), zero)) / g[LOSS.features]
    sums[SUMS.correct] = total(select(valid, right, zero)) / g[LOSS.features]
