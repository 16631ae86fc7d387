"""The measured peak of fused multiply-adds: what all shares of peak refer to."""

import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from .. import simd
from ..simd import pointer, tiles
from ..simd.compiling import compiled
from ..simd.tiles import tile
from .threads import run_threads

# Independent chains: more than latency x throughput of any machine (8 to 10), and all in registers.
CHAINS = min(16, simd.HOST.registers // simd.HOST.registers_per_vector - 2)
_ROUNDS = 200_000  # 0.4 ms: on a busy machine, some of them run undisturbed
_ROUNDS_OF_SEVERAL = 2_000_000  # of several threads, whose start must not count


@intrinsic
def _scaled(typingctx: Any, grid: Any) -> Any:
    """tile * 0.999 + 0.001."""

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        acc = args[0]
        for k in range(grid.rows * grid.columns):
            value = b.extract_value(acc, k)
            factor, term = (ir.Constant(value.type, [x] * value.type.count) for x in (0.999, 0.001))
            acc = b.insert_value(acc, simd.emit_fma(b, value, factor, term), k)
        return acc

    return grid(grid), codegen


@compiled
def _run_chains(memory: Any, table: Any, rounds: int) -> None:
    p: Any = pointer(memory)  # type: ignore[call-arg]
    acc = tile(p, 1, CHAINS)
    at = tiles.offsets(acc, pointer(table), 0)
    for _ in range(rounds):
        acc = _scaled(acc)
    tiles.tile_store(acc, p, 0, 0, at)


def fma_peak(threads: int = 1, dtype: str = "float32", seconds: float = 0.3) -> float:
    """The best FLOP/s of `threads` threads together, over some `seconds`.

    Examples
    --------
    >>> fma_peak(seconds=0.01) > 1e9
    True
    """
    lanes = simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    memories = [np.ones(CHAINS * lanes, dtype) for _ in range(threads)]
    table = np.arange(CHAINS)
    _run_chains(memories[0], table, 1)
    rounds = _ROUNDS if threads == 1 else _ROUNDS_OF_SEVERAL
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run_threads(threads, lambda k: _run_chains(memories[k], table, rounds))
        best = min(best, time.perf_counter() - start)
    return threads * rounds * CHAINS * lanes * 2 / best
