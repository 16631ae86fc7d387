import numpy as np
import pytest

import fastconv as fc
from fastconv.benchmarks.nets import NETS


def test_operations_of_lenet5_are_counted_as_by_hand():
    first = 2 * 24 * 24 * 6 * 25
    second = 2 * 8 * 8 * 16 * 150
    dense = 2 * (256 * 120 + 120 * 84 + 84 * 10)
    assert NETS["lenet5"].forward_flops()[:4] == [first, 0, 0, second]
    assert NETS["lenet5"].step_flops() == 2 * first + 3 * (second + dense)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("reference", fc.models.reference_cnn),
        ("lenet5", fc.models.lenet5),
        ("vgg_small", fc.models.vgg_small),
    ],
)
def test_parameters_fit_fastconvs_model(name, model):
    expected = {key: array.shape for key, array in model().parameters().items()}
    assert {key: array.shape for key, array in NETS[name].initial_parameters().items()} == expected


def test_data_are_the_same_for_everybody():
    for net in NETS.values():
        (X, y), again = net.batches(4, 2), net.batches(4, 2)
        assert X.shape == (8, *net.input_shape)
        assert X.dtype == np.float32
        np.testing.assert_array_equal(X, again[0])
        np.testing.assert_array_equal(y, again[1])
