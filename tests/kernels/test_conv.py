import functools
import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numba import njit

from fastconv import kernels
from fastconv.kernels import conv2d, conv2d_grad_bias, conv2d_grad_input, conv2d_grad_weight
from tests.kernels import reference


class Case(NamedTuple):
    n: int
    channels: int
    out_channels: int
    size: tuple
    kernel: tuple = (3, 3)
    stride: object = 1
    padding: object = 0
    dilation: object = 1
    groups: int = 1

    @property
    def settings(self):
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def shapes(self):
        """Of x, weight, bias and dy."""
        size = reference.output_size(self.size, self.kernel, self.stride, self.padding, self.dilation)
        weight = self.out_channels, self.channels // self.groups, *self.kernel
        return (
            (self.n, self.channels, *self.size),
            weight,
            (self.out_channels,),
            (self.n, self.out_channels, *size),
        )


GRID = [
    Case(2, 4, 2, (7, 8), (3, 2), *settings)
    for settings in itertools.product(
        (1, 2, 3, (2, 1), (1, 3)), (0, 1, (0, 2), (3, 1)), (1, 2, (1, 3)), (1, 2)
    )
]
CHANNELS = [Case(2, c, o, (5, 4), (2, 3)) for c in (1, 2, 3, 4, 5, 6, 7, 12, 17) for o in (1, 6)]
CHANNELS += [Case(1, 3, o, (4, 5), (3, 2), 1, 1) for o in (2, 3, 4, 5, 7, 8, 10, 16, 22)]
GROUPS = [
    *(Case(2, c, c, (5, 6), (3, 3), 1, 1, 1, c) for c in (2, 3, 5, 6, 17)),
    Case(2, 4, 12, (5, 6), groups=4),
    Case(2, 6, 30, (5, 4), (2, 2), groups=3),
    Case(1, 12, 18, (4, 6), stride=2, groups=3),
    Case(1, 12, 28, (3, 3), groups=4),
]
# A single row, of an output channel or of a group, is cut in blocks; the image ends within some of them.
ONE_ROW = [
    Case(2, 3, 1, size, (3, 2), stride, padding)
    for size in ((9, 10), (11, 7), (6, 17), (4, 30))
    for stride, padding in ((1, 0), (1, (2, 1)), ((2, 1), 1))
]
ONE_ROW += [Case(1, 1, 1, (22, 19), (5, 5), 1, 2), Case(1, 3, 3, (18, 20), (3, 3), 1, 1, (2, 1), 3)]
ONE_POSITION = [Case(2, 2, o, (3, 4), (3, 4)) for o in (1, 3, 4, 15, 16, 17, 22, 36, 37)]
BATCHES = [Case(n, 2, 3, (5, 7), (3, 2), (2, 1), 1) for n in (0, 1, 3, 7, 8, 9, 15, 16, 17, 33)]
EDGES = [
    Case(2, 2, 3, (3, 2), (5, 4), padding=2),  # a kernel larger than the image
    Case(2, 1, 2, (1, 1), (3, 3), padding=1),
    Case(1, 2, 2, (2, 3), (3, 3), stride=2, padding=4),  # windows that see padding only
    Case(2, 2, 5, (9, 8), (2, 2), stride=(4, 3)),  # a stride larger than the kernel
    Case(2, 2, 2, (5, 6), (1, 1), stride=7),
    *(Case(2, 2, 3, size, stride=3) for size in ((6, 8), (7, 7), (8, 6))),  # one output size
    *(Case(2, 1, 2, size, stride=4, padding=1) for size in ((5, 8), (8, 5), (6, 7))),
    Case(1, 1, 4, (1, 70), (1, 5), padding=(0, 3)),
    Case(1, 2, 1, (40, 1), (7, 1), stride=(3, 1), dilation=(2, 1)),
    Case(2, 3, 0, (4, 4)),
    Case(2, 0, 3, (4, 4)),
    Case(1, 1, 1, (1, 1), (1, 1), dilation=9),
]
CASES = GRID + CHANNELS + GROUPS + ONE_ROW + ONE_POSITION + BATCHES + EDGES


