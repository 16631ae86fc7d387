"""Numba's decorators with a cache that is safe to share.

Numba keeps one index for all signatures of a function. Two processes that add to it at once may both give
their code the same file name, and the next process then runs float32 code on float64 data. Its index also
knows only the function's own source file, not those whose functions were compiled into it. Here every
signature has a file of its own, named by a hash of all that the code depends on; a file that can't be read
is as good as none.
"""

import contextlib
import functools
import hashlib
import os
import pkgutil
import sys
import tempfile
import types
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core import caching, config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher
from numba.core.runtime import rtsys

from . import (
    host,  # noqa: F401 - before Numba has chosen its target CPU
    turns,
)
from .collecting import RestingCompiler


def _locator(name):
    """One of Numba's classes that say where a cache lies; before version 0.62 they had an underscore."""
    return getattr(caching, name, None) or getattr(caching, f"_{name}")


InTreeCacheLocator = _locator("InTreeCacheLocator")
UserProvidedCacheLocator = _locator("UserProvidedCacheLocator")
UserWideCacheLocator = _locator("UserWideCacheLocator")


# The packages that hold kernels, or what is compiled into them, each of which imports from earlier ones only.
ORDER = ("simd", "checks", "kernels", "nn", "engine")


def sources_hashes(folder):
    """By the name of a package, a hash of the code in `folder` that may be compiled into its functions: its
    own and that of the packages before it in `ORDER`. Under "" is the hash of all of fastconv's code.

    Fastconv's version is in it, and those of what compiles. Files are read, or what the loader gives where
    there are none, as in a zip.
    """
    versions = (sys.version, np.__version__, numba.__version__, llvmlite.__version__)
    contents = sorted(_files(Path(folder)) if os.path.isdir(folder) else _modules(str(folder), ""))
    hashes = [(name, hashlib.sha256(content).digest()) for name, content in contents]
    digests = {}
    for package in (*ORDER, ""):
        digest = hashlib.sha256(repr(versions).encode())
        reached = ORDER[: ORDER.index(package) + 1] if package else None
        for name, content_hash in hashes:
            first, slash, _ = name.partition("/")
            if reached is None or not slash or first in reached:
                digest.update(name.encode() + b"\0" + content_hash)
        digests[package] = digest.hexdigest()
    return digests


def _files(folder):
    """(name, content) of the files that Python imports: sources, and .pyc files that stand in their place."""
    for path in folder.rglob("*.py*"):
        name = path.relative_to(folder)
        if path.suffix in (".py", ".pyc") and "__pycache__" not in name.parts:
            yield name.as_posix(), path.read_bytes()


def _modules(folder, prefix):
    """(name, content) of the modules in a folder that only a loader can read, one in a zip for example."""
    importer = pkgutil.get_importer(folder)
    names = [name for _, name, _ in pkgutil.iter_modules([folder])]
    for name in ["__init__", *names]:
        spec = importer.find_spec(name)
        if spec is not None and spec.submodule_search_locations and name != "__init__":
            yield from _modules(os.path.join(folder, name), f"{prefix}{name}/")
        elif spec is not None:
            yield prefix + name, spec.loader.get_data(spec.origin)


SOURCES = sources_hashes(os.path.dirname(os.path.dirname(__file__)))


def sources_of(function):
    """The hash of the sources that may be compiled into a function."""
    _, _, inside = function.__module__.partition(f"{__package__.partition('.')[0]}.")
    return SOURCES.get(inside.partition(".")[0], SOURCES[""])


def _beginning():
    """Where a relative NUMBA_CACHE_DIR lies, wherever the process is when it first asks for code."""
    return os.getcwd() if config.CACHE_DIR and not os.path.isabs(config.CACHE_DIR) else ""


_STARTED_IN = _beginning()


def cache_folders(function):
    """The folders that may hold compiled code of a function: what is compiled anew goes to the first of them
    that can be written to, and all of them are read.

    They are NUMBA_CACHE_DIR, `__pycache__` beside the module, and the user's folder of caches. The module's
    place counts, not that where a .pyc file was once compiled.
    """
    module = sys.modules.get(function.__module__)
    file = os.path.abspath(getattr(module, "__file__", None) or function.__code__.co_filename)
    kinds = [UserProvidedCacheLocator] if config.CACHE_DIR else []
    kinds += [InTreeCacheLocator] if os.path.isdir(os.path.dirname(file)) else []
    paths = [kind(function, file).get_cache_path() for kind in kinds]
    folders = [os.path.abspath(os.path.join(_STARTED_IN, path)) for path in paths]
    own = UserWideCacheLocator(function, file).get_cache_path()
    # For a user without a home, "~" stands for nothing.
    return folders + ([own] if os.path.isabs(own) else [])


@functools.cache
def can_write(folder):
    """Whether files can be made in a folder; it is made if it is not there."""
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


class _Files(IndexDataCacheFile):
    """A function's files in one folder: one for each signature that it was compiled for, and no index."""

    def name(self, key):
        digest = hashlib.sha256(repr((self._source_stamp, key)).encode()).hexdigest()
        return f"{self._index_name.removesuffix('.nbi')}.{digest[:16]}.nbc"

    def save(self, key, data):
        with contextlib.suppress(OSError):  # a full or vanished disk: the code is compiled again next time
            self._save_data(self.name(key), (self._source_stamp, key, data))

    def load(self, key):
        try:
            sources, saved, data = self._load_data(self.name(key))
        except Exception:  # pickle raises nearly anything on damaged data
            return None
        return data if (sources, saved) == (self._source_stamp, key) else None


