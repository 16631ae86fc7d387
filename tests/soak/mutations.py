"""Arguments as nobody should give them: what a fuzzer puts in place of a good one."""

import numpy as np

from tests.kernels.fences import fenced

WHOLE = (
    0,
    -1,
    1,
    2,
    3,
    7,
    -(2**63),
    2**31 - 1,
    2**31,
    2**62,
    2**63,
    2**64,
    np.int8(2),
    np.uint64(1),
    np.int64(-5),
)
ODD = (
    1.5,
    2.0,
    np.nan,
    np.inf,
    None,
    "2",
    b"1",
    (),
    (1,),
    (1, 2),
    (2, 1, 1),
    [1, 2],
    [2],
    (1.5, 1),
    (None, 1),
    True,
    np.float32(2),
    np.array(2),
    np.array([1, 2]),
    np.array([1.5, 2]),
    1j,
    {},
    object(),
    (2**62, 2**62),
    (0, 1),
    (-1, 1),
    (1, 2**63),
)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-42, -1e-42, -0.0, 0.0])
DTYPES = (
    "f2",
    "f4",
    "f8",
    "g",
    "i1",
    "i4",
    "i8",
    "u1",
    "u8",
    "?",
    "c8",
    "U3",
    "S2",
    "O",
    "M8[s]",
    ">f4",
    ">f8",
    ">i8",
    "V4",
)


def number(rng, value):
    """Something in place of a number."""
    pool = WHOLE if rng.integers(2) else ODD
    return pool[rng.integers(len(pool))]


def flag(rng, value):
    pool = (0, 1, 2, None, "yes", np.bool_(True), 1.0, [], not value)
    return pool[rng.integers(len(pool))]


def text(rng, value):
    pool = ("mean", "sum", "none", "MEAN", "", None, 1, b"mean", ("mean",))
    return pool[rng.integers(len(pool))]


def array(rng, a):
    """An array, or no array, in place of a good one."""
    return MUTATIONS[rng.integers(len(MUTATIONS))](rng, a)


def _rank(rng, a):
    if a.ndim and rng.integers(2):
        return a[0] if len(a) else a.reshape(-1)
    return a[None] if rng.integers(2) else a.reshape(-1)


def _size(rng, a):
    shape = list(a.shape) or [1]
    axis = rng.integers(len(shape))
    shape[axis] = max(0, shape[axis] + int(rng.integers(-2, 3)))
    return np.resize(a, shape) if a.size else np.zeros(shape, a.dtype)


def _empty(rng, a):
    shape = list(a.shape) or [1]
    shape[rng.integers(len(shape))] = 0
    return np.zeros(shape, a.dtype)


def _dtype(rng, a):
    dtype = np.dtype(DTYPES[rng.integers(len(DTYPES))])
    return np.zeros(a.shape, dtype) if dtype.kind in "V" else a.astype(dtype)


def _fortran(rng, a):
    return np.asfortranarray(a)


def _reversed(rng, a):
    return np.flip(np.flip(a).copy())


def _spread(rng, a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]) if a.ndim else (2,), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2].reshape(a.shape)


def _broadcast(rng, a):
    return np.broadcast_to(a[:1] if a.ndim and len(a) else a, a.shape)


def _overlapping(rng, a):
    flat = np.resize(a.reshape(-1), a.size + 1) if a.size else np.zeros(1, a.dtype)
    strides = [a.itemsize * int(rng.integers(0, 2)) for _ in a.shape]
    reach = sum(s * (n - 1) for s, n in zip(strides, a.shape, strict=True)) // a.itemsize
    return np.lib.stride_tricks.as_strided(flat, a.shape, strides) if reach < flat.size else a


def _read_only(rng, a):
    return fenced(np.ascontiguousarray(a), bool(rng.integers(2)), writeable=False)


def _fenced(rng, a):
    return fenced(np.ascontiguousarray(a), bool(rng.integers(2)))


def _misaligned(rng, a):
    memory = np.zeros(a.nbytes + 8, np.uint8)
    view = memory[1 : 1 + a.nbytes].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def _huge(rng, a):
    shape = list(a.shape) or [1]
    shape[rng.integers(len(shape))] = int(rng.choice([2**31, 2**40, 2**46, 2**56]))
    if np.prod([float(n) for n in shape]) < 2**44:  # work that could be done, in hours
        shape[0] = 2**46
    try:
        return np.lib.stride_tricks.as_strided(np.ones(1, a.dtype), shape, [0] * len(shape))
    except ValueError:  # more than NumPy can count
        return np.lib.stride_tricks.as_strided(
            np.ones(1, a.dtype), [2**46, *[1] * (len(shape) - 1)], [0] * len(shape)
        )


def _special(rng, a):
    if a.dtype.kind != "f" or not a.size:
        return a
    b = np.array(a)
    places = rng.integers(0, b.size, max(1, b.size // 5))
    b.reshape(-1)[places] = rng.choice(SPECIAL, len(places))
    return b


def _labels(rng, a):
    b = np.array(a)
    if b.size:
        b.reshape(-1)[rng.integers(b.size)] = (
            rng.choice([-1, -(2**62), 100, 2**31, 2**62]) if b.dtype.kind == "i" else 7
        )
    return b


def _no_array(rng, a):
    pool = (
        None,
        a.tolist(),
        "x",
        {},
        object(),
        3,
        1.5,
        [[1.0], [2.0, 3.0]],
        range(3),
        memoryview(b"ab"),
        np.float64(2),
    )
    return pool[rng.integers(len(pool))]


MUTATIONS = (
    _rank,
    _size,
    _empty,
    _dtype,
    _fortran,
    _reversed,
    _spread,
    _broadcast,
    _overlapping,
    _read_only,
    _fenced,
    _misaligned,
    _huge,
    _special,
    _labels,
    _no_array,
)
HARMLESS = (_fortran, _reversed, _spread, _read_only, _fenced, _misaligned)


def harmless(rng, a):
    """The same numbers in another place or order of memory."""
    return HARMLESS[rng.integers(len(HARMLESS))](rng, a)


def beside_a_fence(rng, a):
    """An array whose elements follow each other, where one read too many is a crash; others as they are."""
    plain = a.flags.c_contiguous and a.flags.aligned and a.dtype.kind in "fiub" and 0 < a.nbytes < 1 << 20
    return fenced(a, bool(rng.integers(2)), writeable=a.flags.writeable) if plain else a