def whole_numbers(case, dtype=np.float64, seed=0):
    """x, weight, bias and dy, whose sums of products are exact in float32."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in case.shapes]


def normal_numbers(case, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in case.shapes]


def results(module, case, x, weight, bias, dy):
    """All four functions of a module on one case."""
    return {
        "y": module.conv2d(x, weight, bias, *case.settings),
        "y without bias": module.conv2d(x, weight, None, *case.settings),
        "dx": module.conv2d_grad_input(dy, weight, case.size, *case.settings),
        "dweight": module.conv2d_grad_weight(x, dy, case.kernel, *case.settings),
        "dbias": module.conv2d_grad_bias(dy),
    }


@functools.cache
def exact_results(case):
    return results(reference, case, *whole_numbers(case))


def check_equal(got, expected):
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def test_results_are_the_sums_of_the_definition(case, dtype):
    got = results(kernels, case, *whole_numbers(case, dtype))
    assert {array.dtype for array in got.values()} == {np.dtype(dtype)}
    check_equal(got, exact_results(case))


@st.composite
def any_case(draw):
    sizes = st.tuples(st.integers(1, 8), st.integers(1, 8))
    groups = draw(st.integers(1, 3))
    case = Case(
        draw(st.integers(0, 18)),
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 7)),
        draw(sizes),
        draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
        draw(st.tuples(st.integers(0, 4), st.integers(0, 4))),
        draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        groups,
    )
    _, weight, _, dy = case.shapes
    assume(min(dy[2:]) > 0)
    assume(np.prod(dy) * np.prod(weight[1:]) < 20_000)  # the reference is slow
    return case


@settings(max_examples=80)
@given(case=any_case(), dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 99))
def test_random_shapes_give_the_sums_of_the_definition(case, dtype, seed):
    arrays = whole_numbers(case, dtype, seed)
    check_equal(results(kernels, case, *arrays), results(reference, case, *arrays))


SMOOTH = [
    Case(3, 2, 3, (6, 5), (3, 2), (2, 1), (1, 0), (1, 2)),
    Case(2, 4, 4, (5, 5), (2, 2), 3, 1, 1, 4),
    Case(2, 6, 4, (4, 7), (3, 3), 1, 2, 1, 2),
]


@pytest.mark.parametrize("case", SMOOTH)
@pytest.mark.parametrize(("name", "which"), [("dx", 0), ("dweight", 1), ("dbias", 2)])
def test_gradients_are_slopes_of_the_convolution(case, name, which):
    arrays, step = normal_numbers(case), 1e-3  # the loss is linear in each array, so any step will do
    x, weight, bias, dy = arrays
    slopes = np.empty(arrays[which].shape)
    for index in np.ndindex(slopes.shape):
        losses = []
        for change in (step, -step):
            moved = [array.copy() for array in (x, weight, bias)]
            moved[which][index] += change
            losses.append((conv2d(*moved, *case.settings) * dy).sum())
        slopes[index] = (losses[0] - losses[1]) / (2 * step)
    np.testing.assert_allclose(results(kernels, case, *arrays)[name], slopes, rtol=1e-8, atol=1e-9)


LARGE = [
    Case(1, 3, 6, (5, 4001), (3, 5), 1, (1, 2)),  # one wide image
    Case(33, 17, 22, (14, 13), (3, 3), 1, 1),
    Case(20, 12, 16, (28, 28), (5, 5), 2, 2),
    Case(18, 32, 32, (15, 17), (3, 3), (2, 1), 1, 1, 32),
    Case(5, 8, 24, (31, 30), (4, 2), (3, 2), (2, 1), (2, 3), 4),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", LARGE)
def test_large_shapes_give_what_pytorch_gives(case, dtype):
    torch = pytest.importorskip("torch")
    x, weight, bias, dy = arrays = normal_numbers(case, dtype)
    tensors = [torch.from_numpy(array).double().requires_grad_() for array in (x, weight, bias)]
    y = torch.nn.functional.conv2d(*tensors, *case.settings)
    y.backward(torch.from_numpy(dy).double())
    got = results(kernels, case, *arrays)
    expected = {
        "y": y.detach(),
        **{f"d{k}": t.grad for k, t in zip(("x", "weight", "bias"), tensors, strict=True)},
    }
    for name, tensor in expected.items():
        tolerance = (1e-5 if dtype == np.float32 else 1e-13) * float(tensor.abs().max())
        np.testing.assert_allclose(got[name], tensor.numpy(), rtol=0, atol=tolerance, err_msg=name)


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    return memory


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "every second element": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "read-only": read_only,
    "unaligned": unaligned,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "zero strides": lambda a: np.broadcast_to(a.ravel()[:1].reshape((1,) * a.ndim), a.shape),
}
LAID_OUT = Case(3, 4, 6, (5, 6), (3, 2), 2, 1, 1, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_and_byte_order_do_not_matter_and_inputs_stay_as_they_are(layout, dtype):
    arrays = [LAYOUTS[layout](array) for array in whole_numbers(LAID_OUT, dtype)]
    before = [array.copy() for array in arrays]
    got = results(kernels, LAID_OUT, *arrays)
    check_equal(got, results(reference, LAID_OUT, *arrays))
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)
    for array in got.values():
        assert array.dtype.isnative
        assert array.flags.writeable


@njit
def all_from_compiled_code(x, weight, bias, dy, size, kernel):
    return (
        conv2d(x, weight, bias, 2, (1, 1), groups=2),
        conv2d(x, weight, stride=(2, 2), groups=2, padding=1, dilation=(1, 1)),
        conv2d_grad_input(dy, weight, size, (2, 2), 1, groups=2),
        conv2d_grad_weight(x, dy, kernel_size=kernel, padding=(1, 1), stride=2, groups=2),
        conv2d_grad_bias(dy),
    )


def test_compiled_code_gets_the_same_results_from_any_layout():
    arrays = whole_numbers(LAID_OUT, np.float32)
    layouts = "negative strides", "Fortran order", "read-only", "zero strides"
    arrays = [LAYOUTS[layout](array) for layout, array in zip(layouts, arrays, strict=True)]
    got = all_from_compiled_code(*arrays, LAID_OUT.size, LAID_OUT.kernel)
    expected = results(reference, LAID_OUT, *arrays)
    check_equal(dict(zip(expected, got, strict=True)), expected)


def test_sizes_may_be_numpy_ints_lists_and_arrays():
    x, weight, bias, _ = whole_numbers(LAID_OUT)
    got = conv2d(x, weight, bias, np.int32(2), [1, np.uint8(1)], np.array([1, 1]), np.int64(2))
    np.testing.assert_array_equal(got, exact_results(LAID_OUT)["y"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_repeated_calls_give_the_same_bits(dtype):
    case = Case(19, 5, 7, (9, 11), (3, 3), 2, 1)
    arrays = normal_numbers(case, dtype)
    first, second = (results(kernels, case, *arrays) for _ in range(2))
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), name


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 2, 3], ids=["x", "bias", "dy"])
@pytest.mark.parametrize("where", [0, 17, -1])
def test_nan_and_infinity_go_where_their_products_go_and_nowhere_else(which, where, value):
    case = Case(3, 2, 3, (6, 7), (2, 3), 2, 1)
    arrays = whole_numbers(case, np.float32)
    arrays[which].flat[where % arrays[which].size] = value
    with np.errstate(invalid="ignore"):
        expected = results(reference, case, *arrays)
    check_equal(results(kernels, case, *arrays), expected)


def misses_taps(counts, stride):
    """Where some taps meet padding, or no output; positions of one phase of the stride have the same taps."""
    missing = np.zeros(counts.shape, bool)
    for row, column in itertools.product(range(stride), repeat=2):
        phase = np.s_[..., row::stride, column::stride]
        missing[phase] = counts[phase] < counts[phase].max()
    return missing


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", [0, 17, -1])
@pytest.mark.parametrize(
    "case", [Case(3, 2, 3, (6, 7), (2, 3), 2, 1), Case(2, 2, 3, (5, 4), padding=1)], ids=["stride", "plain"]
)
def test_a_weight_that_is_not_finite_goes_where_its_products_go_and_else_only_to_the_border(
    case, where, value
):
    arrays = whole_numbers(case, np.float32)
    weight, bias = arrays[1:3]
    at = np.unravel_index(where % weight.size, weight.shape)
    weight[at] = 0
    without = results(reference, case, *arrays)
    weight[at] = value
    with np.errstate(invalid="ignore"):
        expected = results(reference, case, *arrays)
    got = results(kernels, case, *arrays)
    ones = [np.ones(shape) for shape in case.shapes]
    counts = results(reference, case, *ones)
    ones[1][...] = 0
    ones[1][at] = 1
    met = results(reference, case, ones[0], ones[1], 0 * bias, ones[3])
    for name, stride in (("y", 1), ("y without bias", 1), ("dx", case.stride)):
        border = misses_taps(counts[name], stride)
        assert not border.all()
        exact = (met[name] > 0) | ~border | np.isfinite(got[name])
        wanted = np.where(met[name] > 0, expected[name], without[name])
        np.testing.assert_array_equal(got[name][exact], wanted[exact], err_msg=name)
    check_equal(got, {name: expected[name] for name in ("dweight", "dbias")})


def test_the_bias_gradient_of_a_large_image_loses_nothing():
    dy = np.ones((2, 3, 100, 50), np.float32)
    dy[:, :, 0, 0] = 2**24  # where float32 ends to count in ones
    np.testing.assert_array_equal(conv2d_grad_bias(dy), np.full(3, 2**25 + 2 * 4999, np.float32))
