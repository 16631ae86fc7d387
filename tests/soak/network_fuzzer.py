"""Networks, trainers and the command line with good and bad arguments: `python network_fuzzer.py FIRST LAST`.

The lines are those of kernel_fuzzer.py. A network that could be made predicts what the definitions of its
layers say, in float64; training that was accepted ends with finite figures, or says that it diverged.
"""

import io
import json
import math
import os
import resource
import sys
import tempfile
import warnings
from contextlib import redirect_stderr, redirect_stdout

import numpy as np

import fastconv as fc
from fastconv.cli import main
from tests.soak import mutations
from tests.soak.answers import ANSWERS, softmax
from tests.soak.random_settings import (
    IMAGE,
    LAYERS,
    OTHERS,
    SIGNAL,
    mutated,
    pick,
    whole,
)

REFUSALS = (TypeError, ValueError, MemoryError, OverflowError)
MEMORY = 8 << 30


def forward(model, x):
    """The network by the definitions of its layers, in float64."""
    arrays = {**model.parameters(), **model.statistics()}
    for number, layer in enumerate(model.layers):
        own = {n.split(".")[1]: a.astype(float) for n, a in arrays.items() if n.split(".")[0] == str(number)}
        x = STEPS[type(layer)](layer, x, own) if layer.image_layer() is layer else of_image(layer, x, own)
    return x


def of_image(layer, x, own):
    """A layer over signals, or of features: that over images of one line."""
    own = {name: a[:, :, None] if a.ndim == 3 else a for name, a in own.items()}
    image = (*x.shape[:2], 1, *x.shape[2:], 1)[:4]
    y = STEPS[type(layer.image_layer())](layer.image_layer(), x.reshape(image), own)
    return y.reshape(*y.shape[:2], *y.shape[3:][: x.ndim - 2])


def conv(layer, x, own):
    (top, bottom), (left, right) = layer.pads(x.shape[1:])
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    y = ANSWERS["conv2d"](
        padded, own["weight"], stride=layer.stride, dilation=layer.dilation, groups=layer.groups
    )
    return y + own["bias"][:, None, None] if "bias" in own else y


def conv_transpose(layer, x, own):
    names = "stride", "padding", "output_padding", "groups", "dilation"
    settings = {name: getattr(layer, name) for name in names} | {"padding": layer.pads(x.shape[1:])}
    return ANSWERS["conv_transpose2d"](x, own["weight"], own.get("bias"), **settings)


def norm(layer, x, own):
    mean, var, gamma, beta = (
        own[n][:, None, None] for n in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + layer.eps) * gamma + beta


def group_norm(layer, x, own):
    """Mean and variance of each group of channels of each sample."""
    groups = x.reshape(len(x), layer.num_groups, -1)
    groups = groups - groups.mean(axis=2, keepdims=True)
    groups = groups / np.sqrt((groups**2).mean(axis=2, keepdims=True) + layer.eps)
    weight, bias = (own[name].reshape(1, -1, *[1] * (x.ndim - 2)) for name in ("weight", "bias"))
    return groups.reshape(x.shape) * weight + bias


def instance_norm(layer, x, own):
    x = x - x.mean(axis=(2, 3), keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=(2, 3), keepdims=True) + layer.eps)
    return x * own.get("weight", np.ones(1))[:, None, None] + own.get("bias", np.zeros(1))[:, None, None]


STEPS = {
    fc.Conv2d: conv,
    fc.ConvTranspose2d: conv_transpose,
    fc.DepthwiseConv2d: lambda layer, x, own: conv(layer.convolution(x.shape[1]), x, own),
    fc.Upsample: lambda layer, x, own: ANSWERS["upsample"](
        x, layer.scale_factor, layer.mode, layer.align_corners
    ),
    fc.MaxPool2d: lambda layer, x, own: ANSWERS["max_pool2d"](
        x,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.pads(x.shape[1:]),
        dilation=layer.dilation,
        ceil_mode=layer.ceil_mode,
    )[0],
    fc.AvgPool2d: lambda layer, x, own: ANSWERS["avg_pool2d"](
        x,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.pads(x.shape[1:]),
        ceil_mode=layer.ceil_mode,
        count_include_pad=layer.count_include_pad,
    ),
    fc.GlobalAvgPool2d: lambda layer, x, own: x.mean(axis=(2, 3), keepdims=True),
    fc.BatchNorm2d: norm,
    fc.GroupNorm: group_norm,
    fc.Dropout: lambda layer, x, own: x,
    fc.ReLU: lambda layer, x, own: np.maximum(x, 0),
    fc.LeakyReLU: lambda layer, x, own: np.where(x > 0, x, layer.negative_slope * x),
    fc.Sigmoid: lambda layer, x, own: ANSWERS["sigmoid"](x),
    fc.Tanh: lambda layer, x, own: np.tanh(x),
    fc.Flatten: lambda layer, x, own: x.reshape(len(x), -1),
    fc.Dense: lambda layer, x, own: x @ own["weight"].T + own.get("bias", 0),
    fc.Softmax: lambda layer, x, own: softmax(x),
    fc.GlobalMaxPool2d: lambda layer, x, own: x.max(axis=(2, 3), keepdims=True),
    fc.AdaptiveAvgPool2d: lambda layer, x, own: ANSWERS["adaptive_avg_pool2d"](
        x, layer.output_shape(x.shape[1:])[1:]
    ),
    fc.InstanceNorm2d: instance_norm,
    fc.LayerNorm: lambda layer, x, own: ANSWERS["layer_norm"](x, own["weight"], own["bias"], layer.eps)[0],
    fc.PReLU: lambda layer, x, own: ANSWERS["prelu"](x, own["weight"]),
    fc.SpatialDropout2d: lambda layer, x, own: x,
    fc.ELU: lambda layer, x, own: ANSWERS["elu"](x, layer.alpha),
    fc.GELU: lambda layer, x, own: ANSWERS["gelu"](x, layer.approximate == "tanh"),
    **{
        kind: lambda layer, x, own: ANSWERS[type(layer).__name__.lower()](x)
        for kind in (fc.Hardsigmoid, fc.Hardswish, fc.ReLU6, fc.SiLU, fc.Softplus)
    },
}


