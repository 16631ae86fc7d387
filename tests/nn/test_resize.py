"""Upsampling layers: which samples and settings they take."""

import numpy as np
import pytest

import fastconv as fc


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fc.Upsample(0), ValueError, "`scale_factor` must be a positive int .*, got 0"),
        (lambda: fc.Upsample(1.5), TypeError, "`scale_factor` must be a positive int .*, got 1.5"),
        (lambda: fc.Upsample(2, "cubic"), ValueError, "`mode` must be .*, got .cubic"),
        (lambda: fc.Upsample(2, 3), ValueError, '`mode` must be "nearest", "bilinear" or "linear", got 3'),
        (lambda: fc.Upsample(align_corners=True), ValueError, "`align_corners` must be False where"),
        (
            lambda: fc.Sequential([fc.Upsample(2, "linear")], (3, 4, 4)),
            ValueError,
            '`mode` of images must be "nearest" or "bilinear", got \'linear\'',
        ),
        (
            lambda: fc.Sequential([fc.Upsample(2, "bilinear")], (3, 4)),
            ValueError,
            '`mode` of signals must be "nearest" or "linear", got \'bilinear\'',
        ),
        (
            lambda: fc.Sequential([fc.Upsample((2, 3))], (3, 4)),
            ValueError,
            r"`scale_factor` of signals must be an int, got \(2, 3\)",
        ),
        (
            lambda: fc.Sequential([fc.Upsample(2)], (3,)),
            ValueError,
            r"takes images \(C, H, W\) or signals \(C, L\), got samples of shape \(3,\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("settings", [{}, {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True}])
def test_a_factor_of_one_changes_nothing(settings):
    X = np.random.default_rng(0).normal(size=(19, 2, 5, 4))
    model = fc.Sequential([fc.Upsample(1, **settings)], (2, 5, 4), dtype="float64")
    np.testing.assert_array_equal(model.predict(X), X)
