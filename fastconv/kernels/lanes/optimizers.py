"""Optimizers on flat vectors of parameters; each thread takes some of them.

w, gradient and the state are flat, `options` the optimizer's numbers, `rates` one learning rate a step.
Parameters are changed in runs, as the table behind the geometry has them: what lies in none is left as it is.
Weight decay acts on all of a run or on nothing of it.
"""

import math
from typing import NamedTuple

import numpy as np

from ...simd import advance, convert
from ...simd.compiling import internal
from .operation import STATE, offsets_of, operation, share


class UpdateGeometry(NamedTuple):
    """What an update knows beside the vectors that it works on."""

    parameters: int
    variant: int = 0  # 1: of `sgd` Nesterov's, of `adam` the decay of AdamW, of `rmsprop` centered
    state_distance: int = 0  # numbers from one state vector to the next, where they lie in one
    runs: int = 0  # of parameters; the table behind has (first, end, whether they decay) of each


UPDATE = offsets_of(UpdateGeometry)
RUN_FIELDS = 3


def update_geometry(runs, parameters, variant, state_distance):
    """Make the geometry of an update of the runs (first, end, whether they decay) of the parameters."""
    g = UpdateGeometry(parameters, variant, state_distance, len(runs))
    return np.array([*g, *(int(number) for run in runs for number in run)], np.int64)


@internal
def my_part(g, run, s):
    """Which parameters of a run this thread changes: (the first, the one after the last)."""
    first, last = share(g[UPDATE.parameters], s)
    at = len(UPDATE) + run * RUN_FIELDS
    return max(first, g[at]), min(last, g[at + 1])


@internal
def decay_of(g, run, decay, w):
    """The weight decay of a run: `decay`, or 0."""
    return decay if g[len(UPDATE) + run * RUN_FIELDS + 2] else convert(0, w)


CHUNK = 1024  # gradients whose squares are added in one place, whatever the number of threads


