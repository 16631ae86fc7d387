"""Calls of every public kernel with good and bad arguments: `python kernel_fuzzer.py FIRST LAST`.

A line for each case: its number before it begins, then the number and what it came to as JSON, one of
["right"], ["refused"] or ["wrong", what happened].
"""

import json
import resource
import sys
import warnings

import numpy as np

from fastconv import kernels
from fastconv.kernels import __all__ as NAMES
from tests.kernels.reference import output_size
from tests.soak import mutations
from tests.soak.answers import ANSWERS, softmax

REFUSALS = (TypeError, ValueError, MemoryError, OverflowError)
MEMORY = 8 << 30
LOSS_NUMBERS = {
    "huber": ("delta",),
    "smooth_l1": ("beta",),
    "focal": ("gamma",),
    "binary_focal": ("alpha", "gamma"),
    "hinge": ("margin",),
}
# Gradients of elementwise functions that take the input; the others take the output.
OF_INPUT = ("relu_grad", "leaky_relu_grad", "silu_grad", "gelu_grad", "hardswish_grad")
WHOLE = (
    "stride", "padding", "output_padding", "dilation", "kernel_size", "input_size", "output_size", "groups",
    "scale_factor",
)  # fmt: skip
LINES = {"stride": 1, "padding": 0, "dilation": 1, "kernel_size": 1, "size": 1}  # down an image of one line


def numbers(rng, shape, dtype, low=-4, high=5):
    """Small whole numbers: sums of their products are exact in float32."""
    return rng.integers(low, high, shape).astype(dtype)


def flat(pairs, what, lines):
    """The pair of an image of one line, where that is wanted."""
    return (LINES[what], pairs[1]) if lines else pairs


def signals(given):
    """Arguments for images of one line as those for signals."""
    lines = {}
    for key, value in given.items():
        if isinstance(value, np.ndarray):
            lines[key] = value[:, :, 0] if value.ndim == 4 else value
        else:
            lines[key] = value[1] if isinstance(value, tuple) else value
    return lines


