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

import itertools
import math
from typing import NamedTuple

from .exchange import BlockRows, gathers

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


class Cuts:
    """Where a step can be cut, and what that comes to.

    Parameters
    ----------
    plan : Plan
        Of a whole step that ranks share, not cut, before it is finished.
    network : Network
    """

    def __init__(self, plan, network):
        groups = _groups(plan, network)
        self._threads, self._item = plan.threads, plan.dtype.itemsize
        self._places = list(_places(plan, groups))
        self._work, self._sums = sum(_work(plan, network)), sum(one.sums for one in groups)

    @property
    def layers(self):
        """The numbers of the layers at which a step can be cut, whether that pays or not."""
        return [place.layer for place in self._places]

    def best(self, shares, wire):
        """The cut that pays most in a step, or None where none pays.

        Parameters
        ----------
        shares : Shares
            Of the batch.
        wire : Wire
            What exchanges take.
        """
        ranks = len(shares.nodes)
        if not wire.hidden or ranks == 1:
            return None
        blocks, shards = (
            max(last - first for first, last in itertools.pairwise(ends))
            for ends in (shares.block_ends, shares.shard_ends)
        )
        second = PRODUCTS_PER_SECOND * self._threads / max(1, blocks)  # products of a block
        memory = MEMORY_BYTES_PER_SECOND * self._threads
        best = Cut(-1, 0.0)
        for place in self._places:
            computing = place.work / second + self._item * shards * place.sums / memory
            hidden = min(computing, wire.hidden_seconds(_passing(place.early * self._item, shares)))
            saved = hidden - 2 * blocks * place.kept / memory - CUT_SECONDS - wire.latency
            best = max(best, Cut(place.layer, saved), key=lambda cut: cut.seconds)
        step = self._work / second + _passing(self._sums * self._item, shares) / wire.bandwidth
        return best if best.seconds > LEAST_SHARE * step else None


class _Group(NamedTuple):
    """The operations of one layer's backward pass."""

    layer: int
    first: int  # of the operations of all stages
    stage: int
    work: float  # products of vectors, of a block
    sums: int  # numbers of its weights' gradients


class _Place(NamedTuple):
    """A cut before the backward pass of a layer."""

    layer: int
    early: int  # numbers of the gradients that are sent there
    work: float  # what is computed meanwhile: products of vectors, of a block,
    sums: int  # and numbers of gradients that are added up over shards
    kept: int  # bytes of a block that go from one stage to the next


def _places(plan, groups):
    """All cuts with gradients on both sides."""
    lives = _lives(plan)
    for group in {group.layer: group for group in groups}.values():  # the last is that of its gradient
        early = sum(one.sums for one in groups if one.first < group.first)
        late = [one for one in groups if one.first >= group.first]
        if early and sum(one.sums for one in late):
            end = min((place for place, _ in plan.exchanges if place > group.stage), default=len(plan.stages))
            meanwhile = [one for one in late if one.stage < end]
            work, sums = sum(one.work for one in meanwhile), sum(one.sums for one in meanwhile)
            kept = sum(size for size, begin, last in lives if begin < group.first <= last)
            yield _Place(group.layer, early, work, sums, kept)


def _passing(row_bytes, shares):
    """The bytes that a rank gets from others for a row of sums, at first: all nodes, or its slice of them."""
    counts = [len(nodes) for nodes in shares.nodes]
    nodes, ranks = sum(counts), len(counts)
    return row_bytes * (nodes - min(counts)) / (1 if gathers(row_bytes, ranks, nodes) else ranks)


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


def _lives(plan):
    """(bytes, first use, last use) of what a thread keeps for a block within one stage."""
    uses = {}
    for number, stage, (_, operands, _) in _operations(plan):
        for operand in operands:
            if operand is not None and operand.storage.kept == "thread":
                uses.setdefault(operand.storage, []).append((number, stage))
    item = plan.dtype.itemsize
    return [
        (storage.size * item, used[0][0], used[-1][0])
        for storage, used in uses.items()
        if used[0][1] == used[-1][1]
    ]
