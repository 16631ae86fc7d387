"""Which works a run measures: all of them take an hour, a part of them a minute."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from .kernel_grid import BATCHES, grid_works
from .network_works import PREDICT_BATCHES, STEP_BATCHES, predict_work, step_work
from .networks import NETWORKS
from .timing import Contender
from .work import Work
from .workloads import kernel_works, lane_works, predict_works, step_works

PARTS = ("steps", "predict", "kernels", "grid", "lanes", "errors")


class Choice(NamedTuple):
    """What is measured.

    Parameters
    ----------
    parts : tuple of {"steps", "predict", "kernels", "grid", "lanes", "errors"}
        Training steps and predictions of networks, public kernels, the convolutions on a grid of shapes, the
        engine's own convolutions; and rounding errors of layers, for which nothing is timed.
    networks : tuple of str
        Names of `networks.NETWORKS`.
    batches : tuple of int, optional
        Batch sizes of networks and of the grid, instead of the usual ones.
    """

    parts: tuple[str, ...] = PARTS
    networks: tuple[str, ...] = tuple(NETWORKS)
    batches: tuple[int, ...] | None = None


EVERYTHING = Choice()


def works(choice: Choice, threads: int) -> list[Work]:
    """The works of a choice, in the order of the tables.

    Examples
    --------
    >>> [work.name for work in works(Choice(("predict",), ("lenet5",), (8,)), 1)]
    ['LeNet-5, predict, batch 8']
    """
    found: list[Work] = []
    if "steps" in choice.parts:
        found += _of_networks(choice, STEP_BATCHES, step_work, step_works())
    if "predict" in choice.parts:
        found += _of_networks(choice, PREDICT_BATCHES, predict_work, predict_works())
    if "kernels" in choice.parts:
        found += kernel_works()
    if "grid" in choice.parts:
        found += grid_works(choice.batches or BATCHES)
    if "lanes" in choice.parts and threads == 1:  # they have no threads
        found += lane_works()
    return found


def _of_networks(
    choice: Choice, batches: tuple[int, ...], make: Callable[[str, int], Work | None], fixed: list[Work]
) -> list[Work]:
    """The works of networks; one that is written out by hand has more contenders."""
    by_name = {work.name: work for work in fixed}
    found = []
    for name in choice.networks:
        usual = choice.batches or sorted({*batches, *_batches_of(NETWORKS[name][0], by_name)})
        made = [work for batch in usual if (work := make(name, batch)) is not None]
        found += [_joined(by_name[work.name], work) if work.name in by_name else work for work in made]
    return found


def _joined(fixed: Work, made: Work) -> Work:
    """A work that is written out by hand, with everybody else whom it is made for, and the checks of both."""

    def make(who: str) -> Contender | None:
        return fixed.make(who) or made.make(who)

    return replace(fixed, make=make, checks=(*fixed.checks, *made.checks))


def _batches_of(title: str, by_name: dict[str, Work]) -> list[int]:
    """The batches that are written out for a network."""
    return [int(name.rpartition(" ")[2]) for name in by_name if name.startswith(f"{title}, ")]
