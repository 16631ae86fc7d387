"""What ranks say to each other in a training step, as the plan of its engine has it."""

import itertools
from collections.abc import Callable
from typing import Any

from ..engine.exchange import Begin, BlockRows, ShardSums
from ..engine.overlap import Cuts
from ..engine.ranks.wire import Wire
from ..engine.shares import Shares
from .scaling import Exchange, Link


def exchanges_of(plan: Any) -> Callable[[Shares], list[Exchange]]:
    """Of a plan whose engine shares its steps with other ranks: the shares of a batch -> its exchanges."""
    item, parts = plan.dtype.itemsize, [part for _, part in plan.exchanges]

    def of(shares: Shares) -> list[Exchange]:
        return [one for part in parts for one in _of_part(part, item, shares)]

    return of


def hidden_by(plan: Any, network: Any, link: Link) -> Callable[[Shares], float]:
    """The shares of a batch -> what an engine gains by gradients that are on their way early.

    The network is one that moves by itself what it was given. Of the plan is known what it is without a cut.
    """
    cuts = Cuts(plan, network)

    def of(shares: Shares) -> float:
        latency = link.seconds(Exchange("scatter", 0, 0), len(shares.nodes))
        cut = cuts.best(shares, Wire(latency, link.bandwidth, hidden=1.0))
        return 0.0 if cut is None else cut.seconds

    return of


def _of_part(part: BlockRows | ShardSums | Begin, item: int, shares: Shares) -> list[Exchange]:
    """The exchanges that `part.run` makes."""
    if isinstance(part, Begin):
        return _of_part(part.sums, item, shares)
    size = part.numbers * item
    if isinstance(part, BlockRows):
        return [_gather([size * (stop - first) for first, stop in itertools.pairwise(shares.block_ends)])]
    counts = [len(nodes) for nodes in shares.nodes]
    nodes, ranks = sum(counts), len(counts)
    if part.gathers(ranks, nodes):
        return [_gather([size * count for count in counts])]
    slices = nodes * size // ranks  # what a rank gets, its own included
    passing = max(max(count * (size - size // ranks), slices - count * size // ranks) for count in counts)
    return [Exchange("scatter", nodes * size, passing), _gather([size // ranks] * ranks)]


def _gather(sizes: list[int]) -> Exchange:
    """An exchange in which each rank gives so many bytes, and everybody gets all."""
    return Exchange("gather", sum(sizes), sum(sizes) - min(sizes))
