"""Kernels that take turns must not all lie at the same place of their pages."""

import ctypes

import numpy as np

from fastconv.kernels.lanes import (
    activations,
    conv,
    conv_grad_weight,
    dense,
    layout,
    losses,
    optimizers,
    pool,
    shard_sums,
)
from fastconv.kernels.lanes.operation import STATE, STATE_SIZE
from fastconv.simd import code_placement

KERNELS = [
    conv.contract,
    conv_grad_weight.contract_grad_weight,
    dense.rows_grad_weight,
    shard_sums.add_shards,
    layout.gather,
    pool.max_pool,
    pool.max_pool_grad,
    activations.relu,
    losses.cross_entropy,
    losses.record,
    optimizers.sgd,
]


def test_the_kernels_of_a_network_start_at_different_lines_of_their_pages():
    addresses = [kernel.address("float32") for kernel in KERNELS]
    assert len(set(addresses)) == len(KERNELS)
    lines = [address % code_placement.PAGE_BYTES // code_placement.LINE_BYTES for address in addresses]
    assert max(lines.count(line) for line in lines) <= 3  # without pads, all of them are 0


def test_what_comes_behind_a_pad_is_the_kernel():
    """Called by its address, as Numba calls it: result and exception first, then the arguments."""
    gradient, weights = np.array([2.0, 4.0]), np.array([1.0, 1.0])
    options, rates = np.zeros(2), np.array([0.5])
    velocity, g, s = (
        np.zeros(2),
        optimizers.update_geometry([(0, 2, True)], 2, variant=0, state_distance=2),
        np.zeros(STATE_SIZE, np.int64),
    )
    s[STATE.parts] = 1
    result, exception = ctypes.c_void_p(), ctypes.c_void_p()
    call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 10)(optimizers.sgd.address("float64"))
    pointers = [a.ctypes.data for a in (weights, gradient, velocity, options, rates)]
    status = call(
        ctypes.byref(result), ctypes.byref(exception), *pointers, None, g.ctypes.data, s.ctypes.data
    )
    assert status == 0
    assert weights.tolist() == [0.0, -1.0]
