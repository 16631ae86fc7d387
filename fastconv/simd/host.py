"""The vector unit that kernels are sized for: the machine's, or the one that FASTCONV_SIMD names.

It is chosen before anything else of Numba is touched: Numba looks at its target CPU once.
"""

import os
import platform
from dataclasses import dataclass
from typing import Any

import numba
from llvmlite import binding

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("fastconv can't work with NUMBA_DISABLE_JIT=1: its kernels exist only as compiled code")

VECTOR_BYTES = 64


@dataclass(frozen=True)
class Host:
    """A processor's vector unit: its name, bytes of a register, and how many registers there are."""

    name: str
    vector_bytes: int
    registers: int

    @property
    def registers_per_vector(self) -> int:
        """How many machine registers one 64-byte vector takes."""
        return VECTOR_BYTES // self.vector_bytes


# The LLVM CPU names are what numba is told to compile for when FASTCONV_SIMD overrides the machine.
_UNITS = {
    "avx512": (Host("avx512", 64, 32), "x86-64-v4"),
    "avx2": (Host("avx2", 32, 16), "x86-64-v3"),
    "sse2": (Host("sse2", 16, 16), "x86-64"),
    "neon": (Host("neon", 16, 32), "generic"),
}


def _detect() -> str:
    """The name of the widest vector unit that this processor has."""
    features = binding.get_host_cpu_features()
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "neon"
    if all(features.get(f) for f in ("avx512f", "avx512vl", "avx512dq")):
        return "avx512"
    return "avx2" if features.get("avx2") and features.get("fma") else "sse2"


def _choose() -> Host:
    """Which vector unit kernels are sized for: the one that FASTCONV_SIMD names, or the machine's own.

    An override also sets Numba's target CPU, so that the code really is what the narrower machine runs
    and Numba's cache keeps it apart.
    """
    name = os.environ.get("FASTCONV_SIMD", "").strip().lower()
    if not name:
        return _UNITS[_detect()][0]
    if name not in _UNITS:
        raise ValueError(f"`FASTCONV_SIMD` must be one of {', '.join(_UNITS)}, got {name!r}")
    host, cpu = _UNITS[name]
    config: Any = numba.config  # its names are made as it is loaded
    config.CPU_NAME, config.CPU_FEATURES = cpu, ""
    return host


HOST = _choose()
