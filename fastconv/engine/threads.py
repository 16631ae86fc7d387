"""What compiled code needs of the machine: threads that wait for each other, and denormals flushed to zero.

fastconv's threads are Python threads that run compiled code without the GIL, started for one call and
joined at its end. Nothing outlives the call, so forking, joblib and several trainers at once are safe,
unlike with a pool inside a threading layer.
"""

import os
import platform
import threading
from collections.abc import Callable

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..simd.compiling import compiled

_threads: int | None = None


def _default_threads() -> int:
    """What FASTCONV_NUM_THREADS says, or the processors that this process may use.

    These are limited by its affinity, by the quota of its control group, and by OMP_NUM_THREADS (as in
    PyTorch) and NUMBA_NUM_THREADS, which joblib and job schedulers set for their workers.
    """
    text = os.environ.get("FASTCONV_NUM_THREADS", "").strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"`FASTCONV_NUM_THREADS` must be a positive int, got {text!r}")
        return int(text)
    affinity = getattr(os, "sched_getaffinity", None)
    counts = [len(affinity(0)) if affinity else os.cpu_count() or 1, _group_quota()]
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        first = os.environ.get(name, "").split(",")[0].strip()  # OpenMP has a list, one for each level
        counts.append(int(first) if first.isdecimal() and int(first) else None)
    return min(count for count in counts if count is not None)


def _group_quota(root: str = "/sys/fs/cgroup") -> int | None:
    """How many processors a container's control group leaves, rounded up; None where there is no limit."""
    try:
        if os.path.exists(f"{root}/cpu.max"):  # version 2
            quota, period = _words(f"{root}/cpu.max")
        else:
            quota, period = _words(f"{root}/cpu/cpu.cfs_quota_us") + _words(f"{root}/cpu/cpu.cfs_period_us")
        return max(1, -(-int(quota) // int(period))) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no groups, or "max"
        return None


def _words(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.read().split()


def set_num_threads(n: int) -> None:
    """Use `n` threads in every later call.

    Parameters
    ----------
    n : int
        At least 1. Results do not depend on it, to the last bit.

    Raises
    ------
    ValueError, TypeError
        If `n` is not a positive int.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.set_num_threads(2)
    >>> fc.get_num_threads()
    2
    """
    global _threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"`n` must be a positive int, got {n!r}")
    if n < 1:
        raise ValueError(f"`n` must be a positive int, got {n!r}")
    _threads = n.__index__()


def get_num_threads() -> int:
    """The number of threads in use: FASTCONV_NUM_THREADS, or the processors this process may run on.

    Returns
    -------
    int

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_num_threads() >= 1
    True
    """
    global _threads
    if _threads is None:
        _threads = _default_threads()
    return _threads


ARRIVED, ROUND = 0, 1  # the cells of a barrier: see `wait_for_all`
ABORTED = -(2**62)  # a round far below all that are counted: those who wait leave, and nobody waits again


def run_threads(
    count: int, function: Callable[[int], None], barrier: NDArray[np.int64] | None = None
) -> None:
    """Call function(0), ..., function(count - 1), each in its own thread, and wait for all of them.

    The first runs in the calling thread; none begins before all have been started. What one of them raises,
    or an interrupt at any moment, is raised here, once nobody waits at `barrier` any more.
    """
    if count == 1:
        function(0)
        return
    failures: list[BaseException] = []
    complete = False
    gate = threading.Lock()

    def fail(failure):
        failures.append(failure)
        if barrier is not None:
            barrier[ROUND] = ABORTED

    def work(index):
        with gate:
            pass
        if complete:
            try:
                function(index)
            except BaseException as failure:
                fail(failure)

    workers = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(1, count)]
    gate.acquire()
    try:
        try:
            for worker in workers:
                worker.start()
            complete = True
        finally:
            gate.release()
        function(0)
    except BaseException as failure:
        fail(failure)
    waiting = True
    while waiting:
        try:
            for worker in workers:
                if worker.is_alive():  # others have ended, or were never started
                    worker.join()
            waiting = False
        except BaseException as failure:  # an interrupt
            fail(failure)
    if failures:
        raise failures[0]


# Atomics on int64 arrays


def _element(context, b, sig, args):
    array = context.make_array(sig.args[0])(context, b, args[0])
    return b.gep(array.data, [args[1]])


@intrinsic
def _atomic_add(typingctx, array, index, value):
    def codegen(context, b, sig, args):
        return b.atomic_rmw("add", _element(context, b, sig, args), args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic
def _atomic_load(typingctx, array, index):
    def codegen(context, b, sig, args):
        return b.load_atomic(_element(context, b, sig, args), "acquire", 8)

    return types.int64(array, types.intp), codegen


_yield_processor = types.ExternalFunction(
    "SwitchToThread" if platform.system() == "Windows" else "sched_yield", types.int32()
)


@compiled
def wait_for_all(barrier, threads):
    """Wait until all `threads` have called, and return True; False at once where somebody will never come.

    `barrier` is int64[2], zeros at first. Where its round is set to ABORTED, by a plain store, it stays
    negative whatever is added to it: no second cell has to be read in the loop.
    """
    if threads == 1:
        return True
    turn = _atomic_load(barrier, ROUND)
    if turn < 0:
        return False
    if _atomic_add(barrier, ARRIVED, 1) == threads - 1:
        _atomic_add(barrier, ARRIVED, -threads)
        return _atomic_add(barrier, ROUND, 1) >= 0
    spins = 0
    while _atomic_load(barrier, ROUND) == turn:
        spins += 1
        if spins > 2000:  # about a microsecond; then somebody else may need this processor
            _yield_processor()
    return _atomic_load(barrier, ROUND) >= 0
