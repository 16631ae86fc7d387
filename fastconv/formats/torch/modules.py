"""PyTorch's modules and our layers, each as the other: the same settings, names and numbers."""

from collections.abc import Callable
from typing import Any

from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.conv import Conv2d
from ...nn.conv_transpose import ConvTranspose1d, ConvTranspose2d
from ...nn.curves import ELU, GELU, Hardsigmoid, Hardswish, ReLU6, SiLU, Softplus
from ...nn.dense import Dense
from ...nn.dropout import Dropout, SpatialDropout2d
from ...nn.layer import Layer, Shape, entry_of
from ...nn.norm import BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm
from ...nn.pool import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from ...nn.prelu import PReLU
from ...nn.resize import Upsample
from ...nn.shape import Flatten
from ...nn.signal import AvgPool1d, BatchNorm1d, Conv1d, GlobalAvgPool1d, MaxPool1d
from ...nn.signal_channels import AdaptiveAvgPool1d, GlobalMaxPool1d, InstanceNorm1d, SpatialDropout1d

# From PyTorch


def one(value: Any) -> Any:
    """The number of what PyTorch may keep as a tuple of one."""
    return value[0] if isinstance(value, (tuple, list)) else value


def _adaptive(m: Any) -> Layer:
    sizes = m.output_size if isinstance(m.output_size, (tuple, list)) else (m.output_size,)
    plane = type(m).__name__.endswith("2d")
    if set(sizes) == {1}:
        return GlobalAvgPool2d() if plane else GlobalAvgPool1d()
    return AdaptiveAvgPool2d(m.output_size) if plane else AdaptiveAvgPool1d(one(m.output_size))


def _upsample(m: Any) -> Layer:
    given = m.scale_factor if isinstance(m.scale_factor, (tuple, list)) else (m.scale_factor,)
    if not all(float(factor).is_integer() for factor in given):
        raise ValueError(f"`scale_factor` must be whole, got {m.scale_factor}")
    scale = tuple(int(factor) for factor in given)
    return Upsample(scale if len(scale) == 2 else scale[0], m.mode, align_corners=bool(m.align_corners))


# PyTorch's class -> our layer, given the module. Identity is left out of the network.
LAYERS: dict[str, Callable[[Any], Layer | None]] = {
    "Conv2d": lambda m: Conv2d(
        m.out_channels,
        m.kernel_size,
        stride=m.stride,
        padding=m.padding,
        dilation=m.dilation,
        groups=m.groups,
        bias=m.bias is not None,
    ),
    "Conv1d": lambda m: Conv1d(
        m.out_channels,
        one(m.kernel_size),
        stride=one(m.stride),
        padding=one(m.padding),
        dilation=one(m.dilation),
        groups=m.groups,
        bias=m.bias is not None,
    ),
    "ConvTranspose2d": lambda m: ConvTranspose2d(
        m.out_channels,
        m.kernel_size,
        stride=m.stride,
        padding=m.padding,
        output_padding=m.output_padding,
        groups=m.groups,
        bias=m.bias is not None,
        dilation=m.dilation,
    ),
    "ConvTranspose1d": lambda m: ConvTranspose1d(
        m.out_channels,
        one(m.kernel_size),
        stride=one(m.stride),
        padding=one(m.padding),
        output_padding=one(m.output_padding),
        groups=m.groups,
        bias=m.bias is not None,
        dilation=one(m.dilation),
    ),
    "Upsample": _upsample,
    "MaxPool2d": lambda m: MaxPool2d(m.kernel_size, m.stride, m.padding, m.dilation, ceil_mode=m.ceil_mode),
    "MaxPool1d": lambda m: MaxPool1d(
        one(m.kernel_size), one(m.stride), one(m.padding), one(m.dilation), ceil_mode=m.ceil_mode
    ),
    "AvgPool2d": lambda m: AvgPool2d(m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad),
    "AvgPool1d": lambda m: AvgPool1d(
        one(m.kernel_size), one(m.stride), one(m.padding), m.ceil_mode, m.count_include_pad
    ),
    "AdaptiveAvgPool2d": _adaptive,
    "AdaptiveAvgPool1d": _adaptive,
    "AdaptiveMaxPool2d": lambda m: GlobalMaxPool2d(),
    "AdaptiveMaxPool1d": lambda m: GlobalMaxPool1d(),
    "BatchNorm2d": lambda m: BatchNorm2d(m.momentum, m.eps),
    "BatchNorm1d": lambda m: BatchNorm1d(m.momentum, m.eps),
    "GroupNorm": lambda m: GroupNorm(m.num_groups, eps=m.eps),
    "InstanceNorm2d": lambda m: InstanceNorm2d(eps=m.eps, affine=m.affine),
    "InstanceNorm1d": lambda m: InstanceNorm1d(eps=m.eps, affine=m.affine),
    "LayerNorm": lambda m: LayerNorm(eps=m.eps),
    "Dropout": lambda m: Dropout(m.p),
    "Dropout2d": lambda m: SpatialDropout2d(m.p),
    "Dropout1d": lambda m: SpatialDropout1d(m.p),
    "Flatten": lambda m: Flatten(),
    "Linear": lambda m: Dense(m.out_features, bias=m.bias is not None),
    "ReLU": lambda m: ReLU(),
    "LeakyReLU": lambda m: LeakyReLU(m.negative_slope),
    "PReLU": lambda m: PReLU(m.num_parameters > 1),
    "ReLU6": lambda m: ReLU6(),
    "Hardtanh": lambda m: ReLU6(),
    "ELU": lambda m: ELU(m.alpha),
    "SiLU": lambda m: SiLU(),
    "GELU": lambda m: GELU(m.approximate),
    "Hardswish": lambda m: Hardswish(),
    "Hardsigmoid": lambda m: Hardsigmoid(),
    "Softplus": lambda m: Softplus(),
    "Sigmoid": lambda m: Sigmoid(),
    "Tanh": lambda m: Tanh(),
    "Softmax": lambda m: Softmax(),
    "Identity": lambda m: None,
}

