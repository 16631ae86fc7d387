"""Operations that run channel by channel give the bits of those that take all channels at once."""

import re
from itertools import cycle

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import chains
from fastconv.engine.builder import Builder
from fastconv.engine.engine import Engine
from fastconv.engine.run import Run
from fastconv.engine.traffic import bytes_of
from fastconv.inspection.random_batch import random_batch
from tests.engine.networks import NETWORKS, assert_same_bits, build, data_for
from tests.engine.two_layouts import after_steps, case
from tests.ranks.test_engine_on_ranks import bits, trained
from tests.ranks.threads_as_ranks import on_ranks

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def chain_always(monkeypatch):
    """Run all operations channel by channel that can, however small their planes are."""
    monkeypatch.setattr(chains, "CACHED_BYTES", 0)
    monkeypatch.setattr(chains, "LEAST_BYTES", 0)


def chain_never(monkeypatch):
    monkeypatch.setattr(chains, "CACHED_BYTES", 1 << 60)


@pytest.mark.parametrize(("name", "dtype"), zip(NETWORKS, cycle(["float32", "float64"]), strict=False))
def test_every_layer_has_the_same_bits(name, dtype, monkeypatch):
    def results(threads):
        fc.set_num_threads(threads)
        model = build(name, dtype)
        X, y = data_for(model, "mse", count=37)
        fc.Trainer(model, loss="mse").fit(X, y, epochs=1, batch_size=33, progress=False)
        loss, gradients = model.loss_and_gradients(X, y, "mse")
        return [loss, *gradients.values(), *model.state().values(), model.predict(X)]

    chain_never(monkeypatch)
    expected = results(1)
    chain_always(monkeypatch)
    for threads in (1, 3):
        assert_same_bits(results(threads), expected)


def test_random_networks_have_the_same_bits(monkeypatch):
    found = 0
    for seed in range(60):
        if (made := case(seed)) is None:
            continue
        chain_never(monkeypatch)
        expected = after_steps(*made, 0)
        chain_always(monkeypatch)
        model, batch_size, *_, loss = made
        found += bool(Engine(model, Run("gradients", batch_size, 1, loss)).program.plan.chains)
        for threads in (1, 2):
            for one, other in zip(after_steps(*made, 0, threads), expected, strict=True):
                assert one.tobytes() == other.tobytes(), seed
    assert found > 20


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_run_channel_by_channel(ranks, monkeypatch):
    case = "norms", "float64", 36, 60, 2
    chain_never(monkeypatch)
    alone = bits(trained(*case, optimizer=fc.SGD(), ranks=fc.engine.ranks.communicator.ALONE))
    chain_always(monkeypatch)
    for one in on_ranks(ranks, lambda ranks: bits(trained(*case, optimizer=fc.SGD(), ranks=ranks))):
        assert one == alone


def depthwise_net(channels, edge):
    """A network whose planes leave the cache if they are large."""
    layers = [
        *(fc.Conv2d(channels, 1), fc.BatchNorm2d(), fc.ReLU()),
        *(fc.Conv2d(channels, 3, padding=1, groups=channels), fc.BatchNorm2d(), fc.ReLU()),
        *(fc.Conv2d(4, 1), fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(3)),
    ]
    return fc.Sequential(layers, (3, edge, edge))


def engine_of(model, batch_size, purpose="gradients", threads=1):
    loss = fc.losses.CrossEntropy() if purpose == "gradients" else None
    return Engine(model, Run(purpose, batch_size, threads, loss))


def names_of(engine):
    """The names of the operations of each chain."""
    plan = engine.program.plan
    return [[one[0].name for one in plan.operations[chain.first : chain.last]] for chain in plan.chains]


def test_large_planes_are_taken_channel_by_channel():
    found = names_of(engine_of(depthwise_net(32, 24), 32))
    assert ["batch_norm", "depthwise", "batch_norm_sums"] in found
    backward = ["batch_norm_grad_input", "batch_norm", "depthwise_grad_weight", "depthwise"]
    assert [*backward, "batch_norm_grad_sums"] in found


def test_small_planes_and_large_ones_of_few_positions_are_not():
    assert not names_of(engine_of(depthwise_net(8, 6), 32))
    assert not names_of(engine_of(depthwise_net(512, 3), 32))


def test_memory_that_only_a_chain_uses_holds_one_channel(monkeypatch):
    model = depthwise_net(32, 24)
    engine = engine_of(model, 32)
    narrow = {place for chain in engine.program.plan.chains for place in chain.steps}
    assert len(narrow) == 7  # y forward, y made again and dy: in two operations, in two and in three
    chain_never(monkeypatch)
    assert engine.program.memory.nbytes < engine_of(model, 32).program.memory.nbytes


def test_operations_of_threads_that_share_a_block_are_not_chained(monkeypatch):
    chain_always(monkeypatch)
    plan = Builder(depthwise_net(32, 24), Run("gradients", 16, 2, fc.losses.CrossEntropy())).plan
    plan.lay_out()
    ends = np.cumsum([len(operations) for _, operations in plan.stages])
    for chain in plan.chains:
        kind, _ = plan.stages[int(np.searchsorted(ends, chain.first, side="right"))]
        assert kind == "block"


def test_bytes_and_profiles_are_those_of_all_channels(monkeypatch):
    model = depthwise_net(16, 20)
    X, y = random_batch(model, 20)

    def bytes_moved():
        engine = engine_of(model, 20)
        engine.load(X, y)
        return bytes_of(engine)

    chain_never(monkeypatch)
    expected = bytes_moved()
    chain_always(monkeypatch)
    np.testing.assert_array_equal(bytes_moved(), expected)
    profile = fc.profile(model, X, y, seconds=0.02)
    assert profile.total().seconds == pytest.approx(profile.seconds)
    assert all(row.seconds > 0 for row in profile.rows if row.flops)


def test_a_listing_shows_the_loop_over_channels():
    text = depthwise_net(32, 24).source(batch_size=32, kernels=False)
    assert re.search(r"\n( +)for channel in range\(32\):.*\n +# y = .*\n\1    batch_norm\(x=y0, y=y2,", text)
