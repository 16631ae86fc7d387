"""Numba's decorators with a cache that is safe to share.

Numba keeps one index for all signatures of a function. Two processes that add to it at once may both give
their code the same file name, and the next process then runs float32 code on float64 data. Its index also
knows only the function's own source file, not those whose functions were compiled into it. Here every
signature has a file of its own, named by a hash of all that the code depends on; a file that can't be read
is as good as none.
"""

import contextlib
import hashlib
from pathlib import Path

import numba
from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

from . import host  # noqa: F401 - before Numba has chosen its target CPU


def sources_hash(folder):
    """A hash of all source files of the package in `folder`: any of them may be compiled into any kernel."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


SOURCES = sources_hash(Path(__file__).parents[1])


class _Files(IndexDataCacheFile):
    """A function's files in the cache: one for each signature that it was compiled for, and no index."""

    def _name(self, key):
        digest = hashlib.sha256(repr((SOURCES, key)).encode()).hexdigest()
        return f"{self._index_name.removesuffix('.nbi')}.{digest[:16]}.nbc"

    def save(self, key, data):
        with contextlib.suppress(OSError):  # a full or vanished disk: the code is compiled again next time
            self._save_data(self._name(key), (SOURCES, key, data))

    def load(self, key):
        try:
            sources, saved, data = self._load_data(self._name(key))
        except Exception:  # pickle raises nearly anything on damaged data
            return None
        return data if (sources, saved) == (SOURCES, key) else None


class _Cache(FunctionCache):
    """Numba's cache of a function, with files of our own."""

    def __init__(self, function, fingerprint):
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, SOURCES)
        self._fingerprint = fingerprint

    def _index_key(self, sig, codegen):
        if self._fingerprint is None:
            return super()._index_key(sig, codegen)
        return sig, codegen.magic_tuple(), self._fingerprint


def _cache(function, fingerprint):
    """The cache of a function; one that keeps nothing where no folder can be written to."""
    try:
        return _Cache(function, fingerprint)
    except RuntimeError:
        return NullCache()


def compiled(function, fingerprint=None, cached=True, **options):
    """`njit` for the package's own code: cached, without the GIL, division by zero as in NumPy.

    A function that has been made inside another one, around functions of a user, is known in the cache by the
    `fingerprint` of these. Nobody calls it as a C callback, whose entry would take a twelfth of the time that
    compiling takes.
    """
    dispatcher = njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(function)
    if cached:
        dispatcher._cache = _cache(function, fingerprint)
    return dispatcher


def inlined(function):
    """As `compiled`, for functions that take a register tile: they become part of the code that calls them.

    Passed to a function, the tile would go through memory.
    """
    return compiled(function, forceinline=True)
