"""Optimizers on flat vectors of parameters; each thread takes some of them.

w, gradient and the state are flat, `options` the optimizer's numbers, `rates` one learning rate a step.
g: number of parameters, flags.
"""

import math

from .operation import STEP, UPDATE, operation, share


@operation
def sgd(w, gradient, velocity, options, rates, _e, g, s):
    """v = momentum * v + gradient + weight_decay * w; w -= rate * v (or Nesterov's gradient + momentum * v).

    options: momentum, weight_decay. g[1]: 1 for Nesterov.
    Source: Sutskever et al. (2013), in PyTorch's form.
    """
    momentum, decay, rate = options[0], options[1], rates[s[STEP]]
    first, last = share(g[0], s)
    for k in range(first, last):
        slope = gradient[k] + decay * w[k]
        if momentum != 0:
            velocity[k] = momentum * velocity[k] + slope
            slope = slope + momentum * velocity[k] if g[1] else velocity[k]
        w[k] -= rate * slope


@operation
def adam(w, gradient, mean, square, options, rates, g, s):
    """Adam; with g[1] = 1 the decay acts on the weights themselves (AdamW).

    options: beta1, beta2, eps, weight_decay. Source: Kingma and Ba (2015); Loshchilov and Hutter (2019).
    """
    beta1, beta2, eps, decay, rate = options[0], options[1], options[2], options[3], rates[s[STEP]]
    correction1 = 1 - beta1 ** s[UPDATE]
    correction2 = math.sqrt(1 - beta2 ** s[UPDATE])
    first, last = share(g[0], s)
    for k in range(first, last):
        slope = gradient[k]
        if g[1]:
            w[k] -= rate * decay * w[k]
        else:
            slope += decay * w[k]
        mean[k] += (1 - beta1) * (slope - mean[k])
        square[k] += (1 - beta2) * (slope * slope - square[k])
        w[k] -= rate / correction1 * mean[k] / (math.sqrt(square[k]) / correction2 + eps)
