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

CASES = [  # samples, channels, outputs, (height, width), kernel, settings
    (16, 16, 32, (32, 32), (3, 3), {"padding": 1}),
    (20, 16, 24, (9, 7), (3, 3), {"padding": 1}),
    (1, 33, 17, (64, 30), (3, 3), {}),
    (40, 64, 64, (8, 8), (3, 3), {"padding": 1}),
    (5, 16, 40, (12, 13), (3, 3), {"padding": 2}),
    (17, 32, 32, (4, 4), (3, 3), {"padding": ((1, 0), (2, 1))}),
    (3, 32, 32, (18, 9), (3, 3), {"padding": ((0, 3), (4, 0))}),
    (33, 40, 70, (5, 11), (3, 3), {"padding": "same"}),
    (16, 32, 32, (14, 14), (5, 5), {"padding": 2}),
    (5, 16, 32, (12, 13), (5, 5), {"padding": ((1, 0), (2, 3))}),
    (1, 40, 48, (90, 9), (5, 5), {"padding": (0, 4)}),
    (20, 24, 24, (15, 15), (4, 4), {"padding": 1}),
    (16, 32, 48, (16, 16), (7, 7), {"padding": 3}),
    (33, 24, 32, (18, 11), (3, 5), {"padding": (1, 2)}),
    (16, 32, 32, (20, 20), (4, 4), {"stride": 2, "padding": 1}),
    (9, 32, 64, (21, 19), (5, 5), {"stride": 2, "padding": 2}),
    (4, 16, 32, (40, 36), (8, 8), {"stride": 4}),
    (16, 64, 64, (1, 150), (1, 8), {"padding": (0, 4)}),
    (16, 64, 128, (1, 150), (1, 3), {"padding": (0, 1)}),
    (7, 32, 32, (1, 70), (1, 40), {"padding": (0, 20)}),
    (5, 32, 32, (23, 6), (5, 1), {"padding": (2, 0)}),
    (1, 40, 48, (90, 9), (5, 1), {}),
    (16, 32, 32, (23, 6), (3, 1), {"padding": ((1, 0), (1, 2))}),
    (3, 32, 32, (4, 40), (1, 5), {"dilation": (1, 2), "padding": (0, 4)}),
    (16, 32, 32, (30, 3), (3, 1), {"dilation": (3, 1), "padding": (3, 0)}),
    (16, 32, 48, (1, 90), (1, 9), {"stride": (1, 3), "padding": (0, 4)}),
]
in_cases = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(autouse=True)
def _high(monkeypatch):
    monkeypatch.setattr(precision.chosen, "value", precision.HIGH)


def passes(x, weight, bias, dy, settings):
    return (
        conv2d(x, weight, bias, **settings),
        conv2d_grad_input(dy, weight, x.shape[2:], **settings),
        conv2d_grad_weight(x, dy, weight.shape[2:], **settings),
    )


def arrays_of(samples, channels, outputs, size, kernel, settings):
    rng = np.random.default_rng(0)
    shapes = (samples, channels, *size), (outputs, channels, *kernel), (outputs,)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    dy = rng.standard_normal(conv2d(x, weight, bias, **settings).shape).astype(np.float32)
    return x, weight, bias, dy, settings


def in_float64(x, weight, bias, dy, settings):
    return passes(*(array.astype(np.float64) for array in (x, weight, bias, dy)), settings)


def rms(array):
    return np.sqrt(np.mean(np.square(array, dtype=np.float64)))


@in_cases
def test_they_are_those_of_direct_sums_but_for_rounding(case):
    arrays = arrays_of(*case)
    for made, right in zip(passes(*arrays), in_float64(*arrays), strict=True):
        assert rms(made - right) < 1.5e-6 * rms(right)


