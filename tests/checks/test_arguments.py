import functools
import inspect
import subprocess
import sys

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from fastconv import kernels

HUGE = 2**31 - 1  # the largest size that is one
INDICES = "labels", "argmax"
FLAGS = "ceil_mode", "count_include_pad", "training"
PAIRS = "input_size", "kernel_size", "stride", "padding", "dilation"
NUMBERS = "negative_slope", "momentum", "eps"


def ones(*shape):
    return np.ones(shape)


IMAGE, OUTPUT, WEIGHT = ones(2, 4, 6, 5), ones(2, 6, 4, 4), ones(6, 2, 3, 2)
CONV = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 2}
POOL = {"kernel_size": (3, 2), "stride": (1, 1), "padding": (1, 0)}
POOLED = ones(2, 4, 6, 4)
C = ones(4)
VALID = {
    "conv2d": {"x": IMAGE, "weight": WEIGHT, "bias": ones(6), **CONV},
    "conv2d_grad_input": {"dy": OUTPUT, "weight": WEIGHT, "input_size": (6, 5), **CONV},
    "conv2d_grad_weight": {"x": IMAGE, "dy": OUTPUT, "kernel_size": (3, 2), **CONV},
    "conv2d_grad_bias": {"dy": OUTPUT},
    "max_pool2d": {"x": IMAGE, **POOL, "dilation": (1, 1), "ceil_mode": False},
    "max_pool2d_grad": {"dy": POOLED, "argmax": POOLED.astype(np.int64), "input_size": (6, 5)},
    "avg_pool2d": {"x": IMAGE, **POOL, "ceil_mode": False, "count_include_pad": True},
    "avg_pool2d_grad": {
        "dy": POOLED, "input_size": (6, 5), **POOL, "ceil_mode": False, "count_include_pad": True
    },
    "dense": {"x": ones(3, 4), "weight": ones(5, 4), "bias": ones(5)},
    "dense_grad_input": {"dy": ones(3, 5), "weight": ones(5, 4)},
    "dense_grad_weight": {"x": ones(3, 4), "dy": ones(3, 5)},
    "dense_grad_bias": {"dy": ones(3, 5)},
    "relu": {"x": C},
    "relu_grad": {"dy": C, "x": C},
    "leaky_relu": {"x": C, "negative_slope": 0.1},
    "leaky_relu_grad": {"dy": C, "x": C, "negative_slope": 0.1},
    "sigmoid": {"x": C},
    "sigmoid_grad": {"dy": C, "y": C},
    "tanh": {"x": C},
    "tanh_grad": {"dy": C, "y": C},
    "softmax": {"x": C},
    "bce": {"p": C, "target": C},
    "bce_grad": {"p": C, "target": C},
    "bce_with_logits": {"z": C, "target": C},
    "bce_with_logits_grad": {"z": C, "target": C},
    "mse": {"y": C, "target": C},
    "mse_grad": {"y": C, "target": C},
    "cross_entropy": {"logits": ones(2, 3), "labels": np.array([0, 2])},
    "cross_entropy_grad": {"logits": ones(2, 3), "labels": np.array([0, 2])},
    "batch_norm2d": {
        "x": IMAGE, "gamma": C, "beta": C, "running_mean": C.copy(), "running_var": C.copy(),
        "training": True, "momentum": 0.1, "eps": 1e-5,
    },
    "batch_norm2d_grad": {"dy": IMAGE, "x": IMAGE, "gamma": C, "saved": ones(2, 4)},
}  # fmt: skip
ANY_DIMENSIONS = {"relu", "leaky_relu", "sigmoid", "tanh", "softmax", "bce", "bce_with_logits", "mse"}
ANY_DIMENSIONS |= {f"{name}_grad" for name in ANY_DIMENSIONS}


def from_python(name, arguments):
    return getattr(kernels, name)(**arguments)


@functools.cache
def compiled(name):
    function = getattr(kernels, name)

    @njit
    def caller(*arguments):
        return function(*arguments)

    return caller


