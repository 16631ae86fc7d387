"""Losses of a block, and the gradient that the backward pass starts from.

x, target and dx hold features [K][lanes]; the lanes past the batch get no loss and no gradient. A
gradient is that of the batch's mean: divided by the samples of this batch (and, for the elementwise
losses, by the features). `sums` takes the block's loss and its number of right answers.

Where samples have weights, `weight` holds a number for each, which loss and gradient are multiplied by; the
mean still divides by the number of samples (Keras' convention), and each right answer counts as one.
"""

from typing import NamedTuple

from numba.extending import register_jitable

from ...simd import (
    add,
    divide,
    equal,
    fill,
    fill_like,
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
from .operation import STATE, offsets_of, operation


class LossGeometry(NamedTuple):
    """What a loss knows of the outputs of a sample."""

    features: int  # numbers of an output, or classes at each of its places
    clipped: int = 0  # whether `bce_with_logits` clips its logarithms as `bce` does
    weighted: int = 0  # whether every sample has a weight
    labels: int = 0  # whether `soft_cross_entropy` reads a label, not a part for each class
    places: int = 1  # pixels of an output that have classes each: class k of place p is number k * places + p
    class_weights: int = 0  # whether a weight for each class lies behind the other options


class RecordGeometry(NamedTuple):
    """What `record` knows of the blocks' sums."""

    block: int  # distance in scalars between the sums of two blocks
    first: int  # in the log, the place in a step's row
    row: int  # scalars from one step's row to the next


class Sums(NamedTuple):
    """What a block, and a step of training, leaves behind."""

    loss: int
    correct: int  # right answers


LOSS, RECORD, SUMS = offsets_of(LossGeometry), offsets_of(RecordGeometry), offsets_of(Sums)


@register_jitable
def same_side(a, threshold, b, half):
    """The mask of the lanes where `a` is above `threshold` and b above `half`, or neither is."""
    one, zero = fill_like(a, 1.0), fill_like(a, 0.0)
    first = select(greater(a, threshold), one, zero)
    return equal(first, select(greater(b, half), one, zero))


@register_jitable
def lane_weights(x, weight, g):
    """The weight of each lane's sample; 1 where samples have none, which changes no bit."""
    return load(weight, 0) if g[LOSS.weighted] else fill(x, 1.0)


@register_jitable
def log1p(v):
    """log(1 + v) for v from -1 to 1, without the digits that 1 + v loses.

    Source: Kahan's log(u) * v / (u - 1) with u = 1 + v, in Goldberg (1991), theorem 4.
    """
    one = fill_like(v, 1.0)
    u = add(one, v)
    return select(equal(u, one), v, divide(multiply(log(u), v), subtract(u, one)))


@register_jitable
def add_exactly(total_, lost, v):
    """Add v to a running total: returns the new one, and the rounding error to take off the next addend.

    A plain sum would not do: images of outputs have a million addends.

    Source: Kahan (1965), Further remarks on reducing truncation errors.
    """
    v = subtract(v, lost)
    grown = add(total_, v)
    return grown, subtract(subtract(grown, total_), v)


@register_jitable
def share_of_place(x, weights, g, s):
    """What the gradient of each place is multiplied by: its sample's weight, over all places of the batch."""
    return multiply(weights, fill(x, 1.0 / (s[STATE.samples] * g[LOSS.places])))


@register_jitable
def largest(x, place, g):
    """The first class of a place that has the largest number, and that number."""
    top, answer = load(x, place), fill(x, 0.0)
    for k in range(1, g[LOSS.features]):
        v = load(x, k * g[LOSS.places] + place)
        higher = greater(v, top)
        top, answer = select(higher, v, top), select(higher, fill(x, k), answer)
    return top, answer


@register_jitable
def record_classes(sums, loss, right, weights, valid, g):
    """Leave the losses and right answers of all places in the sums of the block."""
    zero = fill_like(loss, 0.0)
    sums[SUMS.loss] = total(select(valid, multiply(weights, loss), zero)) / g[LOSS.places]
    sums[SUMS.correct] = total(select(valid, right, zero)) / g[LOSS.places]


@operation
def cross_entropy(x, target, dx, sums, weight, _e, g, s):
    """log(sum of exp(x)) - x[label]; dx = softmax(x), minus 1 at the label.

    Source: Bishop (2006), eq. 4.108 and 4.109.
    """
    zero, one = fill(x, 0.0), fill(x, 1.0)
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = share_of_place(x, weights, g, s)
    loss, lost, right = zero, zero, zero
    for place in range(g[LOSS.places]):
        label = load(target, place)
        top, answer = largest(x, place, g)
        mass, own = zero, zero
        for k in range(g[LOSS.features]):
            at = k * g[LOSS.places] + place
            v = subtract(load(x, at), top)
            own = select(equal(label, fill(x, k)), v, own)
            v = exp(v)
            store(dx, at, v)
            mass = add(mass, v)
        inverse = divide(one, mass)
        for k in range(g[LOSS.features]):
            at = k * g[LOSS.places] + place
            v = multiply(load(dx, at), inverse)
            v = select(equal(label, fill(x, k)), subtract(v, one), v)
            store(dx, at, select(valid, multiply(v, scale), zero))
        loss, lost = add_exactly(loss, lost, subtract(log(mass), own))
        right = add(right, select(equal(label, answer), one, zero))
    record_classes(sums, loss, right, weights, valid, g)


@register_jitable
def _part_of_class(k, place, label, target, options, keep, share, g):
    """What class `k` has of a place: of its target, smoothed, times the weight of the class."""
    if g[LOSS.labels]:
        part = select(equal(label, fill_like(label, k)), fill_like(label, 1.0), fill_like(label, 0.0))
    else:
        part = load(target, k * g[LOSS.places] + place)
    part = fma(part, keep, share)
    return multiply(part, splat(options, 1 + k)) if g[LOSS.class_weights] else part


@operation
def soft_cross_entropy(x, target, dx, sums, weight, options, g, s):
    """sum of t (log(sum of exp(x)) - x) for the parts t of the classes; dx = softmax(x) sum of t, minus t.

    A part is that of the target, or 1 at the label, times (1 - smoothing), plus smoothing / classes, and all
    that times the weight of the class.

    options: smoothing, weights of the classes.
    Source: Szegedy and others (2016), Rethinking the inception architecture, section 7.
    """
    zero, one = fill(x, 0.0), fill(x, 1.0)
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = share_of_place(x, weights, g, s)
    keep, share = fill(x, 1.0 - options[0]), fill(x, options[0] / g[LOSS.features])
    loss, lost, right = zero, zero, zero
    for place in range(g[LOSS.places]):
        top, answer = largest(x, place, g)
        label = load(target, place)
        wanted = label if g[LOSS.labels] else largest(target, place, g)[1]
        mass, whole, taken = zero, zero, zero
        for k in range(g[LOSS.features]):
            at = k * g[LOSS.places] + place
            v = subtract(load(x, at), top)
            part = _part_of_class(k, place, label, target, options, keep, share, g)
            whole = add(whole, part)
            taken = add(taken, select(equal(part, zero), zero, multiply(part, v)))  # no infinity times 0
            v = exp(v)
            store(dx, at, v)
            mass = add(mass, v)
        factor = divide(whole, mass)
        for k in range(g[LOSS.features]):
            at = k * g[LOSS.places] + place
            part = _part_of_class(k, place, label, target, options, keep, share, g)
            v = subtract(multiply(load(dx, at), factor), part)
            store(dx, at, select(valid, multiply(v, scale), zero))
        loss, lost = add_exactly(loss, lost, subtract(multiply(whole, log(mass)), taken))
        right = add(right, select(equal(wanted, answer), one, zero))
    record_classes(sums, loss, right, weights, valid, g)


@operation
def bce_with_logits(x, target, dx, sums, weight, _e, g, s):
    """(1 - y) * x - log(sigmoid(x)), with PyTorch's infinities; dx = sigmoid(x) - y.

    After a final sigmoid layer the engine calls this on the layer's input, clipped: the fused form of `bce`.
    """
    zero, one, half = fill(x, 0.0), fill(x, 1.0), fill(x, 0.5)
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = multiply(weights, fill(x, 1.0 / (s[STATE.samples] * g[LOSS.features])))
    loss, lost, right = zero, zero, zero
    cap = fill(x, 100.0)
    for k in range(g[LOSS.features]):
        v, y = load(x, k), load(target, k)
        small = exp(select(greater(v, zero), subtract(zero, v), v))
        p = divide(select(greater(v, zero), one, small), add(one, small))
        p = select(equal(v, v), p, v)
        store(dx, k, select(valid, multiply(subtract(p, y), scale), zero))
        right = add(right, select(same_side(v, zero, y, half), one, zero))
        # -log(sigmoid(x)) = rest + below and -log(1 - sigmoid(x)) = rest + x + below.
        rest, below = log1p(small), select(greater(v, zero), zero, subtract(zero, v))
        if g[LOSS.clipped]:
            on_true, on_false = add(rest, below), add(rest, select(greater(v, zero), v, zero))
            on_true = select(greater(on_true, cap), cap, on_true)
            on_false = select(greater(on_false, cap), cap, on_false)
            v = fma(y, on_true, multiply(subtract(one, y), on_false))
        else:
            v = add(rest, fma(subtract(one, y), v, below))
        loss, lost = add_exactly(loss, lost, v)
    sums[SUMS.loss] = total(select(valid, multiply(weights, loss), zero)) / g[LOSS.features]
    sums[SUMS.correct] = total(select(valid, right, zero)) / g[LOSS.features]


@operation
def bce(x, target, dx, sums, weight, _e, g, s):
    """-(y log p + (1 - y) log(1 - p)), logarithms clipped at -100; dx = (p - y) / max(p (1 - p), 1e-12)."""
    zero, one, half = fill(x, 0.0), fill(x, 1.0), fill(x, 0.5)
    floor, tiny = fill(x, -100.0), fill(x, 1e-12)
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = multiply(weights, fill(x, 1.0 / (s[STATE.samples] * g[LOSS.features])))
    loss, lost, right = zero, zero, zero
    for k in range(g[LOSS.features]):
        p, y = load(x, k), load(target, k)
        q = subtract(one, p)
        on_true, on_false = log(p), log1p(subtract(zero, p))
        on_true = select(greater(floor, on_true), floor, on_true)
        on_false = select(greater(floor, on_false), floor, on_false)
        v = subtract(zero, fma(y, on_true, multiply(subtract(one, y), on_false)))
        loss, lost = add_exactly(loss, lost, v)
        spread = multiply(p, q)
        spread = select(greater(tiny, spread), tiny, spread)
        slope = divide(subtract(p, y), spread)
        store(dx, k, select(valid, multiply(slope, scale), zero))
        right = add(right, select(same_side(p, half, y, half), one, zero))
    sums[SUMS.loss] = total(select(valid, multiply(weights, loss), zero)) / g[LOSS.features]
    sums[SUMS.correct] = total(select(valid, right, zero)) / g[LOSS.features]


@operation
def mse(x, target, dx, sums, weight, _e, g, s):
    """(x - y)**2; dx = 2 (x - y)."""
    zero = fill(x, 0.0)
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = multiply(weights, fill(x, 2.0 / (s[STATE.samples] * g[LOSS.features])))
    loss, lost = zero, zero
    for k in range(g[LOSS.features]):
        error = subtract(load(x, k), load(target, k))
        loss, lost = add_exactly(loss, lost, multiply(error, error))
        store(dx, k, select(valid, multiply(error, scale), zero))
    sums[SUMS.loss] = total(select(valid, multiply(weights, loss), zero)) / g[LOSS.features]
    sums[SUMS.correct] = 0.0


@register_jitable
def _clipped_error(x, target, dx, sums, weight, limit, factor, g, s):
    """factor times: (x - y)**2 / 2 up to an error of limit, then limit (|x - y| - limit / 2)."""
    zero, half = fill(x, 0.0), fill(x, 0.5)
    highest, lowest = fill(x, limit), fill(x, -limit)
    valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
    scale = multiply(weights, fill(x, factor / (s[STATE.samples] * g[LOSS.features])))
    loss, lost = zero, zero
    for k in range(g[LOSS.features]):
        error = subtract(load(x, k), load(target, k))
        slope = select(greater(error, highest), highest, select(greater(lowest, error), lowest, error))
        # With the slope s: s**2 / 2 + s (error - s), the parabola and what the line goes on.
        v = multiply(slope, subtract(error, multiply(half, slope)))
        loss, lost = add_exactly(loss, lost, v)
        store(dx, k, select(valid, multiply(slope, scale), zero))
    sums[SUMS.loss] = total(select(valid, multiply(weights, loss), zero)) / g[LOSS.features] * factor
    sums[SUMS.correct] = 0.0


@operation
def huber(x, target, dx, sums, weight, options, g, s):
    """(x - y)**2 / 2 up to an error of delta, then delta (|x - y| - delta / 2); dx = x - y within +-delta.

    options: delta.
    """
    _clipped_error(x, target, dx, sums, weight, options[0], 1.0, g, s)


@operation
def smooth_l1(x, target, dx, sums, weight, options, g, s):
    """(x - y)**2 / (2 beta) up to an error of beta, then |x - y| - beta / 2; dx = (x - y) / beta within +-1.

    options: beta.
    """
    _clipped_error(x, target, dx, sums, weight, options[0], 1.0 / options[0], g, s)


@operation
def record(sums, log_, _b, _c, _d, _e, g, s):
    """log[step] = (mean loss, right answers) of the batch, blocks added in order."""
    if s[STATE.part] == 0:
        loss, right = 0.0, 0.0
        for block in range(s[STATE.blocks]):
            loss += sums[block * g[RECORD.block] + SUMS.loss]
            right += sums[block * g[RECORD.block] + SUMS.correct]
        place = s[STATE.step] * g[RECORD.row] + g[RECORD.first]
        log_[place + SUMS.loss] = loss / s[STATE.samples]
        log_[place + SUMS.correct] = right
