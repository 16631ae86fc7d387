import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from fastconv import kernels
from fastconv.kernels import dense, dense_grad_bias, dense_grad_input, dense_grad_weight
from tests.kernels import reference

SHAPES = [  # samples, inputs, outputs
    *((n, 5, 3) for n in (0, 1, 2, 3, 4, 5, 7, 8, 33)),
    *((3, inputs, 4) for inputs in (0, 1, 7, 8, 9, 15, 16, 17, 31, 64, 65)),
    *((5, 6, outputs) for outputs in (0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 64, 65, 80)),
    (0, 0, 0),
    (1, 1, 1),
    (9, 37, 21),
]


def arrays_of(draw, samples, inputs, outputs, dtype):
    """x, weight, bias and dy."""
    shapes = (samples, inputs), (outputs, inputs), (outputs,), (samples, outputs)
    return [draw(shape).astype(dtype) for shape in shapes]


def whole_numbers(shape, dtype=np.float64, seed=0):
    """Their sums of products are exact in float32."""
    rng = np.random.default_rng(seed)
    return arrays_of(lambda shape: rng.integers(-9, 10, shape), *shape, dtype)


def normal_numbers(shape, dtype=np.float64, seed=0):
    return arrays_of(np.random.default_rng(seed).standard_normal, *shape, dtype)


def results(module, x, weight, bias, dy):
    """All four functions of a module."""
    return {
        "y": module.dense(x, weight, bias),
        "y without bias": module.dense(x, weight),
        "dx": module.dense_grad_input(dy, weight),
        "dweight": module.dense_grad_weight(x, dy),
        "dbias": module.dense_grad_bias(dy),
    }


def check_equal(got, expected):
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_are_the_sums_of_the_definition(shape, dtype):
    arrays = whole_numbers(shape, dtype)
    got = results(kernels, *arrays)
    assert {array.dtype for array in got.values()} == {np.dtype(dtype)}
    check_equal(got, results(reference, *arrays))


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(0, 20), st.integers(0, 40), st.integers(0, 40)),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 99),
)
def test_random_shapes_give_what_numpy_gives(shape, dtype, seed):
    x, weight, bias, dy = whole_numbers(shape, dtype, seed)
    expected = {
        "y": x @ weight.T + bias,
        "y without bias": x @ weight.T,
        "dx": dy @ weight,
        "dweight": dy.T @ x,
        "dbias": dy.sum(axis=0),
    }
    check_equal(results(kernels, x, weight, bias, dy), expected)


@pytest.mark.parametrize(("name", "which"), [("dx", 0), ("dweight", 1), ("dbias", 2)])
def test_gradients_are_slopes_of_the_layer(name, which):
    arrays, step = normal_numbers((3, 5, 4)), 1e-3  # the loss is linear in each array, so any step will do
    *inputs, dy = arrays
    slopes = np.empty(arrays[which].shape)
    for index in np.ndindex(slopes.shape):
        losses = []
        for change in (step, -step):
            moved = [array.copy() for array in inputs]
            moved[which][index] += change
            losses.append((dense(*moved) * dy).sum())
        slopes[index] = (losses[0] - losses[1]) / (2 * step)
    np.testing.assert_allclose(results(kernels, *arrays)[name], slopes, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(130, 785, 133), (1, 3000, 10), (257, 3, 1030)], ids=str)
def test_large_shapes_give_what_pytorch_gives(shape, dtype):
    torch = pytest.importorskip("torch")
    x, weight, bias, dy = arrays = normal_numbers(shape, dtype)
    tensors = [torch.from_numpy(array).double().requires_grad_() for array in (x, weight, bias)]
    y = torch.nn.functional.linear(*tensors)
    y.backward(torch.from_numpy(dy).double())
    expected = dict(zip(("dx", "dweight", "dbias"), (t.grad for t in tensors), strict=True), y=y.detach())
    got = results(kernels, *arrays)
    for name, tensor in expected.items():
        tolerance = (1e-5 if dtype == np.float32 else 1e-13) * float(tensor.abs().max())
        np.testing.assert_allclose(got[name], tensor.numpy(), rtol=0, atol=tolerance, err_msg=name)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "every second element": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "read-only": read_only,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "zero strides": lambda a: np.broadcast_to(a.ravel()[:1].reshape((1,) * a.ndim), a.shape),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_and_byte_order_do_not_matter_and_inputs_stay_as_they_are(layout, dtype):
    arrays = [LAYOUTS[layout](array) for array in whole_numbers((6, 19, 18), dtype)]
    before = [array.copy() for array in arrays]
    got = results(kernels, *arrays)
    check_equal(got, results(reference, *arrays))
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)
    for array in got.values():
        assert array.dtype.isnative
        assert array.flags.writeable


@njit
def all_from_compiled_code(x, weight, bias, dy):
    return (
        dense(x, bias=bias, weight=weight),
        dense(x, weight, None),
        dense_grad_input(dy, weight=weight),
        dense_grad_weight(dy=dy, x=x),
        dense_grad_bias(dy),
    )


def test_compiled_code_gets_the_same_results_from_any_layout():
    arrays = whole_numbers((6, 19, 18), np.float32)
    layouts = "negative strides", "read-only", "zero strides", "Fortran order"
    arrays = [LAYOUTS[layout](array) for layout, array in zip(layouts, arrays, strict=True)]
    expected = results(reference, *arrays)
    check_equal(dict(zip(expected, all_from_compiled_code(*arrays), strict=True)), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_repeated_calls_give_the_same_bits(dtype):
    arrays = normal_numbers((19, 50, 37), dtype)
    first, second = (results(kernels, *arrays) for _ in range(2))
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), name


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1, 2, 3], ids=["x", "weight", "bias", "dy"])
@pytest.mark.parametrize("where", [0, 7, -1])
def test_nan_and_infinity_go_where_their_products_go_and_nowhere_else(which, where, value):
    arrays = whole_numbers((6, 19, 18), np.float32)
    arrays[which].flat[where] = value
    with np.errstate(invalid="ignore"):
        expected = results(reference, *arrays)
    check_equal(results(kernels, *arrays), expected)


def test_the_bias_gradient_of_many_samples_loses_nothing():
    dy = np.ones((5000, 3), np.float32)
    dy[0] = 2**24  # where float32 ends to count in ones
    np.testing.assert_array_equal(dense_grad_bias(dy), np.full(3, 2**24 + 5000, np.float32))