def from_compiled_code(name, arguments):
    return compiled(name)(*arguments.values())


def check_refused(call, name, changed, error, argument):
    """The call with some arguments changed raises the error, which names the argument and what it got."""
    with pytest.raises(error) as caught:
        call(name, {**VALID[name], **changed})
    message = str(caught.value)
    assert f"`{argument}` must" in message or f"of `{argument}`" in message
    assert ", got " in message or "does not fit" in message


def arguments_of(*wanted):
    return [
        pytest.param(name, argument, id=f"{name}-{argument}")
        for name, arguments in VALID.items()
        for argument in arguments
        if argument in wanted
    ]


ARRAYS = {argument for valid in VALID.values() for argument, v in valid.items() if isinstance(v, np.ndarray)}
BOTH = pytest.mark.parametrize("call", [from_python, from_compiled_code], ids=["python", "compiled"])


@BOTH
def test_the_valid_arguments_are_valid_for_every_public_kernel(call):
    assert set(VALID) == set(kernels.__all__)
    for name, arguments in VALID.items():
        parameters = [p for p in inspect.signature(getattr(kernels, name)).parameters if p != "reduction"]
        assert list(arguments) == parameters
        call(name, arguments)


def test_array_arguments_take_no_other_types():
    for name, arguments in VALID.items():
        for argument in ARRAYS & set(arguments):
            a = arguments[argument]
            others = [a.tolist(), 1.0, "text", object(), a.astype(bool), a.astype(complex), a.astype(object)]
            others += [a.astype(np.float64), np.float32(1)] if argument in INDICES else [a.astype(np.int64)]
            others += [a.astype(np.float16), a.astype("U3")] + ([] if argument == "bias" else [None])
            for other in others:
                check_refused(from_python, name, {argument: other}, TypeError, argument)


@pytest.mark.parametrize(("name", "argument"), arguments_of(*ARRAYS))
def test_array_arguments_of_compiled_code_take_no_other_types(name, argument):
    a = VALID[name][argument]
    for other in (1.0, (1, 2), a.astype(np.float64 if argument in INDICES else np.int64), a.astype(bool)):
        check_refused(from_compiled_code, name, {argument: other}, (TypeError, TypingError), argument)


@BOTH
@pytest.mark.parametrize(("name", "argument"), arguments_of(*ARRAYS))
def test_arrays_have_the_dimensions_that_their_function_works_on(name, argument, call):
    if name in ANY_DIMENSIONS:
        return
    error = ValueError if call is from_python else (ValueError, TypingError)
    for changed in (VALID[name][argument][None], VALID[name][argument][0]):
        if changed.ndim:
            check_refused(call, name, {argument: changed}, error, argument)


@BOTH
@pytest.mark.parametrize(("name", "argument"), arguments_of(*ARRAYS - set(INDICES)))
def test_arrays_have_one_dtype(name, argument, call):
    if sum(isinstance(v, np.ndarray) and v.dtype == np.float64 for v in VALID[name].values()) > 1:
        changed = {argument: VALID[name][argument].astype(np.float32)}
        error = TypeError if call is from_python else (TypeError, TypingError)
        check_refused(call, name, changed, error, argument)


def bad_sizes(argument):
    """Values that are ints, but not sizes."""
    values = [(-1, 1), (1, -1), (2**31, 1), (1, 2**62)]
    return values if argument == "padding" else [(0, 1), (1, 0), *values]


@BOTH
@pytest.mark.parametrize(("name", "argument"), arguments_of(*PAIRS))
def test_sizes_out_of_range_are_value_errors(name, argument, call):
    for value in bad_sizes(argument):
        check_refused(call, name, {argument: value}, ValueError, argument)


@pytest.mark.parametrize(("name", "argument"), arguments_of(*PAIRS))
def test_sizes_are_an_int_or_a_pair_of_ints(name, argument):
    for value in (2**31, 2**70, (1, 2**70), -1, (1, 2, 3), (1,), (), [1, 2, 3], np.ones(3, int)):
        check_refused(from_python, name, {argument: value}, ValueError, argument)
    for value in (True, 1.0, np.float64(1), (1.0, 1), (1, True), "11", 1j, np.ones(2), object(), ("a", 1)):
        check_refused(from_python, name, {argument: value}, TypeError, argument)
    if VALID[name].get("kernel_size") is None or argument != "stride":
        check_refused(from_python, name, {argument: None}, TypeError, argument)


