"""The engine's convolutions alone, on one block of samples: how much of the machine's peak they reach."""

from typing import Any

import numpy as np

from .. import simd
from ..engine.loop import run_calls_at
from ..engine.memory import Planes, Storage
from ..engine.tables import CALL, CHAIN, FIRST_OPERAND, FUNCTION, GEOMETRY
from ..kernels.lanes import conv, conv_geometry, conv_grad_weight
from ..kernels.lanes.operation import STATE, STATE_SIZE, Operation
from ..simd.compiling import compiled
from .timing import Contender

REPEATS = 20
KERNELS = ("forward", "grad_weight", "grad_input")

# channels, edge of the image, output channels, kernel, padding
SHAPES = {
    "1 -> 6, 5x5, 28x28": (1, 28, 6, 5, 0),
    "6 -> 16, 5x5, 12x12": (6, 12, 16, 5, 0),
    "32 -> 32, 3x3, 32x32": (32, 32, 32, 3, 1),
    "64 -> 64, 3x3, 16x16": (64, 16, 64, 3, 1),
}


@compiled
def _call(calls: int, chains: int, state: int, times: int) -> None:
    for _ in range(times):
        run_calls_at(calls, chains, 0, 1, state)


class _Memory:
    """Arrays that start at a vector's boundary, kept as long as this is."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def planes(self, channels: int, edge: int, halo: int) -> tuple[Planes, int]:
        """Random planes, and the address of their first element."""
        planes = Planes(Storage(0), channels, edge, edge, (halo,) * 4)
        return planes, self.numbers(channels * planes.plane * simd.VECTOR_BYTES // 4) + planes.first_byte

    def numbers(self, count: int) -> int:
        """The address of some random float32 numbers."""
        array = np.random.default_rng(0).standard_normal(count + simd.VECTOR_BYTES // 4, dtype=np.float32)
        self._kept.append(array)
        return -(-array.ctypes.data // simd.VECTOR_BYTES) * simd.VECTOR_BYTES


def contender(shape: tuple[int, int, int, int, int], which: str) -> tuple[Contender, int]:
    """(what runs `which`: "forward", "grad_weight" or "grad_input" on a block of `shape`, its operations)."""
    c, edge, o, k, padding = shape
    out = edge + 2 * padding - k + 1
    memory = _Memory()
    x, x_at = memory.planes(c, edge, padding)
    y, y_at = memory.planes(o, out, k - 1 - padding)
    weight = memory.numbers(o * c * k * k + o)
    geometry = ((k, k), (edge, edge), (out, out), (1, 1), (padding, padding), (1, 1), 1)
    operation: Operation = conv.contract
    if which == "forward":
        g, buffers = (
            conv_geometry.conv_forward(c, o, *geometry, x.steps, y.steps, 1, 0),
            [x_at, weight, weight, 0, y_at],
        )
    elif which == "grad_input":
        g = conv_geometry.conv_grad_input(c, o, *geometry, x.steps, y.steps, (0, 0), 0, 0)
        buffers = [y_at, weight, 0, 0, x_at]
    else:
        kernel, _, size, *rest = geometry
        g = conv_geometry.conv_grad_weight(c, o, kernel, size, *rest, x.steps, y.steps, 1)
        operation, buffers = conv_grad_weight.contract_grad_weight, [x_at, y_at, weight]
    calls, chains, state = (np.zeros(size, np.int64) for size in ((1, CALL), CHAIN, STATE_SIZE))
    calls[0, FUNCTION], calls[0, GEOMETRY] = operation.address("float32"), g.ctypes.data
    calls[0, FIRST_OPERAND : FIRST_OPERAND + len(buffers)] = buffers
    state[STATE.fresh] = 1

    def call(_kept: Any = (memory, g, calls, chains, state)) -> None:
        _call(calls.ctypes.data, chains.ctypes.data, state.ctypes.data, REPEATS)

    return Contender(call, REPEATS), 2 * 16 * out * out * o * c * k * k
