"""Engines of several ranks together make the bits of one engine."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import exchange
from fastconv.engine.builder import Builder
from fastconv.engine.engine import Engine
from fastconv.engine.overlap import Cut, Cuts
from fastconv.engine.ranks.communicator import ALONE, Coming
from fastconv.engine.run import Run
from fastconv.engine.shares import shares_of
from fastconv.inspection.steps import Mute
from fastconv.nn.losses import resolve
from tests.ranks.threads_as_ranks import ThreadRanks, on_ranks

LAYERS = {
    "dense": ((2, 7, 5), lambda: [fc.Flatten(), fc.Dense(20), fc.ReLU(), fc.Dense(3)]),
    "conv": (
        (2, 7, 6),
        lambda: [fc.Conv2d(4, 3), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.3), fc.Dense(3)],
    ),
    "winograd": (
        (16, 8, 8),
        lambda: [
            *(fc.Conv2d(20, 3, padding=1), fc.ReLU(), fc.Conv2d(18, 3, padding=1)),
            *(fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(3)),
        ],
    ),
    "series": (
        (16, 30),
        lambda: [
            *(fc.Conv1d(32, 8, padding="same"), fc.BatchNorm1d(), fc.ReLU(), fc.Conv1d(32, 5)),
            *(fc.GlobalAvgPool1d(), fc.Flatten(), fc.Dense(3)),
        ],
    ),
    "norms": (
        (2, 6, 6),
        lambda: [
            *(fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.PReLU(), fc.GroupNorm(2), fc.ConvTranspose2d(3, 2)),
            *(fc.LayerNorm(), fc.Flatten(), fc.Dense(3)),
        ],
    ),
}


def made(name, dtype):
    """A network of the table, or one with a layer in two places and a residual sum."""
    if name in LAYERS:
        shape, layers = LAYERS[name]
        return fc.Sequential(layers(), shape, dtype=dtype)
    x = fc.Input((4, 6, 6))
    conv = fc.Conv2d(4, 3, padding=1)
    y = fc.Add()([conv(fc.ReLU()(conv(x))), x])
    return fc.Model(x, fc.Dense(3)(fc.Flatten()(y)), dtype=dtype)


def trained(name, dtype, batch_size, samples, threads, ranks, optimizer, few=0):
    """What is left after some steps: all numbers of a run."""
    network = made(name, dtype)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((samples, *network.input_shape)).astype(dtype)
    y = rng.integers(0, 3, samples)
    loss = resolve("cross_entropy")
    state = optimizer.initial_state(network.flat_parameters)
    run = Run("train", batch_size, threads, loss, optimizer, outputs=True, few=few)
    one = Engine(network, run, state, 5, ranks)
    outputs = np.zeros((samples, 3), dtype)
    one.load(X, y, rng.permutation(samples))
    one.write_to(outputs)
    one.ports.rates[:] = 0.01
    logs = [one.run(0, one.steps).copy() for _ in range(2)]
    parameters, statistics = (live.flat.copy() for live in network.live_arrays())
    return [*logs, outputs, parameters, statistics, *state]


def bits(arrays):
    return [array.tobytes() for array in arrays]


CASES = [(name, "float32", 70, 100) for name in [*LAYERS, "shared"]] + [
    ("conv", "float64", 33, 50),  # blocks of 8
    ("dense", "float32", 8, 20),  # one block: one rank has nothing to do
    ("conv", "float32", 8, 20),  # cut in strips
    ("conv", "float64", 8 * 1024 + 40, 8 * 1024 + 40),  # shards of several blocks
]


@pytest.mark.parametrize(("name", "dtype", "batch_size", "samples"), CASES)
def test_training_ends_with_the_bits_of_one_process(name, dtype, batch_size, samples):
    optimizer = fc.Adam(clip_norm=0.5)
    arguments = name, dtype, batch_size, samples
    alone = bits(trained(*arguments, 1, ALONE, optimizer))
    for ranks, threads in [(2, 1), (3, 2), (8, 1)]:
        for found in on_ranks(ranks, lambda one, t=threads: bits(trained(*arguments, t, one, optimizer))):
            assert found == alone


@pytest.mark.parametrize("name", ["conv", "winograd", "series", "norms", "shared"])
def test_so_do_few_samples_with_their_channels_in_the_lanes(name):
    """They are one block, which one rank computes."""
    arguments = name, "float32", 4, 15
    alone = bits(trained(*arguments, 1, ALONE, fc.Adam(clip_norm=0.5), few=4))
    for ranks, threads in [(2, 1), (3, 2)]:
        for found in on_ranks(
            ranks,
            lambda one, t=threads: bits(trained(*arguments, t, one, fc.Adam(clip_norm=0.5), few=4)),
        ):
            assert found == alone


def shared_plan(network, batch_size, early=-1):
    run = Run("train", batch_size, 1, resolve("cross_entropy"), fc.SGD())
    return Builder(network, run, [network.flat_parameters.copy()], True, early).plan


def cuts_of(name, dtype, batch_size):
    network = made(name, dtype)
    return Cuts(shared_plan(network, batch_size), network).layers


def cut_at(monkeypatch, layer):
    monkeypatch.setattr(Cuts, "best", lambda self, shares, wire: Cut(layer, 0.0))


@pytest.mark.parametrize(("name", "dtype", "batch_size", "samples"), CASES)
def test_a_step_that_is_cut_has_the_same_bits_wherever_that_is(monkeypatch, name, dtype, batch_size, samples):
    arguments = name, dtype, batch_size, samples
    alone = bits(trained(*arguments, 1, ALONE, fc.Adam(clip_norm=0.5)))
    cuts = cuts_of(name, dtype, batch_size)
    assert cuts
    for layer in cuts:
        cut_at(monkeypatch, layer)
        for ranks, threads in [(2, 1), (3, 2), (4, 1)]:
            for found in on_ranks(
                ranks, lambda one, t=threads: bits(trained(*arguments, t, one, fc.Adam(clip_norm=0.5)))
            ):
                assert found == alone


def test_rank_0_decides_for_all(monkeypatch):
    monkeypatch.setattr(ThreadRanks, "wire", lambda self: self.number)
    monkeypatch.setattr(Cuts, "best", lambda self, shares, number: None if number else Cut(0, 0.0))
    arguments = "conv", "float32", 70, 100, 1
    alone = bits(trained(*arguments, ALONE, fc.SGD()))
    assert on_ranks(3, lambda one: bits(trained(*arguments, one, fc.SGD()))) == [alone] * 3


@pytest.mark.parametrize("name", [*LAYERS, "shared"])
def test_a_cut_adds_nothing_up_twice(name):
    network, found = made(name, "float32"), []
    for layer in (-1, *cuts_of(name, "float32", 64)):
        batch = [
            one for kind, some in shared_plan(network, 64, layer).stages for one in some if kind == "batch"
        ]
        found.append(sorted(id(operation) for operation, _, _ in batch))
    assert found == found[:1] * len(found)


def test_gradients_are_on_their_way_while_others_are_computed(monkeypatch):
    cut_at(monkeypatch, 0)
    network, spoken = made("conv", "float32"), []

    class Listening(Mute):
        def begin_all_rows(self, rows, counts):
            spoken.append(("begin", rows.shape[-1]))
            coming = super().begin_all_rows(rows, counts)
            return Coming(coming.finish(), lambda: spoken.append(("finish", rows.shape[-1])))

    run = Run("train", 64, 1, resolve("cross_entropy"), fc.SGD())
    one = Engine(network, run, [network.flat_parameters.copy()], ranks=Listening(0, 2))
    one.load(np.zeros((64, 2, 7, 6), "float32"), np.zeros(64, np.int64))
    one.ports.rates[:] = 0
    one.take(0, 1, lambda job, threads: spoken.append("stages"))
    early, late = 64, 80  # 16 * 3 + 3 and 2 * 4 * 9 + 4, in whole vectors
    begun = spoken.index(("begin", early))
    assert spoken[begun + 1] == "stages"
    assert spoken[spoken.index(("begin", late)) :][1:3] == [("finish", early), ("finish", late)]


def test_slices_of_the_sums_have_the_same_bits(monkeypatch):
    arguments = "winograd", "float32", 150, 150
    alone = bits(trained(*arguments, 1, ALONE, fc.SGD()))
    monkeypatch.setattr(exchange, "GATHERED", 0)
    for ranks in (3, 4):
        for found in on_ranks(ranks, lambda one: bits(trained(*arguments, 1, one, fc.SGD()))):
            assert found == alone


def test_a_rank_reads_nothing_but_its_own_samples():
    network = made("conv", "float32")
    X = np.random.default_rng(0).standard_normal((100, 2, 7, 6)).astype("float32")
    y = np.arange(100) % 3

    def losses(ranks):
        own = X.copy()
        for start in (0, 50):
            ends = shares_of(50, 16, ranks.count).sample_ends
            own[start : start + ends[ranks.number]] = np.nan
            own[start + ends[ranks.number + 1] : start + 50] = np.nan
        run = Run("evaluate", 50, 1, resolve("cross_entropy"))
        one = Engine(network, run, ranks=ranks)
        one.load(own, y)
        return one.run(0, 2).copy()

    alone = losses(ALONE)
    assert np.isfinite(alone).all()
    for found in on_ranks(3, losses):
        np.testing.assert_array_equal(found, alone)
