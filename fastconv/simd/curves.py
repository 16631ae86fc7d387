"""Activations and their derivatives for one vector: what lane kernels and public kernels share.

`..._slope(dy, v, ...)` is dy times the derivative, given the output (relu6, elu, hardsigmoid, softplus) or
the input (silu, gelu, hardswish) as v: those that know their slope from the output may work in place.
"""

import math

from . import add, divide, equal, fill_like, fma, greater, multiply, select, subtract
from .compiling import inlined
from .vector_math import exp, log, tanh

# (1 + 2 z) exp(z**2) erfc(z) in Chebyshev polynomials of (z - 3.75) / (z + 3.75): Shepherd and Laframboise
# (1981), with coefficients computed anew to 20 digits.
_ERFC = (
    1.1775789345674017541, -0.0045900545806464773309, -0.084249133366517915584, 0.059209939998191890498,
    -0.026658668435305752277, 0.0090749976707052650939, -0.0024131635404176081909,
    0.00049077583652580863229, -0.000069169733025012063671, 4.1390279860730101675e-6,
    7.7403830661984906686e-7, -2.1886401049234395661e-7, 1.0764999465670910377e-8, 4.5219598112182868979e-9,
    -7.7544002088313511065e-10, -6.3180883408866844944e-11, 2.8687950109306698981e-11,
    1.945586854577734723e-13, -9.6546967484334389059e-13, 3.2525481481487398415e-14,
    3.3478119482868053878e-14, -1.8645628804193131015e-15, -1.2507950530688647085e-15,
)  # fmt: skip
_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_TANH_SCALE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715


@inlined
def _clamped(v, low, high):
    """v within two vectors; NaN stays."""
    v = select(greater(low, v), low, v)
    return select(greater(v, high), high, v)


@inlined
def relu6(v):
    """min(max(v, 0), 6)."""
    return _clamped(v, fill_like(v, 0.0), fill_like(v, 6.0))


@inlined
def relu6_slope(dy, y):
    zero = fill_like(y, 0.0)
    inner = select(greater(y, zero), dy, zero)
    return select(greater(fill_like(y, 6.0), y), inner, zero)


@inlined
def elu(v, alpha):
    """v where it is positive, else alpha * (exp(v) - 1)."""
    # tanh(v / 2) = (exp(v) - 1) / (exp(v) + 1) keeps the digits of exp(v) - 1 near 0.
    below = multiply(tanh(multiply(v, fill_like(v, 0.5))), add(exp(v), fill_like(v, 1.0)))
    return select(greater(v, fill_like(v, 0.0)), v, multiply(alpha, below))


@inlined
def elu_slope(dy, y, alpha):
    return select(greater(y, fill_like(y, 0.0)), dy, multiply(dy, add(y, alpha)))


@inlined
def sigmoid(v):
    """1 / (1 + exp(-v))."""
    one = fill_like(v, 1.0)
    return divide(one, add(one, exp(subtract(fill_like(v, 0.0), v))))


@inlined
def silu(v):
    """v * sigmoid(v)."""
    return multiply(v, sigmoid(v))


@inlined
def silu_slope(dy, x):
    one, s = fill_like(x, 1.0), sigmoid(x)
    return multiply(dy, multiply(s, fma(x, subtract(one, s), one)))


@inlined
def _normal_tail(z):
    """erfc(z / sqrt(2)) / 2 of z >= 0: how likely a standard normal number is larger than z."""
    u = multiply(z, fill_like(z, _ROOT_HALF))
    k = fill_like(z, 3.75)
    t = divide(subtract(u, k), add(u, k))
    twice = add(t, t)
    ahead, here = fill_like(z, 0.0), fill_like(z, 0.0)
    for n in range(len(_ERFC) - 1, 0, -1):  # Clenshaw's recurrence
        ahead, here = here, add(fma(twice, here, fill_like(z, _ERFC[n])), subtract(fill_like(z, 0.0), ahead))
    series = add(fma(t, here, fill_like(z, _ERFC[0])), subtract(fill_like(z, 0.0), ahead))
    gauss = exp(multiply(fill_like(z, -0.5), multiply(z, z)))
    return divide(multiply(fill_like(z, 0.5), multiply(series, gauss)), add(fill_like(z, 1.0), add(u, u)))


