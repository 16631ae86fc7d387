"""What fastconv finds on this machine: versions, processor, vectors, threads, caches."""

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

# The packages of the optional extras, by import name and by the name that pip knows.
EXTRAS = {
    "sklearn": "scikit-learn",
    "mlxtend": "mlxtend",
    "tqdm": "tqdm",
    "matplotlib": "matplotlib",
    "torch": "torch",
    "pytest": "pytest",
}


def lines() -> Iterator[str]:
    """The report, line by line.

    Examples
    --------
    >>> next(lines()).split()[0]
    'fastconv'
    """
    for name, value in _facts():
        yield f"{name:<14}{value}"


def version_of(package: str) -> str:
    """The installed version of a package, as pip knows it, or "not installed".

    Examples
    --------
    >>> version_of("no-such-package")
    'not installed'
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _facts() -> Iterator[tuple[str, str]]:
    import fastconv
    from fastconv import simd

    yield "fastconv", f"{getattr(fastconv, '__version__', version_of('fastconv'))} in {Path(__file__).parent}"
    yield "python", f"{platform.python_version()} on {platform.platform(terse=True)} {platform.machine()}"
    for package in ("numpy", "numba", "llvmlite"):
        yield package, version_of(package)
    yield "CPU", f"{cpu_name()}, {os.cpu_count()} cores"
    host = simd.HOST
    lanes = host.vector_bytes // 4
    yield (
        "vectors",
        f"{host.name}: {8 * host.vector_bytes} bits ({lanes} float32), {host.registers} registers",
    )
    setting = os.environ.get("FASTCONV_NUM_THREADS")
    source = f"FASTCONV_NUM_THREADS={setting}" if setting else "FASTCONV_NUM_THREADS is not set"
    yield "threads", f"{fastconv.get_num_threads()} ({source})"
    for number, folder in enumerate(cache_folders()):
        yield "" if number else "cache", _describe_folder(folder)
    for number, (module, package) in enumerate(EXTRAS.items()):
        installed = importlib.util.find_spec(module) is not None
        yield "" if number else "extras", f"{package} {version_of(package) if installed else 'not installed'}"


def cpu_name() -> str:
    """The processor's name and what LLVM calls its kind."""
    from llvmlite import binding

    name = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
        name = next(
            line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    return f"{name} ({binding.get_host_cpu_name()})"


def cache_folders() -> list[Path]:
    """The folders where Numba keeps the compiled code of the fastconv modules imported so far."""
    folders = {
        Path(function.stats.cache_path)
        for name, module in list(sys.modules.items())
        if name.startswith("fastconv.")
        for function in vars(module).values()
        if hasattr(function, "py_func") and getattr(function.stats, "cache_path", None)
    }
    return sorted(folders)


def _describe_folder(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} (empty)"
    sizes = [file.stat().st_size for file in folder.glob("*.nb[ci]")]
    state = "" if os.access(folder, os.W_OK) else ", read-only"
    return f"{folder} ({len(sizes)} files, {sum(sizes) / 1e6:.1f} MB{state})"