@operation
def chunk_norms(gradient, norms, _b, _c, _d, _e, g, s):
    """norms[chunk] = Euclidean norm of each chunk of the gradient; squares are added in float64.

    Four sums, since each addition waits for the one before it.
    """
    first, last = share((g[UPDATE.parameters] + CHUNK - 1) // CHUNK, s)
    for chunk in range(first, last):
        begin, end = chunk * CHUNK, min((chunk + 1) * CHUNK, g[UPDATE.parameters])
        even = end - (end - begin) % 4
        a = b = c = d = 0.0
        for k in range(begin, even, 4):
            a += np.float64(gradient[k]) * np.float64(gradient[k])
            b += np.float64(gradient[k + 1]) * np.float64(gradient[k + 1])
            c += np.float64(gradient[k + 2]) * np.float64(gradient[k + 2])
            d += np.float64(gradient[k + 3]) * np.float64(gradient[k + 3])
        for k in range(even, end):
            a += np.float64(gradient[k]) * np.float64(gradient[k])
        norms[chunk] = math.sqrt((a + b) + (c + d))


@operation
def clip_norm(gradient, norms, limit, _c, _d, _e, g, s):
    """gradient *= min(1, limit / (norm + 1e-6)), the norm from those of its chunks.

    Source: Pascanu et al. (2013), algorithm 1, in PyTorch's form (clip_grad_norm_).
    """
    total = 0.0
    for chunk in range((g[UPDATE.parameters] + CHUNK - 1) // CHUNK):
        total += np.float64(norms[chunk]) * np.float64(norms[chunk])
    scale = limit[0] / (math.sqrt(total) + 1e-6)
    if not scale >= 1:  # so that a gradient that is not a number stays none
        first, last = share(g[UPDATE.parameters], s)
        for k in range(first, last):
            gradient[k] *= scale


@operation
def clip_value(gradient, limit, _b, _c, _d, _e, g, s):
    """Each gradient that is beyond -limit or limit becomes that; NaN stays NaN."""
    first, last = share(g[UPDATE.parameters], s)
    for k in range(first, last):
        if gradient[k] > limit[0]:
            gradient[k] = limit[0]
        elif gradient[k] < -limit[0]:
            gradient[k] = -limit[0]


@operation
def sgd(w, gradient, velocity, options, rates, _e, g, s):
    """v = momentum * v + gradient + weight_decay * w; w -= rate * v (or Nesterov's gradient + momentum * v).

    options: momentum, weight_decay. The variant is Nesterov's.
    Source: Sutskever et al. (2013), in PyTorch's form.
    """
    momentum, rate = options[0], rates[s[STATE.step]]
    for run in range(g[UPDATE.runs]):
        first, last = my_part(g, run, s)
        decay = decay_of(g, run, options[1], w)
        for k in range(first, last):
            slope = gradient[k] + decay * w[k]
            if momentum != 0:
                velocity[k] = momentum * velocity[k] + slope
                slope = slope + momentum * velocity[k] if g[UPDATE.variant] else velocity[k]
            w[k] -= rate * slope


@operation
def adam(w, gradient, mean, square, options, rates, g, s):
    """Adam; with g[1] = 1 the decay acts on the weights themselves (AdamW).

    options: beta1, beta2, eps, weight_decay. Source: Kingma and Ba (2015); Loshchilov and Hutter (2019).
    """
    beta1, beta2, eps, rate = options[0], options[1], options[2], rates[s[STATE.step]]
    correction1 = 1 - beta1 ** s[STATE.update]
    correction2 = math.sqrt(1 - beta2 ** s[STATE.update])
    for run in range(g[UPDATE.runs]):
        first, last = my_part(g, run, s)
        decay = decay_of(g, run, options[3], w)
        for k in range(first, last):
            slope = gradient[k]
            if g[UPDATE.variant]:
                w[k] -= rate * decay * w[k]
            else:
                slope += decay * w[k]
            mean[k] += (1 - beta1) * (slope - mean[k])
            square[k] += (1 - beta2) * (slope * slope - square[k])
            w[k] -= rate / correction1 * mean[k] / (math.sqrt(square[k]) / correction2 + eps)


@operation
def rmsprop(w, gradient, state, options, rates, _e, g, s):
    """w -= rate * v, v = momentum * v + slope / (sqrt(mean square) + eps); PyTorch's form of RMSprop.

    options: alpha, eps, weight_decay, momentum. state: mean squares, then velocities, then means, which are
    kept where it is centered: the mean square is then taken around the mean, as a variance.
    Source: Tieleman and Hinton (2012), lecture 6.5; Graves (2013), eq. 38 to 45, for the centered form.
    """
    alpha, eps, momentum, rate = options[0], options[1], options[3], rates[s[STATE.step]]
    distance, centered = g[UPDATE.state_distance], g[UPDATE.variant]
    velocity, mean = advance(state, distance), advance(state, 2 * distance)
    for run in range(g[UPDATE.runs]):
        first, last = my_part(g, run, s)
        decay = decay_of(g, run, options[2], w)
        for k in range(first, last):
            slope = gradient[k] + decay * w[k]
            state[k] += (1 - alpha) * (slope * slope - state[k])
            size = state[k]
            if centered:
                mean[k] += (1 - alpha) * (slope - mean[k])
                size = max(size - mean[k] * mean[k], size * 0)  # rounding must not make it negative
            slope /= math.sqrt(size) + eps
            if momentum != 0:
                velocity[k] = momentum * velocity[k] + slope
                slope = velocity[k]
            w[k] -= rate * slope


@operation
def lion(w, gradient, mean, options, rates, _e, g, s):
    """w -= rate * (sign(beta1 * mean + (1 - beta1) * gradient) + weight_decay * w); then the mean follows.

    options: beta1, beta2 (the part of the mean that is kept), weight_decay.
    Source: Chen and others (2023), Symbolic discovery of optimization algorithms, algorithm 2.
    """
    beta1, beta2, rate = options[0], options[1], rates[s[STATE.step]]
    one, zero = convert(1, w), convert(0, w)
    for run in range(g[UPDATE.runs]):
        first, last = my_part(g, run, s)
        decay = decay_of(g, run, options[2], w)
        for k in range(first, last):
            way = mean[k] + (1 - beta1) * (gradient[k] - mean[k])
            sign = one if way > zero else (-one if way < zero else way)  # NaN stays NaN
            w[k] -= rate * (sign + decay * w[k])
            mean[k] += (1 - beta2) * (gradient[k] - mean[k])
