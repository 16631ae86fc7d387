"""Transposed convolutions of images and signals, and their gradients, against PyTorch and the definition."""

import itertools

import numpy as np
import pytest
from numba import njit

from fastconv import kernels
from fastconv.kernels import (
    conv_transpose1d,
    conv_transpose1d_grad_input,
    conv_transpose1d_grad_weight,
    conv_transpose2d,
    conv_transpose2d_grad_input,
    conv_transpose2d_grad_weight,
)
from tests.kernels import reference

# stride, padding, output_padding, groups, dilation
SETTINGS = list(itertools.product((1, 2, (1, 3)), (0, 1, (0, 2)), (0, 1, (1, 0)), (1, 2), (1, (2, 3))))


def arrays_of(shape, out_channels, kernel, groups, dtype="float64", seed=0):
    """x, weight and bias."""
    rng = np.random.default_rng(seed)
    shapes = shape, (shape[1], out_channels // groups, *kernel), (out_channels,)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


def slopes(dtype):
    """What makes a dy of some shape."""
    return lambda shape: np.random.default_rng(1).normal(size=shape).astype(dtype)


def pytorchs(function, arrays, dy_of, settings):
    """y, dx, dweight and dbias in float64, and dy; None where PyTorch refuses the settings."""
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a.astype(float), requires_grad=True) for a in arrays]
    try:
        y = getattr(torch.nn.functional, function)(*tensors, *settings)
    except RuntimeError:
        return None
    dy = dy_of(y.shape)
    y.backward(torch.tensor(dy.astype(float)))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors), dy]


def check(got, expected, tolerance):
    for name, ours, theirs in zip(("y", "dx", "dweight", "dbias"), got, expected, strict=True):
        scale = np.abs(theirs).max(initial=1)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale, err_msg=name)


def results(x, weight, bias, dy, settings):
    return [
        conv_transpose2d(x, weight, bias, *settings),
        conv_transpose2d_grad_input(dy, weight, *settings),
        conv_transpose2d_grad_weight(x, dy, weight.shape[2:], *settings),
        kernels.conv2d_grad_bias(dy),
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (4, 4)])
def test_results_are_pytorchs_and_what_pytorch_refuses_is_refused(kernel, dtype):
    refused = 0
    for settings in SETTINGS:
        arrays = arrays_of((3, 4, 5, 4), 6, kernel, settings[3], dtype)
        wanted = pytorchs("conv_transpose2d", arrays, slopes(dtype), settings)
        if wanted is None:
            refused += 1
            with pytest.raises(ValueError, match=r"`(output_padding|padding)` must"):
                conv_transpose2d(*arrays, *settings)
            continue
        *expected, dy = wanted
        got = results(*arrays, dy, settings)
        assert {array.dtype for array in got} == {np.dtype(dtype)}
        check(got, expected, 1e-13 if dtype == "float64" else 2e-6)
    assert 0 < refused < 100


