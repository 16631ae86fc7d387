"""Where a step that ranks share is cut, with made-up figures of the wire and of memory."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import overlap
from fastconv.engine.builder import Builder
from fastconv.engine.overlap import Cuts
from fastconv.engine.ranks.communicator import ALONE
from fastconv.engine.ranks.wire import Wire, measured_wire
from fastconv.engine.run import Run
from fastconv.engine.shares import shares_of
from fastconv.models.building import loss_for
from tests.ranks.threads_as_ranks import on_ranks

GIGABIT = Wire(latency=2e-5, bandwidth=1.25e8, hidden=0.95)


def cuts_of(network, batch_size, threads=1, frozen=()):
    """The cuts of a step that ranks share."""
    optimizer = fc.SGD()
    run = Run("train", batch_size, threads, loss_for(network, None), optimizer, frozen=frozenset(frozen))
    state = optimizer.initial_state(network.flat_parameters)
    return Cuts(Builder(network, run, state, shared=True).plan, network)


def normed():
    layers = [fc.Conv2d(8, 3, padding=1), fc.BatchNorm2d(), fc.ReLU(), fc.Conv2d(8, 3), fc.BatchNorm2d()]
    return fc.Sequential([*layers, fc.Flatten(), fc.Dense(10)], (3, 8, 8))


def test_lenet_is_cut_behind_its_dense_layers_on_a_gigabit_network():
    found = cuts_of(fc.models.lenet5(), 512).best(shares_of(512, 16, 2), GIGABIT)
    assert found.layer == 5  # the pooling above the second convolution
    dense = 4 * (256 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10)  # bytes
    assert 0 < found.seconds < 0.95 * dense / 1.25e8


@pytest.mark.parametrize(
    "wire",
    [
        Wire(latency=1e-5, bandwidth=2e9, hidden=0.0),  # processes of one machine
        Wire(latency=1e-5, bandwidth=1.25e9, hidden=0.9),  # so fast that there is little to save
        Wire(latency=1e-2, bandwidth=1.25e8, hidden=0.9),  # one exchange more takes longer
    ],
)
def test_it_is_not_cut_where_that_saves_next_to_nothing(wire):
    assert cuts_of(fc.models.lenet5(), 512).best(shares_of(512, 16, 2), wire) is None


def test_it_is_not_cut_where_memory_is_slow(monkeypatch):
    monkeypatch.setattr(overlap, "MEMORY_BYTES_PER_SECOND", 1e9)
    assert cuts_of(fc.models.lenet5(), 512).best(shares_of(512, 16, 2), GIGABIT) is None


def test_a_rank_on_its_own_has_nothing_to_send():
    assert cuts_of(fc.models.lenet5(), 512).best(shares_of(512, 16, 1), GIGABIT) is None


def test_what_is_saved_is_what_passes_as_long_as_computing_takes_longer(monkeypatch):
    monkeypatch.setattr(overlap, "MEMORY_BYTES_PER_SECOND", 1e13)
    monkeypatch.setattr(overlap, "LEAST_SHARE", 0)
    cuts, shares = cuts_of(fc.models.lenet5(), 8192), shares_of(8192, 16, 2)
    fast, slow = (cuts.best(shares, Wire(0.0, 1e9 / factor, 1.0)) for factor in (60, 80))
    assert fast.layer == slow.layer == 5
    sums = sum(-(-n // 16) * 16 for n in (256 * 120 + 120, 120 * 84 + 84, 84 * 10 + 10))
    assert slow.seconds - fast.seconds == pytest.approx(20e-9 * 4 * sums)


def test_a_cut_at_an_exchange_that_there_is_anyway_keeps_nothing_more():
    cuts = cuts_of(normed(), 64)
    kept = {place.layer: place.kept for place in cuts._places}
    assert kept[4] == kept[1] == 0 < kept[3]


def test_there_are_gradients_on_both_sides_of_a_cut():
    network = fc.models.lenet5()
    assert cuts_of(network, 64).layers == [9, 7, 5, 3, 2, 0]
    first, second = (node.name for node in network.nodes if isinstance(node.layer, fc.Conv2d))
    assert cuts_of(network, 64, frozen=[first]).layers == [9, 7, 5, 3]
    assert cuts_of(network, 64, frozen=[first, second]).layers == [9, 7]
    assert cuts_of(fc.Sequential([fc.Flatten(), fc.Dense(3)], (2, 3, 3)), 64).layers == []


def test_ranks_find_one_wire_and_hide_nothing_where_nothing_passes_by_itself():
    assert measured_wire(ALONE).hidden == 0
    found = on_ranks(3, measured_wire)
    assert found[0] == found[1] == found[2]
    assert 0 <= found[0].hidden <= 1
    assert np.isfinite(found[0].bandwidth)