@pytest.mark.parametrize(
    "value", [np.array(1.5), (np.array(1.5), 1), np.ones((2, 2), int)], ids=["0-d", "pair of 0-d", "2-D"]
)
def test_sizes_are_no_arrays_of_another_shape_or_of_floats(value):
    check_refused(from_python, "conv2d", {"stride": value}, (TypeError, ValueError), "stride")


@pytest.mark.parametrize(("name", "argument"), arguments_of(*PAIRS))
def test_sizes_of_compiled_code_are_an_int_or_a_pair_of_ints(name, argument):
    for value in (True, 1.0, (1.0, 1), (1, True), "11", (1, 2, 3), (1,), np.ones(2, int)):
        errors = TypeError, ValueError, TypingError
        check_refused(from_compiled_code, name, {argument: value}, errors, argument)


@BOTH
@pytest.mark.parametrize(("name", "argument"), arguments_of("groups"))
def test_groups_are_a_positive_int(name, argument, call):
    for value in (0, -1, 2**31, 2**62):
        check_refused(call, name, {argument: value}, ValueError, argument)
    for value in (True, 1.0, (1, 1), "1", None):
        check_refused(call, name, {argument: value}, (TypeError, TypingError), argument)


@pytest.mark.parametrize("value", [2**70, np.array([1, 1]), np.array(1.5), np.array([2.0])], ids=str)
def test_groups_are_no_other_number_or_array(value):
    check_refused(from_python, "conv2d", {"groups": value}, (TypeError, ValueError), "groups")


@BOTH
@pytest.mark.parametrize(("name", "argument"), arguments_of(*NUMBERS))
def test_numbers_are_real_numbers(name, argument, call):
    for value in (True, "0.1", 1j, None, np.ones(1)):
        check_refused(call, name, {argument: value}, (TypeError, TypingError), argument)


@pytest.mark.parametrize(("name", "argument"), arguments_of(*FLAGS))
def test_flags_are_true_or_false(name, argument):
    for value in ("no", None, 0.5):
        check_refused(from_python, name, {argument: value}, TypeError, argument)