LARGE = [  # x, out_channels, kernel, and the settings
    ((1, 3, 5, 2001), 6, (3, 5), (1, (1, 2), 0, 1, 1)),  # one wide image
    ((33, 17, 9, 8), 22, (3, 3), (2, 1, 1, 1, 1)),
    ((2, 16, 40, 40), 8, (2, 2), (2, 0, 0, 1, 1)),  # cut in strips
    ((18, 32, 7, 9), 32, (3, 3), ((2, 1), 1, 0, 32, 1)),
    ((5, 8, 15, 14), 24, (4, 2), ((3, 2), (2, 1), (2, 0), 4, (2, 3))),
    ((4, 3, 6, 5), 2, (3, 3), (1, 0, 2, 1, 3)),  # more output padding than strides
    ((0, 3, 6, 5), 2, (3, 3), (1, 0, 0, 1, 1)),
    ((3, 2, 6, 5), 2, (1, 1), (3, 0, 2, 1, 1)),  # most outputs meet nothing
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LARGE)
def test_large_and_odd_shapes_give_what_pytorch_gives(case, dtype):
    shape, out_channels, kernel, settings = case
    arrays = arrays_of(shape, out_channels, kernel, settings[3], dtype)
    *expected, dy = pytorchs("conv_transpose2d", arrays, slopes(dtype), settings)
    check(results(*arrays, dy, settings), expected, 1e-13 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "settings", list(itertools.product((1, 2, 5), (0, 2, (1, 0)), (0, 1), (1, 2), (1, 3)))
)
def test_signals_are_pytorchs(settings, dtype):
    stride, padding, more, groups, dilation = settings
    if more >= max(stride, dilation):
        pytest.skip("more output padding than there may be")
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.normal(size=s).astype(dtype) for s in ((3, 4, 9), (4, 6 // groups, 3), (6,)))
    before, after = padding if isinstance(padding, tuple) else (padding, padding)
    full = pytorchs(
        "conv_transpose1d",
        (x, weight, bias),
        lambda shape: np.pad(
            rng.normal(size=(3, 6, shape[2] - before - after)), ((0, 0), (0, 0), (before, after))
        ),
        (stride, 0, more, groups, dilation),
    )
    y, dx, dweight, dbias, dy = full
    inside = slice(before, y.shape[2] - after)
    dy = np.ascontiguousarray(dy[..., inside]).astype(dtype)
    got = [
        conv_transpose1d(x, weight, bias, *settings),
        conv_transpose1d_grad_input(dy, weight, *settings),
        conv_transpose1d_grad_weight(x, dy, 3, *settings),
        kernels.conv1d_grad_bias(dy),
    ]
    check(got, (y[..., inside], dx, dweight, dbias), 1e-13 if dtype == "float64" else 2e-6)


@pytest.mark.parametrize("padding", [((0, 1), (2, 0)), "same", "same_lower", "valid"])
@pytest.mark.parametrize("kernel", [(2, 3), (4, 5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_of_any_kind_cuts_that_much_off_the_output(stride, kernel, padding):
    x, weight, bias = arrays_of((2, 3, 4, 5), 4, kernel, 1)
    whole, y = (conv_transpose2d(x, weight, bias, stride, p) for p in (0, padding))
    if isinstance(padding, tuple):
        (top, bottom), (left, right) = padding
    else:
        assert padding == "valid" or y.shape[2:] == (4 * stride, 5 * stride)
        cut = [a - b for a, b in zip(whole.shape[2:], y.shape[2:], strict=True)]
        top, left = ((n + 1) // 2 if padding == "same_lower" else n // 2 for n in cut)
        bottom, right = cut[0] - top, cut[1] - left
    np.testing.assert_array_equal(
        y, whole[:, :, top : whole.shape[2] - bottom, left : whole.shape[3] - right]
    )
    dy = np.random.default_rng(1).normal(size=y.shape)
    around = np.pad(dy, ((0, 0), (0, 0), (top, bottom), (left, right)))
    np.testing.assert_allclose(
        conv_transpose2d_grad_input(dy, weight, stride, padding),
        conv_transpose2d_grad_input(around, weight, stride),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        conv_transpose2d_grad_weight(x, dy, kernel, stride, padding),
        conv_transpose2d_grad_weight(x, around, kernel, stride),
        atol=1e-12,
    )


def test_it_is_the_input_gradient_of_a_convolution_run_forward():
    rng = np.random.default_rng(0)
    x, weight = (
        rng.integers(-4, 5, (3, 4, 5, 6)).astype(float),
        rng.integers(-4, 5, (4, 2, 3, 2)).astype(float),
    )
    expected = reference.conv2d_grad_input(x, weight, (9, 10), 2, 1, 1, 1)
    np.testing.assert_array_equal(conv_transpose2d(x, weight, None, 2, 1), expected)


@njit
def from_compiled_code(x, weight, bias, dy, x1, weight1):
    return (
        conv_transpose2d(x, weight, bias, 2, (1, 1), output_padding=1, groups=2),
        conv_transpose2d(x, weight, stride=(2, 2), padding="same", groups=2),
        conv_transpose2d_grad_input(dy, weight, (2, 2), 1, 1, groups=2),
        conv_transpose2d_grad_weight(x, dy, (3, 2), groups=2, padding=(1, 1), stride=2, output_padding=1),
        conv_transpose1d(x1, weight1, None, 2, padding="same_lower"),
        conv_transpose1d_grad_input(x1, weight1.transpose((1, 0, 2)).copy(), 1, (1, 1)),
    )  # fmt: skip


def test_compiled_code_gets_the_same_results():
    x, weight, bias = arrays_of((3, 4, 5, 6), 4, (3, 2), 2, "float32")
    dy = np.ones((3, 4, 10, 11), np.float32)
    x1, weight1 = x[:, :, 0].copy(), weight[:, :, 0].copy()
    got = from_compiled_code(x, weight, bias, dy, x1, weight1)
    expected = (
        conv_transpose2d(x, weight, bias, 2, 1, 1, 2),
        conv_transpose2d(x, weight, None, 2, "same", 0, 2),
        conv_transpose2d_grad_input(dy, weight, 2, 1, 1, 2),
        conv_transpose2d_grad_weight(x, dy, (3, 2), 2, 1, 1, 2),
        conv_transpose1d(x1, weight1, None, 2, "same_lower"),
        conv_transpose1d_grad_input(x1, weight1.transpose(1, 0, 2).copy(), 1, 1),
    )
    for ours, others in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours, others)


def test_any_layout_and_a_read_only_array_will_do():
    x, weight, bias = arrays_of((3, 4, 5, 6), 4, (3, 2), 1)
    expected = conv_transpose2d(x, weight, bias, 2)
    laid_out = np.asfortranarray(x), np.flip(np.flip(weight).copy()), np.repeat(bias, 2)[::2]
    laid_out[0].flags.writeable = False
    np.testing.assert_array_equal(conv_transpose2d(*laid_out, 2), expected)


X, WEIGHT, DY = np.ones((2, 4, 3, 3)), np.ones((4, 6, 2, 2)), np.ones((2, 6, 4, 4))
SIGNALS, ALONG = X[:, :, 0], WEIGHT[:, :, 0]
MEMORY = "`stride` must make arrays that memory can hold"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv_transpose2d(X, WEIGHT[:3]), "`weight` must have 4 input channels, got 3"),
        (lambda: conv_transpose2d(X, WEIGHT, groups=3), "`groups` must divide the 4 input channels, got 3"),
        (lambda: conv_transpose2d(X, WEIGHT, np.ones(5)), "`bias` must have 6 entries"),
        (lambda: conv_transpose2d(X, WEIGHT, None, 2, 0, 2), "`output_padding` must be smaller than the"),
        (lambda: conv_transpose2d(X, WEIGHT, None, 1, 0, -1), "`output_padding` must be a non-negative int"),
        (lambda: conv_transpose2d(X, WEIGHT, None, 1, 2), r"`padding` must leave something .*got \(0, 0\)"),
        (lambda: conv_transpose2d(X[:, :, :0], WEIGHT), r"`x` must have images of at least \(1, 1\)"),
        (lambda: conv_transpose2d(X, WEIGHT[:, :, :0]), r"`weight` must have a kernel of at least \(1, 1\)"),
        (lambda: conv_transpose2d(X, WEIGHT, None, 2**31 - 1), MEMORY),
        (lambda: conv_transpose2d_grad_input(DY, WEIGHT, 3), r"`dy` must have shape \(2, 6, 2, 2\)"),
        (lambda: conv_transpose2d_grad_input(DY[:, :5], WEIGHT), r"`dy` must have shape \(2, 6, 4, 4\)"),
        (lambda: conv_transpose2d_grad_weight(X, DY[:, :, :3], 2), r"`dy` must have shape \(2, 6, 4, 4\)"),
        (lambda: conv_transpose2d_grad_weight(X, DY[:, :5], 2, groups=2), r"`dy` must have shape \(2, 4, 4"),
        (lambda: conv_transpose1d(SIGNALS, ALONG, padding="causal"), 'must not be "causal"'),
        (lambda: conv_transpose1d(SIGNALS, ALONG, output_padding=1), "`output_padding` must be smaller"),
        (lambda: conv_transpose1d(SIGNALS, ALONG, stride=0), "`stride` must be a positive int, got 0"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("value", [None, 1.5, "same", True])
def test_output_padding_is_an_int_or_a_pair(value):
    with pytest.raises(TypeError, match="`output_padding` must be a non-negative int or a pair of them"):
        conv_transpose2d(X, WEIGHT, None, 2, 0, value)
    with pytest.raises(TypeError, match="`output_padding` must be a non-negative int, got"):
        conv_transpose1d(SIGNALS, ALONG, None, 2, 0, value)