def some_layers(rng, bad, shape):
    """A few layers that may fit each other; of bad ones, one has an argument that it should not have."""
    other = "image" if shape == SIGNAL else "signal"
    kinds = [kind for kind in LAYERS if kind.takes != other or rng.integers(20) == 0]
    chosen = [kinds[rng.integers(len(kinds))] for _ in range(whole(rng, 1, 5))]
    wrong = whole(rng, 0, len(chosen) - 1) if bad else -1
    layers = []
    for number, kind in enumerate(chosen):
        given = LAYERS[kind](rng)
        layers.append(kind(**(mutated(rng, given) if number == wrong else given)))
    return layers


def predictions(rng):
    """A network of any layers, and its predictions of arrays of any kind."""
    shape = mutations.number(rng, 1) if rng.integers(20) == 0 else pick(rng, IMAGE, IMAGE, SIGNAL, (11,))
    layers = some_layers(rng, bool(rng.integers(2)), shape)
    dtype = (
        pick(rng, "float32", "float64", "float64", "int8")
        if rng.integers(9) == 0
        else pick(rng, "float32", "float64")
    )
    model = fc.Sequential(layers, shape, dtype=dtype, seed=whole(rng, 0, 9))
    if model.num_parameters > 100_000 or math.prod(model.output_shape) > 100_000:
        return None
    x = rng.standard_normal((whole(rng, 1, 20), *model.input_shape))
    x = mutations.array(rng, x) if rng.integers(2) else mutations.harmless(rng, x)
    got = model.predict(x, batch_size=mutations.number(rng, 1) if rng.integers(9) == 0 else whole(rng, 1, 20))
    with np.errstate(all="ignore"):
        plain = np.asarray(x)
        plain = plain / 255 if plain.dtype == np.uint8 else plain.astype(float)
        if plain.ndim == len(model.input_shape) and model.input_shape[0] == 1:
            plain = plain[:, None]
        if not np.isfinite(plain).all() or np.abs(plain).max(initial=0) > 1e6 or not plain.size:
            return None
        wanted = forward(model, plain)
    tolerance = 1e-3 if model.dtype == "float32" else 1e-8
    finite = np.isfinite(wanted)
    scale = np.abs(wanted[finite]).max(initial=1e-3)
    if got.shape != wanted.shape or not np.allclose(
        got, wanted, rtol=tolerance, atol=tolerance * scale, equal_nan=True
    ):
        return f"{layers} on {shape}: {got.ravel()[:9]} of {got.shape}, expected {wanted.ravel()[:9]}"
    return None


