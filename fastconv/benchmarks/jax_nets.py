"""The networks of the benchmarks in JAX: outputs, losses, and steps of plain SGD.

Positions come behind the channels (NCHW) or before them (NHWC); weights keep PyTorch's order. Either is
compiled with `jax.jit`, and whoever measures takes the faster one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from ..formats.torch.modules import pads_of
from ..nn.graph import Node

Values = dict[str, Any]


class Network:
    """A network's arrays, and the functions that work on them.

    Parameters
    ----------
    model : Sequential or Model
    losses : list of str
        Of its outputs.
    channels_last : bool
    """

    def __init__(self, model: Any, losses: list[str], channels_last: bool = False) -> None:
        self.model, self.losses, self.channels_last = model, losses, channels_last
        parameters = model.parameters()
        frozen = {key for key in parameters if key.rpartition(".")[0] in model.frozen}
        self.trained = {key: jnp.array(a) for key, a in parameters.items() if key not in frozen}
        self.kept = {key: jnp.array(a) for key, a in model.state().items() if key not in self.trained}
        self.key = jax.random.key(0)
        self.step = jax.jit(self._step, donate_argnums=(0, 1), static_argnums=5)
        self.outputs = jax.jit(lambda x: self._forward({**self.trained, **self.kept}, x, None)[0])

    def placed(self, X: Any) -> list[Any]:
        """Inputs as the network reads them."""
        inputs = X if isinstance(X, list) else [X]
        return [jnp.asarray(np.moveaxis(x, 1, -1) if self.channels_last else x) for x in inputs]

    def gradients(self, X: Any, y: Any) -> tuple[Any, Values, Values]:
        """The loss of a batch, its gradients, and what normalisations keep after it."""
        graded = jax.value_and_grad(self._loss, has_aux=True)
        targets = [jnp.asarray(part) for part in (y if isinstance(y, list) else [y])]
        (loss, kept), gradients = jax.jit(graded)(self.trained, self.kept, self.placed(X), targets, self.key)
        return loss, gradients, {key: a for key, a in kept.items() if key not in self.model.parameters()}

    def _step(
        self, trained: Values, kept: Values, x: list[Any], y: list[Any], key: Any, lr: float
    ) -> tuple[Values, Values, Any, Any]:
        key, used = jax.random.split(key)
        graded = jax.value_and_grad(self._loss, has_aux=True)
        (loss, kept), gradients = graded(trained, kept, x, y, used)
        return {name: a - lr * gradients[name] for name, a in trained.items()}, kept, key, loss

    def _loss(
        self, trained: Values, kept: Values, x: list[Any], y: list[Any], key: Any
    ) -> tuple[Any, Values]:
        outputs, kept = self._forward({**trained, **kept}, x, key)
        parts = zip(self.losses, outputs, y, strict=True)
        return sum(LOSSES[name](output, target) for name, output, target in parts), kept

    def _forward(self, arrays: Values, x: list[Any], key: Any) -> tuple[list[Any], Values]:
        """The outputs, and what normalisations keep; with a key as in training."""
        values = dict(zip(self.model.inputs, x, strict=True))
        kept = {name: arrays[name] for name in self.kept}
        for number, node in enumerate(self.model.nodes):
            prefix = f"{node.name}."
            own = {
                name[len(prefix) :]: a for name, a in arrays.items() if name.rpartition(".")[0] == node.name
            }
            given = [values[value] for value in node.inputs]
            at = None if key is None else jax.random.fold_in(key, number)
            compute = OPERATIONS[type(node.layer).__name__]
            values[node.output], changed = _pair(compute(node, self.channels_last, own, at, *given))
            kept.update({prefix + name: array for name, array in changed.items()})
        outputs = [values[value] for value in self.model.outputs]
        if self.channels_last:
            outputs = [jnp.moveaxis(output, -1, 1) for output in outputs]
        return outputs, kept


def _pair(value: Any) -> tuple[Any, Values]:
    return value if isinstance(value, tuple) else (value, {})


# Layers: (node, channels_last, arrays, key, inputs...) -> output, or (output, statistics)


def _orders(x: Any, channels_last: bool, kernel: str) -> tuple[str, str, str]:
    axes = "DHW"[5 - x.ndim :]
    data = f"N{axes}C" if channels_last else f"NC{axes}"
    return data, f"{kernel}{axes}", data


def _each_axis(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _conv(node: Node, channels_last: bool, arrays: Values, key: Any, x: Any) -> Any:
    layer: Any = node.layer
    y = lax.conv_general_dilated(
        x,
        arrays["weight"],
        _each_axis(layer.stride),
        pads_of(layer, node.input_shape),
        rhs_dilation=_each_axis(layer.dilation),
        dimension_numbers=_orders(x, channels_last, "OI"),
        feature_group_count=layer.groups,
    )
    return _with_bias(y, channels_last, arrays)


def _conv_transpose(node: Node, channels_last: bool, arrays: Values, key: Any, x: Any) -> Any:
    """The input with zeros between, convolved with the turned kernel; of one group."""
    layer: Any = node.layer
    kernel, pads = _each_axis(layer.kernel_size), pads_of(layer, node.input_shape)
    y = lax.conv_general_dilated(
        x,
        jnp.flip(arrays["weight"], range(2, x.ndim)),
        (1,) * len(kernel),
        [(k - 1 - first, k - 1 - last) for k, (first, last) in zip(kernel, pads, strict=True)],
        lhs_dilation=_each_axis(layer.stride),
        dimension_numbers=_orders(x, channels_last, "IO"),
    )
    return _with_bias(y, channels_last, arrays)


def _with_bias(y: Any, channels_last: bool, arrays: Values) -> Any:
    return y + _broadcast(arrays["bias"], y, channels_last) if "bias" in arrays else y


def _broadcast(a: Any, x: Any, channels_last: bool) -> Any:
    return a if channels_last else a.reshape(-1, *(1,) * (x.ndim - 2))


def _dense(node: Node, channels_last: bool, arrays: Values, key: Any, x: Any) -> Any:
    return _with_bias(x @ arrays["weight"].T, channels_last, arrays)


def _batch_norm(node: Node, channels_last: bool, arrays: Values, key: Any, x: Any) -> Any:
    layer: Any = node.layer
    kept = {name: arrays[name] for name in ("running_mean", "running_var")}
    mean, var = kept["running_mean"], kept["running_var"]
    if key is not None:
        channel = x.ndim - 1 if channels_last else 1
        axes = tuple(axis for axis in range(x.ndim) if axis != channel)
        mean, var = x.mean(axes), x.var(axes)
        count = x.size // x.shape[channel]
        found = (mean, var * (count / (count - 1)))
        rest = 1 - layer.momentum
        kept = {
            name: rest * old + layer.momentum * new
            for (name, old), new in zip(kept.items(), found, strict=True)
        }
    scale = arrays["weight"] * lax.rsqrt(var + layer.eps)
    shift = arrays["bias"] - mean * scale
    return x * _broadcast(scale, x, channels_last) + _broadcast(shift, x, channels_last), kept


def _pool(
    start: float, combine: Any, node: Node, channels_last: bool, arrays: Values, key: Any, x: Any
) -> Any:
    layer: Any = node.layer

    def whole(values: Any, other: Any) -> list[Any]:
        return [other, *values, other] if channels_last else [other, other, *values]

    kernel, stride = _each_axis(layer.kernel_size), _each_axis(layer.stride)
    y = lax.reduce_window(
        x, start, combine, whole(kernel, 1), whole(stride, 1), whole(pads_of(layer, node.input_shape), (0, 0))
    )
    return y if combine is lax.max else y / np.prod(kernel)


def _mean(node: Node, channels_last: bool, arrays: Values, key: Any, x: Any) -> Any:
    return x.mean(tuple(range(1, x.ndim - 1) if channels_last else range(2, x.ndim)), keepdims=True)


def _flatten(node: Node, channels_last: bool, arrays: Values, key: Any, x: Any) -> Any:
    return (jnp.moveaxis(x, -1, 1) if channels_last else x).reshape(len(x), -1)


def _dropout(node: Node, channels_last: bool, arrays: Values, key: Any, x: Any) -> Any:
    p = node.layer.p  # type: ignore[attr-defined]
    return x if key is None or not p else jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)


def _stack(node: Node, channels_last: bool, arrays: Values, key: Any, *x: Any) -> Any:
    return jnp.concatenate(x, -1 if channels_last else 1)


def _plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda node, channels_last, arrays, key, *x: function(*x)


_MAX, _AVG = partial(_pool, -np.inf, lax.max), partial(_pool, 0.0, lax.add)
OPERATIONS: dict[str, Callable[..., Any]] = {
    "Conv1d": _conv, "Conv2d": _conv, "ConvTranspose2d": _conv_transpose, "Dense": _dense,
    "BatchNorm1d": _batch_norm, "BatchNorm2d": _batch_norm, "MaxPool1d": _MAX, "MaxPool2d": _MAX,
    "AvgPool1d": _AVG, "AvgPool2d": _AVG, "GlobalAvgPool1d": _mean, "GlobalAvgPool2d": _mean,
    "Flatten": _flatten, "Dropout": _dropout, "Stack": _stack,
    "Sum": _plainly(lambda *x: sum(x[1:], x[0])), "Sigmoid": _plainly(jax.nn.sigmoid),
    "ReLU": _plainly(jax.nn.relu), "ReLU6": _plainly(jax.nn.relu6),
}  # fmt: skip


# Losses


def _cross_entropy(output: Any, labels: Any) -> Any:
    logs = jax.nn.log_softmax(output, axis=1)
    return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()


def _binary(output: Any, y: Any) -> Any:
    return -(y * jnp.log(output) + (1 - y) * jnp.log1p(-output)).mean()


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "cross_entropy": _cross_entropy,
    "mse": lambda output, y: jnp.square(output - y).mean(),
    "bce": _binary,
    "bce_with_logits": lambda output, y: (jax.nn.softplus(output) - y * output).mean(),
}