_NORM = {"affine": (True,), "track_running_stats": (True,)}
# Settings that our layers don't have -> what they must be. Softmax over dimension None of (N, features) is 1.
NEEDED: dict[str, dict[str, tuple[Any, ...]]] = {
    **{kind: {"padding_mode": ("zeros",)} for kind in ("Conv1d", "Conv2d")},
    **{kind: {"return_indices": (False,)} for kind in ("MaxPool1d", "MaxPool2d")},
    "AvgPool2d": {"divisor_override": (None,)},
    "AdaptiveMaxPool1d": {"output_size": (1, (1,)), "return_indices": (False,)},
    "AdaptiveMaxPool2d": {"output_size": (1, (1, 1)), "return_indices": (False,)},
    "Upsample": {"size": (None,), "mode": ("nearest", "linear", "bilinear")},
    "InstanceNorm1d": {"track_running_stats": (False,)},
    "InstanceNorm2d": {"track_running_stats": (False,)},
    "LayerNorm": {"elementwise_affine": (True,)},
    "BatchNorm1d": _NORM,
    "BatchNorm2d": _NORM,
    "GroupNorm": {"affine": (True,)},
    "Flatten": {"start_dim": (1,), "end_dim": (-1, 3)},
    "Hardtanh": {"min_val": (0,), "max_val": (6,)},
    "Softplus": {"beta": (1,), "threshold": (20,)},
    "Softmax": {"dim": (1, -1, None)},
    "LogSoftmax": {"dim": (1, -1, None)},
}


def layer_of(module: Any, kind: str) -> Layer | None:
    """The layer that computes what a module of PyTorch's class `kind` does; None of an Identity.

    Raises
    ------
    TypeError, ValueError
        If a setting has no counterpart.
    """
    check_settings(module, kind)
    return LAYERS[kind](module)


def check_settings(module: Any, kind: str) -> None:
    """Raise ValueError if a setting of the module has no counterpart."""
    for setting, allowed in NEEDED.get(kind, {}).items():
        value = getattr(module, setting)
        if value not in allowed:
            raise ValueError(f"`{setting}` must be {' or '.join(map(repr, allowed))}, got {value!r}")


# To PyTorch


POOLS = (MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d)
PADDED = (Conv1d, Conv2d, *POOLS)
TRANSPOSED = (ConvTranspose1d, ConvTranspose2d)  # whose padding cuts off


def pads_of(layer: Any, shape: Shape) -> list[tuple[int, int]]:
    """(before, after) along each axis of the positions, of a layer in `PADDED` or `TRANSPOSED`."""
    missing = 3 - len(shape)  # of a signal, the lines
    return list(layer.image_layer().pads((shape[0], *(1,) * missing, *shape[1:]))[missing:])


def own_padding(layer: Any, shape: Shape) -> Any:
    """What PyTorch's module takes for the layer's padding, or None where it can't pad like that."""
    pooling = isinstance(layer, POOLS)
    if isinstance(layer, (Conv1d, Conv2d)) and (
        layer.padding == "valid" or (layer.padding == "same" and _only(layer.stride) == 1)
    ):
        return layer.padding
    pads = pads_of(layer, shape)
    uneven = any(before != after for before, after in pads)
    kernel = layer.kernel_size if len(pads) == 2 else (layer.kernel_size,)
    if uneven or (pooling and any(2 * pad > k for (pad, _), k in zip(pads, kernel, strict=True))):
        return None
    return tuple(before for before, _ in pads) if len(pads) == 2 else pads[0][0]


