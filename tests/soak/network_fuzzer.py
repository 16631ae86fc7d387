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
from matplotlib.figure import Figure

import fastconv as fc
from fastconv.cli import main
from fastconv.inspection import backward
from tests.soak import definitions, mutations, random_networks
from tests.soak.random_settings import FEATURES, IMAGE, OTHERS, SIGNAL, mutated, pick, whole

REFUSALS = (TypeError, ValueError, MemoryError, OverflowError)
MEMORY = 8 << 30


def predictions(rng):
    """A network of any layers, and its predictions of arrays of any kind."""
    shape = pick(rng, IMAGE, IMAGE, SIGNAL, FEATURES)
    layers = random_networks.some_layers(rng, shape)
    layers = random_networks.spoilt(rng, layers) if rng.integers(2) else layers
    shape = mutations.number(rng, 1) if rng.integers(20) == 0 else shape
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
        problem = wrong_outputs(rng, model, [plain], [got])
    return f"{layers} on {shape}: {problem}" if problem else None


def wrong_outputs(rng, model, X, got):
    """How the outputs of a network differ from those that its layers are defined by, or None."""
    wanted = definitions.outputs(model, X)
    for number, (one, other) in enumerate(zip(got, wanted, strict=True)):
        if difference(one, other, model.dtype):
            # Norms of what is constant but for rounding give rounding, made as large as any number.
            moved = (definitions.outputs(model, rounded(rng, X, model.dtype))[number] for _ in range(3))
            slack = 10 * max(np.abs(there - other)[np.isfinite(other)].max(initial=0) for there in moved)
            if problem := difference(one, other, model.dtype, slack):
                return problem
    return None


def rounded(rng, X, dtype):
    """The inputs, each number moved by no more than rounding does."""
    step = np.finfo(dtype).eps
    return [x * (1 + step * rng.uniform(-1, 1, x.shape)) for x in X]


def difference(got, wanted, dtype, slack=0.0):
    """How predictions differ from the right ones by more than their tolerance and `slack`, or None."""
    tolerance = 1e-3 if dtype == "float32" else 1e-8
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-3)
    if got.shape == wanted.shape and np.allclose(
        got, wanted, rtol=tolerance, atol=tolerance * scale + slack, equal_nan=True
    ):
        return None
    return f"{got.ravel()[:9]} of {got.shape}, expected {wanted.ravel()[:9]} of {wanted.shape}"


def graphs(rng):
    """Rows and graphs of any layers: predictions, gradients, a way through a file, and their texts."""
    model = random_networks.any_network(rng, pick(rng, "float32", "float64"))
    X = [rng.standard_normal((5, *shape)) for shape in model.input_shapes]
    count = pick(rng, 1, 5)
    given = [x[:count] for x in X] if len(X) > 1 else X[0][:count]
    got = model.predict(given)
    got = got if isinstance(got, list) else [got]
    if problem := wrong_outputs(rng, model, [x[:count] for x in X], got):
        return f"{model!r}: {problem}"
    model.save("graph.npz")
    again = fc.load("graph.npz")
    again = again.predict(given)
    again = again if isinstance(again, list) else [again]
    if not all(np.array_equal(one, other, equal_nan=True) for one, other in zip(got, again, strict=True)):
        return f"{model!r}: other bits after a way through a file"
    model._repr_html_()
    fc.plots.graph(model, ax=Figure().subplots())
    if model.dtype == "float64" and rng.integers(2):
        return wrong_gradients(rng, model, X)
    return None


OTHER_IN_TRAINING = (fc.BatchNorm2d, fc.BatchNorm1d, fc.Dropout, fc.SpatialDropout2d, fc.SpatialDropout1d)


def wrong_gradients(rng, model, X):
    """How gradients of the compiled step differ from those of the layers one by one, or None."""
    if any(isinstance(node.layer, OTHER_IN_TRAINING) for node in model.nodes):
        return None
    y = [rng.standard_normal((len(X[0]), *shape)) for shape in model.output_shapes]
    X, y = (arrays if len(arrays) > 1 else arrays[0] for arrays in (X, y))
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    value, _, others = backward(model, X, y, "mse")
    if not math.isclose(loss, value, rel_tol=1e-8, abs_tol=1e-12):
        return f"{model!r}: a loss of {loss}, by the layers {value}"
    for name, gradient in gradients.items():
        if problem := difference(gradient, others[name], "float64"):
            return f"{model!r}: gradient of {name} {problem}"
    return None


def training(rng):
    """Trainer, fit and evaluate with one argument changed."""
    layers = [fc.Conv2d(3, 3), fc.ReLU(), fc.Flatten(), fc.Dense(3)]
    model = fc.Sequential(layers, IMAGE, dtype=pick(rng, "float32", "float64"))
    loss = pick(rng, "cross_entropy", "mse", "bce_with_logits")
    count = whole(rng, 1, 40)
    y = rng.integers(0, 3, count) if loss == "cross_entropy" else rng.random((count, 3))
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
    trainer = {"loss": loss, "optimizer": fc.SGD(0.01), "metrics": ("accuracy",), "seed": 0}
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


KINDS = (predictions, training, others, command_line, graphs)


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
