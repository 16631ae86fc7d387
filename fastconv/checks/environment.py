"""What this machine has installed: versions of packages, and its processor."""

import importlib.util
import platform
from pathlib import Path


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
