"""The regressor."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from tests.estimators.digits import IMAGES, ODD, regressor


def test_numbers_are_learnt_from_images():
    y = IMAGES.mean(axis=(1, 2)) * 10
    assert regressor(epochs=40).fit(IMAGES, y).score(IMAGES, y) > 0.9


@pytest.mark.parametrize("shape", [(), (1,), (2,)])
def test_predictions_have_the_targets_shape(shape):
    y = np.random.default_rng(0).random((400, *shape))
    fitted = regressor().fit(IMAGES, y)
    assert fitted.predict(IMAGES).shape == y.shape
    with pytest.raises(ValueError, match="y must have shape"):
        fitted.partial_fit(IMAGES, np.zeros((400, 3)))


def test_partial_fit_of_a_regressor_goes_on():
    fitted = regressor(learning_rate=0.003)
    for _ in range(30):
        fitted.partial_fit(IMAGES, ODD)
    assert fitted.n_iter_ == 30
    assert fitted.score(IMAGES, ODD) > 0.5
