"""Focal losses of a block: cross-entropy times (1 - p)**gamma, with p the probability of what is right.

Memory is that of the other losses: see losses.py. Source: Lin and others (2017), Focal loss for dense object
detection.
"""

from numba.extending import register_jitable

from ...simd import (
    add,
    divide,
    equal,
    fill,
    fma,
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
from ...simd.vector_math import exp, log
from .losses import (
    LOSS,
    SUMS,
    add_exactly,
    lane_weights,
    largest,
    log1p,
    record_classes,
    same_side,
    share_of_place,
)
from .operation import STATE, operation

SMALLEST = 1e-37  # of 1 - p, whose logarithm is taken; float32 has nothing much smaller


@register_jitable
def _focus(x, miss, gamma):
    """(1 - p)**gamma, and 1 - p so that it can be divided by."""
    smallest = fill(x, SMALLEST)
    miss = select(greater(miss, smallest), miss, smallest)
    return exp(multiply(gamma, log(miss))), miss


@operation
def focal(x, target, dx, sums, weight, options, g, s):
    """-(1 - p)**gamma log p for the softmax p of the label; dx = w (softmax(x), minus 1 at the label).

    w = (1 - p)**gamma - gamma p log p (1 - p)**(gamma - 1).

    options: gamma, weights of the classes.
    """
    zero, one, gamma = fill(x, 0.0), fill(x, 1.0), fill(x, options[0])
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = share_of_place(x, weights, g, s)
    loss, lost, right = zero, zero, zero
    for place in range(g[LOSS.places]):
        label = load(target, place)
        top, answer = largest(x, place, g)
        own, others, logit, factor = zero, zero, zero, one
        for k in range(g[LOSS.features]):
            at, here = k * g[LOSS.places] + place, equal(label, fill(x, k))
            v = subtract(load(x, at), top)
            logit = select(here, v, logit)
            if g[LOSS.class_weights]:
                factor = select(here, splat(options, 1 + k), factor)
            v = exp(v)
            store(dx, at, v)
            own, others = select(here, v, own), add(others, select(here, zero, v))
        mass = add(own, others)
        inverse = divide(one, mass)
        # Of a sure answer the logarithm of the mass would lose all digits.
        unsure = greater(others, own)
        entropy = log1p(divide(others, select(unsure, others, own)))
        entropy = select(unsure, subtract(log(mass), logit), entropy)
        power, miss = _focus(x, multiply(others, inverse), gamma)
        power = multiply(power, factor)
        steeper = multiply(multiply(own, inverse), divide(entropy, miss))
        steeper = select(greater(own, zero), fma(gamma, steeper, one), one)  # no infinity times 0
        slope = multiply(power, steeper)
        for k in range(g[LOSS.features]):
            at = k * g[LOSS.places] + place
            v = multiply(load(dx, at), inverse)
            v = select(equal(label, fill(x, k)), subtract(zero, multiply(others, inverse)), v)
            store(dx, at, select(valid, multiply(multiply(v, slope), scale), zero))
        loss, lost = add_exactly(loss, lost, multiply(power, entropy))
        right = add(right, select(equal(label, answer), one, zero))
    record_classes(sums, loss, right, weights, valid, g)


@operation
def binary_focal(x, target, dx, sums, weight, options, g, s):
    """alpha_t (1 - p_t)**gamma times `bce_with_logits`, with p_t the probability of the target.

    1 - p_t = u = p (1 - y) + q y for p = sigmoid(x) and q = 1 - p;
    dx = alpha_t u**gamma (gamma (1 - 2 y) p q / u * bce_with_logits + p - y).

    options: alpha, the part of a yes in alpha_t, or less than 0 for none; gamma.
    """
    zero, one, half, two = fill(x, 0.0), fill(x, 1.0), fill(x, 0.5), fill(x, 2.0)
    yes, no, gamma = one, one, fill(x, options[1])
    if options[0] >= 0:
        yes, no = fill(x, options[0]), fill(x, 1.0 - options[0])
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = multiply(weights, fill(x, 1.0 / (s[STATE.samples] * g[LOSS.features])))
    loss, lost, right = zero, zero, zero
    for k in range(g[LOSS.features]):
        v, y = load(x, k), load(target, k)
        rest, positive = subtract(one, y), greater(v, zero)
        small = exp(select(positive, subtract(zero, v), v))
        large = divide(one, add(one, small))
        small_part = multiply(small, large)
        p, q = select(positive, large, small_part), select(positive, small_part, large)
        below = select(positive, zero, subtract(zero, v))
        entropy = add(log1p(small), fma(rest, v, below))
        power, miss = _focus(x, fma(p, rest, multiply(q, y)), gamma)
        power = multiply(power, fma(yes, y, multiply(no, rest)))
        steeper = multiply(divide(multiply(p, q), miss), entropy)
        steeper = select(equal(small, zero), zero, steeper)  # no infinity times 0
        steeper = multiply(multiply(gamma, subtract(one, multiply(two, y))), steeper)
        slope = multiply(power, add(steeper, subtract(multiply(p, rest), multiply(q, y))))
        store(dx, k, select(valid, multiply(slope, scale), zero))
        right = add(right, select(same_side(v, zero, y, half), one, zero))
        loss, lost = add_exactly(loss, lost, multiply(power, entropy))
    sums[SUMS.loss] = total(select(valid, multiply(weights, loss), zero)) / g[LOSS.features]
    sums[SUMS.correct] = total(select(valid, right, zero)) / g[LOSS.features]
