"""Handwritten digits, and quick estimators for them."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.datasets import load_digits

from fastconv.estimators.classifier import ConvClassifier
from fastconv.estimators.regressor import ConvRegressor

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS, LABELS = (DIGITS[:400] / 16).astype(np.float32), LABELS[:400]
IMAGES = DIGITS.reshape(-1, 8, 8)
ODD = LABELS % 2
FEW = 60


def classifier(**parameters):
    return ConvClassifier(**{"epochs": 3, "random_state": 0, **parameters})


def regressor(**parameters):
    return ConvRegressor(**{"epochs": 3, "random_state": 0, **parameters})