def conv_arguments(rng, name, dtype, lines=False):
    groups, n = int(rng.integers(1, 4)), int(rng.choice([0, 1, 2, 3, 17]))
    channels, out = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 5))
    kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
    stride, dilation = (tuple(int(k) for k in rng.integers(1, 3, 2)) for _ in range(2))
    padding = tuple(int(k) for k in rng.integers(0, 3, 2))
    size = tuple(int((k - 1) * d + 1 + rng.integers(0, 7)) for k, d in zip(kernel, dilation, strict=True))
    kernel, stride = flat(kernel, "kernel_size", lines), flat(stride, "stride", lines)
    padding, dilation = flat(padding, "padding", lines), flat(dilation, "dilation", lines)
    size = flat(size, "size", lines)
    x = numbers(rng, (n, channels, *size), dtype)
    weight = numbers(rng, (out, channels // groups, *kernel), dtype)
    dy = numbers(rng, (n, out, *output_size(size, kernel, stride, padding, dilation)), dtype)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if name == "conv2d":
        return {"x": x, "weight": weight, "bias": numbers(rng, out, dtype), **settings}
    if name == "conv2d_grad_input":
        return {"dy": dy, "weight": weight, "input_size": size, **settings}
    if name == "conv2d_grad_weight":
        return {"x": x, "dy": dy, "kernel_size": kernel, **settings}
    return {"dy": dy}


def conv_transpose_arguments(rng, name, dtype):
    axes = 1 if "1d" in name else 2
    groups, n = int(rng.integers(1, 4)), int(rng.choice([0, 1, 2, 3, 17]))
    channels, out = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 5))
    kernel, stride, dilation, size = (
        tuple(int(k) for k in rng.integers(1, high, axes)) for high in (4, 4, 3, 7)
    )
    more = tuple(int(rng.integers(0, max(pair))) for pair in zip(stride, dilation, strict=True))
    padding, made = [], []
    for n_in, k, s, d, m in zip(size, kernel, stride, dilation, more, strict=True):
        whole = (n_in - 1) * s + d * (k - 1) + 1 + m
        padding.append(int(rng.integers(0, min(3, (whole + 1) // 2))))
        made.append(whole - 2 * padding[-1])
    x = numbers(rng, (n, channels, *size), dtype)
    weight = numbers(rng, (channels, out // groups, *kernel), dtype)
    dy = numbers(rng, (n, out, *made), dtype)
    settings = {"stride": stride, "padding": tuple(padding), "output_padding": more, "dilation": dilation}
    settings = {k: v[0] if axes == 1 else v for k, v in settings.items()} | {"groups": groups}
    if name.endswith("grad_input"):
        return {"dy": dy, "weight": weight, **settings}
    if name.endswith("grad_weight"):
        return {"x": x, "dy": dy, "kernel_size": kernel[0] if axes == 1 else kernel, **settings}
    return {"x": x, "weight": weight, "bias": numbers(rng, out, dtype), **settings}


def upsample_arguments(rng, name, dtype):
    axes = 1 if "1d" in name else 2
    scale, size = (tuple(int(k) for k in rng.integers(1, 5, axes)) for _ in range(2))
    linear = bool(rng.integers(2))
    settings = {
        "scale_factor": scale[0] if axes == 1 else scale,
        "mode": ("linear" if axes == 1 else "bilinear") if linear else "nearest",
        "align_corners": linear and bool(rng.integers(2)),
    }
    if name.endswith("grad"):
        size = tuple(n * k for n, k in zip(size, scale, strict=True))
    shape = int(rng.choice([0, 1, 2, 17])), int(rng.integers(1, 4)), *size
    return {"dy" if name.endswith("grad") else "x": numbers(rng, shape, dtype), **settings}


def pool_arguments(rng, name, dtype, lines=False):
    kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
    stride = tuple(int(k) for k in rng.integers(1, 4, 2))
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    size = tuple(int(k + rng.integers(0, 6)) for k in kernel)
    kernel, stride = flat(kernel, "kernel_size", lines), flat(stride, "stride", lines)
    padding, size = flat(padding, "padding", lines), flat(size, "size", lines)
    n, c, ceil = int(rng.choice([0, 1, 2, 17])), int(rng.integers(1, 4)), bool(rng.integers(2))
    x = numbers(rng, (n, c, *size), dtype)
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding}
    if name == "max_pool2d":
        return {"x": x, **settings, "dilation": 1, "ceil_mode": ceil}
    if name == "max_pool2d_grad":
        y, argmax = ANSWERS["max_pool2d"](
            x, kernel, stride=stride, padding=padding, dilation=1, ceil_mode=ceil
        )
        return {"dy": numbers(rng, y.shape, dtype), "argmax": argmax, "input_size": size}
    settings |= {"ceil_mode": ceil, "count_include_pad": bool(rng.integers(2))}
    if name == "avg_pool2d":
        return {"x": x, **settings}
    y = ANSWERS["avg_pool2d"](x, **settings)
    return {"dy": numbers(rng, y.shape, dtype), "input_size": size, **settings}


def dense_arguments(rng, name, dtype):
    n, features, out = int(rng.choice([0, 1, 3, 17, 40])), int(rng.integers(1, 40)), int(rng.integers(1, 40))
    x, weight, dy = (
        numbers(rng, (n, features), dtype),
        numbers(rng, (out, features), dtype),
        numbers(rng, (n, out), dtype),
    )
    return {
        "dense": {"x": x, "weight": weight, "bias": numbers(rng, out, dtype)},
        "dense_grad_input": {"dy": dy, "weight": weight},
        "dense_grad_weight": {"x": x, "dy": dy},
        "dense_grad_bias": {"dy": dy},
    }[name]


def elementwise_arguments(rng, name, dtype):
    shape = tuple(int(k) for k in rng.integers(0 if rng.integers(9) == 0 else 1, 6, rng.integers(1, 5)))
    if not name.endswith("_grad"):
        given = {"x": 3 * rng.standard_normal(shape).astype(dtype)}
    else:
        other = "x" if name in OF_INPUT else "y"
        given = {"dy": numbers(rng, shape, dtype), other: rng.random(shape).astype(dtype)}
    more = {
        "leaky": ("negative_slope", 0.25),
        "elu_": ("alpha", 0.5),
        "gelu": ("approximate", bool(rng.integers(2))),
    }
    return given | dict(more[k] for k in more if f"{name}_".startswith(k))


def prelu_arguments(rng, name, dtype):
    shape = tuple(int(k) for k in rng.integers(1, 6, rng.integers(1, 5)))
    slopes = shape[1] if len(shape) > 1 and rng.integers(2) else 1
    given = {"x": numbers(rng, shape, dtype), "weight": numbers(rng, slopes, dtype)}
    return {"dy": numbers(rng, shape, dtype), **given} if name == "prelu_grad" else given


def layer_norm_arguments(rng, name, dtype):
    shape = tuple(int(k) for k in rng.integers(1, 6, rng.integers(2, 5)))
    x, gamma, beta = (rng.standard_normal(s).astype(dtype) for s in (shape, shape[1:], shape[1:]))
    if name == "layer_norm":
        return {"x": x, "gamma": gamma, "beta": beta, "eps": 1e-5}
    saved = np.stack([rng.standard_normal(shape[0]), rng.uniform(0.5, 2, shape[0])]).astype(dtype)
    return {"dy": numbers(rng, shape, dtype), "x": x, "gamma": gamma, "saved": saved}


def adaptive_arguments(rng, name, dtype, lines=False):
    size, other = (flat(tuple(int(k) for k in rng.integers(1, 9, 2)), "size", lines) for _ in range(2))
    array = numbers(rng, (int(rng.choice([0, 1, 2, 17])), int(rng.integers(1, 4)), *size), dtype)
    if name.endswith("_grad"):
        return {"dy": array, "input_size": other}
    return {"x": array, "output_size": other}


def loss_arguments(rng, name, dtype):
    shape = tuple(int(k) for k in rng.integers(1, 7, 2))
    reduction = ("mean", "sum", "none")[rng.integers(2 if name.endswith("grad") else 3)]
    if name.startswith("soft"):
        target = softmax(rng.standard_normal(shape)).astype(dtype)
        return {
            "logits": rng.standard_normal(shape).astype(dtype),
            "target": target,
            "reduction": reduction,
        }
    loss = name.removesuffix("_grad")
    numbers = {key: float(rng.uniform(0.1, 1)) for key in LOSS_NUMBERS.get(loss, ())}
    if loss in ("cross_entropy", "focal", "hinge"):
        logits, labels = rng.standard_normal(shape), rng.integers(0, shape[1], shape[0])
        first = "scores" if loss == "hinge" else "logits"
        return {first: logits.astype(dtype), "labels": labels, "reduction": reduction, **numbers}
    first = "p" if loss == "bce" else "y" if loss in ("mse", "huber", "smooth_l1") else "z"
    values = rng.uniform(0.05, 0.95, shape).astype(dtype)
    target = rng.integers(0, 2, shape).astype(dtype)
    return {first: values, "target": target, "reduction": reduction, **numbers}


def norm_arguments(rng, name, dtype, lines=False):
    n, c, h, w = int(rng.choice([1, 2, 17])), *(int(k) for k in rng.integers(1, 5, 3))
    h = 1 if lines else h
    x, gamma = rng.standard_normal((n, c, h, w)).astype(dtype), rng.standard_normal(c).astype(dtype)
    mean, var = rng.standard_normal(c).astype(dtype), rng.uniform(0.5, 2, c).astype(dtype)
    if name.startswith("group"):
        groups = int(rng.choice([g for g in range(1, c + 1) if c % g == 0]))
        if name == "group_norm":
            return {"x": x, "num_groups": groups, "gamma": gamma, "beta": mean, "eps": 1e-5}
        saved = np.stack([rng.standard_normal((n, groups)), rng.uniform(0.5, 2, (n, groups))]).astype(dtype)
        return {"dy": numbers(rng, x.shape, dtype), "x": x, "gamma": gamma, "saved": saved}
    if name == "batch_norm2d":
        return {
            "x": x,
            "gamma": gamma,
            "beta": mean[::-1].copy(),
            "running_mean": mean,
            "running_var": var,
            "training": bool(rng.integers(2)),
            "momentum": 0.1,
            "eps": 1e-5,
        }
    return {
        "dy": numbers(rng, x.shape, dtype),
        "x": x,
        "gamma": gamma,
        "saved": np.stack([mean, 1 / np.sqrt(var)]),
    }


def arguments(rng, name):
    dtype = np.dtype(("f4", "f8")[rng.integers(2)])
    if name.startswith("conv_transpose"):
        return conv_transpose_arguments(rng, name, dtype)
    if name.startswith("upsample"):
        return upsample_arguments(rng, name, dtype)
    if "1d" in name:
        makers = {"conv": conv_arguments, "batch": norm_arguments, "adaptive": adaptive_arguments}
        make = makers.get(name.partition("1d")[0].partition("_")[0], pool_arguments)
        return signals(make(rng, name.replace("1d", "2d"), dtype, lines=True))
    for start, make in (
        ("conv", conv_arguments),
        ("max_pool", pool_arguments),
        ("avg_pool", pool_arguments),
        ("dense", dense_arguments),
        ("bce", loss_arguments),
        ("mse", loss_arguments),
        ("huber", loss_arguments),
        ("smooth_l1", loss_arguments),
        ("focal", loss_arguments),
        ("hinge", loss_arguments),
        ("binary", loss_arguments),
        ("cross", loss_arguments),
        ("soft_cross", loss_arguments),
        ("batch", norm_arguments),
        ("group", norm_arguments),
        ("layer", layer_norm_arguments),
        ("adaptive", adaptive_arguments),
        ("prelu", prelu_arguments),
    ):
        if name.startswith(start):
            return make(rng, name, dtype)
    return elementwise_arguments(rng, name, dtype)


def mutated(rng, given):
    """The arguments with one or two of them changed; the answers know whether they are still right."""
    given = dict(given)
    for name in rng.choice(list(given), size=min(len(given), int(rng.integers(1, 3))), replace=False):
        value = given[name]
        if isinstance(value, np.ndarray):
            given[name] = mutations.array(rng, value)
        elif isinstance(value, bool):
            given[name] = mutations.flag(rng, value)
        elif isinstance(value, str):
            given[name] = mutations.text(rng, value)
        else:
            given[name] = mutations.number(rng, value)
    return given


def harmless(rng, given):
    """The same arguments, their arrays elsewhere; those that are written to have to stay as they are."""
    return {
        k: mutations.harmless(rng, v) if isinstance(v, np.ndarray) and not k.startswith("running") else v
        for k, v in given.items()
    }


def comparable(given):
    """Whether float64 without an overflow is the yardstick for all values of the answer."""
    arrays = [np.asarray(v) for v in given.values() if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    if any(a.size and np.nanmax(np.abs(a), initial=0, where=np.isfinite(a)) > 1e20 for a in arrays):
        return False
    return all(np.isfinite(a).all() for a in arrays)


def check(name, given, got):
    """None if the answer is right, else what is wrong with it."""
    plain = {k: np.asarray(v).tolist() if k in WHOLE else v for k, v in given.items()}
    plain = {k: tuple(v) if k in WHOLE and isinstance(v, list) else v for k, v in plain.items()}
    try:
        with np.errstate(all="ignore"):
            wanted = ANSWERS[name](**plain)
    except Exception as error:  # the answers know no such arguments
        return f"accepted, but {type(error).__name__}: {error}"
    got, wanted = (v if isinstance(v, tuple) else (v,) for v in (got, wanted))
    if len(got) != len(wanted):
        return f"{len(got)} results"
    exact = comparable(given) or name.startswith(("max_pool", "avg_pool", "relu"))
    for ours, theirs in zip(got, wanted, strict=True):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        if ours.shape != theirs.shape:
            return f"shape {ours.shape}, expected {theirs.shape}"
        single = any(
            isinstance(v, np.ndarray) and v.dtype.newbyteorder("=") == np.float32 for v in given.values()
        )
        tolerance = 1e-3 if single else 1e-9
        scale = max(np.nanmax(np.abs(theirs), initial=0, where=np.isfinite(theirs)), 1e-5)
        if exact and not np.allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale, equal_nan=True):
            return f"differs by {np.nanmax(np.abs(ours - theirs))}"
    return None


def run(number):
    rng = np.random.default_rng((7, number))
    name = NAMES[number % len(NAMES)]
    good = arguments(rng, name)
    kind = rng.integers(4)
    given = harmless(rng, good) if kind == 0 else mutated(rng, good)
    given = {
        k: mutations.beside_a_fence(rng, v) if isinstance(v, np.ndarray) else v for k, v in given.items()
    }
    before = {k: v.tobytes() for k, v in given.items() if isinstance(v, np.ndarray) and v.nbytes < 1 << 20}
    try:
        got = getattr(kernels, name)(**given)
    except REFUSALS as error:
        if kind == 0:
            return ["wrong", f"{name}: good arguments refused: {error}"]
        return ["refused"] if str(error) else ["wrong", f"{name}: an error without a message"]
    except Exception as error:
        return ["wrong", f"{name}: {type(error).__name__}: {error}; {shown(given)}"]
    for argument, content in before.items():
        if given[argument].tobytes() != content and not argument.startswith("running"):
            return ["wrong", f"{name} changed its argument {argument}"]
    for argument in ("running_mean", "running_var"):  # as they were before the call
        if argument in before:
            given[argument] = np.frombuffer(before[argument], given[argument].dtype).reshape(
                given[argument].shape
            )
    problem = check(name, given, got)
    return ["wrong", f"{name}: {problem}; {shown(given)}"] if problem else ["right"]


def shown(given):
    return ", ".join(
        f"{k}={v.dtype}{v.shape}{v.strides}" if isinstance(v, np.ndarray) else f"{k}={v!r}"
        for k, v in given.items()
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        print(number, flush=True)
        if number == int(sys.argv[1]) + 1:  # code is loaded by now
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        print(number, json.dumps(run(number)), flush=True)