@pytest.mark.parametrize("case", [case for case in CASES if case[3] != (4, 4)], ids=str)
def test_all_that_have_results_for_a_tile_go_by_products(case):
    arrays = arrays_of(*case)
    y, dx, _ = passes(*arrays)
    fc.set_precision("highest")
    direct_y, direct_dx, _ = passes(*arrays)
    assert not np.array_equal(y, direct_y)
    # A gradient of few taps in each phase of a stride, or along a line with one, is of direct sums.
    of_phases = arrays[4].get("stride", 1) in (2, (1, 3)) and arrays[1].shape[2:] != (5, 5)
    assert np.array_equal(dx, direct_dx) == of_phases


def settings_around(settings, size, kernel):
    """As PyTorch takes them: all zeros of the padding are put around x first."""
    padding = settings.get("padding", 0)
    if padding == "same":
        padding = tuple(((k - 1) // 2, k // 2) for k in kernel)
    top_left = padding if isinstance(padding, tuple) else (padding, padding)
    around = [one if isinstance(one, tuple) else (one, one) for one in top_left]
    pairs = [settings.get(name, 1) for name in ("stride", "dilation")]
    stride, dilation = ([one, one] if isinstance(one, int) else [*one] for one in pairs)
    return around, stride, dilation


@in_cases
def test_errors_are_at_most_five_times_pytorchs(torch, case):
    x, weight, bias, dy, settings = arrays = arrays_of(*case)
    around, stride, dilation = settings_around(settings, x.shape[2:], weight.shape[2:])
    (top, _), (left, _) = around
    padded = torch.from_numpy(np.pad(x, [(0, 0), (0, 0), *around]))
    weights, slopes = torch.from_numpy(weight), torch.from_numpy(dy)
    y = torch.conv2d(padded, weights, torch.from_numpy(bias), stride, 0, dilation)
    rest = stride, [0, 0], dilation, False, [0, 0], 1, [True, True, False]
    dx, dweight, _ = torch.ops.aten.convolution_backward(slopes, padded, weights, None, *rest)
    dx = dx[:, :, top : top + x.shape[2], left : left + x.shape[3]]
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
    for case in (CASES[0], CASES[8], CASES[17]):
        arrays = arrays_of(*case)
        high = in_float64(*arrays)
        fc.set_precision("highest")
        for a, b in zip(high, in_float64(*arrays), strict=True):
            np.testing.assert_array_equal(a, b)
        fc.set_precision("high")


@pytest.mark.parametrize(
    ("channels", "settings"),
    [(32, {"stride": 3}), (32, {"dilation": 2}), (32, {"groups": 2}), (1, {}), (32, {"padding": 0})],
)
def test_what_does_not_fit_or_does_not_pay_is_summed_up_as_it_is_written(channels, settings):
    x = np.random.default_rng(0).standard_normal((16, channels, 6 if settings else 12, 5)).astype(np.float32)
    weight = np.ones((32, channels // settings.get("groups", 1), 3, 3), np.float32)
    high = conv2d(x, weight, **settings)  # 4x3 of padding 0: less than a tile
    fc.set_precision("highest")
    np.testing.assert_array_equal(high, conv2d(x, weight, **settings))


def test_a_transposed_convolution_goes_by_products_too():
    x, weight, *_ = arrays_of(16, 32, 32, (12, 12), (3, 3), {"padding": 1})
    made = conv_transpose2d(x, weight, padding=1)
    right = conv_transpose2d(x.astype(np.float64), weight.astype(np.float64), padding=1)
    assert rms(made - right) < 1.5e-6 * rms(right)
    fc.set_precision("highest")
    assert not np.array_equal(made, conv_transpose2d(x, weight, padding=1))


def test_the_gradient_of_a_transposed_convolution_is_that_of_the_other():
    for case in (CASES[0], CASES[8], CASES[17]):
        x, weight, _, dy, settings = arrays_of(*case)
        bias = np.arange(x.shape[1], dtype=np.float32)
        made = conv_transpose2d(dy, weight, bias, **settings)[:, :, : x.shape[2], : x.shape[3]]
        plain = conv2d_grad_input(dy, weight, x.shape[2:], **settings)
        np.testing.assert_allclose(made, plain + bias[:, None, None], rtol=0, atol=1e-4)


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
