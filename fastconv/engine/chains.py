"""Chains: operations on a block that take one channel after the other through all of them.

    batch_norm    y7 -> y9        Each takes the channels of its planes for themselves. So the first channel
    depthwise     y9 -> y10       goes through all of them, then the next one: what an operation has made is
    sums          y10             still in the first-level cache for the one behind it.

Memory for what only a chain uses, y9 here, holds a single channel: it never leaves the cache. The kernels
reckon with all channels, at their distances: for each channel, their pointers to it are moved back.
"""

from dataclasses import dataclass, field

import numpy as np

from .memory import Planes
from .tables import CHAIN, CHAIN_CHANNELS, CHAIN_END, CHAIN_STEPS

CACHED_BYTES = 1 << 18  # of planes: with fewer, they stay in a second-level cache in any case
LEAST_BYTES = 1 << 11  # of a channel: with fewer, the calls of the kernels take longer than they save


@dataclass
class Chain:
    """Operations number `first` to before `last` of a plan, and how many channels they take one by one."""

    first: int
    last: int
    channels: int
    steps: dict = field(default_factory=dict)  # (operation, operand) -> bytes of the only channel there is


def find_chains(plan):
    """The chains of a plan whose memory is settled; that of what only a chain uses becomes smaller."""
    found, at, users = [], 0, _users(plan)
    for kind, operations in plan.stages:
        for chain in _runs(operations, at) if kind == "block" else ():
            chained = operations[chain.first - at : chain.last - at]
            if _pays(chained):
                _narrow(chain, chained, users, plan.lanes)
                _live_throughout(chain, chained, plan.moments)
                found.append(chain)
        at += len(operations)
    return found


def chain_table(chains, count):
    """The table of `count` operations that the compiled loop reads."""
    table = np.zeros((max(count, 1), CHAIN), np.int64)
    for chain in chains:
        table[chain.first : chain.last, CHAIN_END] = chain.last
        table[chain.first : chain.last, CHAIN_CHANNELS] = chain.channels
        for (number, operand), step in chain.steps.items():
            table[number, CHAIN_STEPS + operand] = step
    return table


def _users(plan):
    """Storage -> the numbers of the operations that use it."""
    users, number = {}, 0
    for _, operations in plan.stages:
        for _, operands, _ in operations:
            for operand in filter(None, operands):
                users.setdefault(operand.storage, []).append(number)
            number += 1
    return users


def _runs(operations, at):
    """Runs of two operations or more, one behind the other, that take the same number of channels."""
    runs = []
    for number, one in enumerate(operations, at):
        channels = _channels(one)
        if channels > 1 and runs and runs[-1].last == number and runs[-1].channels == channels:
            runs[-1].last += 1
        elif channels > 1:
            runs.append(Chain(number, number + 1, channels))
    return [run for run in runs if run.last - run.first > 1]


def _channels(one):
    """How many channels an operation takes for themselves; 0 if it takes them together."""
    operation, operands, geometry = one
    if not operation.by_channel or any(planes.image is not None for planes in _planes(operands)):
        return 0
    channels = int(geometry[0])
    return channels if channels and all(p.channels % channels == 0 for p in _planes(operands)) else 0


def _planes(operands):
    return [operand for operand in operands if isinstance(operand, Planes)]


def _pays(operations):
    """Whether the planes of a run of operations leave the cache, and some are used more than once."""
    sizes, uses = {}, 0
    channels = _channels(operations[0])
    for _, operands, _ in operations:
        for planes in _planes(operands):
            uses += 1
            sizes[planes.storage] = planes.channels * planes.plane * planes.element_bytes
    total = sum(sizes.values())
    return uses > len(sizes) and total > CACHED_BYTES and total > LEAST_BYTES * channels * len(sizes)


def _narrow(chain, operations, users, lanes):
    """Keep one channel only of what no other operation uses."""
    used = {}
    for number, (_, operands, _) in enumerate(operations, chain.first):
        for place, operand in enumerate(operands):
            if operand is not None:
                used.setdefault(operand.storage, []).append((number, place, operand))
    for storage, uses in used.items():
        one = uses[0][2]
        if storage.kept == "thread" and len(uses) == len(users[storage]) and _all_alike(uses):
            planes = one.channels // chain.channels * one.plane
            if storage.size == chain.channels * planes * lanes:
                storage.size = planes * lanes
                storage.shape = storage.shape and (one.channels // chain.channels, *storage.shape[1:])
                for number, place, _ in uses:
                    chain.steps[number, place] = planes * one.element_bytes


def _all_alike(uses):
    """Whether all uses of a storage are as the same planes."""
    if not all(isinstance(operand, Planes) for _, _, operand in uses):
        return False
    return len({(one.sizes, one.halo, one.element_bytes) for _, _, one in uses}) == 1


def _live_throughout(chain, operations, moments):
    """Let no memory of a chain be that of other memory of it, before or after: all is used at once."""
    for _, operands, _ in operations:
        for storage in (operand.storage for operand in operands if operand is not None):
            storage.first = min(storage.first, moments[chain.first])
            storage.last = max(storage.last, moments[chain.last - 1])
