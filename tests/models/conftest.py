import numpy as np
import pytest

import fastconv as fc


@pytest.fixture
def model():
    layers = [fc.Conv2d(3, 3), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dense(4)]
    return fc.Sequential(layers, (1, 8, 8), seed=1)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((37, 1, 8, 8), dtype=np.float32)
