"""The bytes that the operations of a plan read and write.

A kernel does not say which of its operands it writes. So each operation runs once, on one block of a real
step, in memory that was empty before, and what has changed was written. Where that depends on what was there
before, as in a sum in place, it was read, too: to see that, the operation runs on other contents of it.

    memory that nothing has changed         read: all of the operand
    planes that have changed                written: all of the operand
    rows that have changed                  written: the numbers that differ from other contents
    ... and what was there before matters   read as well
"""

import ctypes
from functools import partial

import numpy as np

from ..kernels.lanes.operation import STATE
from .columns import arrays_in
from .loop import point_at, run_calls_at
from .memory import Planes
from .tables import address_of

CONTENTS = 0.5, 0.25, -0.5  # of all elements; a ReLU leaves some of them alone, but not all


def bytes_of(engine):
    """(bytes read, bytes written) of each operation in a step, as an array of two columns.

    Of several ranks, those of this one. The engine has its samples, and takes one step first. Afterwards its
    memory is spoilt, and parameters and statistics are other ones.
    """
    program, rates = engine.program, engine.ports.rates
    if rates is not None:
        rates[:] = 1e-3  # at a rate of 0, nothing would be written
    engine.run(0, 1)
    state, calls = program.state[0].copy(), program.calls[0].copy()
    shares, rank = engine.shares(0), engine.ranks.number
    blocks, samples = (int(np.diff(ends)[rank]) for ends in (shares.block_ends, shares.sample_ends))
    state[STATE.part], state[STATE.parts], state[STATE.fresh] = 0, 1, 1
    state[STATE.first_sample], state[STATE.valid] = 0, min(engine.in_a_block, state[STATE.samples])
    point_at(address_of(program.operations), address_of(calls), 0, len(calls))
    program.plan.clear(program.memory)
    found = []
    for kind, operations in program.plan.stages:
        for one in operations:
            k, tables = len(found), (address_of(calls), address_of(program.chains))
            run = partial(run_calls_at, *tables, k, k + 1, address_of(state))
            sizes = _sizes(run, one, program.plan, kind == "batch", rates)
            found.append([size * (1 if kind == "batch" else blocks) for size in sizes])
    if rates is not None:
        rates[:] = 0
    return np.array(found, np.int64).reshape(-1, 2) + _samples(engine, samples)[: len(found)]


def _sizes(run, one, plan, whole, rates):
    """(bytes read, bytes written) where `run` is called once; `whole` says whether that takes all blocks."""
    operands = [operand for operand in one[1] if operand is not None]
    areas = {operand.storage: _area(operand.storage, plan, whole) for operand in operands}
    before = {storage: area.copy() for storage, area in areas.items()}
    run()
    changed = [storage for storage, area in areas.items() if not np.array_equal(area, before[storage])]
    sizes = np.zeros(2, np.int64)
    for storage in changed:
        read, written = _changes(run, storage, areas, before, plan.dtype)
        planes = [_size(o, plan, whole, rates) for o in operands if o.storage is storage and _is_planes(o)]
        if planes:
            read, written = max(planes) * (read > 0), max(planes)
        sizes += read, written
    _put_back(areas, before)
    run()
    for operand in operands:
        if operand.storage not in changed and not operand.label.startswith("optimizer_state"):
            sizes[0] += _size(operand, plan, whole, rates)
    return sizes


def _changes(run, storage, areas, before, dtype):
    """(bytes read, bytes written) of memory that is written."""
    results = []
    for content in CONTENTS:
        _put_back(areas, before)
        areas[storage].view(dtype)[:] = content
        run()
        results.append(areas[storage].copy())
    fills = [np.array(content, dtype).view(areas[storage].dtype) for content in CONTENTS]
    written = np.any([result != fill for result, fill in zip(results, fills, strict=True)], axis=0)
    read = written & np.any([result != results[0] for result in results], axis=0)
    return read.sum() * dtype.itemsize, written.sum() * dtype.itemsize


def _is_planes(operand):
    return isinstance(operand, Planes)


def _put_back(areas, before):
    for storage, area in areas.items():
        area[:] = before[storage]


def _area(storage, plan, whole):
    """The memory of a storage, a row a copy, as ints of the size of its elements: of one block, or all."""
    item, copies = plan.dtype.itemsize, _copies(storage, plan) if whole else 1
    size = (copies - 1) * storage.copy_bytes + storage.size * item
    memory = (ctypes.c_char * size).from_address(storage.address)
    steps = storage.copy_bytes, item
    return np.ndarray((copies, storage.size), f"u{item}", memory, strides=steps)


def _copies(storage, plan):
    return plan.copies(storage) if storage.kept in ("block", "shard") else 1


def _size(operand, plan, whole, rates):
    """The bytes of an operand that is read."""
    if rates is not None and operand.storage.address == rates.ctypes.data:
        return rates.itemsize  # a step reads its own
    copies = _copies(operand.storage, plan) if whole else 1
    if _is_planes(operand):
        return operand.features * operand.element_bytes * copies
    return (operand.count or operand.storage.size) * plan.dtype.itemsize * copies


def _samples(engine, count):
    """(bytes read, bytes written) of the caller's arrays, which are no operands."""
    ports, (X, y, _, weight) = engine.ports, engine._data
    read = [*zip(ports.sources, arrays_in(X), strict=True)]
    if ports.targets:
        read += zip(ports.targets, arrays_in(y), strict=True)
    if ports.weight is not None:
        read.append((ports.weight, weight))
    written = zip(ports.sinks, arrays_in(engine._output), strict=True) if ports.sinks else ()
    sizes = np.zeros((len(engine.program.geometries), 2), np.int64)
    for column, pairs in enumerate((read, written)):
        for port, array in pairs:
            place = next(k for k, g in enumerate(engine.program.geometries) if g is port)
            sizes[place, column] += array[:1].nbytes * count
    return sizes