@inlined
def _normal_share(v):
    """How likely a standard normal number is smaller than v."""
    zero = fill_like(v, 0.0)
    below = greater(zero, v)
    size = select(below, subtract(zero, v), v)
    limit = fill_like(v, 40.0)  # past it, the tail is 0 and z * z may overflow
    tail = _normal_tail(select(greater(size, limit), limit, size))
    return select(below, tail, subtract(fill_like(v, 1.0), tail))


@inlined
def gelu(v):
    """v times the share of standard normal numbers below v."""
    return multiply(v, _normal_share(v))


@inlined
def gelu_slope(dy, x):
    gauss = exp(multiply(fill_like(x, -0.5), multiply(x, x)))
    density = multiply(fill_like(x, _DENSITY), gauss)
    return multiply(dy, fma(x, density, _normal_share(x)))


@inlined
def _gelu_inner(v):
    """sqrt(2 / pi) * (v + 0.044715 v**3)."""
    cubic = fma(multiply(fill_like(v, _TANH_CUBE), multiply(v, v)), v, v)
    return multiply(fill_like(v, _TANH_SCALE), cubic)


@inlined
def gelu_tanh(v):
    """v * (1 + tanh(sqrt(2 / pi) * (v + 0.044715 v**3))) / 2."""
    half = multiply(fill_like(v, 0.5), v)
    return fma(half, tanh(_gelu_inner(v)), half)


@inlined
def gelu_tanh_slope(dy, x):
    one, half = fill_like(x, 1.0), fill_like(x, 0.5)
    t = tanh(_gelu_inner(x))
    inner = multiply(fill_like(x, _TANH_SCALE), fma(fill_like(x, 3 * _TANH_CUBE), multiply(x, x), one))
    curved = multiply(multiply(half, x), multiply(multiply(subtract(one, t), add(one, t)), inner))
    return multiply(dy, add(multiply(half, add(one, t)), curved))


@inlined
def hardsigmoid(v):
    """min(max(v / 6 + 1 / 2, 0), 1)."""
    inner = _clamped(add(v, fill_like(v, 3.0)), fill_like(v, 0.0), fill_like(v, 6.0))
    return divide(inner, fill_like(v, 6.0))


@inlined
def hardsigmoid_slope(dy, y):
    zero, one = fill_like(y, 0.0), fill_like(y, 1.0)
    inner = select(greater(y, zero), divide(dy, fill_like(y, 6.0)), zero)
    return select(greater(one, y), inner, zero)


@inlined
def hardswish(v):
    """v * hardsigmoid(v)."""
    return multiply(v, hardsigmoid(v))


@inlined
def hardswish_slope(dy, x):
    zero, three = fill_like(x, 0.0), fill_like(x, 3.0)
    inner = multiply(dy, add(divide(x, three), fill_like(x, 0.5)))
    above = select(greater(three, x), inner, dy)
    return select(greater(x, subtract(zero, three)), above, zero)


@inlined
def softplus(v):
    """log(1 + exp(v)) = max(v, 0) + log(1 + exp(-|v|))."""
    zero, one = fill_like(v, 0.0), fill_like(v, 1.0)
    above = greater(v, zero)
    e = exp(select(above, subtract(zero, v), v))
    u = add(one, e)
    # log(u) * e / (u - 1) has the digits of log(1 + e) that u has lost: Kahan's correction.
    nothing_lost = select(equal(u, one), e, multiply(log(u), divide(e, _or_one(subtract(u, one)))))
    return add(select(above, v, zero), nothing_lost)


@inlined
def _or_one(v):
    """v, or 1 where it is 0."""
    return select(equal(v, fill_like(v, 0.0)), fill_like(v, 1.0), v)


@inlined
def softplus_slope(dy, y):
    """dy * sigmoid(x) = dy * (1 - exp(-y)); tanh(y / 2) keeps its digits near 0."""
    one, half = fill_like(y, 1.0), multiply(fill_like(y, 0.5), y)
    below = multiply(tanh(half), add(one, exp(subtract(fill_like(y, 0.0), y))))
    return multiply(dy, below)
