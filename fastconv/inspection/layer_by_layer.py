"""Every activation and every gradient of a few samples: a network taken apart, one public kernel at a time.

The engine keeps none of these arrays. Here each layer is a class of its name with two methods, in the
notation of `kernels`: forward(x) -> y, and backward(x, y, dy) -> (dx, {parameter: gradient}).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..engine.inputs import check_samples, check_targets
from ..models.sequential import Sequential
from ..nn.layer import Arrays
from ..nn.losses import check_loss

__all__ = ["activations", "backward"]

Array = NDArray[Any]


def activations(model: Sequential, X: ArrayLike) -> list[Array]:
    """What enters a network and what leaves each of its layers, as it predicts.

    Parameters
    ----------
    model : Sequential
    X : ndarray, shape (N, *input_shape)
        As for `predict`.

    Returns
    -------
    list of ndarrays
        In the network's dtype: the input first (uint8 divided by 255), then the output of each layer, of
        shape (N, *its shape). Dropout lets everything pass; batch normalisation uses its running mean and
        variance.

    Raises
    ------
    TypeError, ValueError
        If `X` does not fit the network.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> from fastconv.inspection import activations
    >>> [a.shape[1:] for a in activations(fc.models.reference_cnn(), np.ones((1, 1, 6, 6)))]
    [(1, 6, 6), (1, 4, 4), (1, 4, 4), (1, 2, 2), (4,), (1,), (1,)]
    """
    X = check_samples(X, model.input_shape)
    x = X.astype(model.dtype)
    arrays = [x / x.dtype.type(255) if X.dtype == np.uint8 else x]
    for part in _parts(model):
        arrays.append(part.forward(arrays[-1]))
    return arrays


def backward(
    model: Sequential, X: ArrayLike, y: ArrayLike, loss: str = "cross_entropy"
) -> tuple[float, list[Array], Arrays]:
    """The mean loss of a batch, and its gradient at every point of the network.

    Parameters
    ----------
    model : Sequential
    X : ndarray, shape (N, *input_shape)
        At least one sample.
    y : ndarray
        Labels (N,) for "cross_entropy", otherwise numbers of the output's shape.
    loss : {"bce", "bce_with_logits", "cross_entropy", "mse"}

    Returns
    -------
    loss : float
    slopes : list of ndarrays
        Entry k is dL / d activations(model, X)[k]: the input first.
    gradients : dict
        Name -> ndarray, shaped as in `model.parameters()`.

    Raises
    ------
    TypeError, ValueError
        If `X`, `y` or `loss` does not fit the network.

    Notes
    -----
    The network is as `predict` runs it: no dropout, and batch normalisation uses its running mean and
    variance, which are constants here. `model.loss_and_gradients` is in training mode instead; both agree
    on networks without these two layers.

    "bce" after a final Sigmoid, and "cross_entropy" after a final Softmax, are computed from that layer's
    input; so is the gradient there, (A - y) / N, while the last entry is the gradient of the logarithm.
    Source: Bishop (2006), section 5.3; the losses' and layers' own formulas stand with their kernels.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> from fastconv.inspection import backward
    >>> model = fc.models.reference_cnn("float64")
    >>> loss, slopes, gradients = backward(model, np.ones((1, 1, 6, 6)), [1], loss="bce")
    >>> bool(np.isclose(slopes[5][0, 0], gradients["4.bias"][0]))
    True
    """
    check_loss(loss, model.output_shape)
    arrays = activations(model, X)
    target = check_targets(y, len(arrays[0]), model.output_shape, loss)
    if not len(target):
        raise ValueError("`X` must hold at least one sample, got none")
    parts = _parts(model)
    value, slopes = _loss(loss, type(model.layers[-1]).__name__, arrays, target)
    gradients: Arrays = {}
    for number in reversed(range(len(arrays) - len(slopes))):
        dx, own = parts[number].backward(arrays[number], arrays[number + 1], slopes[0])
        slopes.insert(0, dx)
        gradients |= {f"{number}.{name}": array for name, array in own.items()}
    return value, slopes, {name: gradients[name] for name in model.parameters()}


# (loss, final layer) -> the loss of that layer's input that stands for both
_FUSED = {("bce", "Sigmoid"): "bce_with_logits", ("cross_entropy", "Softmax"): "cross_entropy"}


def _loss(loss: str, last_layer: str, arrays: list[Array], target: Array) -> tuple[float, list[Array]]:
    """The loss, and its gradient at the last activations: at the last two where it is fused with a layer."""
    fused = _FUSED.get((loss, last_layer))
    if fused is None:
        value, slope = _loss_at(arrays[-1], target, loss)
        return value, [slope]
    value, slope = _loss_at(arrays[-2], target, fused)
    if loss == "bce":
        return value, [slope, _loss_at(arrays[-1], target, loss)[1]]
    p, rows = arrays[-1], np.arange(len(target))
    dp = np.zeros_like(p)
    dp[rows, target] = -1.0 / (np.maximum(p[rows, target], np.finfo(p.dtype).tiny) * len(target))
    return value, [slope, dp]


def _loss_at(z: Array, target: Array, name: str) -> tuple[float, Array]:
    """A loss kernel and its gradient kernel on outputs of any shape."""
    flat = z.reshape(len(z), -1)
    target = target if name == "cross_entropy" else target.astype(z.dtype)
    slope = getattr(kernels, f"{name}_grad")(flat, target)
    return float(getattr(kernels, name)(flat, target)), slope.reshape(z.shape)


PARTS: dict[str, type["Part"]] = {}


def _parts(model: Sequential) -> list["Part"]:
    arrays = {**model.parameters(), **model.statistics()}
    return [
        PARTS[type(layer).__name__](
            layer,
            {n.split(".")[1]: array for n, array in arrays.items() if n.split(".")[0] == str(number)},
        )
        for number, layer in enumerate(model.layers)
    ]


class Part:
    """A layer with its arrays, parameters and statistics. Defaults describe one that changes nothing."""

    def __init_subclass__(cls) -> None:
        PARTS[cls.__name__] = cls

    def __init__(self, layer: Any, arrays: Arrays) -> None:
        self.layer, self.arrays = layer, arrays

    def forward(self, x: Array) -> Array:
        return x.copy()

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return dy.reshape(x.shape).copy(), {}


class Dropout(Part):
    pass


class Flatten(Part):
    def forward(self, x: Array) -> Array:
        return x.reshape(len(x), math.prod(x.shape[1:])).copy()


class Conv2d(Part):
    """Padding is done by hand: that of "same" may differ on the two sides."""

    def _padded(self, x: Array) -> Array:
        return np.pad(x, ((0, 0), (0, 0), *self.layer.pads()))

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self.layer, name) for name in ("stride", "dilation", "groups")}

    def forward(self, x: Array) -> Array:
        weight, bias = self.arrays["weight"], self.arrays.get("bias")
        return kernels.conv2d(self._padded(x), weight, bias, **self._settings())

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        padded, settings = self._padded(x), self._settings()
        (top, _), (left, _) = self.layer.pads()
        dx = kernels.conv2d_grad_input(dy, self.arrays["weight"], padded.shape[2:], **settings)
        gradients = {"weight": kernels.conv2d_grad_weight(padded, dy, self.layer.kernel_size, **settings)}
        if self.layer.bias:
            gradients["bias"] = kernels.conv2d_grad_bias(dy)
        return dx[:, :, top : top + x.shape[2], left : left + x.shape[3]].copy(), gradients


class Dense(Part):
    def forward(self, x: Array) -> Array:
        return kernels.dense(x, self.arrays["weight"], self.arrays.get("bias"))

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        gradients = {"weight": kernels.dense_grad_weight(x, dy)}
        if self.layer.bias:
            gradients["bias"] = kernels.dense_grad_bias(dy)
        return kernels.dense_grad_input(dy, self.arrays["weight"]), gradients


class MaxPool2d(Part):
    def _pool(self, x: Array) -> tuple[Array, Array]:
        return kernels.max_pool2d(x, **self.layer.settings())

    def forward(self, x: Array) -> Array:
        return self._pool(x)[0]

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return kernels.max_pool2d_grad(dy, self._pool(x)[1], x.shape[2:]), {}


class AvgPool2d(Part):
    def forward(self, x: Array) -> Array:
        return kernels.avg_pool2d(x, **self.layer.settings())

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return kernels.avg_pool2d_grad(dy, x.shape[2:], **self.layer.settings()), {}


class GlobalAvgPool2d(Part):
    def forward(self, x: Array) -> Array:
        return kernels.avg_pool2d(x, x.shape[2:])

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return kernels.avg_pool2d_grad(dy, x.shape[2:], x.shape[2:]), {}


class BatchNorm2d(Part):
    """With the running mean and variance, which do not depend on x: dx = gamma / deviation * dy."""

    def _normalised(self, x: Array) -> tuple[Array, Array]:
        gamma, beta, mean, var = (self.arrays[n] for n in ("weight", "bias", "running_mean", "running_var"))
        return kernels.batch_norm2d(x, gamma, beta, mean, var, training=False, eps=self.layer.eps)

    def forward(self, x: Array) -> Array:
        return self._normalised(x)[0]

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        mean, inverse = (row[:, None, None] for row in self._normalised(x)[1])
        dgamma = (dy * (x - mean) * inverse).sum(axis=(0, 2, 3))
        dx = dy * (self.arrays["weight"][:, None, None] * inverse)
        return dx, {"weight": dgamma, "bias": dy.sum(axis=(0, 2, 3))}


class ReLU(Part):
    def forward(self, x: Array) -> Array:
        return kernels.relu(x)

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return kernels.relu_grad(dy, x), {}


class LeakyReLU(Part):
    def forward(self, x: Array) -> Array:
        return kernels.leaky_relu(x, self.layer.negative_slope)

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return kernels.leaky_relu_grad(dy, x, self.layer.negative_slope), {}


class Sigmoid(Part):
    def forward(self, x: Array) -> Array:
        return kernels.sigmoid(x)

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return kernels.sigmoid_grad(dy, y), {}


class Tanh(Part):
    def forward(self, x: Array) -> Array:
        return kernels.tanh(x)

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return kernels.tanh_grad(dy, y), {}


class Softmax(Part):
    def forward(self, x: Array) -> Array:
        return kernels.softmax(x)

    def backward(self, x: Array, y: Array, dy: Array) -> tuple[Array, Arrays]:
        return y * (dy - (dy * y).sum(axis=1, keepdims=True)), {}
