"""Valid arguments of every public kernel, called from Python and from compiled code."""

import functools

import numpy as np
import pytest
from numba import njit

from fastconv import kernels
from fastconv.simd import compiling, turns

HUGE = 2**31 - 1  # the largest size that is one
INDICES = "labels", "argmax"
FLAGS = "ceil_mode", "count_include_pad", "training", "approximate", "align_corners"
PAIRS = (  # of signals, ints
    "input_size", "output_size", "kernel_size", "stride", "padding", "output_padding", "dilation",
    "scale_factor",
)  # fmt: skip
NUMBERS = "negative_slope", "alpha", "momentum", "eps", "delta"


def ones(*shape):
    return np.ones(shape)


IMAGE, OUTPUT, WEIGHT = ones(2, 4, 6, 5), ones(2, 6, 4, 4), ones(6, 2, 3, 2)
CONV = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 2}
TRANSPOSE = {"stride": (1, 1), "padding": (0, 0), "output_padding": (0, 0), "groups": 2, "dilation": (1, 1)}
POOL = {"kernel_size": (3, 2), "stride": (1, 1), "padding": (1, 0)}
POOLED = ones(2, 4, 6, 4)
C = ones(4)
SIGNAL, SIGNAL_OUTPUT, SIGNAL_WEIGHT, SIGNAL_POOLED = (
    ones(2, 4, 6),
    ones(2, 6, 4),
    ones(6, 2, 3),
    ones(2, 4, 6),
)
SIGNAL_CONV = {"stride": 1, "padding": 0, "dilation": 1, "groups": 2}
SIGNAL_TRANSPOSE = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 2, "dilation": 1}
SIGNAL_POOL = {"kernel_size": 3, "stride": 1, "padding": 1}
VALID = {
    "conv2d": {"x": IMAGE, "weight": WEIGHT, "bias": ones(6), **CONV},
    "conv2d_grad_input": {"dy": OUTPUT, "weight": WEIGHT, "input_size": (6, 5), **CONV},
    "conv2d_grad_weight": {"x": IMAGE, "dy": OUTPUT, "kernel_size": (3, 2), **CONV},
    "conv2d_grad_bias": {"dy": OUTPUT},
    "conv_transpose2d": {"x": OUTPUT, "weight": WEIGHT, "bias": C, **TRANSPOSE},
    "conv_transpose2d_grad_input": {"dy": IMAGE, "weight": WEIGHT, **TRANSPOSE},
    "conv_transpose2d_grad_weight": {"x": OUTPUT, "dy": IMAGE, "kernel_size": (3, 2), **TRANSPOSE},
    "upsample": {"x": IMAGE, "scale_factor": (2, 5), "mode": "bilinear", "align_corners": True},
    "upsample_grad": {"dy": IMAGE, "scale_factor": (2, 5), "mode": "bilinear", "align_corners": True},
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
    "huber": {"y": C, "target": C, "delta": 1.0},
    "huber_grad": {"y": C, "target": C, "delta": 1.0},
    "smooth_l1": {"y": C, "target": C, "beta": 1.0},
    "smooth_l1_grad": {"y": C, "target": C, "beta": 1.0},
    "binary_focal": {"z": C, "target": C, "alpha": 0.25, "gamma": 2.0},
    "binary_focal_grad": {"z": C, "target": C, "alpha": 0.25, "gamma": 2.0},
    "binary_hinge": {"z": C, "target": C},
    "binary_hinge_grad": {"z": C, "target": C},
    "focal": {"logits": ones(2, 3), "labels": np.array([0, 2]), "gamma": 2.0},
    "focal_grad": {"logits": ones(2, 3), "labels": np.array([0, 2]), "gamma": 2.0},
    "hinge": {"scores": ones(2, 3), "labels": np.array([0, 2]), "margin": 1.0},
    "hinge_grad": {"scores": ones(2, 3), "labels": np.array([0, 2]), "margin": 1.0},
    "cross_entropy": {"logits": ones(2, 3), "labels": np.array([0, 2])},
    "cross_entropy_grad": {"logits": ones(2, 3), "labels": np.array([0, 2])},
    "soft_cross_entropy": {"logits": ones(2, 3), "target": ones(2, 3)},
    "soft_cross_entropy_grad": {"logits": ones(2, 3), "target": ones(2, 3)},
    "batch_norm2d": {
        "x": IMAGE, "gamma": C, "beta": C, "running_mean": C.copy(), "running_var": C.copy(),
        "training": True, "momentum": 0.1, "eps": 1e-5,
    },
    "batch_norm2d_grad": {"dy": IMAGE, "x": IMAGE, "gamma": C, "saved": ones(2, 4)},
    "group_norm": {"x": IMAGE, "num_groups": 2, "gamma": C, "beta": C, "eps": 1e-5},
    "group_norm_grad": {"dy": IMAGE, "x": IMAGE, "gamma": C, "saved": ones(2, 2, 2)},
    "layer_norm": {"x": ones(2, 4), "gamma": C, "beta": C, "eps": 1e-5},
    "layer_norm_grad": {"dy": ones(2, 4), "x": ones(2, 4), "gamma": C, "saved": ones(2, 2)},
    "prelu": {"x": IMAGE, "weight": C},
    "prelu_grad": {"dy": IMAGE, "x": IMAGE, "weight": C},
    "adaptive_avg_pool2d": {"x": IMAGE, "output_size": (2, 3)},
    "adaptive_avg_pool2d_grad": {"dy": POOLED, "input_size": (6, 5)},
    "adaptive_avg_pool1d": {"x": SIGNAL, "output_size": 2},
    "adaptive_avg_pool1d_grad": {"dy": SIGNAL, "input_size": 5},
    "conv1d": {"x": SIGNAL, "weight": SIGNAL_WEIGHT, "bias": ones(6), **SIGNAL_CONV},
    "conv1d_grad_input": {"dy": SIGNAL_OUTPUT, "weight": SIGNAL_WEIGHT, "input_size": 6, **SIGNAL_CONV},
    "conv1d_grad_weight": {"x": SIGNAL, "dy": SIGNAL_OUTPUT, "kernel_size": 3, **SIGNAL_CONV},
    "conv1d_grad_bias": {"dy": SIGNAL_OUTPUT},
    "conv_transpose1d": {"x": SIGNAL_OUTPUT, "weight": SIGNAL_WEIGHT, "bias": C, **SIGNAL_TRANSPOSE},
    "conv_transpose1d_grad_input": {"dy": SIGNAL, "weight": SIGNAL_WEIGHT, **SIGNAL_TRANSPOSE},
    "conv_transpose1d_grad_weight": {
        "x": SIGNAL_OUTPUT, "dy": SIGNAL, "kernel_size": 3, **SIGNAL_TRANSPOSE
    },
    "upsample1d": {"x": SIGNAL, "scale_factor": 3, "mode": "linear", "align_corners": True},
    "upsample1d_grad": {"dy": SIGNAL, "scale_factor": 3, "mode": "linear", "align_corners": True},
    "max_pool1d": {"x": SIGNAL, **SIGNAL_POOL, "dilation": 1, "ceil_mode": False},
    "max_pool1d_grad": {"dy": SIGNAL_POOLED, "argmax": SIGNAL_POOLED.astype(np.int64), "input_size": 6},
    "avg_pool1d": {"x": SIGNAL, **SIGNAL_POOL, "ceil_mode": False, "count_include_pad": True},
    "avg_pool1d_grad": {
        "dy": SIGNAL_POOLED, "input_size": 6, **SIGNAL_POOL, "ceil_mode": False, "count_include_pad": True
    },
    "batch_norm1d": {
        "x": SIGNAL, "gamma": C, "beta": C, "running_mean": C.copy(), "running_var": C.copy(),
        "training": True, "momentum": 0.1, "eps": 1e-5,
    },
    "batch_norm1d_grad": {"dy": SIGNAL, "x": SIGNAL, "gamma": C, "saved": ones(2, 4)},
    "elu": {"x": C, "alpha": 0.5},
    "elu_grad": {"dy": C, "y": C, "alpha": 0.5},
    "gelu": {"x": C, "approximate": True},
    "gelu_grad": {"dy": C, "x": C, "approximate": True},
    **{name: {"x": C} for name in ("hardsigmoid", "hardswish", "relu6", "silu", "softplus")},
    **{f"{name}_grad": {"dy": C, "y": C} for name in ("hardsigmoid", "relu6", "softplus")},
    **{f"{name}_grad": {"dy": C, "x": C} for name in ("hardswish", "silu")},
}  # fmt: skip
ANY_DIMENSIONS = {
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "relu6",
    "silu",
    "softplus",
    "relu",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "softmax",
    "bce",
    "bce_with_logits",
    "mse",
    "huber",
    "smooth_l1",
    "binary_focal",
    "binary_hinge",
}
ANY_DIMENSIONS |= {f"{name}_grad" for name in ANY_DIMENSIONS}
# Any, but those of their arrays have to do with each other.
RELATED_DIMENSIONS = {"layer_norm", "layer_norm_grad", "prelu", "prelu_grad"}