def _only(value: Any) -> Any:
    """The number of which a pair has two, else the value."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _conv(kind: str) -> Callable[[Any, Any, Shape], Any]:
    return lambda nn, own, shape: getattr(nn, kind)(
        shape[0],
        own.out_channels,
        own.kernel_size,
        own.stride,
        own_padding(own, shape),
        own.dilation,
        own.groups,
        own.bias,
    )


def _conv_transpose(kind: str) -> Callable[[Any, Any, Shape], Any]:
    return lambda nn, own, shape: getattr(nn, kind)(
        shape[0],
        own.out_channels,
        own.kernel_size,
        own.stride,
        own_padding(own, shape),
        own.output_padding,
        own.groups,
        own.bias,
        own.dilation,
    )


def _max_pool(kind: str) -> Callable[[Any, Any, Shape], Any]:
    return lambda nn, own, shape: getattr(nn, kind)(
        own.kernel_size, own.stride, own_padding(own, shape), own.dilation, ceil_mode=own.ceil_mode
    )


def _avg_pool(kind: str) -> Callable[[Any, Any, Shape], Any]:
    return lambda nn, own, shape: getattr(nn, kind)(
        own.kernel_size, own.stride, own_padding(own, shape), own.ceil_mode, own.count_include_pad
    )


def _resized(nn: Any, own: Upsample, shape: Shape) -> Any:
    scale = own.scales(shape)
    aligned = None if own.mode == "nearest" else own.align_corners
    factor = scale[0] if len(set(scale)) == 1 else scale
    return nn.Upsample(scale_factor=factor, mode=own.mode, align_corners=aligned)


# Our layer -> its module, given torch.nn, the layer and the shape of an input sample.
MODULES: dict[type[Layer], Callable[[Any, Any, Shape], Any]] = {
    Conv2d: _conv("Conv2d"),
    Conv1d: _conv("Conv1d"),
    ConvTranspose2d: _conv_transpose("ConvTranspose2d"),
    ConvTranspose1d: _conv_transpose("ConvTranspose1d"),
    Upsample: _resized,
    MaxPool2d: _max_pool("MaxPool2d"),
    MaxPool1d: _max_pool("MaxPool1d"),
    AvgPool2d: _avg_pool("AvgPool2d"),
    AvgPool1d: _avg_pool("AvgPool1d"),
    GlobalAvgPool2d: lambda nn, own, shape: nn.AdaptiveAvgPool2d(1),
    GlobalAvgPool1d: lambda nn, own, shape: nn.AdaptiveAvgPool1d(1),
    GlobalMaxPool2d: lambda nn, own, shape: nn.AdaptiveMaxPool2d(1),
    GlobalMaxPool1d: lambda nn, own, shape: nn.AdaptiveMaxPool1d(1),
    AdaptiveAvgPool2d: lambda nn, own, shape: nn.AdaptiveAvgPool2d(own.output_size),
    AdaptiveAvgPool1d: lambda nn, own, shape: nn.AdaptiveAvgPool1d(own.output_size),
    BatchNorm2d: lambda nn, own, shape: nn.BatchNorm2d(shape[0], own.eps, own.momentum),
    BatchNorm1d: lambda nn, own, shape: nn.BatchNorm1d(shape[0], own.eps, own.momentum),
    GroupNorm: lambda nn, own, shape: nn.GroupNorm(own.num_groups, shape[0], own.eps),
    InstanceNorm2d: lambda nn, own, shape: nn.InstanceNorm2d(shape[0], own.eps, affine=own.affine),
    InstanceNorm1d: lambda nn, own, shape: nn.InstanceNorm1d(shape[0], own.eps, affine=own.affine),
    LayerNorm: lambda nn, own, shape: nn.LayerNorm(shape, own.eps),
    Dropout: lambda nn, own, shape: nn.Dropout(own.p),
    SpatialDropout2d: lambda nn, own, shape: nn.Dropout2d(own.p),
    SpatialDropout1d: lambda nn, own, shape: nn.Dropout1d(own.p),
    Flatten: lambda nn, own, shape: nn.Flatten(),
    Dense: lambda nn, own, shape: nn.Linear(shape[0], own.out_features, own.bias),
    ReLU: lambda nn, own, shape: nn.ReLU(),
    LeakyReLU: lambda nn, own, shape: nn.LeakyReLU(own.negative_slope),
    PReLU: lambda nn, own, shape: nn.PReLU(shape[0] if own.per_channel else 1, own.init),
    ReLU6: lambda nn, own, shape: nn.ReLU6(),
    ELU: lambda nn, own, shape: nn.ELU(own.alpha),
    SiLU: lambda nn, own, shape: nn.SiLU(),
    GELU: lambda nn, own, shape: nn.GELU(own.approximate),
    Hardswish: lambda nn, own, shape: nn.Hardswish(),
    Hardsigmoid: lambda nn, own, shape: nn.Hardsigmoid(),
    Softplus: lambda nn, own, shape: nn.Softplus(),
    Sigmoid: lambda nn, own, shape: nn.Sigmoid(),
    Tanh: lambda nn, own, shape: nn.Tanh(),
    Softmax: lambda nn, own, shape: nn.Softmax(1),
}


def module_of(nn: Any, name: str, layer: Layer, input_shape: Shape) -> Any:
    """The module of torch.nn that computes what a layer does.

    Raises
    ------
    ValueError
        If there is none; the message says where the layer is.
    """
    make = entry_of(MODULES, layer)
    if make is not None:
        return make(nn, layer, input_shape)
    raise ValueError(f"layer {name}: {layer.call()} has no counterpart in PyTorch")