def training(rng):
    """Trainer, fit and evaluate with one argument changed."""
    layers = [fc.Conv2d(3, 3), fc.ReLU(), fc.Flatten(), fc.Dense(3)]
    model = fc.Sequential(layers, IMAGE, dtype=pick(rng, "float32", "float64"))
    of_classes = ("cross_entropy", "focal", "hinge")
    loss = pick(rng, *of_classes, "mse", "smooth_l1", "bce_with_logits", "binary_focal", "binary_hinge")
    count = whole(rng, 1, 40)
    y = rng.integers(0, 3, count) if loss in of_classes else rng.random((count, 3))
    data = {"X": rng.standard_normal((count, *IMAGE)), "y": y}
    fit = {
        "epochs": 2,
        "batch_size": 16,
        "validation_split": 0.2,
        "shuffle": True,
        "sample_weight": np.ones(count),
        "callbacks": (),
        "validation_data": None,
        "resume": False,
    }
    trainer = {"loss": loss, "optimizer": fc.SGD(0.01), "metrics": ("accuracy",), "seed": 0, "accumulate": 2}
    what = whole(rng, 0, 3)
    if what == 0:
        data = mutated(rng, data)
    elif what == 1:
        fit = mutated(rng, fit)
        if (
            np.ndim(fit["epochs"]) == 0
            and isinstance(fit["epochs"], (int, np.integer))
            and fit["epochs"] > 100
        ):
            return None  # right, and without an end
    elif what == 2:
        trainer = mutated(rng, trainer)
    trainer = fc.Trainer(model, **trainer)
    try:
        history = trainer.fit(**data, **fit, progress=False)
        figures = trainer.evaluate(**data)
    except fc.DivergedError:
        return None
    finite = all(map(math.isfinite, [*history["loss"], figures["loss"]]))
    small = all(np.abs(np.asarray(a, float)).max(initial=0) < 1e6 for a in data.values())
    if not finite and small:
        return f"figures {history['loss']}, {figures}"
    gradients = model.loss_and_gradients(data["X"], data["y"], loss=trainer.loss)[1]
    return None if set(gradients) == set(model.parameters()) else "gradients of other names"


def others(rng):
    """Records and functions beside the network."""
    kind = list(OTHERS)[rng.integers(len(OTHERS))]
    known = set(kind.__init__.__code__.co_varnames) if isinstance(kind, type) else set()
    given = {
        k: v
        for k, v in OTHERS[kind].items()
        if not known or k in known or k in getattr(kind, "__match_args__", ())
    }
    threads = fc.get_num_threads()
    try:
        kind(**mutated(rng, given))
    finally:
        if fc.get_num_threads() > 100:
            fc.set_num_threads(threads)
    return None


WORDS = (
    "train",
    "evaluate",
    "predict",
    "info",
    "export",
    "--help",
    "--data",
    "data.npz",
    "--epochs",
    "1",
    "--batch-size",
    "0",
    "-3",
    "x",
    "1e999",
    "nan",
    "--lr",
    "0.1",
    "--optimizer",
    "sgd",
    "--warmup",
    "--accumulate",
    "--ema",
    "--seed",
    "--threads",
    "2",
    "--dtype",
    "float64",
    "-o",
    "model.npz",
    "out.npz",
    "/no/such/folder/x.npz",
    "--quiet",
    "--json",
    "--count",
    "--model",
    "lenet",
    "reference",
    "vgg",
    "--digits",
    "7",
    "text.txt",
    "",
    "--version",
    "--top",
    "--report",
    "out.html",
    "out.onnx",
    "out.safetensors",
    ".",
    "--no-progress",
    "é",
    "\u0000"[:0],
)


def command_line(rng):
    """Words of the command line in any order: one of the exit codes, and no traceback."""
    words = [WORDS[rng.integers(len(WORDS))] for _ in range(whole(rng, 0, 5))]
    if rng.integers(4):
        start = pick(
            rng,
            ["train", "--data", "data.npz", "--epochs", "1"],
            ["evaluate", "model.npz", "--data", "data.npz"],
            ["predict", "model.npz", "data.npz"],
            ["info"],
            ["export", "model.npz"],
        )
        words = start + words
    if words[:1] == ["train"] and "data.npz" not in words:
        return None  # the digits take their seconds
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        code = main(words)
    if code not in (0, 1, 2):
        return f"{words}: exit code {code}"
    lines = error.getvalue().strip().splitlines()
    if code and (not lines or "Traceback" in error.getvalue() or "error" not in lines[-1]):
        return f"{words}: exit code {code} with {error.getvalue()[-300:]!r}" if words else None
    return None


KINDS = (predictions, training, others, command_line)


def run(number):
    rng = np.random.default_rng((13, number))
    kind = KINDS[number % len(KINDS)]
    try:
        problem = kind(rng)
    except REFUSALS as error:
        return (
            ["refused"]
            if str(error) and kind is not command_line
            else ["wrong", f"{kind.__name__}: {error!r}"]
        )
    except Exception as error:
        return ["wrong", f"{kind.__name__}: {type(error).__name__}: {error}"]
    return ["wrong", f"{kind.__name__}: {problem}"] if problem else ["right"]


def prepare():
    """A folder with small data and a model for the command line."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8), np.arange(40) % 3
    np.savez("data.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    with open("text.txt", "w") as file:
        file.write("text")
    with redirect_stdout(io.StringIO()):
        assert main(["train", "--data", "data.npz", "--epochs", "1", "-o", "model.npz", "--quiet"]) == 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for number in range(int(sys.argv[1]), int(sys.argv[2])):
            print(number, flush=True)
            print(number, json.dumps(run(number)), flush=True)