def from_python(name, arguments):
    return getattr(kernels, name)(**arguments)


@functools.cache
def compiled(name):
    """A user's function that calls a kernel. It goes to the cache of the package's own code, where the other
    files and processes of the tests find it: with a convolution in it, it compiles for ten seconds."""
    function = getattr(kernels, name)

    @njit
    def caller(*arguments):
        return function(*arguments)

    caller._cache = compiling._Cache(caller.py_func, fingerprint=name)
    caller.compile = turns.releasing(caller.compile)
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


def arguments_of(*wanted, signals=True):
    """(kernel, argument) of the arguments of some names; without `signals`, of kernels of images alone."""
    return [
        pytest.param(name, argument, id=f"{name}-{argument}")
        for name, arguments in VALID.items()
        for argument in arguments
        if argument in wanted and (signals or "1d" not in name)
    ]


def arrays_of(*wanted):
    """(kernel, argument) of the arrays of some names: beta is one of a norm, and a number of a loss."""
    found = arguments_of(*wanted)
    return [p for p in found if isinstance(VALID[p.values[0]][p.values[1]], np.ndarray)]


ARRAYS = {argument for valid in VALID.values() for argument, v in valid.items() if isinstance(v, np.ndarray)}
BOTH = pytest.mark.parametrize("call", [from_python, from_compiled_code], ids=["python", "compiled"])

