"""Arrays that begin after, or end before, a page that nobody may touch: a stray access is a crash."""

import ctypes
import mmap

import numpy as np


def fenced(array, at_end, writeable=True):
    """A copy of a C-ordered array, next to a fence."""
    page = mmap.PAGESIZE
    pages = max(1, -(-array.nbytes // page))
    memory = mmap.mmap(-1, (pages + 2) * page)
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for fence in (first, first + (pages + 1) * page):
        assert libc.mprotect(ctypes.c_void_p(fence), page, 0) == 0
    start = page + at_end * (pages * page - array.nbytes)
    copy = np.frombuffer(memory, array.dtype, array.size, start).reshape(array.shape)
    copy[...] = array
    copy.flags.writeable = writeable
    return copy