class _Entry(CompileResultCacheImpl):
    """What Numba asks about a function that is cached, without its own search for a folder."""

    def __init__(self, function, file):
        self._lineno = function.__code__.co_firstlineno
        self._locator = InTreeCacheLocator(function, file)
        name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._filename_base = self.get_filename_base(name, getattr(sys, "abiflags", ""))


class _Cache(FunctionCache):
    """Numba's cache of a function, with files of our own, which may lie in folders that are read-only."""

    def __init__(self, function, fingerprint):
        self._name, self._py_func = repr(function), function
        self._fingerprint = fingerprint
        self.enable()

    # Of some hundred functions, a process uses a dozen: only for these are files looked for.

    @functools.cached_property
    def _impl(self):
        return _Entry(self._py_func, self._py_func.__code__.co_filename)

    @functools.cached_property
    def folders(self):
        """Where compiled code may lie: see `cache_folders`."""
        return cache_folders(self._py_func)

    @property
    def cache_path(self):
        """Where newly compiled code goes; None if that is nowhere."""
        return next(filter(can_write, self.folders), None)

    def _file(self, folder):
        return _Files(folder, self._impl.filename_base, sources_of(self._py_func))

    def load_overload(self, sig, target_context):
        """The compiled code for a signature, or None where there is none.

        Numba's own first imports all that it could compile, which takes a third of the time of a start. Code
        that is there needs Numba's runtime, whose functions it calls, and nothing else.
        """
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def _load_overload(self, sig, target_context):
        key = self._index_key(sig, target_context.codegen())
        data = self._read(key)
        if data is None and (folder := self.cache_path) is not None:
            turns.take(folder, self._file(folder).name(key))
            data = self._read(key)  # another process may have compiled it until then
        if data is None:
            return None
        rtsys.initialize(target_context)
        return self._impl.rebuild(target_context, data)

    def _read(self, key):
        found = (self._file(folder).load(key) for folder in self.folders)
        return next((data for data in found if data is not None), None)

    def _save_overload(self, sig, data):
        folder = self.cache_path
        if folder is not None and self._impl.check_cachable(data):
            self._file(folder).save(self._index_key(sig, data.codegen), self._impl.reduce(data))

    def _index_key(self, sig, codegen):
        place = self._py_func.__module__, self._py_func.__qualname__
        if self._fingerprint is None:
            return place, super()._index_key(sig, codegen)
        return place, sig, codegen.magic_tuple(), self._fingerprint


def compiled(function, fingerprint=None, cached=True, **options):
    """`njit` for the package's own code: cached, without the GIL, division by zero as in NumPy.

    A function that has been made inside another one, around functions of a user, is known in the cache by the
    `fingerprint` of these. Nobody calls it as a C callback, whose entry would take a twelfth of the time that
    compiling takes.
    """
    options.setdefault("pipeline_class", RestingCompiler)
    dispatcher = njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(function)
    if cached:
        dispatcher._cache = _Cache(function, fingerprint)
        dispatcher.compile = turns.releasing(dispatcher.compile)
    return dispatcher


def is_compiled(function, arguments):
    """Whether a `compiled` function has machine code for these types, in this process or in a cache."""
    if arguments in function.overloads:
        return True
    cache, codegen = function._cache, function.targetctx.codegen()
    name = functools.partial(_Files.name, key=cache._index_key(arguments, codegen))
    return any(os.path.exists(os.path.join(folder, name(cache._file(folder)))) for folder in cache.folders)


def is_kept(function):
    """Whether the machine code of a `compiled` function goes to a cache, where other processes find it."""
    return function._cache.cache_path is not None


@functools.cache
def interpreted(function):
    """A `compiled` function run by Python, with all `compiled` functions that it calls.

    For what runs once where compiling takes longer than Python does.
    """
    source = function.py_func
    names = dict(source.__globals__)
    for name in _names_in(source.__code__):
        if isinstance(names.get(name), Dispatcher):
            names[name] = interpreted(names[name])
    return types.FunctionType(source.__code__, names, source.__name__, source.__defaults__)


def _names_in(code):
    """The names that code uses, and those in code within it, as a list's."""
    inner = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def internal(function, **options):
    """As `compiled`, for functions that only compiled code calls: without an entry for Python.

    Entries would take a tenth of the time that compiling takes.
    """
    dispatcher = compiled(function, no_cpython_wrapper=True, **options)

    def refuse(*args, **kwargs):
        raise TypeError(f"{function.__qualname__} is for compiled code alone")

    # Numba would call the entry that is not there.
    dispatcher._insert, dispatcher._compile_for_args = _nothing, refuse
    return dispatcher


def _nothing(*args):
    """In place of what makes a function known to its entry for Python."""


def inlined(function):
    """As `internal`, for functions that take a register tile: they become part of the code that calls them.

    Passed to a function, the tile would go through memory. On their own they are not called, so that they are
    not kept in the cache.
    """
    return internal(function, cached=False, forceinline=True)
