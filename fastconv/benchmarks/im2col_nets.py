"""The baseline's training step: layers that keep their buffers, on the kernels of `im2col.py`.

Between layers an array is x[block][C][H][W][sample of the block] (behind Flatten: [feature][sample]).
With blocks of one sample that is NCHW, what everybody writes. With the batch as one block every slice is
a long run of memory and every product a large one: LeNet-5 at batch 128 then takes 4.9 instead of 8.9 ms.
"""

from typing import Any

import numpy as np

from .im2col import (
    Array,
    Geometry,
    Workspace,
    conv_forward,
    conv_grad_input,
    conv_grad_weight,
    max_pool_backward,
    max_pool_forward,
    pad,
)
from .nets import NETS, Spec


class Layer:
    """Forward, backward, and the arrays of both.

    `forward` may overwrite its input and `backward` its `dy`: nobody else needs them any more.
    """

    def __init__(self) -> None:
        self.workspace = Workspace()
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}

    def set_parameters(self, weight: Array, bias: Array) -> None:
        """Take copies of these, and make room for their gradients."""
        self.parameters = {"weight": weight.copy(), "bias": bias.copy()}
        self.gradients = {name: np.empty_like(array) for name, array in self.parameters.items()}

    def forward(self, x: Array) -> Array:
        """The layer's output."""
        raise NotImplementedError

    def backward(self, dy: Array, want_dx: bool = True) -> Array | None:
        """Fill `gradients`; the gradient of the input, if it is wanted."""
        raise NotImplementedError


class Conv2d(Layer):
    """Convolution with a square kernel, stride 1."""

    def __init__(self, kernel_size: int, padding: int) -> None:
        super().__init__()
        self.geometry = Geometry((kernel_size, kernel_size), padding=(padding, padding))

    def forward(self, x: Array) -> Array:
        weight, bias = self.parameters["weight"], self.parameters["bias"]
        size = self.geometry.output_size(x.shape[2:4])
        y = self.workspace("y", (x.shape[0], len(weight), *size, x.shape[4]), x.dtype)
        self.x = pad(x, self.geometry, self.workspace)
        conv_forward(self.x, weight, bias, self.geometry, y, self.workspace)
        return y

    def backward(self, dy: Array, want_dx: bool = True) -> Array | None:
        dy.sum(axis=(0, 2, 3, 4), out=self.gradients["bias"])
        conv_grad_weight(self.x, dy, self.geometry, self.gradients["weight"], self.workspace)
        if not want_dx:
            return None
        dx = self.workspace("dx", self.x.shape, dy.dtype)
        conv_grad_input(dy, self.parameters["weight"], self.geometry, dx, self.workspace)
        ph, pw = self.geometry.padding
        if ph == pw == 0:
            return dx
        inside = dx[:, :, ph : dx.shape[2] - ph, pw : dx.shape[3] - pw]
        contiguous = self.workspace("inside", inside.shape, dy.dtype)
        np.copyto(contiguous, inside)
        return contiguous


class MaxPool2d(Layer):
    """Maxima of windows side by side."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.geometry = Geometry((size, size), stride=(size, size))

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        shape = (*x.shape[:2], *self.geometry.output_size(x.shape[2:4]), x.shape[4])
        y = self.workspace("y", shape, x.dtype)
        self.where = self.workspace("where", shape, np.uint8)
        max_pool_forward(x, self.geometry, y, self.where, self.workspace)
        return y

    def backward(self, dy: Array, want_dx: bool = True) -> Array:
        dx = self.workspace("dx", self.shape, dy.dtype)
        max_pool_backward(dy, self.where, self.geometry, dx, self.workspace)
        return dx


class ReLU(Layer):
    """max(x, 0), in place."""

    def forward(self, x: Array) -> Array:
        self.y = np.maximum(x, 0, out=x)
        return self.y

    def backward(self, dy: Array, want_dx: bool = True) -> Array:
        positive = self.workspace("positive", dy.shape, np.bool_)
        np.greater(self.y, 0, out=positive)
        return np.multiply(dy, positive, out=dy)


class Flatten(Layer):
    """From (blocks, C, H, W, samples) to (features, samples), without a copy where that is possible."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        blocks, samples = x.shape[0], x.shape[4]
        return np.moveaxis(x.reshape(blocks, -1, samples), 0, 1).reshape(-1, blocks * samples)

    def backward(self, dy: Array, want_dx: bool = True) -> Array:
        blocks, samples = self.shape[0], self.shape[4]
        return np.ascontiguousarray(np.moveaxis(dy.reshape(-1, blocks, samples), 1, 0)).reshape(self.shape)


