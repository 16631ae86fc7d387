"""What many ranks would make of a step: the model against numbers worked by hand, and what it is made of."""

import math

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine.overlap import Cut, Cuts
from fastconv.engine.shares import shares_of
from fastconv.inspection import scale as scale_module
from fastconv.inspection.exchanges import exchanges_of, hidden_by
from fastconv.inspection.random_batch import random_batch
from fastconv.inspection.scaling import Computing, Exchange, Link, StepModel, most_samples
from fastconv.inspection.steps import Mute, shared_plan, training_engine

LINK = Link(latency=2.0, bandwidth=100.0, call=1.0)


# An exchange


@pytest.mark.parametrize(("ranks", "messages"), [(2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (1024, 10)])
def test_a_gather_takes_the_logarithm_of_messages(ranks, messages):
    assert LINK.seconds(Exchange("gather", 100, 50), ranks) == pytest.approx(1 + 2 * messages + 0.5)


def test_a_long_gather_goes_round_a_ring():
    fast = LINK._replace(bandwidth=math.inf)
    assert fast.seconds(Exchange("gather", 512 * 1024 - 1, 0), 8) == 1 + 3 * 2
    assert fast.seconds(Exchange("gather", 512 * 1024, 0), 8) == 1 + 7 * 2


def test_a_scatter_takes_a_message_to_each_other_rank():
    assert LINK.seconds(Exchange("scatter", 800, 300), 4) == pytest.approx(1 + 3 * 2 + 3)


# A batch


@pytest.mark.parametrize(
    ("samples", "ranks", "most"),
    [(100, 1, 100), (100, 2, 52), (100, 3, 36), (100, 7, 16), (48, 5, 16), (16 * 130, 64, 48), (9, 4, 9)],
)
def test_the_rank_with_the_most_samples_has_whole_blocks_or_the_last_one(samples, ranks, most):
    assert most_samples(shares_of(samples, 16, ranks)) == most


# A step


def one_gather(shares):
    return [Exchange("gather", 100, 100)]


def test_a_step_is_what_the_busiest_rank_computes_and_the_exchanges():
    model = StepModel(lambda samples, ranks: 10.0 * samples + (ranks > 1), one_gather, LINK, 16)
    assert model.seconds(64, 1) == (640.0, 0)
    assert model.seconds(64, 2) == (321.0, 1 + 2 + 1)
    assert model.seconds(64, 4) == (161.0, 1 + 4 + 1)
    assert model.seconds(64, 8) == (161.0, 1 + 6 + 1)
    assert model.efficiency(64, 1) == 1.0
    assert model.efficiency(64, 4) == pytest.approx(640 / (4 * 167))


def test_what_passes_while_ranks_compute_is_no_part_of_the_exchange():
    model = StepModel(lambda samples, ranks: 10.0, one_gather, LINK, 16, lambda shares: 1.5)
    assert model.seconds(64, 2) == (10.0, 4 - 1.5)
    assert model.seconds(64, 1) == (10.0, 0)
    more = StepModel(lambda samples, ranks: 10.0, one_gather, LINK, 16, lambda shares: 1e3)
    assert more.seconds(64, 2) == (10.0, 0)


def test_a_slow_network_hides_a_part_of_the_gradients_and_a_fast_one_nothing():
    model = fc.models.lenet5()
    plan, shares = shared_plan(model), shares_of(512, 16, 2)
    slow, fast = (hidden_by(plan, model, Link(2e-6, speed)) for speed in (1.25e8, 1e10))
    whole = sum(Link(2e-6, 1.25e8).seconds(one, 2) for one in exchanges_of(plan)(shares))
    assert 0.1 * whole < slow(shares) < whole
    assert slow(shares_of(512, 16, 1)) == fast(shares) == 0


def test_a_step_that_is_cut_says_the_same_in_one_exchange_more(monkeypatch):
    shares = shares_of(64, 16, 2)
    whole = exchanges_of(shared_plan(net()))(shares)
    monkeypatch.setattr(Cuts, "best", lambda self, shares, wire: Cut(self.layers[-1], 0.0))
    X, y = random_batch(net(), 64)
    parts = exchanges_of(training_engine(net(), X, y, ranks=Mute(0, 2))[0].program.plan)(shares)
    assert len(parts) == len(whole) + 1
    assert sum(one.passing for one in parts) == pytest.approx(sum(one.passing for one in whole), rel=0.2)


def test_the_batch_that_pays_is_the_smallest_of_all():
    """16 k samples at each of 2 ranks compute for 16 k seconds and talk for 100: one half is 16 k >= 100."""
    talk = Link(latency=100.0, bandwidth=math.inf, call=0.0)
    model = StepModel(lambda samples, ranks: float(samples), one_gather, talk, 16)
    assert model.pays_from(1, 0.5) == 16
    assert model.pays_from(2, 0.5) == 2 * 16 * 7
    assert model.efficiency(2 * 16 * 7, 2) >= 0.5 > model.efficiency(2 * 16 * 6, 2)


def test_there_is_no_such_batch_where_most_ranks_have_no_samples():
    model = StepModel(lambda samples, ranks: float(samples), one_gather, Link(0.0, math.inf, 0.0), 16)
    assert model.pays_from(64, 0.5) == 16 * 64
    assert model.pays_from(2049, 0.5) is None


def test_computing_goes_along_lines_and_never_falls_beyond_the_last_one():
    computing = Computing({16: 2.0, 32: 3.0, 64: 4.0})
    assert [computing(n, 1) for n in (16, 24, 48, 64, 96)] == [2.0, 2.5, 3.5, 4.0, 5.0]
    assert Computing({16: 2.0, 32: 1.0})(64, 1) == 1.0
    assert Computing({16: 2.0})(64, 1) == 2.0


def test_ranks_compute_what_one_of_them_would_and_what_sharing_takes():
    computing = Computing({16: 2.0, 32: 3.0, 64: 4.0}, {2: 0.5, 4: 0.25})
    assert [computing(32, ranks) for ranks in (1, 2, 4)] == [3.0, 3.5, 3.25]
    assert computing(96, 2) == 5.5


# What is measured


def net(dtype="float32"):
    layers = [fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dense(3)]
    return fc.Sequential(layers, (1, 6, 6), dtype=dtype)


@pytest.fixture(scope="module")
def found():
    return fc.scale(net(), batch_size=100, ranks=100, seconds=0.02)


def test_the_table_goes_by_powers_of_two_up_to_the_ranks_that_were_asked_for(found):
    assert [row.ranks for row in found.rows] == [1, 2, 4, 8, 16, 32, 64, 100]
    assert [row.samples for row in found.rows] == [100, 52, 32, 16, 16, 16, 16, 16]
    assert found.rows[0].efficiency == 1.0
    assert found.rows[0].exchange_seconds == 0.0
    assert found.rows[0].pays_from == 16
    assert all(row.exchange_seconds < row.seconds for row in found.rows)


def test_a_network_that_takes_no_time_and_one_that_takes_all():
    model = net()
    at_once = fc.scale(model, batch_size=512, ranks=4, latency=0, bandwidth=1e15, seconds=0.02)
    assert at_once.rows[2].share_of_exchange < 0.9  # but for the calls
    slow = fc.scale(model, batch_size=512, ranks=4, latency="10ms", bandwidth="1kB/s", seconds=0.02)
    assert slow.rows[2].share_of_exchange > 0.99
    assert (slow.fastest, slow.most_that_pay) == (1, 1)
    assert "more than 1 rank make a step of this batch no faster" in str(slow)


def test_doubles_have_blocks_of_eight():
    assert [row.samples for row in fc.scale(net("float64"), batch_size=32, ranks=8, seconds=0.02).rows] == [
        32, 16, 8, 8,
    ]  # fmt: skip


def test_the_network_is_left_as_it_is():
    model = net()
    before = {name: array.copy() for name, array in model.state().items()}
    fc.scale(model, batch_size=32, ranks=2, seconds=0.01, optimizer="adam", loss="cross_entropy")
    for name, array in model.state().items():
        assert np.array_equal(array, before[name]), name


def test_texts_with_units_and_numbers_say_the_same(monkeypatch):
    monkeypatch.setattr(scale_module, "_measured", lambda *args: Computing({16: 1e-3, 32: 2e-3}))
    texts = fc.scale(net(), ranks=8, latency="5us", bandwidth="8Gbit/s")
    assert texts == fc.scale(net(), ranks=8, latency=5e-6, bandwidth=1e9)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"ranks": 0}, ValueError, "`ranks` must be an int >= 1, got 0"),
        ({"ranks": 1025}, ValueError, "`ranks` must be an int >= 1 and <= 1,024, got 1025"),
        ({"ranks": 2.5}, TypeError, "`ranks` must be an int >= 1, got 2.5"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an int >= 1, got 0"),
        ({"latency": "2"}, ValueError, "`latency` must be a time with its unit"),
        ({"bandwidth": "fast"}, ValueError, "`bandwidth` must be a speed with its unit"),
        ({"seconds": 0}, ValueError, "`seconds` must be a number > 0, got 0"),
        ({"optimizer": "adamant"}, ValueError, "`optimizer` must be"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        fc.scale(net(), **settings)


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="`model` must be a Sequential or a Model, got 'lenet5'"):
        fc.scale("lenet5")


def test_the_table_says_what_follows_from_it():
    rows = (
        fc.ScalingRow(1, 64, 4e-3, 0.0, 1.0, 16),
        fc.ScalingRow(2, 32, 2.5e-3, 0.5e-3, 0.8, 32),
        fc.ScalingRow(4, 16, 2.6e-3, 1.3e-3, 0.38, None),
    )
    found = fc.Scaling(rows, 64, 1, "float32", 2e-6, 1e10)
    assert str(found).splitlines() == [
        "ranks  samples of one     step  exchange  efficiency  samples/s  pays from a batch of",
        "-------------------------------------------------------------------------------------",
        "    1              64  4.00 ms        0%        100%     16,000                    16",
        "    2              32  2.50 ms       20%         80%     25,600                    32",
        "    4              16  2.60 ms       50%         38%     24,615                  none",
        "training steps of 64 samples, float32, 1 thread a rank; a message takes 2.00 us, at 10.0 GB/s",
        "more than 2 ranks make a step of this batch no faster",
        "up to 2 ranks work with an efficiency of at least one half",
    ]
    assert found._repr_html_().count("<tr>") == 4
    plain = found.to_dict()
    assert plain["rows"][1]["samples_per_second"] == 25_600
    assert (plain["fastest"], plain["most_that_pay"]) == (2, 2)


# What is said in a step


@pytest.fixture(scope="module")
def said():
    """Of a network with 40 parameters of a convolution, 8 of a normalisation and 195 of a dense layer."""
    return exchanges_of(shared_plan(net()))


def test_norms_losses_and_gradients_are_said(said):
    """64 samples on 2 ranks: 4 blocks, 2 at each; of the tree, each has one node."""
    sums, slopes, losses, gradients = said(shares_of(64, 16, 2))
    channels, item = 4, 4
    sums_of_a_block = 16 * -(-(3 * channels) // 16) * item  # padded to whole vectors
    assert sums == ("gather", 4 * sums_of_a_block, 2 * sums_of_a_block)
    assert slopes.total == 4 * 16 * -(-(2 * channels) // 16) * item
    assert losses.way == "gather"
    assert (gradients.way, gradients.passing) == ("gather", gradients.total // 2)
    parameters = 4 * (4 * 9 + 4 + 3 * 64 + 3)  # but for those of the normalisation, which its slopes give
    assert parameters <= gradients.passing < 1.5 * parameters + 200


def test_ranks_whose_shards_are_no_node_say_more(said):
    """80 samples on 2 ranks: shards 0, 1 and 2 to 4. The tree is ((0 1) (2 3)) 4: the nodes 01, and 23 4."""
    of_a_node = said(shares_of(64, 16, 2))[-1].total // 2
    gradients = said(shares_of(80, 16, 2))[-1]
    assert gradients.total == 3 * of_a_node
    assert gradients.passing == 2 * of_a_node


def test_ranks_without_samples_get_all_and_give_nothing(said):
    sums, *_, gradients = said(shares_of(32, 16, 4))
    assert sums.passing == sums.total
    assert gradients.passing == gradients.total


def test_large_gradients_are_added_up_in_slices():
    model = fc.Sequential([fc.Dense(1000), fc.ReLU(), fc.Dense(3)], (500,))
    said = exchanges_of(shared_plan(model))
    *_, gradients = said(shares_of(1024, 16, 2))
    assert gradients.way == "gather"
    *_, scatter, gather = said(shares_of(1024, 16, 8))
    size = scatter.total // 8  # one node of each rank
    assert size >= 4 * model.num_parameters
    assert (scatter.way, gather.way) == ("scatter", "gather")
    assert scatter.passing == pytest.approx(size * 7 / 8, rel=1e-3)
    assert gather.total == pytest.approx(size, rel=1e-3)
    assert gather.passing == pytest.approx(size * 7 / 8, rel=1e-3)


class Counting(Mute):
    """A rank that counts what it would hear or say."""

    def __init__(self, number, count):
        super().__init__(number, count)
        self.got, self.ways = [], []

    def begin_all_rows(self, rows, counts):
        row = rows.itemsize * int(np.prod(rows.shape[1:]))
        self.ways.append("gather")
        self.got.append((sum(counts) - counts[self.number]) * row)
        return super().begin_all_rows(rows, counts)

    def begin_scatter_rows(self, rows, sent, received):
        self.ways.append("scatter")
        row = rows.itemsize * int(np.prod(rows.shape[1:]))
        out, back = (sum(some) - some[self.number] for some in (sent, received))
        self.got.append(max(out, back) * row)
        return super().begin_scatter_rows(rows, sent, received)


@pytest.mark.parametrize(("samples", "ranks"), [(64, 2), (80, 2), (100, 3), (32, 4), (1024, 8), (1040, 5)])
@pytest.mark.parametrize("hidden", [8, 1000])
def test_what_an_engine_says_is_what_is_foretold(samples, ranks, hidden):
    layers = [fc.Conv2d(3, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dense(hidden), fc.Dense(2)]
    model = fc.Sequential(layers, (2, 5, 5))
    foretold = exchanges_of(shared_plan(model))(shares_of(samples, 16, ranks))
    heard = []
    for number in range(ranks):
        counting = Counting(number, ranks)
        X, y = random_batch(model, samples)
        engine, y = training_engine(model, X, y, ranks=counting)
        engine.load(X, y)
        engine.run(0, 1)
        heard.append(counting)
    assert {tuple(one.ways) for one in heard} == {tuple(one.way for one in foretold)}
    most = np.max([one.got for one in heard], axis=0)
    assert [one.passing for one in foretold] == pytest.approx(most, rel=0.02)
