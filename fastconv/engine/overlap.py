"""Where a step that ranks share is cut, so that gradients are on their way while others are computed.

    stage    1 forward, backward ............ |       without a cut every block goes through all operations
    ranks                                     +----+  in one stage, and no layer's gradient is done before

    stage    1 forward, backward of D | 2 backward of C |    the layers D behind the cut at C are done early
    ranks                             +-----------------+-+

It costs what threads keep of their blocks from one stage to the next: values that stayed in their caches go
to memory and come back. Where ranks have something to exchange in any case, as for a batch normalisation,
that is nothing. It saves what passes on the wire by itself while the layers C are computed, up to the next
exchange, which has to wait behind it. Both are estimates; where they do not differ clearly there is no cut.
"""

import math
from typing import NamedTuple

from .exchange import BlockRows
from .shares import shares_of

PRODUCTS_PER_SECOND = 5e9  # of vectors, on a thread: about what training steps come to
MEMORY_BYTES_PER_SECOND = 1e10  # of a thread that writes what it reads later
CUT_SECONDS = 5e-5  # of one more stage, and one more exchange
LEAST_SHARE = 0.03  # of a step: who saves less may as well lose it


class Cut(NamedTuple):
    """A cut in the backward pass.

    Attributes
    ----------
    layer : int
        The number of the first layer whose backward pass comes behind it.
    seconds : float
        What it saves in a step.
    """

    layer: int
    seconds: float


class _Group(NamedTuple):
    """The operations of one layer's backward pass."""

    layer: int
    first: int  # of the operations of all stages
    stage: int
    work: float  # products of vectors, of a block
    sums: int  # numbers of its weights' gradients


def best_cut(plan, network, ranks, wire):
    """Where to cut a step, or None where that does not pay.

    Parameters
    ----------
    plan : Plan
        Of the whole step, not cut, before it is finished.
    network : Network
    ranks : int
    wire : Wire
        What exchanges take.

    Returns
    -------
    Cut or None
    """
    if not wire.hidden or ranks == 1:
        return None
    shares = shares_of(plan.batch_size, plan.lanes, ranks)
    blocks = max(b - a for a, b in zip(shares.block_ends, shares.block_ends[1:], strict=False))
    second = PRODUCTS_PER_SECOND * plan.threads / blocks  # products of a block
    groups, nodes = _groups(plan, network), sum(map(len, shares.nodes))
    passing = _passing(nodes, ranks, plan.dtype.itemsize)
    best = Cut(-1, 0.0)
    for group, early, late in _places(groups):
        computing = sum(one.work for one in late if one.stage < _next_exchange(plan, group.stage)) / second
        kept = 2 * blocks * _kept_bytes(plan, group.first) / (MEMORY_BYTES_PER_SECOND * plan.threads)
        hidden = wire.hidden_seconds(passing * sum(one.sums for one in early))
        saved = min(computing, hidden) - kept - CUT_SECONDS - wire.latency
        best = max(best, Cut(group.layer, saved), key=lambda cut: cut.seconds)
    step = sum(_work(plan, network)) / second
    step += sum(one.sums for one in groups) * passing / wire.bandwidth
    return best if best.seconds > LEAST_SHARE * step else None


def possible_cuts(plan, network):
    """The layers at which a step can be cut, whether that pays or not."""
    return [group.layer for group, _, _ in _places(_groups(plan, network))]


def _places(groups):
    """(the first behind a cut, those before it, those behind it), with sums on both sides."""
    for group in {group.layer: group for group in groups}.values():  # the last is that of its gradient
        early = [one for one in groups if one.first < group.first]
        late = [one for one in groups if one.first >= group.first]
        if sum(one.sums for one in early) and sum(one.sums for one in late):
            yield group, early, late


def _passing(nodes, ranks, item):
    """Bytes that a rank gets from others at once, for each number of a gradient."""
    return item * max(nodes - nodes // ranks, 1) if nodes <= 2 * ranks else item * nodes / ranks


def _operations(plan):
    """(number, stage, operation) of all operations of the stages."""
    numbered = ((stage, one) for stage, (_, operations) in enumerate(plan.stages) for one in operations)
    return [(number, stage, one) for number, (stage, one) in enumerate(numbered)]


def _products(network, owner):
    """What an owner's operations take of a block."""
    nodes = [network.nodes[layer] for layer in owner.layers]
    return owner.products * sum(
        node.layer.products(node.input_shape) + math.prod(node.output_shape) for node in nodes
    )


def _work(plan, network):
    """The products of each layer's passes."""
    owners = dict.fromkeys(one.owner for _, _, one in _operations(plan) if one.owner)
    return [_products(network, owner) for owner in owners]


def _groups(plan, network):
    """The backward passes of the layers, in the order in which blocks go through them."""
    firsts, sums = {}, {}
    for number, stage, one in _operations(plan):
        owner = one.owner
        if owner and owner.part == "backward" and owner.products:
            firsts.setdefault(owner, (number, stage))
            shards = (operand.storage for operand in one[1] if operand and operand.storage.kept == "shard")
            sums.setdefault(owner, {}).update((storage, storage.size) for storage in shards)
    firsts |= _after_exchanges(plan, firsts)
    return [
        _Group(owner.layers[0], *first, _products(network, owner), sum(sums[owner].values()))
        for owner, first in sorted(firsts.items(), key=lambda item: item[1])
    ]


def _after_exchanges(plan, owners):
    """(number, stage) of the first operation behind a layer's own exchange, of those owners that have one."""
    shared = {place: one.storages for place, one in plan.exchanges if isinstance(one, BlockRows)}
    found = {}
    for number, stage, one in _operations(plan):
        if one.owner in owners and any(
            operand and operand.storage in shared.get(stage, ()) for operand in one[1]
        ):
            found.setdefault(one.owner, (number, stage))
    return found


def _next_exchange(plan, stage):
    """The stage before which ranks exchange something next."""
    return min((place for place, _ in plan.exchanges if place > stage), default=len(plan.stages))


def _kept_bytes(plan, first):
    """Bytes of a block that operations from number `first` on read of those before, in the same stage."""
    uses = {}
    for number, stage, (_, operands, _) in _operations(plan):
        for operand in operands:
            if operand is not None and operand.storage.kept == "thread":
                uses.setdefault(operand.storage, []).append((number, stage))
    crossing = [
        storage.size
        for storage, used in uses.items()
        if used[0][0] < first <= used[-1][0] and used[0][1] == used[-1][1]
    ]
    return sum(crossing) * plan.dtype.itemsize