class Dense(Layer):
    """weight x + bias, samples in columns."""

    def forward(self, x: Array) -> Array:
        self.x = x
        weight = self.parameters["weight"]
        y = np.matmul(weight, x, out=self.workspace("y", (len(weight), x.shape[1]), x.dtype))
        y += self.parameters["bias"][:, None]
        return y

    def backward(self, dy: Array, want_dx: bool = True) -> Array | None:
        dy.sum(axis=1, out=self.gradients["bias"])
        np.matmul(dy, self.x.T, out=self.gradients["weight"])
        if not want_dx:
            return None
        return np.matmul(self.parameters["weight"].T, dy, out=self.workspace("dx", self.x.shape, dy.dtype))


class Sigmoid(Layer):
    """1 / (1 + exp(-x)); its backward is part of `bce`'s, in the form y - target."""

    def forward(self, x: Array) -> Array:
        np.negative(x, out=x)
        np.exp(x, out=x)
        x += 1
        return np.reciprocal(x, out=x)

    def backward(self, dy: Array, want_dx: bool = True) -> Array:
        return dy


def bce(p: Array, y: Array) -> tuple[float, Array]:
    """Mean loss of probabilities (1, N) for targets (N, 1), and its gradient before the sigmoid."""
    target = y.reshape(p.shape)
    chance = np.where(target > 0.5, p, 1 - p)
    with np.errstate(divide="ignore"):
        loss = -np.maximum(np.log(chance), -100).mean()
    return float(loss), (p - target) / np.float32(p.size)


def cross_entropy(logits: Array, y: Array) -> tuple[float, Array]:
    """Mean loss of logits (K, N) for labels (N,), and its gradient."""
    samples = np.arange(len(y))
    logits -= logits.max(axis=0)
    right = logits[y, samples]
    powers = np.exp(logits, out=logits)
    sums = powers.sum(axis=0)
    loss = float(np.mean(np.log(sums) - right))
    powers /= sums
    powers[y, samples] -= 1
    powers /= len(y)
    return loss, powers


_LOSSES: dict[str, Any] = {"bce": bce, "cross_entropy": cross_entropy}


def _layer(spec: Spec) -> Layer:
    if spec.kind == "conv":
        return Conv2d(spec.size, spec.padding)
    if spec.kind == "max_pool":
        return MaxPool2d(spec.size)
    return {"relu": ReLU, "flatten": Flatten, "dense": Dense, "sigmoid": Sigmoid}[spec.kind]()


class Network:
    """One of the benchmarks' networks.

    Parameters
    ----------
    name : {"reference", "lenet5", "vgg_small"}
    parameters : dict
        Initial weights and biases under PyTorch's names.
    samples_inside : bool
        Put the batch into one block, samples innermost, instead of NCHW.

    Examples
    --------
    >>> network = Network("reference", NETS["reference"].initial_parameters())
    >>> X, y = NETS["reference"].batches(4, 1)
    >>> network.step(X, y, lr=0.1) > 0
    True
    """

    def __init__(self, name: str, parameters: dict[str, Array], samples_inside: bool = False) -> None:
        net = NETS[name]
        self.samples_inside = samples_inside
        self.layers = [_layer(spec) for spec in net.layers]
        self.loss = _LOSSES[net.loss]
        self.workspace = Workspace()
        self.with_parameters = [f"{k}.weight" in parameters for k in range(len(self.layers))]
        for k, layer in enumerate(self.layers):
            if self.with_parameters[k]:
                layer.set_parameters(parameters[f"{k}.weight"], parameters[f"{k}.bias"])

    def parameters(self) -> dict[str, Array]:
        """Weights and biases under PyTorch's names, live."""
        return {f"{k}.{n}": a for k, layer in enumerate(self.layers) for n, a in layer.parameters.items()}

    def gradients(self) -> dict[str, Array]:
        """Of the last step."""
        return {f"{k}.{n}": a for k, layer in enumerate(self.layers) for n, a in layer.gradients.items()}

    def step(self, X: Array, y: Array, lr: float) -> float:
        """One step of gradient descent on a batch (N, C, H, W); the batch's mean loss before it."""
        x: Array = X[..., None]
        if self.samples_inside:
            inside = X.transpose(1, 2, 3, 0)[None]
            x = self.workspace("x", inside.shape, X.dtype)
            np.copyto(x, inside)
        for layer in self.layers:
            x = layer.forward(x)
        loss, dy = self.loss(x, y)
        for k in reversed(range(len(self.layers))):
            dy = self.layers[k].backward(dy, want_dx=k > 0)
        for layer in self.layers:
            for name, array in layer.parameters.items():
                change = layer.workspace(f"change of {name}", array.shape, array.dtype)
                array -= np.multiply(layer.gradients[name], lr, out=change)
        return float(loss)
