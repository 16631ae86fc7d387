"""What a call costs follows the size of its arrays, not a number that a user chose."""

import time

import numpy as np
import pytest

import fastconv as fc
from fastconv import kernels

STRIDES = [40, 10**7, 2**31 - 1]


def seconds(call):
    call()  # compiled
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@pytest.mark.parametrize("stride", STRIDES)
def test_a_large_stride_costs_nothing(stride):
    x, weight, dy = np.ones((1, 1, 30, 30)), np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1))
    _, argmax = kernels.max_pool2d(x, 3, stride=stride)
    calls = {
        "conv2d": lambda: kernels.conv2d(x, weight, stride=stride),
        "conv2d_grad_input": lambda: kernels.conv2d_grad_input(dy, weight, (30, 30), stride=stride),
        "conv2d_grad_weight": lambda: kernels.conv2d_grad_weight(x, dy, 3, stride=stride),
        "max_pool2d": lambda: kernels.max_pool2d(x, 3, stride=stride),
        "max_pool2d_grad": lambda: kernels.max_pool2d_grad(dy, argmax, (30, 30)),
        "avg_pool2d": lambda: kernels.avg_pool2d(x, 3, stride=stride),
        "avg_pool2d_grad": lambda: kernels.avg_pool2d_grad(dy, (30, 30), 3, stride=stride),
    }
    slow = {name: taken for name, call in calls.items() if (taken := seconds(call)) > 0.5}
    assert slow == {}
    assert kernels.conv2d_grad_input(dy, weight, (30, 30), stride=stride).sum() == 9


@pytest.mark.parametrize("stride", [40, 2000, 10**7])
@pytest.mark.parametrize("layer", [fc.Conv2d, fc.MaxPool2d, fc.AvgPool2d])
def test_a_network_with_a_large_stride_is_planned_at_once(layer, stride):
    middle = layer(1, 3, stride=stride) if layer is fc.Conv2d else layer(3, stride=stride)
    model = fc.Sequential([fc.Conv2d(1, 1), middle, fc.Flatten()], (1, 30, 30))
    X, y = np.ones((2, 1, 30, 30)), np.ones((2, 1))
    assert seconds(lambda: fc.Sequential(model.layers, (1, 30, 30)).loss_and_gradients(X, y, "mse")) < 0.5
    assert fc.check_gradients(model, np.random.default_rng(0).random(X.shape), y, "mse") < 1e-5
