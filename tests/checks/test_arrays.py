"""Arrays: types, dimensions, dtypes, and whether they fit each other."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from numba.core.errors import TypingError

from fastconv import kernels
from tests.checks.valid_calls import (
    ANY_DIMENSIONS,
    ARRAYS,
    BOTH,
    COMPILED_ELSEWHERE,
    HUGE,
    INDICES,
    RELATED_DIMENSIONS,
    VALID,
    arrays_of,
    check_refused,
    from_compiled_code,
    from_python,
    ones,
)


def test_the_valid_arguments_are_valid_for_every_public_kernel():
    assert set(VALID) == set(kernels.__all__)
    for name, arguments in VALID.items():
        parameters = [p for p in inspect.signature(getattr(kernels, name)).parameters if p != "reduction"]
        assert list(arguments) == parameters
        from_python(name, arguments)


def test_they_are_valid_in_compiled_code_too():
    """Of kernels that no other test calls from there: a caller of a convolution compiles for ten seconds."""
    elsewhere = {name for names in COMPILED_ELSEWHERE.values() for name in names}
    for name, arguments in VALID.items():
        if name not in elsewhere:
            from_compiled_code(name, arguments)


@pytest.mark.parametrize("file", COMPILED_ELSEWHERE)
def test_the_others_are_called_from_compiled_code_where_it_says_so(file):
    tree = ast.parse((Path(__file__).parents[1] / "kernels" / file).read_text(encoding="utf-8"))
    called = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and "njit" in map(ast.unparse, function.decorator_list):
            calls = [ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)]
            called.update(call.removeprefix("kernels.") for call in calls)
    assert set(COMPILED_ELSEWHERE[file]) <= called


def test_array_arguments_take_no_other_types():
    for name, arguments in VALID.items():
        for argument, a in arguments.items():
            if not isinstance(a, np.ndarray):
                continue
            others = [a.tolist(), 1.0, "text", object(), a.astype(bool), a.astype(complex), a.astype(object)]
            others += [a.astype(np.float64), np.float32(1)] if argument in INDICES else [a.astype(np.int64)]
            others += [a.astype(np.float16), a.astype("U3")] + ([] if argument == "bias" else [None])
            for other in others:
                check_refused(from_python, name, {argument: other}, TypeError, argument)


@pytest.mark.parametrize(("name", "argument"), arrays_of(*ARRAYS))
def test_array_arguments_of_compiled_code_take_no_other_types(name, argument):
    a = VALID[name][argument]
    for other in (1.0, (1, 2), a.astype(np.float64 if argument in INDICES else np.int64), a.astype(bool)):
        check_refused(from_compiled_code, name, {argument: other}, (TypeError, TypingError), argument)


@BOTH
@pytest.mark.parametrize(("name", "argument"), arrays_of(*ARRAYS))
def test_arrays_have_the_dimensions_that_their_function_works_on(name, argument, call):
    if name in ANY_DIMENSIONS | RELATED_DIMENSIONS:
        return
    error = ValueError if call is from_python else (ValueError, TypingError)
    for changed in (VALID[name][argument][None], VALID[name][argument][0]):
        if changed.ndim:
            check_refused(call, name, {argument: changed}, error, argument)


@BOTH
@pytest.mark.parametrize(("name", "argument"), arrays_of(*ARRAYS - set(INDICES)))
def test_arrays_have_one_dtype(name, argument, call):
    if sum(isinstance(v, np.ndarray) and v.dtype == np.float64 for v in VALID[name].values()) > 1:
        changed = {argument: VALID[name][argument].astype(np.float32)}
        error = TypeError if call is from_python else (TypeError, TypingError)
        check_refused(call, name, changed, error, argument)


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
    ("conv_transpose2d", {"weight": ones(5, 2, 3, 2)}, "weight"),
    ("conv_transpose2d", {"weight": ones(6, 2, 3, 0)}, "weight"),
    ("conv_transpose2d", {"groups": 4}, "groups"),
    ("conv_transpose2d", {"groups": HUGE}, "groups"),
    *(("conv_transpose2d", {"bias": ones(n)}, "bias") for n in (0, 1, 3, 6)),
    ("conv_transpose2d", {"x": ones(2, 6, 0, 4)}, "x"),
    ("conv_transpose2d", {"padding": (3, 0)}, "padding"),
    ("conv_transpose2d", {"padding": (HUGE, HUGE)}, "padding"),
    ("conv_transpose2d", {"stride": (HUGE, HUGE)}, "stride"),
    ("conv_transpose2d", {"dilation": (HUGE, HUGE)}, "stride"),
    ("conv_transpose2d", {"output_padding": (0, 1)}, "output_padding"),
    ("conv_transpose2d", {"output_padding": (HUGE, 0), "stride": (2, 2)}, "output_padding"),
    ("conv_transpose2d_grad_input", {"dy": ones(2, 5, 6, 5)}, "dy"),
    ("conv_transpose2d_grad_input", {"dy": ones(2, 4, 6, 5), "stride": (2, 2)}, "dy"),
    ("conv_transpose2d_grad_input", {"dy": ones(2, 4, 2, 5)}, "x"),
    ("conv_transpose2d_grad_input", {"groups": 4}, "groups"),
    ("conv_transpose2d_grad_weight", {"dy": ones(2, 4, 6, 4)}, "dy"),
    ("conv_transpose2d_grad_weight", {"dy": ones(2, 5, 6, 5)}, "dy"),
    ("conv_transpose2d_grad_weight", {"kernel_size": (2, 2)}, "dy"),
    ("conv_transpose2d_grad_weight", {"groups": 4}, "groups"),
    ("conv_transpose1d", {"bias": ones(5)}, "bias"),
    ("conv_transpose1d", {"output_padding": 1}, "output_padding"),
    ("conv_transpose1d_grad_input", {"dy": ones(2, 5, 6)}, "dy"),
    ("conv_transpose1d_grad_weight", {"dy": ones(2, 4, 5)}, "dy"),
    ("upsample", {"x": ones(2, 4, 0, 5)}, "x"),
    ("upsample", {"scale_factor": (HUGE, HUGE)}, "scale_factor"),
    ("upsample", {"mode": "nearest"}, "align_corners"),
    ("upsample", {"mode": "linear"}, "mode"),
    ("upsample_grad", {"scale_factor": (4, 5)}, "dy"),
    ("upsample_grad", {"scale_factor": (HUGE, HUGE)}, "dy"),
    ("upsample1d", {"mode": "bilinear"}, "mode"),
    ("upsample1d_grad", {"scale_factor": 4}, "dy"),
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
        for k in ("bce", "bce_with_logits", "mse", "huber", "smooth_l1", "binary_focal", "binary_hinge")
        for grad in ("", "_grad")
        for n in (1, 5)
    ),
    *(
        (f"{k}{grad}", {"labels": np.array(labels)}, "labels")
        for k in ("cross_entropy", "focal", "hinge")
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
    ("conv1d", {"weight": ones(6, 2, 7)}, "weight"),
    ("conv1d", {"weight": ones(6, 3, 3)}, "weight"),
    ("conv1d", {"bias": ones(5)}, "bias"),
    ("conv1d", {"groups": 3}, "groups"),
    ("conv1d_grad_input", {"dy": ones(2, 6, 5)}, "dy"),
    ("conv1d_grad_input", {"input_size": 7}, "dy"),
    ("conv1d_grad_weight", {"kernel_size": 2}, "dy"),
    ("max_pool1d", {"padding": 2}, "padding"),
    ("max_pool1d", {"kernel_size": 9}, "kernel_size"),
    ("max_pool1d_grad", {"argmax": np.full((2, 4, 6), 6)}, "argmax"),
    ("max_pool1d_grad", {"argmax": np.ones((2, 4, 5), np.int64)}, "argmax"),
    ("avg_pool1d", {"padding": (0, 2)}, "padding"),
    ("avg_pool1d_grad", {"dy": ones(2, 4, 5)}, "dy"),
    ("batch_norm1d", {"gamma": ones(3)}, "gamma"),
    ("batch_norm1d_grad", {"saved": ones(2, 5)}, "saved"),
    ("adaptive_avg_pool2d", {"x": ones(2, 4, 0, 5)}, "x"),
    ("adaptive_avg_pool2d", {"output_size": (HUGE, HUGE)}, "output_size"),
    ("adaptive_avg_pool2d_grad", {"dy": ones(2, 4, 3, 0)}, "dy"),
    ("adaptive_avg_pool2d_grad", {"input_size": (HUGE, HUGE)}, "input_size"),
    ("adaptive_avg_pool1d", {"x": ones(2, 4, 0)}, "x"),
    ("adaptive_avg_pool1d_grad", {"dy": ones(2, 4, 0)}, "dy"),
    ("layer_norm", {"gamma": ones(5)}, "gamma"),
    ("layer_norm", {"beta": ones(3)}, "beta"),
    ("layer_norm_grad", {"dy": ones(1, 4)}, "dy"),
    ("layer_norm_grad", {"gamma": ones(3)}, "gamma"),
    ("layer_norm_grad", {"saved": ones(2, 3)}, "saved"),
    ("layer_norm_grad", {"saved": ones(1, 2)}, "saved"),
    ("prelu", {"weight": ones(3)}, "weight"),
    ("prelu", {"weight": ones(0)}, "weight"),
    ("prelu_grad", {"weight": ones(5)}, "weight"),
    ("prelu_grad", {"dy": ones(2, 4, 6, 4)}, "dy"),
    *((f"{k}_grad", {"dy": ones(5)}, "dy") for k in ("elu", "gelu", "hardsigmoid", "relu6", "softplus")),
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


def test_labels_beyond_int64_are_out_of_range():
    labels = np.array([0, 2**63 + 1], np.uint64)
    check_refused(from_python, "cross_entropy", {"labels": labels}, ValueError, "labels")
