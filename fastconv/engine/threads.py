"""How many threads there are, and functions run in several at once, started for a call and joined at its end.

Steps are taken by the threads of `workers.py`.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_threads: int | None = None
_asked_for = False  # by `set_num_threads` or FASTCONV_NUM_THREADS


def processors() -> int:
    """How many processors this process may use, as far as its affinity says."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _default_threads() -> int:
    """What FASTCONV_NUM_THREADS says, or the processors that this process may use.

    These are limited by its affinity, by the quota of its control group, and by OMP_NUM_THREADS (as in
    PyTorch) and NUMBA_NUM_THREADS, which joblib, Dask, Ray and job schedulers set for their workers. Where
    nothing is set, a worker of a multiprocessing pool has one: there are as many as processors.
    """
    text = os.environ.get("FASTCONV_NUM_THREADS", "").strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"`FASTCONV_NUM_THREADS` must be a positive int, got {text!r}")
        return int(text)
    counts = [processors(), _group_quota()]
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        first = os.environ.get(name, "").split(",")[0].strip()  # OpenMP has a list, one for each level
        counts.append(int(first) if first.isdecimal() and int(first) else None)
    if counts[2:] == [None, None] and _in_a_pool():
        return 1
    return min(count for count in counts if count is not None)


def _in_a_pool() -> bool:
    """Whether this process is a worker of a multiprocessing pool: these are daemons."""
    processes = sys.modules.get("multiprocessing.process")  # which every worker has loaded
    return processes is not None and processes.current_process().daemon


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
    global _threads, _asked_for
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"`n` must be a positive int, got {n!r}")
    if n < 1:
        raise ValueError(f"`n` must be a positive int, got {n!r}")
    _threads, _asked_for = n.__index__(), True


def get_num_threads() -> int:
    """The number of threads in use: FASTCONV_NUM_THREADS, or the processors this process may run on.

    These are shared by networks that train in several Python threads at once, unless a number was asked for.

    Returns
    -------
    int

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_num_threads() >= 1
    True
    """
    global _threads, _asked_for
    if _threads is None:
        _threads, _asked_for = _default_threads(), bool(os.environ.get("FASTCONV_NUM_THREADS", "").strip())
    return _threads


# Threads of the process with a call of compiled code, and those in which a network trains: these have one
# call after the other. What an interrupt leaves behind ends with the next one of that thread.
_calling: set[int] = set()
_training: set[int] = set()


@contextmanager
def sharing(training: bool = False) -> Iterator[Callable[[int], int]]:
    """For the time of a call or a training: gives what says how many threads a call gets of those it wants.

    Searches that run in threads (those of Dask's workers, or of joblib) would otherwise start as many as
    there are processors for each of them. A number that was asked for is what each call has.

    Examples
    --------
    >>> with sharing() as share:
    ...     share(1)
    1
    """
    here, own = threading.get_ident(), _training if training else _calling
    within = here in own
    own.add(here)
    try:
        yield _share
    finally:
        if not within:
            own.discard(here)


def _share(threads: int) -> int:
    calls = len(_calling | _training)
    return threads if _asked_for or calls <= 1 else min(threads, max(1, get_num_threads() // calls))


def _after_a_fork() -> None:
    """The child may be a worker of a pool, or be moved to other processors, and has one thread."""
    global _threads
    if not _asked_for:
        _threads = None
    _calling.clear()
    _training.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_a_fork)


def run_threads(count: int, function: Callable[[int], None]) -> None:
    """Call function(0), ..., function(count - 1), each in its own thread, and wait for all of them.

    The first runs in the calling thread; none begins before all have been started. What one of them raises,
    or an interrupt at any moment, is raised here, once all have ended.
    """
    if count == 1:
        function(0)
        return
    failures: list[BaseException] = []
    complete = False
    gate = threading.Lock()

    def work(index):
        with gate:
            pass
        if complete:
            try:
                function(index)
            except BaseException as failure:
                failures.append(failure)

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
        failures.append(failure)
    waiting = True
    while waiting:
        try:
            for worker in workers:
                if worker.is_alive():  # others have ended, or were never started
                    worker.join()
            waiting = False
        except BaseException as failure:  # an interrupt
            failures.append(failure)
    if failures:
        raise failures[0]
