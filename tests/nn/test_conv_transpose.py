"""Transposed convolution layers: what they take, their sizes, and what they start with."""

import numpy as np
import pytest

import fastconv as fc


@pytest.mark.parametrize("size", [(2, 2), (5, 7), (8, 6)])
@pytest.mark.parametrize("windows", [{}, {"stride": 2}, {"stride": (1, 3), "padding": 1}, {"dilation": 2}])
def test_it_has_the_sizes_from_which_a_convolution_comes_back(windows, size):
    layer = fc.ConvTranspose2d(3, (2, 3), **windows)
    back = fc.Conv2d(4, (2, 3), **windows)
    assert back.output_shape(layer.output_shape((4, *size))) == (4, *size)


@pytest.mark.parametrize("padding", ["same", "same_lower"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 2), (5, 3), (3, 1), ((4, 5), (2, 3))])
def test_same_padding_gives_stride_times_the_size(kernel, stride, padding):
    down, across = stride if isinstance(stride, tuple) else (stride, stride)
    layer = fc.ConvTranspose2d(2, kernel, stride=stride, padding=padding)
    assert layer.output_shape((3, 5, 4)) == (2, 5 * down, 4 * across)
    assert fc.ConvTranspose1d(2, 4, stride=down, padding=padding).output_shape((3, 5)) == (2, 5 * down)


def test_initial_parameters_have_pytorchs_bounds():
    torch = pytest.importorskip("torch")
    ours = fc.ConvTranspose2d(60, (4, 3), groups=2).initial_parameters((8, 9, 9), np.random.default_rng(0))
    theirs = torch.nn.ConvTranspose2d(8, 60, (4, 3), groups=2)
    for name, array in ours.items():
        assert np.abs(array).max() == pytest.approx(getattr(theirs, name).abs().max().item(), rel=0.06)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fc.ConvTranspose2d(0, 3), ValueError, "`out_channels` must be an int >= 1, got 0"),
        (lambda: fc.ConvTranspose2d(2, 0), ValueError, "`kernel_size` must be a positive int or a pair"),
        (lambda: fc.ConvTranspose2d(3, 3, groups=2), ValueError, "multiple of groups = 2, got 3"),
        (lambda: fc.ConvTranspose2d(2, 3, padding="full"), ValueError, "`padding` must be .*got 'full'"),
        (
            lambda: fc.ConvTranspose2d(2, 3, output_padding=-1),
            ValueError,
            "`output_padding` must be a non-negative int or a pair of them, got -1",
        ),
        (
            lambda: fc.ConvTranspose2d(2, 3, stride=(2, 1), output_padding=1),
            ValueError,
            r"`output_padding` must be smaller than the stride or the dilation, got \(1, 1\) with stride",
        ),
        (lambda: fc.ConvTranspose1d(2, (1, 3)), TypeError, "`kernel_size` must be an int >= 1"),
        (lambda: fc.ConvTranspose1d(2, 3, padding="causal"), ValueError, 'must not be "causal"'),
        (lambda: fc.ConvTranspose1d(2, 3, output_padding=1), ValueError, "`output_padding` must be smaller"),
        (
            lambda: fc.ConvTranspose1d(2, 3, output_padding=(0, 0)),
            TypeError,
            "`output_padding` must be an int",
        ),
        (
            lambda: fc.Sequential([fc.ConvTranspose2d(2, 3)], (3, 8)),
            ValueError,
            "layer 0: .*takes images .*for signals",
        ),
        (lambda: fc.Sequential([fc.ConvTranspose1d(2, 3)], (3, 8, 8)), ValueError, r"takes signals \(C, L\)"),
        (
            lambda: fc.Sequential([fc.ConvTranspose2d(2, 3, groups=2)], (3, 8, 8)),
            ValueError,
            "needs input channels that are a multiple of groups, got 3",
        ),
        (
            lambda: fc.Sequential([fc.ConvTranspose2d(2, 2, padding=4)], (3, 7, 7)),
            ValueError,
            r"the padding leaves nothing of the output for \(7, 7\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