# Kernels whose arguments go through the same checks as those of another: over signals (images of one line),
# transposed and adaptive ones, functions and losses of single numbers.
_OTHERS = (
    "conv_transpose", "upsample", "adaptive", "prelu", "layer_norm", "relu6", "elu", "silu", "gelu", "hards",
    "softplus", "smooth_l1", "focal", "hinge", "binary_focal", "binary_hinge",
)  # fmt: skip
SAME_CHECKS = {name for name in VALID if "1d" in name or name.startswith(_OTHERS)}

# Kernels whose results in compiled code are compared with those in Python, by file of tests/kernels.
COMPILED_ELSEWHERE = {
    "test_adaptive_pool.py": (
        "adaptive_avg_pool1d", "adaptive_avg_pool1d_grad", "adaptive_avg_pool2d", "adaptive_avg_pool2d_grad",
    ),
    "test_conv_transpose.py": (
        "conv_transpose1d", "conv_transpose1d_grad_input", "conv_transpose2d", "conv_transpose2d_grad_input",
        "conv_transpose2d_grad_weight",
    ),
    "test_layer_norm.py": ("layer_norm", "layer_norm_grad"),
    "test_prelu.py": ("prelu", "prelu_grad"),
    "test_resize.py": ("upsample", "upsample_grad", "upsample1d", "upsample1d_grad"),
    "test_signal.py": ("avg_pool1d", "conv1d", "max_pool1d"),
}  # fmt: skip
