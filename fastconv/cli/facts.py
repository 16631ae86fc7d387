"""What fastconv finds on this machine: versions, processor, vectors, threads, caches."""

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..checks.environment import cpu_name, version_of
from ..checks.extras import PACKAGES

# What the optional extras bring, by import name.
EXTRAS = (
    "sklearn", "mlxtend", "PIL", "tqdm", "matplotlib", "onnx", "onnxruntime", "safetensors", "torch",
    "pytest",
)  # fmt: skip


def lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """The report for people, line by line, of what `facts` returns.

    Examples
    --------
    >>> next(lines(facts())).split()[0]
    'fastconv'
    """
    for name, value in _lines(facts):
        yield f"{name:<14}{value}"


def facts() -> dict[str, Any]:
    """All that is known, as values that JSON has.

    Examples
    --------
    >>> sorted(facts()["vectors"])
    ['bits', 'name', 'registers']
    """
    import fastconv

    from .. import simd

    return {
        "fastconv": getattr(fastconv, "__version__", version_of("fastconv")),
        "folder": str(Path(fastconv.__file__).parent),
        "python": platform.python_version(),
        "platform": f"{platform.platform(terse=True)} {platform.machine()}",
        **{package: version_of(package) for package in ("numpy", "numba", "llvmlite")},
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "vectors": {
            "name": simd.HOST.name,
            "bits": 8 * simd.HOST.vector_bytes,
            "registers": simd.HOST.registers,
        },
        "threads": fastconv.get_num_threads(),
        "FASTCONV_NUM_THREADS": os.environ.get("FASTCONV_NUM_THREADS"),
        "precision": fastconv.get_precision(),
        "cache": [_describe_folder(folder) for folder in cache_folders()],
        "extras": {PACKAGES.get(module, module): _installed_version(module) for module in EXTRAS},
    }


def _installed_version(module: str) -> str | None:
    found = importlib.util.find_spec(module) is not None
    return version_of(PACKAGES.get(module, module)) if found else None


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "fastconv", f"{facts['fastconv']} in {facts['folder']}"
    yield "python", f"{facts['python']} on {facts['platform']}"
    for package in ("numpy", "numba", "llvmlite"):
        yield package, facts[package]
    yield "CPU", f"{facts['cpu']}, {facts['cores']} cores"
    name, bits, registers = (facts["vectors"][key] for key in ("name", "bits", "registers"))
    yield "vectors", f"{name}: {bits} bits ({bits // 32} float32), {registers} registers"
    setting = facts["FASTCONV_NUM_THREADS"]
    source = f"FASTCONV_NUM_THREADS={setting}" if setting else "FASTCONV_NUM_THREADS is not set"
    yield "threads", f"{facts['threads']} ({source})"
    yield "precision", f"{facts['precision']} (FASTCONV_PRECISION or fastconv.set_precision)"
    for number, cache in enumerate(facts["cache"]):
        state = "" if cache["writable"] else ", read-only" if cache["readable"] else ", not readable"
        size = f"{cache['files']} files, {cache['bytes'] / 1e6:.1f} MB" if cache["files"] else "empty"
        yield "" if number else "cache", f"{cache['folder']} ({size}{state})"
    if not facts["cache"]:
        yield "cache", "none: no folder can be written to, so that each process compiles anew"
    for number, (package, version) in enumerate(facts["extras"].items()):
        yield "" if number else "extras", f"{package} {version or 'not installed'}"


def cache_folders() -> list[Path]:
    """The folders of compiled code of the modules imported so far: those with some, and those for new."""
    caches = [
        function._cache
        for name, module in list(sys.modules.items())
        if name.startswith("fastconv.")
        for function in vars(module).values()
        if hasattr(getattr(function, "_cache", None), "folders")
    ]
    places = {Path(folder) for cache in caches for folder in cache.folders}
    targets = {Path(cache.cache_path) for cache in caches if cache.cache_path}
    return sorted(targets | {folder for folder in places if _is_filled(folder)})


def _is_filled(folder: Path) -> bool:
    try:
        return any(folder.glob("*.nbc"))
    except OSError:  # as on Python 3.13, of a folder that may not be read
        return False


def _describe_folder(folder: Path) -> dict[str, Any]:
    readable = os.access(folder, os.R_OK | os.X_OK)
    sizes = [file.stat().st_size for file in folder.glob("*.nb[ci]")] if readable else []
    writable = os.access(folder, os.W_OK)
    return {
        "folder": str(folder),
        "files": len(sizes),
        "bytes": sum(sizes),
        "readable": readable,
        "writable": writable,
    }
