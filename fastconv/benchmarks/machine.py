"""What the measurements were taken on and with, and how many threads everybody uses."""

import contextlib
import datetime
import importlib.util
import os
import platform
from collections.abc import Iterator

from ..checks.environment import cpu_name, version_of


def installed(module: str) -> bool:
    """Whether `module` can be imported.

    Examples
    --------
    >>> installed("numpy"), installed("no_such_module")
    (True, False)
    """
    return importlib.util.find_spec(module) is not None


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Let fastconv, NumPy's BLAS and PyTorch use `n` threads; JAX and ONNX Runtime ask fastconv for them.

    NumPy's needs threadpoolctl; without it, set OPENBLAS_NUM_THREADS before Python starts.
    """
    import fastconv

    with contextlib.ExitStack() as stack:
        stack.callback(fastconv.set_num_threads, fastconv.get_num_threads())
        fastconv.set_num_threads(n)
        if installed("torch"):
            import torch

            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(n)
        if installed("threadpoolctl"):
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(n, user_api="blas"))
        yield


def numpy_threads_are_set(n: int) -> bool:
    """Whether NumPy's BLAS surely uses `n` threads inside `threads(n)`."""
    return installed("threadpoolctl") or os.environ.get("OPENBLAS_NUM_THREADS") == str(n)


def facts(packages: tuple[str, ...] = ("numpy", "numba", "torch", "onnxruntime", "jax")) -> dict[str, str]:
    """Processor, versions and date.

    Examples
    --------
    >>> sorted(facts(()))
    ['CPU', 'cores', 'date', 'fastconv', 'python', 'system', 'vectors']
    """
    import fastconv

    from .. import simd
    from ..engine.threads import processors

    return {
        "CPU": cpu_name(),
        "cores": str(processors()),
        "vectors": f"{simd.HOST.name}, {8 * simd.HOST.vector_bytes} bits",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "fastconv": fastconv.__version__,
        **{package: version_of(package) for package in packages if installed(package)},
        "date": datetime.date.today().isoformat(),
    }
