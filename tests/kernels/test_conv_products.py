"""Convolutions of float32 that go by Winograd's products, against direct sums in float64."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

import fastconv as fc
from fastconv.kernels import (
    conv2d,
    conv2d_grad_input,
    conv2d_grad_weight,
    conv_transpose2d,
    precision,
)
from fastconv.kernels.lanes import winograd_3x3

CASES = [  # samples, channels, outputs, (height, width), padding
    (16, 16, 32, (32, 32), 1),
    (20, 16, 24, (9, 7), 1),
    (1, 33, 17, (64, 30), 0),
    (40, 64, 64, (8, 8), 1),
    (5, 16, 40, (12, 13), 2),
    (17, 32, 32, (4, 4), ((1, 0), (2, 1))),
    (3, 32, 32, (18, 9), ((0, 3), (4, 0))),
    (33, 40, 70, (5, 11), "same"),
]
in_cases = pytest.mark.parametrize(("samples", "channels", "outputs", "size", "padding"), CASES)


@pytest.fixture(autouse=True)
def _high(monkeypatch):
    monkeypatch.setattr(precision.chosen, "value", precision.HIGH)


def passes(x, weight, bias, dy, padding):
    return (
        conv2d(x, weight, bias, padding=padding),
        conv2d_grad_input(dy, weight, x.shape[2:], padding=padding),
        conv2d_grad_weight(x, dy, 3, padding=padding),
    )


def arrays_of(samples, channels, outputs, size, padding):
    rng = np.random.default_rng(0)
    shapes = (samples, channels, *size), (outputs, channels, 3, 3), (outputs,)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    dy = rng.standard_normal(conv2d(x, weight, bias, padding=padding).shape).astype(np.float32)
    return x, weight, bias, dy, padding


def in_float64(x, weight, bias, dy, padding):
    return passes(*(array.astype(np.float64) for array in (x, weight, bias, dy)), padding)


def rms(array):
    return np.sqrt(np.mean(np.square(array, dtype=np.float64)))


@in_cases
def test_they_are_those_of_direct_sums_but_for_rounding(samples, channels, outputs, size, padding):
    arrays = arrays_of(samples, channels, outputs, size, padding)
    for made, right in zip(passes(*arrays), in_float64(*arrays), strict=True):
        assert rms(made - right) < 1.5e-6 * rms(right)


@in_cases
def test_errors_are_at_most_five_times_pytorchs(torch, samples, channels, outputs, size, padding):
    if not isinstance(padding, int):
        pytest.skip("PyTorch has padding that is the same on two sides")
    x, weight, bias, dy, _ = arrays = arrays_of(samples, channels, outputs, size, padding)
    x, weight, bias, dy = map(torch.from_numpy, (x, weight, bias, dy))
    y = torch.conv2d(x, weight, bias, padding=padding)
    settings = [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, [True, True, False]
    dx, dweight, _ = torch.ops.aten.convolution_backward(dy, x, weight, None, *settings)
    theirs = y.numpy(), dx.numpy(), dweight.numpy()
    for mine, other, right in zip(passes(*arrays), theirs, in_float64(*arrays), strict=True):
        assert rms(mine - right) < 5 * rms(other - right)


@njit
def compiled_conv2d(x, weight):
    return conv2d(x, weight, padding=1)


def test_compiled_code_does_as_it_is_told_later():
    x, weight, *_ = arrays_of(*CASES[0])
    results = {}
    for chosen in ("high", "highest", "high", "highest"):
        fc.set_precision(chosen)
        y = compiled_conv2d(x, weight)
        np.testing.assert_array_equal(y, conv2d(x, weight, padding=1))
        np.testing.assert_array_equal(y, results.setdefault(chosen, y))
    assert not np.array_equal(results["high"], results["highest"])
    right = conv2d(x.astype(np.float64), weight.astype(np.float64), padding=1)
    assert rms(results["highest"] - right) < rms(results["high"] - right)


def test_float64_is_summed_up_as_it_is_written():
    arrays = arrays_of(*CASES[0])
    high = in_float64(*arrays)
    fc.set_precision("highest")
    for a, b in zip(high, in_float64(*arrays), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("channels", "settings"),
    [(32, {"stride": 2}), (32, {"dilation": 2}), (32, {"groups": 2}), (1, {}), (32, {"padding": 0})],
)
def test_what_does_not_fit_or_does_not_pay_is_summed_up_as_it_is_written(channels, settings):
    x = np.random.default_rng(0).standard_normal((16, channels, 6 if settings else 12, 5)).astype(np.float32)
    weight = np.ones((32, channels // settings.get("groups", 1), 3, 3), np.float32)
    high = conv2d(x, weight, **settings)  # 4x3 of padding 0: less than a tile
    fc.set_precision("highest")
    np.testing.assert_array_equal(high, conv2d(x, weight, **settings))


def test_a_transposed_convolution_goes_by_products_too():
    x, weight, *_ = arrays_of(16, 32, 32, (12, 12), 1)
    made = conv_transpose2d(x, weight, padding=1)
    right = conv_transpose2d(x.astype(np.float64), weight.astype(np.float64), padding=1)
    assert rms(made - right) < 1.5e-6 * rms(right)
    fc.set_precision("highest")
    assert not np.array_equal(made, conv_transpose2d(x, weight, padding=1))


def test_the_gradient_of_a_transposed_convolution_is_that_of_the_other():
    x, weight, _, dy, padding = arrays_of(*CASES[0])
    bias = np.zeros(x.shape[1], np.float32)
    made = conv_transpose2d(dy, weight, bias, padding=padding)
    np.testing.assert_array_equal(made, conv2d_grad_input(dy, weight, x.shape[2:], padding=padding))


def test_whether_they_pay_does_not_depend_on_how_python_runs_the_model():
    @njit
    def compiled(c, o, size):
        forward_pays, gradient_pays = winograd_3x3.forward_pays, winograd_3x3.weight_gradient_pays
        return forward_pays(c, o, size, 16), gradient_pays(c, o, size, 16)

    answers = set()
    for c, o, size in [
        (3, 32, (32, 32)),
        (16, 32, (8, 8)),
        (64, 64, (3, 9)),
        (1, 1, (4, 4)),
        (64, 64, (8, 8)),
    ]:
        answer = compiled(c, o, size)
        asked = winograd_3x3.forward_pays, winograd_3x3.weight_gradient_pays
        assert answer == tuple(bool(pays(c, o, size, 16)) for pays in asked)
        answers.add(answer)
    assert len(answers) > 1


def run_in_process(code, **environment):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


ONE_CALL = """
import numpy as np
from fastconv.kernels import conv2d
x = np.random.default_rng(0).standard_normal((16, 32, 12, 12)).astype(np.float32)
print(hash(conv2d(x, np.ones((32, 32, 3, 3), np.float32) / 7).tobytes()))
"""


def test_the_environment_says_what_kernels_do_at_first():
    answers = [
        run_in_process(ONE_CALL, FASTCONV_PRECISION=chosen, PYTHONHASHSEED="0").stdout
        for chosen in ("high", "highest", "")
    ]
    assert answers[0] == answers[2] != answers[1]
    assert all(answers)


def test_a_wrong_word_in_the_environment_is_refused():
    error = run_in_process(ONE_CALL, FASTCONV_PRECISION="low").stderr
    assert error.splitlines()[-1] == "ValueError: `FASTCONV_PRECISION` must be 'high' or 'highest'"


IN_ANOTHER_PROCESS = """
import sys
import numpy as np
from tests.kernels import test_conv_products as here
case = here.CASES[int(sys.argv[1])]
np.savez(sys.argv[2], *here.passes(*here.arrays_of(*case)))
"""


def test_narrower_units_make_the_same_results_but_for_rounding(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FASTCONV_SIMD": "avx2"}
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, "1", str(tmp_path / "narrow.npz")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    narrow = np.load(tmp_path / "narrow.npz")
    for name, right in zip(narrow.files, in_float64(*arrays_of(*CASES[1])), strict=True):
        assert rms(narrow[name] - right) < 1.5e-6 * rms(right)
