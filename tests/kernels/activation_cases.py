"""The activations, their gradients, and numbers for them."""

import numpy as np
import scipy.special

from fastconv.kernels import (
    leaky_relu,
    leaky_relu_grad,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    tanh,
    tanh_grad,
)

DTYPES = [np.float32, np.float64]
INF, NAN = np.inf, np.nan
FORWARD = {"relu": relu, "leaky_relu": leaky_relu, "sigmoid": sigmoid, "tanh": tanh, "softmax": softmax}
# A gradient, and whether it takes the output rather than the input.
BACKWARD = {
    "relu": (relu_grad, False),
    "leaky_relu": (leaky_relu_grad, False),
    "sigmoid": (sigmoid_grad, True),
    "tanh": (tanh_grad, True),
}
EXACT = {"sigmoid": scipy.special.expit, "tanh": np.tanh}
# Units in the last place of a result. Measured: sigmoid 2.4 in float32 and 3.0 in float64, tanh 3.2 and 4.0;
# in float64 that counts the rounding of SciPy and NumPy too.
ULP = {
    ("sigmoid", np.float32): 3,
    ("sigmoid", np.float64): 4,
    ("tanh", np.float32): 4,
    ("tanh", np.float64): 5,
}
SPECIAL = [0.0, -0.0, INF, -INF, 1e4, -1e4, 1e-30, -1e-30, 88.7, -88.7, 700, -700, 1.0, -1.0, 0.17, 20, -20]


def random(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def whole_range(dtype, count=400_000):
    """Finite floats, evenly spaced by their bits: denormals, tiny and huge numbers of both signs."""
    unsigned = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    last = np.array(np.finfo(dtype).max).view(unsigned)
    bits = np.linspace(0, 1, count // 2) * float(last)
    positive = np.minimum(bits.astype(unsigned), last).view(dtype)
    return np.concatenate([positive, -positive])


def usual_range(dtype, count=400_000):
    return np.concatenate([np.linspace(-s, s, count // 4) for s in (1e-3, 1, 20, 800)]).astype(dtype)


def ulps(y, exact):
    """Errors in units of the last place of y's dtype, those of denormal results in the smallest normal."""
    unit = np.spacing(np.abs(exact).astype(y.dtype)).astype(np.float64)
    tiny = np.finfo(y.dtype).tiny
    return np.abs(y.astype(np.float64) - exact) / np.where(np.abs(exact) < tiny, tiny, unit)


def layouts(x):
    """The same numbers in other orders in memory."""
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., 1::2] = x
    still = x.copy()
    still.flags.writeable = False
    odd = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    odd[...] = x
    return [
        wide[..., 1::2],
        np.asfortranarray(x),
        still,
        x[::-1].copy()[::-1],
        odd,
        x.astype(x.dtype.newbyteorder()),
        np.broadcast_to(x[:1], x.shape),
    ]