DO_NOT_FIT = [  # kernel, changed arguments, the argument at fault
    ("conv2d", {"weight": ones(6, 3, 3, 2)}, "weight"),
    ("conv2d", {"weight": ones(6, 4, 3, 2)}, "weight"),
    ("conv2d", {"weight": ones(5, 2, 3, 2)}, "groups"),
    ("conv2d", {"groups": 3}, "groups"),
    ("conv2d", {"groups": HUGE}, "groups"),
    ("conv2d", {"weight": ones(6, 2, 0, 2)}, "weight"),
    ("conv2d", {"weight": ones(6, 2, 7, 2)}, "weight"),
    ("conv2d", {"weight": ones(6, 2, 3, 6)}, "weight"),
    ("conv2d", {"x": ones(2, 4, 2, 5)}, "weight"),
    ("conv2d", {"x": ones(2, 4, 0, 0)}, "weight"),
    ("conv2d", {"dilation": (3, 1)}, "weight"),
    ("conv2d", {"dilation": (1, HUGE)}, "weight"),
    *(("conv2d", {"bias": ones(n)}, "bias") for n in (0, 1, 5, 7)),
    ("conv2d", {"padding": (HUGE, HUGE)}, "padding"),
    *(("conv2d_grad_input", {"dy": ones(2, *shape)}, "dy") for shape in ((6, 3, 4), (6, 4, 5), (5, 4, 4))),
    ("conv2d_grad_input", {"dy": ones(2, 6, 0, 4)}, "dy"),
    ("conv2d_grad_input", {"groups": 4}, "groups"),
    ("conv2d_grad_input", {"input_size": (7, 5)}, "dy"),
    ("conv2d_grad_input", {"input_size": (2, 5)}, "weight"),
    ("conv2d_grad_input", {"weight": ones(6, 2, 3, 0)}, "weight"),
    (
        "conv2d_grad_input",
        {"input_size": (HUGE, HUGE), "stride": (HUGE, HUGE), "dy": ones(2, 6, 1, 1)},
        "input_size",
    ),
    *(("conv2d_grad_weight", {"dy": ones(*shape)}, "dy") for shape in ((3, 6, 4, 4), (2, 6, 4, 3))),
    ("conv2d_grad_weight", {"groups": 3}, "groups"),
    ("conv2d_grad_weight", {"dy": ones(2, 5, 4, 4)}, "groups"),
    ("conv2d_grad_weight", {"kernel_size": (7, 2)}, "kernel_size"),
    ("conv2d_grad_weight", {"kernel_size": (HUGE, HUGE), "dilation": (HUGE, HUGE)}, "kernel_size"),
    ("conv2d_grad_weight", {"kernel_size": (2, 2)}, "dy"),
    ("max_pool2d", {"padding": (2, 0)}, "padding"),
    ("max_pool2d", {"kernel_size": (9, 2)}, "kernel_size"),
    ("max_pool2d", {"dilation": (HUGE, HUGE)}, "kernel_size"),
    ("max_pool2d", {"x": ones(2, 4, 0, 5)}, "kernel_size"),
    ("max_pool2d_grad", {"input_size": (1, 1)}, "argmax"),
    *(("max_pool2d_grad", {"argmax": np.full((2, 4, 6, 4), k)}, "argmax") for k in (-1, 30, 2**62)),
    ("max_pool2d_grad", {"argmax": np.ones((2, 4, 6, 5), np.int64)}, "argmax"),
    ("max_pool2d_grad", {"argmax": np.ones((1, 4, 6, 4), np.int64)}, "argmax"),
    ("max_pool2d_grad", {"input_size": (HUGE, HUGE)}, "input_size"),
    ("avg_pool2d", {"padding": (0, 2)}, "padding"),
    ("avg_pool2d", {"kernel_size": (HUGE, 2)}, "kernel_size"),
    ("avg_pool2d_grad", {"dy": ones(2, 4, 6, 5)}, "dy"),
    ("avg_pool2d_grad", {"input_size": (1, 9)}, "dy"),
    (
        "avg_pool2d_grad",
        {"input_size": (HUGE, HUGE), "stride": (HUGE, HUGE), "dy": ones(2, 4, 1, 1)},
        "input_size",
    ),
    ("dense", {"weight": ones(5, 3)}, "weight"),
    *(("dense", {"bias": ones(n)}, "bias") for n in (0, 1, 4, 6)),
    ("dense_grad_input", {"weight": ones(4, 4)}, "weight"),
    ("dense_grad_weight", {"dy": ones(2, 5)}, "dy"),
    *((f"{k}_grad", {"dy": ones(5)}, "dy") for k in ("relu", "leaky_relu", "sigmoid", "tanh")),
    *(
        (f"{k}{grad}", {"target": ones(n)}, "target")
        for k in ("bce", "bce_with_logits", "mse")
        for grad in ("", "_grad")
        for n in (1, 5)
    ),
    *(
        (f"cross_entropy{grad}", {"labels": np.array(labels)}, "labels")
        for grad in ("", "_grad")
        for labels in ([0, 3], [-1, 0], [0, 2**62], [0], [0, 1, 2])
    ),
    ("cross_entropy", {"logits": ones(2, 0)}, "labels"),
    *(("batch_norm2d", {k: ones(3)}, k) for k in ("gamma", "beta", "running_mean", "running_var")),
    ("batch_norm2d", {"x": ones(0, 4, 6, 5)}, "x"),
    ("batch_norm2d_grad", {"dy": ones(2, 4, 6, 4)}, "dy"),
    ("batch_norm2d_grad", {"gamma": ones(5)}, "gamma"),
    ("batch_norm2d_grad", {"saved": ones(3, 4)}, "saved"),
    ("batch_norm2d_grad", {"saved": ones(2, 5)}, "saved"),
]


