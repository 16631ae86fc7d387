"""`profile`: its figures add up, name every layer, and know what each operation reads and writes."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine.clock import read_often
from fastconv.engine.memory import lanes_of
from fastconv.engine.overlap import Cut, Cuts
from fastconv.engine.ranks.communicator import Alone
from fastconv.engine.shares import shares_of
from fastconv.inspection.random_batch import random_batch
from tests.ranks.threads_as_ranks import on_ranks

QUICK = 0.02
SAMPLES = 20  # two blocks in float32, the second of them not full


def conv_net(dtype="float32"):
    layers = [
        fc.Conv2d(4, 3, padding=1),
        fc.ReLU(),
        fc.BatchNorm2d(),
        fc.Tanh(),
        fc.MaxPool2d(2),
        fc.Flatten(),
        fc.Dense(3),
    ]
    return fc.Sequential(layers, (2, 8, 8), dtype=dtype)


def profiled(model, train=True, count=SAMPLES, **settings):
    X, y = random_batch(model, count)
    return fc.profile(model, X, y if train else None, seconds=QUICK, **settings)


@pytest.fixture(scope="module")
def step():
    return profiled(conv_net())


def row_of(found, layer, part):
    (row,) = (row for row in found.rows if row.part == part and row.layer.startswith(layer))
    return row


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_parts_add_up_to_the_step(threads):
    before = fc.get_num_threads()
    fc.set_num_threads(threads)
    try:
        found = profiled(conv_net(), count=48)
    finally:
        fc.set_num_threads(before)
    assert found.total().seconds == pytest.approx(found.seconds)
    assert all(row.seconds >= 0 for row in found.rows)
    # On a busy machine two rounds of equal steps differ, too: what must not happen is another order.
    assert 0.1 < (found.seconds + found.clock_seconds) / found.plain_seconds < 10


def test_every_layer_has_a_row_in_each_pass_fused_ones_together(step):
    names = [(row.layer.replace("kernel_size=", ""), row.part) for row in step.rows]
    assert names[:6] == [
        ("gather the samples", "input"),
        ("0 Conv2d(4, 3, padding=1) + 1 ReLU()", "forward"),
        ("2 BatchNorm2d()", "forward"),
        ("3 Tanh()", "forward"),
        ("4 MaxPool2d(2)", "forward"),
        ("6 Dense(3)", "forward"),
    ]
    backward = " ".join(layer for layer, part in names if part == "backward")
    assert all(name in backward for name in ("6 Dense", "4 MaxPool2d", "2 BatchNorm2d", "0 Conv2d"))
    parts = {part for _, part in names}
    assert {"loss", "optimizer"} <= parts


def test_products_are_counted_forward_and_for_each_gradient_backward(step):
    products = 2 * 4 * 9 * 64 * SAMPLES
    assert row_of(step, "0 Conv2d", "forward").flops == 2 * products
    assert row_of(step, "0 Conv2d", "backward").flops == 2 * products  # nobody asks for the input's gradient
    dense = 64 * 3 * SAMPLES
    assert row_of(step, "6 Dense", "forward").flops == 2 * dense
    assert row_of(step, "6 Dense", "backward").flops == 4 * dense
    assert row_of(step, "4 MaxPool2d", "forward").flops == 0
    assert row_of(step, "4 MaxPool2d", "forward").gflops is None


def test_the_share_of_peak_is_that_of_the_flops(step):
    row = row_of(step, "0 Conv2d", "forward")
    assert step.share_of_peak(row) == pytest.approx(row.flops / row.seconds / step.peak)
    assert step.peak > 1e8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_are_those_of_what_is_read_and_written(dtype):
    found, size = profiled(conv_net(dtype)), np.dtype(dtype).itemsize
    lanes = lanes_of(dtype)
    blocks = -(-SAMPLES // lanes)
    samples = blocks * lanes
    image, maps, pooled = (features * size * samples for features in (2 * 64, 4 * 64, 4 * 16))
    gathered = row_of(found, "gather", "input")
    assert (gathered.bytes_read, gathered.bytes_written) == (2 * 64 * size * SAMPLES, image)
    conv = row_of(found, "0 Conv2d", "forward")
    assert conv.bytes_read == image + blocks * (4 * 2 * 9 + 4) * size
    assert conv.bytes_written == maps
    pool = row_of(found, "4 MaxPool2d", "forward")
    assert (pool.bytes_read, pool.bytes_written) == (maps, 2 * pooled)  # the maxima, and where they were
    dense = row_of(found, "6 Dense", "forward")
    assert dense.bytes_read == pooled + blocks * (64 * 3 + 3) * size
    assert dense.bytes_written == 3 * size * samples
    parameters = conv_net().num_parameters * size
    optimizer = row_of(found, "optimizer", "optimizer")
    # Where the gradient is 0, nothing changes. Beside numbers and gradients, the settings are read.
    assert 0.9 * parameters < optimizer.bytes_written <= parameters
    assert 1.9 * parameters < optimizer.bytes_read <= 2 * parameters + 100


def test_what_works_in_place_reads_and_writes_its_planes(step):
    row = row_of(step, "3 Tanh", "forward")
    assert row.bytes_read == row.bytes_written == 4 * 64 * 4 * 32


def test_adam_reads_and_writes_its_moments():
    found = profiled(conv_net(), optimizer="adam")
    row = row_of(found, "optimizer", "optimizer")
    parameters = conv_net().num_parameters * 4
    assert 2.9 * parameters <= row.bytes_written <= 3 * parameters
    assert 3.9 * parameters <= row.bytes_read <= 4 * parameters + 100


@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_prediction_has_no_backward_pass_and_writes_its_outputs(count):
    found = profiled(conv_net(), train=False, count=count)
    assert found.purpose == "predict"
    assert {row.part for row in found.rows} <= {"input", "forward", "output", ""}
    assert row_of(found, "0 Conv2d", "forward").flops == 2 * 2 * 4 * 9 * 64 * count
    assert found.total("output").bytes_written >= count * 3 * 4
    assert found.total("forward").bytes_written > 0


def test_an_absorbed_layer_is_named_with_its_loss():
    found = profiled(fc.models.reference_cnn())
    assert "loss + 5 Sigmoid()" in [row.layer for row in found.rows]


def test_all_operations_have_an_owner_and_those_that_wait_keep_theirs():
    model = conv_net()
    engine = model.engines.take(model, "gradients", 40, loss=fc.losses.CrossEntropy())
    owners = [one.owner for _, operations in engine.program.plan.stages for one in operations]
    assert None not in owners
    last = [one for _, operations in engine.program.plan.stages for one in operations][-1]
    assert last[0].name == "add_shards"
    assert last.owner.part == "backward"
    assert last.owner.layers[0] == 0


def test_the_network_is_left_as_it_is():
    model = conv_net()
    before = {name: array.copy() for name, array in model.state().items()}
    profiled(model)
    profiled(model, train=False)
    for name, array in model.state().items():
        assert np.array_equal(array, before[name]), name


def test_networks_with_branches_and_several_ends_are_profiled():
    x = fc.Input((2, 6, 6), name="board")
    shared = fc.Conv2d(2, 3, padding="same")
    value = shared(shared(x)) + x
    model = fc.Model(
        x, {"a": fc.Dense(3)(fc.Flatten()(value)), "b": fc.Tanh()(fc.Dense(1)(fc.Flatten()(value)))}
    )
    X, y = random_batch(model, 20)
    found = fc.profile(model, X, dict(zip(("a", "b"), y, strict=True)), seconds=QUICK)
    assert "sum shared gradients" in [row.layer for row in found.rows]
    assert found.total().seconds == pytest.approx(found.seconds)
    assert fc.profile(model, X, seconds=QUICK).rows


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "mse"}, "`loss` is for training steps, which need `y`"),
        ({"optimizer": "adam"}, "`optimizer` is for training steps"),
        ({"seconds": 0}, "`seconds` must be"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(settings, message):
    model = conv_net()
    X, _ = random_batch(model, 4)
    with pytest.raises(ValueError, match=message):
        fc.profile(model, X, **{"seconds": QUICK, **settings})
    with pytest.raises(ValueError, match="`X` must hold at least one sample, got none"):
        fc.profile(model, X[:0])
    with pytest.raises(TypeError, match="`model` must be a Sequential or a Model"):
        fc.profile("lenet5", X)


def test_the_table_ends_with_the_whole_and_what_measuring_cost(step):
    lines = str(step).splitlines()
    assert lines[0].split()[:3] == ["layer", "pass", "time"]
    assert lines[-3].startswith("all ")
    assert "100.0%" in lines[-3]
    assert lines[-2].startswith("a training step of 20 samples on 1 thread, float32; measured peak")
    assert "a step without clocks" in lines[-1]
    assert step._repr_html_().count("<tr>") == len(step.rows) + 2


def test_plain_numbers_go_to_json(step):
    plain = step.to_dict()
    assert plain["rows"][0]["layer"] == "gather the samples"
    assert plain["batch_size"] == SAMPLES


def test_the_picture_has_a_bar_for_each_row(step):
    pytest.importorskip("matplotlib")
    ax = fc.plots.profile(step)
    assert len(ax.patches) == len(step.rows)
    with pytest.raises(TypeError, match="`found` must be what profile returned, got 3"):
        fc.plots.profile(3)


def test_the_clock_goes_on():
    first, last = read_often(1000)
    assert 0 < last - first < 10**9


def test_narrower_vector_units_are_profiled_too():
    code = (
        "import fastconv as fc; from fastconv.inspection.random_batch import random_batch; "
        "m = fc.models.reference_cnn(); found = fc.profile(m, *random_batch(m, 20), seconds=0.01); "
        "print(found.total().seconds > 0, found.rows[1].flops)"
    )
    environment = {**os.environ, "FASTCONV_SIMD": "avx2", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "5760"], done.stderr


def test_weights_of_the_losses_need_no_losses():
    model = fc.models.atari_cnn(3, (2, 44, 44))
    X, moves, values = np.ones((2, 2, 44, 44)), np.zeros(2, int), np.zeros((2, 1))
    weights = {"policy": 1.0, "value": 0.5}
    found = fc.profile(model, X, [moves, values], loss_weights=weights, seconds=0.01)
    assert found.purpose == "train"


# On several ranks


def on_ranks_profiled(count, samples, model=None):
    """The profiles of all ranks, which are threads here."""
    model = model or conv_net()
    X, y = random_batch(model, samples)
    return on_ranks(count, lambda ranks: fc.profile(model, X, y, seconds=QUICK, communicator=ranks))


@pytest.mark.parametrize(("count", "samples"), [(2, 64), (3, 50)])
def test_each_rank_has_a_profile_of_its_part_with_a_row_for_exchanges(count, samples):
    found = on_ranks_profiled(count, samples)
    for number, one in enumerate(found):
        assert one.ranks == count
        row = row_of(one, "exchange with other ranks", "")
        assert 0 < row.seconds < one.seconds
        assert one.total().seconds == pytest.approx(one.seconds)
        assert f"a training step of {samples} samples on {count} ranks of " in str(one)
        assert " each (above, one of them), float32; measured peak" in str(one)
        first, last = shares_of(samples, 16, count).sample_ends[number : number + 2]
        assert row_of(one, "0 Conv2d", "forward").flops == 2 * 2 * 4 * 9 * 64 * (last - first)
        assert row_of(one, "gather", "input").bytes_read == 2 * 64 * 4 * (last - first)
    assert found[0].to_dict()["ranks"] == count


def test_a_step_that_is_cut_is_profiled_as_a_whole(monkeypatch):
    monkeypatch.setattr(Cuts, "best", lambda self, shares, wire: Cut(self.layers[-1], 0.0))
    for one in on_ranks_profiled(2, 64):
        row = row_of(one, "exchange with other ranks", "")
        assert 0 < row.seconds < one.seconds
        assert one.total().seconds == pytest.approx(one.seconds)


def test_a_rank_without_samples_waits_for_the_others():
    layers = [fc.Conv2d(32, 3), fc.ReLU(), fc.Conv2d(32, 3), fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(3)]
    found = on_ranks_profiled(2, 16, fc.Sequential(layers, (2, 16, 16)))  # a long step, but few parameters
    idle = next(one for one in found if row_of(one, "0 Conv2d", "forward").flops == 0)
    assert row_of(idle, "exchange with other ranks", "").seconds > 0.3 * idle.seconds


def test_a_prediction_is_not_shared():
    model = conv_net()
    with pytest.raises(ValueError, match="`communicator` is for training steps, which need `y`"):
        fc.profile(model, random_batch(model, 4)[0], seconds=QUICK, communicator=Alone())


def test_ranks_that_make_different_calls_are_told_so():
    model = conv_net()

    def work(ranks):
        X, y = random_batch(model, 32 + 16 * ranks.number)
        with pytest.raises(ValueError, match="ranks must make the same call: `samples` is 32 on rank 0"):
            fc.profile(model, X, y, seconds=QUICK, communicator=ranks)

    on_ranks(2, work)
