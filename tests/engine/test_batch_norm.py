"""Batch normalisation in training: accuracy, what is fused, and what is made again instead of kept."""

import re
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine.engine import Engine
from fastconv.engine.run import Run
from fastconv.nn.losses import MSE
from fastconv.nn.optimizers import SGD

DTYPES = ["float32", "float64"]


def normalised(X, dtype):
    """Running mean and unbiased variance of a single normalisation after a step on X."""
    model = fc.Sequential([fc.BatchNorm2d(momentum=1.0)], X.shape[1:], dtype=dtype)
    engine = Engine(model, Run("train", len(X), 1, MSE(), SGD()), SGD().initial_state(model.flat_parameters))
    engine.load(X, np.zeros((len(X), X[0].size)))
    engine.run(0, 1)
    statistics = model.statistics()
    return statistics["0.running_mean"], statistics["0.running_var"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mean", "deviation"), [(0, 1), (1000, 1), (-3e4, 1), (1, 1e-3), (0, 1e4)])
@pytest.mark.parametrize("shape", [(40, 3, 5, 7), (21, 2, 1, 1), (2, 1, 33, 40), (16, 5, 1, 1030)])
def test_statistics_are_as_exact_as_two_passes_over_the_batch(shape, mean, deviation, dtype):
    rng = np.random.default_rng(0)
    X = (mean + deviation * rng.standard_normal(shape)).astype(dtype)
    found_mean, found_variance = normalised(X, dtype)
    wide, precision = X.astype(np.longdouble), np.finfo(dtype).eps
    np.testing.assert_allclose(found_mean, wide.mean((0, 2, 3)), atol=2 * precision * (abs(mean) + deviation))
    # The running variance was 1 before, with which it is mixed.
    wanted = wide.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(found_variance, wanted, rtol=20 * precision, atol=precision)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_that_say_nothing_of_the_others_do_not_spoil_the_statistics(dtype):
    """The first places of lines, around which a block is summed up, lie far from all others."""
    X = np.random.default_rng(0).standard_normal((33, 2, 6, 8)).astype(dtype)
    X[..., 0] += 1000
    X[:16] += 50
    _, variance = normalised(X, dtype)
    wanted = X.astype(np.float64).var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(variance, wanted, rtol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_channel_of_equal_numbers_has_no_variance(dtype):
    X = np.full((21, 1, 3, 5), 0.1, dtype)
    mean, variance = normalised(X, dtype)
    assert mean == pytest.approx(X[0, 0, 0, 0], rel=float(np.finfo(dtype).eps))
    assert 0 <= variance[0] <= np.finfo(dtype).eps ** 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_that_is_none_shows_in_the_statistics_of_its_channel_alone(dtype):
    X = np.random.default_rng(0).standard_normal((33, 3, 4, 4)).astype(dtype)
    X[20, 1, 2, 2] = np.nan
    mean, variance = normalised(X, dtype)
    np.testing.assert_array_equal(np.isnan(mean), [False, True, False])
    np.testing.assert_array_equal(np.isnan(variance), [False, True, False])


# What the plan does


def conv_norm_relu(channels=4, count=1):
    return [fc.Conv2d(channels, 3, padding=1), fc.BatchNorm2d(), fc.ReLU()] * count


def source(layers):
    return fc.Sequential(layers, (2, 8, 8)).source(loss="mse", kernels=False, batch_size=64)


def calls(text, name):
    return re.findall(rf"^ +{name}\((.*)\)$", text, re.MULTILINE)


def test_a_relu_costs_no_pass_of_its_own_in_either_direction():
    text = source([*conv_norm_relu(count=3), fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(2)])
    assert "relu(" not in text
    assert "relu_grad(" not in text


def test_what_a_normalisation_gives_is_made_again_and_not_kept():
    text = source([*conv_norm_relu(count=3), fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(2)])
    assert len(calls(text, "batch_norm")) == 5  # that before the pool is not needed a second time
    assert len(calls(text, "batch_norm_sums")) == 3
    for name in ("y2", "y5", "y8"):
        assert re.search(rf"^# {name} .* each thread$", text, re.MULTILINE), name
    for name in ("y0", "y3", "y6"):
        assert re.search(rf"^# {name} .* each block$", text, re.MULTILINE), name


def test_what_is_dear_to_make_is_kept():
    head = [fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(2)]
    for layer, kept in [(fc.ReLU6(), "thread"), (fc.Tanh(), "block"), (fc.Dropout(0.5), "block")]:
        body = [fc.Conv2d(4, 3), fc.BatchNorm2d(), layer, fc.Conv2d(4, 3), fc.BatchNorm2d()]
        assert re.search(rf"^# y1 .* each {kept}$", source([*body, *head]), re.MULTILINE), layer


def test_a_sum_is_made_as_its_branch_is_normalised():
    body = [*conv_norm_relu(), fc.Conv2d(4, 3, padding=1), fc.BatchNorm2d()]
    layers = [fc.Conv2d(4, 3, padding=1), fc.ReLU(), fc.Residual(body), fc.ReLU(), fc.Flatten(), fc.Dense(2)]
    text = source(layers)
    assert "relu(" not in text.replace("grad_relu(", "")
    forward = text.partition("mse(")[0]
    assert "add_planes" not in forward
    assert sum("z=" in call for call in calls(forward, "batch_norm")) == 1


def test_a_frozen_normalisation_waits_for_no_other_block():
    model = fc.Sequential([*conv_norm_relu(count=2), fc.Flatten(), fc.Dense(2)], (2, 8, 8))
    model.freeze("1", "4")
    text = model.source(loss="mse", kernels=False, batch_size=64)
    assert "batch_norm_running(" in text
    assert len(re.findall("for block in my_blocks", text)) == 1
    for purpose in ("evaluate", "predict"):
        text = model.source(purpose, loss="mse", kernels=False, batch_size=64)
        assert len(re.findall("for block in my_blocks", text)) == 1


def test_a_network_without_normalisation_makes_nothing_again():
    model = fc.models.lenet5()
    made = re.findall(r"^ +(\w+)\(", model.source(kernels=False, batch_size=64), re.MULTILINE)
    assert made.count("contract") + made.count("winograd") == 3  # two forward, one gradient of an input


# Memory

PEAK = """
import sys
import numpy as np, torch, fastconv as fc
torch.set_num_threads(1)
model = fc.models.resnet8()
net = model.to_torch().train()

def step(count):
    X, y = torch.rand(count, *model.input_shape), torch.rand(count, *model.output_shape)
    ((net(X) - y) ** 2).mean().backward()

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

step(2)
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
step(128)
print(status("VmHWM") - before, model.memory(128))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_step_of_a_residual_network_takes_much_less_memory_than_pytorchs():
    pytest.importorskip("torch")
    made = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=False)
    if made.returncode and "clear_refs" in made.stderr:
        pytest.skip("the peak of a process can't be reset here")
    others, own = map(int, made.stdout.split())
    assert own < 0.7 * others


# A narrower unit

NARROW = """
import numpy as np
import fastconv as fc
rng = np.random.default_rng(0)
body = [fc.Conv2d(5, 3, padding=1), fc.BatchNorm2d(), fc.ReLU(), fc.Conv2d(5, 3, padding=1), fc.BatchNorm2d()]
layers = [fc.Conv2d(5, 3, padding=1), fc.BatchNorm2d(), fc.ReLU(), fc.Residual(body), fc.ReLU(), fc.Flatten()]
for dtype in ("float32", "float64"):
    model = fc.Sequential([*layers, fc.Dense(3)], (2, 7, 9), dtype=dtype, seed=1)
    X, y = rng.standard_normal((37, 2, 7, 9)), rng.standard_normal((37, 3))
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    print(repr(float(loss)), *(repr(float(np.abs(g).sum())) for g in gradients.values()))
"""


def test_a_narrower_unit_gives_the_same_numbers():
    def run(unit):
        code = f"import os\nos.environ['FASTCONV_SIMD'] = {unit!r}\n{NARROW}" if unit else NARROW
        command = [sys.executable, "-c", code]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [[float(number) for number in line.split()] for line in text.splitlines()]

    wide, narrow = run(None), run("avx2")
    np.testing.assert_allclose(narrow[0], wide[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(narrow[1], wide[1], rtol=1e-11, atol=1e-12)
