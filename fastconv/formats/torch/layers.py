"""Layers that leave the positions where they are, from torch.fx's calls: dense ones, norms, activations."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.curves import ELU, GELU, Hardsigmoid, Hardswish, ReLU6, SiLU, Softplus
from ...nn.dense import Dense
from ...nn.dropout import Dropout, SpatialDropout2d
from ...nn.layer import Layer
from ...nn.norm import BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm
from ...nn.prelu import PReLU
from ...nn.signal import BatchNorm1d
from ...nn.signal_channels import InstanceNorm1d, SpatialDropout1d
from .modules import check_settings
from .readers import READERS, Reader, reads, reads_module, weights
from .wires import Constant, NoCounterpart, Site, Wire


@reads("linear")
def linear(site: Site, input: Wire, weight: Any, bias: Any = None) -> Wire:
    tensor = weights(site, weight=weight, bias=bias)
    return site.layer(Dense(weight.tensor.shape[0], bias=bias is not None), input, tensor)


@reads("matmul", "mm")
def matmul(site: Site, x: Wire, other: Any) -> Wire:
    if not isinstance(other, Constant) or not isinstance(x, Wire) or other.tensor.ndim != 2:
        raise NoCounterpart("values are not multiplied with each other, only with weights: nn.Linear")
    tensor = weights(site, weight=Constant(other.tensor.t()))
    return site.layer(Dense(other.tensor.shape[1], bias=False), x, tensor)


@reads("batch_norm")
def batch_norm(
    site: Site,
    input: Wire,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Wire:
    if training:
        raise ValueError("`training` must be False in evaluation mode, got True")
    arrays = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    layer = BatchNorm2d if len(input.shape) == 3 else BatchNorm1d
    return site.layer(layer(momentum, eps), input, weights(site, **arrays))


@reads("group_norm")
def group_norm(
    site: Site, input: Wire, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Wire:
    return site.layer(GroupNorm(num_groups, eps=eps), input, weights(site, weight=weight, bias=bias))


@reads("instance_norm")
def instance_norm(
    site: Site,
    input: Wire,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Wire:
    if not use_input_stats:
        raise ValueError("`use_input_stats` must be True, got False")
    kind = InstanceNorm2d if len(input.shape) == 3 else InstanceNorm1d
    layer = kind(eps=eps, affine=weight is not None)
    return site.layer(layer, input, weights(site, weight=weight, bias=bias))


@reads("layer_norm")
def layer_norm(
    site: Site, input: Wire, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Wire:
    return site.layer(LayerNorm(eps=eps), input, weights(site, weight=weight, bias=bias))


@reads("prelu")
def prelu(site: Site, input: Wire, weight: Any) -> Wire:
    tensor = weights(site, weight=weight)
    return site.layer(PReLU(weight.tensor.numel() > 1), input, tensor)


def _dropout(make: Callable[[float], Layer]) -> Reader:
    def read(site: Site, input: Wire, p: float = 0.5, training: bool = True, inplace: bool = False) -> Wire:
        if training:
            raise ValueError("`training` must be False in evaluation mode: give it self.training")
        return site.layer(make(p), input)

    return read


READERS |= {
    "dropout": _dropout(Dropout),
    "dropout1d": _dropout(SpatialDropout1d),
    "dropout2d": _dropout(SpatialDropout2d),
}


@reads("softmax")
def softmax(site: Site, input: Wire, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Wire:
    return site.layer(Softmax(), _of_classes(input, dim))


@reads("log_softmax")
def log_softmax(site: Site, input: Wire, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Wire:
    """Kept with the wire: an output goes on with it, and a layer can't read it."""
    return replace(_of_classes(input, dim), log_softmax=True)


def _of_classes(x: Wire, dim: Any) -> Wire:
    if x.log_softmax:
        raise ValueError("a log_softmax before it is supported at the end only")
    if len(x.shape) != 1 or (dim is not None and dim % 2 != 1):
        raise ValueError(f"`dim` must be 1, of features, got {dim} of samples of shape {x.shape}")
    return x


@reads_module("LogSoftmax")
def _log_softmax_module(site: Site, module: Any, x: Wire) -> Wire:
    check_settings(module, "LogSoftmax")
    return log_softmax(site, x, module.dim)


@reads_module("Softmax")
def _softmax_module(site: Site, module: Any, x: Wire) -> Wire:
    return softmax(site, x, module.dim)


def _hardtanh(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Layer:
    if (min_val, max_val) != (0, 6):
        raise ValueError(f"`min_val` and `max_val` must be 0 and 6, got {min_val} and {max_val}")
    return ReLU6()


def _clamp(min: Any = None, max: Any = None) -> Layer:
    if min != 0 or max not in (None, 6):
        raise NoCounterpart("clamp(min=0) is ReLU and clamp(0, 6) is ReLU6")
    return ReLU() if max is None else ReLU6()


def _softplus(beta: float = 1.0, threshold: float = 20.0) -> Layer:
    if (beta, threshold) != (1, 20):
        raise ValueError(f"`beta` and `threshold` must be 1 and 20, got {beta} and {threshold}")
    return Softplus()


# Name of the function -> its layer, given the settings; with a "_" after it, it works in place.
ACTIVATIONS: dict[str, Callable[..., Layer]] = {
    "relu": lambda inplace=False: ReLU(),
    "leaky_relu": lambda negative_slope=0.01, inplace=False: LeakyReLU(negative_slope),
    "relu6": lambda inplace=False: ReLU6(),
    "hardtanh": _hardtanh,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": lambda min: _clamp(min),
    "elu": lambda alpha=1.0, inplace=False: ELU(alpha),
    "silu": lambda inplace=False: SiLU(),
    "gelu": lambda approximate="none": GELU(approximate),
    "hardswish": lambda inplace=False: Hardswish(),
    "hardsigmoid": lambda inplace=False: Hardsigmoid(),
    "softplus": _softplus,
    "sigmoid": lambda: Sigmoid(),
    "tanh": lambda: Tanh(),
}


def _activation(make: Callable[..., Layer], inplace: bool) -> Reader:
    signature = inspect.signature(make)

    def read(site: Site, input: Wire, *args: Any, **kwargs: Any) -> Wire:
        settings = signature.bind(*args, **kwargs)
        return site.layer(make(*args, **kwargs), input, inplace=settings.arguments.get("inplace", inplace))

    return read


for _name, _make in ACTIVATIONS.items():
    READERS[_name] = _activation(_make, False)
    READERS[f"{_name}_"] = _activation(_make, True)