@BOTH
@pytest.mark.parametrize(("name", "changed", "argument"), DO_NOT_FIT)
def test_arguments_that_do_not_fit_each_other_are_value_errors(name, changed, argument, call):
    check_refused(call, name, changed, ValueError, argument)


@BOTH
@pytest.mark.parametrize("name", [name for name in VALID if name in ANY_DIMENSIONS and len(VALID[name]) > 1])
def test_arrays_of_other_dimensions_have_another_shape(name, call):
    arrays = [argument for argument, value in VALID[name].items() if isinstance(value, np.ndarray)]
    if len(arrays) == 2:
        error = ValueError if call is from_python else (ValueError, TypingError)
        check_refused(call, name, {arrays[1]: ones(1, 4)}, error, arrays[0])


OVERFLOWS = """
import numpy as np
from fastconv.kernels import conv2d, conv2d_grad_input, conv2d_grad_weight
x, weight, most = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), 2**31 - 1
calls = [
    lambda: conv2d(x, weight, None, most, most),
    lambda: conv2d(x, weight[..., :1, :1], None, most, most),
    lambda: conv2d_grad_weight(x, x[..., :3, :3], 2, most, most),
    lambda: conv2d(x, weight, None, 1, 2**29, 2**30),
    lambda: conv2d_grad_input(x, weight, 4, 1, 2**29, 2**30),
]
for call in calls:
    try:
        call()
    except ValueError as error:
        print(error)
"""


def test_padding_whose_memory_cannot_be_counted_is_refused_without_a_crash():
    run = subprocess.run([sys.executable, "-c", OVERFLOWS], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert [line.split(" ")[0] for line in run.stdout.splitlines()] == ["`padding`"] * 5, run.stdout


@BOTH
def test_softmax_needs_an_axis(call):
    error = ValueError if call is from_python else (ValueError, TypingError)
    check_refused(call, "softmax", {"x": np.array(1.0)}, error, "x")


@BOTH
@pytest.mark.parametrize("argument", ["running_mean", "running_var"])
def test_running_figures_that_cannot_be_written_to_are_refused(argument, call):
    arguments = {**VALID["batch_norm2d"], argument: np.broadcast_to(1.0, 4)}
    with pytest.raises((ValueError, TypingError), match=f"`{argument}` must be an array to write to"):
        call("batch_norm2d", arguments)


@BOTH
@pytest.mark.parametrize(
    ("name", "changed", "argument"),
    [
        ("conv2d", {"stride": (-(2**63), 1)}, "stride"),
        ("conv2d", {"groups": -(2**63)}, "groups"),
        ("cross_entropy", {"labels": np.array([-(2**63), 0])}, "labels"),
    ],
)
def test_the_smallest_int_is_refused_like_any_other(name, changed, argument, call):
    check_refused(call, name, changed, ValueError, argument)


def test_labels_beyond_int64_are_out_of_range():
    labels = np.array([0, 2**63 + 1], np.uint64)
    check_refused(from_python, "cross_entropy", {"labels": labels}, ValueError, "labels")


LOSSES = [name for name in VALID if name.startswith(("bce", "mse", "cross"))]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["avg", "", None, 1, True, b"mean", ["mean"]])
def test_a_reduction_is_one_of_three_texts(name, reduction):
    error = ValueError if isinstance(reduction, str) else (ValueError, TypeError)
    check_refused(from_python, name, {"reduction": reduction}, error, "reduction")


@pytest.mark.parametrize("name", LOSSES)
def test_a_reduction_of_compiled_code_is_one_of_three_texts(name):
    function = getattr(kernels, name)

    @njit
    def caller(x, y):
        return function(x, y, "avg")

    with pytest.raises((ValueError, TypingError), match='`reduction` must be "mean", "sum" or "none"'):
        caller(*VALID[name].values())
