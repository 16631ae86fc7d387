"""What compiled code makes for 3x3 kernels equals what the engine's planner makes for them."""

import numpy as np
import pytest

from fastconv.engine.lowering.winograd import Sums
from fastconv.kernels.lanes import winograd, winograd_3x3, winograd_weights
from fastconv.kernels.lanes.conv import RELU

LANES = 16
# channels, outputs, size of the results, padding
SHAPES = [
    (1, 1, (4, 4), (0, 0)),
    (3, 8, (7, 5), (1, 1)),
    (16, 20, (32, 32), (2, 0)),
    (70, 33, (9, 14), (1, 1)),
    (128, 64, (4, 30), (0, 1)),
]


@pytest.mark.parametrize(("channels", "outputs", "size", "padding"), SHAPES)
def test_geometries_are_the_same(channels, outputs, size, padding):
    x, y = (400, 20), (size[0] * (size[1] + 2), size[1] + 2)
    arguments = channels, outputs, size, padding, x, y, LANES
    made = winograd_3x3.geometry(*arguments, RELU, 1)
    np.testing.assert_array_equal(made, winograd.winograd_geometry(*arguments, RELU, 1))
    made = winograd_3x3.grad_weight_geometry(*arguments)
    np.testing.assert_array_equal(made, winograd.grad_weight_geometry(*arguments))
    for turned in (False, True):
        made = winograd_3x3.weights_geometry(outputs, channels, LANES, turned)
        wanted = winograd_weights.transform_weights_geometry(outputs, channels, LANES, turned)
        np.testing.assert_array_equal(made, wanted)
    made = winograd_3x3.weights_geometry(outputs, channels, LANES, False)
    np.testing.assert_array_equal(made, winograd_weights.weight_sums_geometry(outputs, channels, LANES, 0))


@pytest.mark.parametrize(("channels", "outputs", "size", "padding"), SHAPES)
def test_costs_decide_alike(channels, outputs, size, padding):
    sums, shape = Sums(channels, outputs, size, LANES), (channels, outputs, size, LANES)
    assert winograd_3x3.forward_pays(*shape) == sums.forward_pays()
    assert winograd_3x3.weight_gradient_pays(*shape) == sums.weight_gradient_pays()
