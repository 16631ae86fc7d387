"""The networks of the benchmarks as plain data, so that every contender builds the same ones."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..nn.losses import LossName


@dataclass(frozen=True)
class Spec:
    """One layer.

    Parameters
    ----------
    kind : {"conv", "dense", "max_pool", "relu", "flatten", "sigmoid"}
    units : int
        Output channels of a convolution, output features of a dense layer, else 0.
    size : int
        Edge of a kernel or of a (non-overlapping) pooling window, else 0.
    padding : int
        Of a convolution.
    """

    kind: str
    units: int = 0
    size: int = 0
    padding: int = 0

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one sample behind this layer."""
        if self.kind == "conv":
            return (self.units, *(edge + 2 * self.padding - self.size + 1 for edge in shape[1:]))
        if self.kind == "max_pool":
            return (shape[0], *(edge // self.size for edge in shape[1:]))
        if self.kind == "dense":
            return (self.units,)
        return (prod(shape),) if self.kind == "flatten" else shape

    def weight_shape(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Shape of the weight behind an input of `shape`; None if there is none."""
        if self.kind == "conv":
            return (self.units, shape[0], self.size, self.size)
        return (self.units, shape[0]) if self.kind == "dense" else None


@dataclass(frozen=True)
class Net:
    """A network: what goes in, its layers, its loss."""

    input_shape: tuple[int, ...]
    layers: tuple[Spec, ...]
    loss: LossName

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of a sample before each layer, and behind the last."""
        shapes = [self.input_shape]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        return shapes

    def initial_parameters(self, seed: int = 0) -> dict[str, NDArray[np.float32]]:
        """Weights and biases under PyTorch's names, uniform within 1 / sqrt(fan_in) as PyTorch draws them."""
        rng = np.random.default_rng(seed)
        parameters = {}
        for k, (layer, shape) in enumerate(zip(self.layers, self.shapes(), strict=False)):
            weight_shape = layer.weight_shape(shape)
            if weight_shape is not None:
                bound = prod(weight_shape[1:]) ** -0.5
                for name, size in (("weight", weight_shape), ("bias", weight_shape[:1])):
                    parameters[f"{k}.{name}"] = rng.uniform(-bound, bound, size).astype(np.float32)
        return parameters

    def forward_flops(self) -> list[int]:
        """Floating-point operations of each layer for one sample: 2 for a multiplication and its addition.

        Only convolutions and dense layers count, as is the custom.
        """
        shapes = self.shapes()
        weights = [layer.weight_shape(shape) for layer, shape in zip(self.layers, shapes, strict=False)]
        return [2 * prod(w) * prod(out[1:]) if w else 0 for w, out in zip(weights, shapes[1:], strict=True)]

    def step_flops(self) -> int:
        """Of a training step for one sample: forward, weight gradient, input gradient except the first."""
        flops = self.forward_flops()
        return 3 * sum(flops) - flops[0]

    def batches(self, batch_size: int, count: int, seed: int = 0) -> tuple[NDArray, NDArray]:
        """Random images and labels for `count` batches; labels are floats (n, 1) for "bce", else int64."""
        rng = np.random.default_rng(seed)
        n = batch_size * count
        X = rng.random((n, *self.input_shape), dtype=np.float32)
        if self.loss == "bce":
            return X, rng.integers(0, 2, (n, 1)).astype(np.float32)
        return X, rng.integers(0, self.shapes()[-1][0], n)


def _conv(units: int, size: int, padding: int = 0) -> tuple[Spec, Spec]:
    return Spec("conv", units, size, padding), Spec("relu")


_pool = Spec("max_pool", size=2)

NETS = {
    "reference": Net(
        (1, 6, 6),
        (*_conv(1, 3), _pool, Spec("flatten"), Spec("dense", 1), Spec("sigmoid")),
        "bce",
    ),
    "lenet5": Net(
        (1, 28, 28),
        (
            *_conv(6, 5),
            _pool,
            *_conv(16, 5),
            _pool,
            Spec("flatten"),
            Spec("dense", 120),
            Spec("relu"),
            Spec("dense", 84),
            Spec("relu"),
            Spec("dense", 10),
        ),
        "cross_entropy",
    ),
    "vgg_small": Net(
        (3, 32, 32),
        (
            *_conv(32, 3, 1),
            *_conv(32, 3, 1),
            _pool,
            *_conv(64, 3, 1),
            *_conv(64, 3, 1),
            _pool,
            Spec("flatten"),
            Spec("dense", 128),
            Spec("relu"),
            Spec("dense", 10),
        ),
        "cross_entropy",
    ),
}
