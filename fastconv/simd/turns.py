"""Of several processes that need the same code at the same moment, one compiles it.

The workers of a search start together and need the same functions, of which each would compile all. Here a
process that finds a function's code nowhere locks it before it compiles, until the code is on the disk. One
that comes meanwhile reads it then; it compiles other functions first where it can (`spread`), so that several
are done sooner than one alone.

A lock is one byte of a file in the folder of the code, at a place that the name of the code's file tells. The
system takes it from a process that ends, however it ends. Where there are no such locks (on Windows, on some
network disks), each process compiles for itself.
"""

import contextlib
import errno
import functools
import os
import time
import zlib

from numba.core.compiler_lock import global_compiler_lock

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

FILE = "fastconv.locks"
SECONDS_PATIENT = 60.0  # no function takes so long: the process that has locked it hangs
SECONDS_BETWEEN_LOOKS = 0.01


class CompiledElsewhere(Exception):
    """Another process compiles this function just now, and there may be others to compile meanwhile."""


class _Turns:
    """What this process has locked; only the thread that has Numba's own lock looks at it."""

    def __init__(self):
        self.held = []  # (file, place) of each lock
        self.depth = 0  # functions that are being compiled, each for the one before
        self.may_put_off = False


_turns = _Turns()


def take(folder, name):
    """Lock the code that will be the file `name` in a folder; another process that has locked it goes first.

    Raises
    ------
    CompiledElsewhere
        Instead of waiting, within `spread`.
    """
    file, place = _locks_of(folder), zlib.crc32(name.encode())
    if file is None or (file, place) in _turns.held:
        return
    started = time.monotonic()
    while not _lock(file, place):
        if _turns.may_put_off and _turns.depth == 1:
            raise CompiledElsewhere(name)
        if time.monotonic() - started > SECONDS_PATIENT:
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
    _turns.held.append((file, place))


@functools.cache
def _locks_of(folder):
    """The file of a folder's locks, or None. It stays open: closed, it would release all of this process."""
    if fcntl is None:
        return None
    try:
        return os.open(os.path.join(folder, FILE), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None


def _lock(file, place):
    """Whether this process may compile: it has the lock now, or there are no locks on this disk."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def releasing(compile_one):
    """A dispatcher's method `compile` that releases at its end what was locked for it, whatever comes."""

    def compile_and_release(signature):
        with global_compiler_lock:
            before = len(_turns.held)
            _turns.depth += 1
            try:
                return compile_one(signature)
            finally:
                _turns.depth -= 1
                while len(_turns.held) > before:
                    file, place = _turns.held.pop()
                    with contextlib.suppress(OSError):
                        fcntl.lockf(file, fcntl.LOCK_UN, 1, place)

    return compile_and_release


def spread(jobs):
    """Call functions without arguments, each of which compiles one thing; what others compile comes last."""
    put_off = []
    for job in jobs:
        with global_compiler_lock:
            _turns.may_put_off = True
            try:
                job()
            except CompiledElsewhere:
                put_off.append(job)
            finally:
                _turns.may_put_off = False
    for job in put_off:
        job()
