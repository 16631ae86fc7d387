"""Convolutions, pools and means over positions, with the padding before them, from torch.fx's calls."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...nn.conv import Conv2d
from ...nn.conv_transpose import ConvTranspose1d, ConvTranspose2d
from ...nn.layer import Layer, Shape
from ...nn.pool import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from ...nn.resize import Upsample
from ...nn.signal import AvgPool1d, Conv1d, GlobalAvgPool1d, MaxPool1d
from ...nn.signal_channels import AdaptiveAvgPool1d, GlobalMaxPool1d
from .affine import affine, is_constant
from .modules import PADDED, TRANSPOSED, one, pads_of
from .readers import HINTS, reads, reads_module, weights
from .wires import Constant, NoCounterpart, Site, ValuesAndPlaces, Wire

LOWEST = -3.4028234663852886e38  # of float32: what padding for a maximum may be, beside -infinity


def windowed(
    site: Site, layer: Layer, x: Wire, tensor: Callable[[str], Any] | None = None, inplace: bool = False
) -> Wire:
    """What a layer makes of a wire: padding that is kept with it becomes the layer's own, if it can be."""
    if x.pads and isinstance(layer, PADDED):
        try:
            layer = _padded(site, layer, x)
            x = Wire(x.cell, site.reading.shapes[x.cell[0]])
        except ValueError:  # the layer's own padding is another, or has limits
            if x.fill != 0:
                raise
            x = Wire([site.reading.value(x, site.scope)], x.shape)
    return site.layer(layer, x, tensor, inplace)


def _padded(site: Site, layer: Any, x: Wire) -> Layer:
    """The layer, with the padding of a wire beside its own."""
    own = pads_of(layer, x.shape)
    pads = [(a + c, b + d) for (a, b), (c, d) in zip(own, x.pads, strict=True)]
    kind = type(layer).__name__
    if isinstance(layer, (MaxPool1d, MaxPool2d)):
        if x.fill > LOWEST and not (x.fill == 0 and site.reading.is_positive(x.cell[0])):
            raise ValueError(f"F.pad before a {kind} must be with -inf, got {x.fill:g}")
        return _padded_maximum(site, layer, pads, site.reading.shapes[x.cell[0]])
    if x.fill != 0:
        raise ValueError(f"F.pad before a {kind} must be with 0, got {x.fill:g}")
    if isinstance(layer, (AvgPool1d, AvgPool2d)):
        if not layer.count_include_pad and any(map(any, own)):
            raise ValueError("`count_include_pad` must be True where F.pad comes before it, got False")
        return replace(layer, padding=_setting(pads), count_include_pad=True)
    return replace(layer, padding=_setting(pads))


def _padded_maximum(site: Site, layer: Any, pads: list[tuple[int, int]], below: Shape) -> Layer:
    """A pool whose windows begin where the padding does; at the end, what pads is no maximum of any."""
    kernel = layer.kernel_size if len(pads) == 2 else (layer.kernel_size,)
    shorter = [(before, min(end, k // 2)) for (before, end), k in zip(pads, kernel, strict=True)]
    refused: Exception = ValueError("F.pad before it makes windows that its own padding does not")
    for padding in (_setting(pads), _setting(shorter), "same", "same_lower"):
        for ceil_mode in (layer.ceil_mode, not layer.ceil_mode):
            try:
                pool: Layer = replace(layer, padding=padding, ceil_mode=ceil_mode)
            except ValueError as error:
                refused = error
                continue
            begins = [before for before, _ in pads_of(pool, below)] == [before for before, _ in pads]
            if begins and pool.output_shape(below) == tuple(site.made.shape)[1:]:
                return pool
    raise refused


def _setting(pads: Sequence[tuple[int, int]]) -> Any:
    """(before, after) along each axis as the padding of a layer."""
    return tuple(pads) if len(pads) == 2 else pads[0]


def cut(site: Site, x: Wire, spans: Sequence[tuple[int, int]]) -> Wire:
    """The positions of a convolution from first to end along each axis: less of its padding makes no more,
    and the padding of a transposed one cuts off.
    """
    call = site.reading.call(x.cell[0])
    if call is None or not isinstance(call.layer, (Conv1d, Conv2d, *TRANSPOSED)) or x.pads:
        raise NoCounterpart(HINTS["getitem"])
    below = site.reading.shapes[call.inputs[0]]
    steps = call.layer.stride if isinstance(call.layer.stride, tuple) else (call.layer.stride,)
    if isinstance(call.layer, TRANSPOSED):
        steps = (-1,) * len(steps)
    axes = zip(pads_of(call.layer, below), steps, spans, x.shape[1:], strict=True)
    pads = [(a - first * step, b - (size - end) * step) for (a, b), step, (first, end), size in axes]
    if min(map(min, pads)) < 0:
        raise NoCounterpart("of what a convolution makes only as much can be cut off as its padding adds")
    layer: Layer = replace(call.layer, padding=_setting(pads))
    layer = site.reading.cut.setdefault((call.name, layer), layer)  # one for all places that share it
    return Wire([site.reading.add(call.name, layer, call.inputs)], tuple(site.made.shape)[1:])


@reads("pad")
def pad(site: Site, x: Wire, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Wire:
    if mode != "constant":
        raise ValueError(f'`mode` must be "constant", got {mode!r}')
    axes = [tuple(pad[k : k + 2]) for k in range(0, len(pad), 2)][::-1]  # PyTorch's begin with the last
    missing = len(x.shape) - 1 - len(axes)
    if missing < 0 and any(map(any, axes[:-missing])):
        raise NoCounterpart("a branch has as many channels as its layers make; a Conv of size 1 makes more")
    pads = ((0, 0),) * missing + tuple(axes[max(0, -missing) :])
    if max(map(max, pads)) <= 0 and min(map(min, pads)) < 0:
        sizes = zip(pads, x.shape[1:], strict=True)
        return cut(site, x, [(-before, size + after) for (before, after), size in sizes])
    if min(map(min, pads)) < 0:
        raise NoCounterpart("it cuts off at one end and pads at the other")
    fill = float(value or 0.0)
    if not any(map(any, pads)):
        return x
    if x.pads and x.fill != fill:
        raise ValueError(f"F.pad with {fill:g} of what was padded with {x.fill:g} is not supported")
    before = x.pads or ((0, 0),) * len(pads)
    both = tuple((a + c, b + d) for (a, b), (c, d) in zip(before, pads, strict=True))
    if not x.pads and site.reading.shapes[x.cell[0]] != x.shape:
        raise ValueError("a change of shape before it is supported to features only")
    return Wire(x.cell, tuple(site.made.shape)[1:], both, fill)


@reads_module("ZeroPad1d", "ZeroPad2d", "ConstantPad1d", "ConstantPad2d")
def _pad_module(site: Site, module: Any, x: Wire) -> Wire:
    return pad(site, x, module.padding, "constant", getattr(module, "value", 0.0))


@reads("conv1d", "conv2d")
def conv(
    site: Site,
    input: Wire,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Wire:
    tensor = weights(site, weight=weight, bias=bias)
    channels, _, *kernel = weight.tensor.shape
    size, step, around, gap = _along(len(kernel), kernel, stride, padding, dilation)
    settings: dict[str, Any] = {"stride": step, "padding": around, "dilation": gap, "groups": groups}
    layer = (Conv1d, Conv2d)[len(kernel) - 1](channels, size, bias=bias is not None, **settings)
    return windowed(site, layer, input, tensor)


@reads("conv_transpose1d", "conv_transpose2d")
def conv_transpose(
    site: Site,
    input: Wire,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Wire:
    tensor = weights(site, weight=weight, bias=bias)
    _, channels, *kernel = weight.tensor.shape
    size, step, around, more, gap = _along(len(kernel), kernel, stride, padding, output_padding, dilation)
    settings: dict[str, Any] = {"stride": step, "padding": around, "output_padding": more, "dilation": gap}
    kind = (ConvTranspose1d, ConvTranspose2d)[len(kernel) - 1]
    layer = kind(channels * groups, size, groups=groups, bias=bias is not None, **settings)
    return site.layer(layer, input, tensor)


@reads("interpolate", "upsample", "upsample_nearest", "upsample_bilinear")
def interpolate(
    site: Site,
    input: Wire,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Wire:
    """By how much the run made it larger, of sizes and factors alike."""
    asked = site.label.rpartition(".")[2]
    mode = mode or ("bilinear" if asked == "upsample_bilinear" else "nearest")
    aligned = asked == "upsample_bilinear" or bool(align_corners)
    if antialias or mode not in ("nearest", "nearest-exact", "linear", "bilinear"):
        raise ValueError(f'`mode` must be "nearest", "linear" or "bilinear", not antialiased, got {mode!r}')
    sizes = list(zip(tuple(site.made.shape)[2:], input.shape[1:], strict=True))
    if any(larger % small for larger, small in sizes):
        raise NoCounterpart(f"images become larger by whole factors, got {input.shape[1:]} to {sizes}")
    scale = tuple(larger // small for larger, small in sizes)
    if set(scale) == {1}:
        return input
    factor = scale if len(scale) == 2 else scale[0]
    return site.layer(Upsample(factor, mode.partition("-")[0], align_corners=aligned), input)


@reads_module("Upsample")
def _upsample_module(site: Site, module: Any, x: Wire) -> Wire:
    return interpolate(site, x, module.size, module.scale_factor, module.mode, module.align_corners)


def _along(axes: int, *settings: Any) -> list[Any]:
    """Settings as layers of signals (one axis) or images (two) take them."""
    return [one(value) if axes == 1 else _both(value) for value in settings]


def _both(value: Any) -> Any:
    """A setting of two axes as a pair or a text; PyTorch takes a list of one for both, too."""
    if isinstance(value, (list, tuple)):
        return tuple(value) * (2 if len(value) == 1 else 1)
    return value


def _axes(site: Site) -> int:
    """How many axes the windows of a called function have: its name says it, max_pool1d."""
    return 1 if site.called.endswith("1d") else 2


@reads("max_pool1d", "max_pool2d")
def max_pool(
    site: Site,
    input: Wire,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Wire:
    if return_indices:
        raise ValueError("`return_indices` must be False, got True")
    axes = _axes(site)
    kernel, step, around, gap = _along(axes, kernel_size, stride or None, padding, dilation)
    pool = (MaxPool1d, MaxPool2d)[axes - 1](kernel, step, around, gap, ceil_mode=ceil_mode)
    return windowed(site, pool, input)


@reads("avg_pool1d", "avg_pool2d")
def avg_pool(
    site: Site,
    input: Wire,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Wire:
    if divisor_override is not None:
        raise ValueError(f"`divisor_override` must be None, got {divisor_override!r}")
    axes = _axes(site)
    kernel, step, around = _along(axes, kernel_size, stride or None, padding)
    pool = (AvgPool1d, AvgPool2d)[axes - 1](kernel, step, around, ceil_mode, count_include_pad)
    return windowed(site, pool, input)


@reads("truediv", "div", "itruediv", "div_")
def divided(site: Site, x: Any, other: Any) -> Wire:
    """A scale by a constant; mean(x) / mean(1) of windows, which leaves out what is 0 there: the padding."""
    call = site.reading.call(x.cell[0]) if isinstance(x, Wire) else None
    if not isinstance(other, Constant) or call is None or not isinstance(call.layer, (AvgPool1d, AvgPool2d)):
        if isinstance(x, Wire) and is_constant(other):
            return affine(site, x, scale=_inverse(other))
        raise NoCounterpart(HINTS["div"])
    below = site.reading.shapes[call.inputs[0]]
    ones = np.ones((1, *below))
    wanted = call.layer.forward(ones, {}) / np.broadcast_to(other.tensor.cpu(), site.made.shape)[:1]
    pads = pads_of(call.layer, below)
    for ends in itertools.product(*(range(after, -1, -1) for _, after in pads)):
        padding = _setting([(before, end) for (before, _), end in zip(pads, ends, strict=True)])
        for ceil_mode, counted in itertools.product((False, True), (True, False)):
            pool = replace(call.layer, padding=padding, ceil_mode=ceil_mode, count_include_pad=counted)
            if pool.output_shape(below) == wanted.shape[1:] and np.allclose(pool.forward(ones, {}), wanted):
                return Wire([site.reading.add(site.reading.unused(call.name), pool, call.inputs)], x.shape)
    return affine(site, x, scale=_inverse(other))


def _inverse(constant: Any) -> Any:
    return Constant(1 / constant.tensor) if isinstance(constant, Constant) else 1 / constant


# Means over positions


@reads("adaptive_avg_pool1d", "adaptive_avg_pool2d")
def adaptive_avg_pool(site: Site, input: Wire, output_size: Any) -> Wire:
    sizes, asked = input.shape[1:], _both(output_size) if len(input.shape) == 3 else output_size
    asked = asked if isinstance(asked, (list, tuple)) else (asked,) * len(sizes)
    wanted = tuple(size if n is None else n for n, size in zip(asked, sizes, strict=True))
    if wanted == sizes:
        return input
    if set(wanted) == {1}:
        return site.layer(GlobalAvgPool2d() if len(sizes) == 2 else GlobalAvgPool1d(), input)
    return site.layer(AdaptiveAvgPool2d(wanted) if len(sizes) == 2 else AdaptiveAvgPool1d(wanted[0]), input)


@reads_module("AdaptiveAvgPool1d", "AdaptiveAvgPool2d")
def _adaptive_module(site: Site, module: Any, x: Wire) -> Wire:
    return adaptive_avg_pool(site, x, module.output_size)


@reads("adaptive_max_pool1d", "adaptive_max_pool2d")
def adaptive_max_pool(site: Site, input: Wire, output_size: Any, return_indices: bool = False) -> Wire:
    sizes = output_size if isinstance(output_size, (list, tuple)) else (output_size,)
    if set(sizes) != {1} or return_indices:
        raise ValueError(f"`output_size` must be 1, without indices, got {output_size!r}")
    return site.layer(GlobalMaxPool2d() if len(input.shape) == 3 else GlobalMaxPool1d(), input)


@reads("amax")
def amax(site: Site, input: Wire, dim: Any = (), keepdim: bool = False) -> Wire:
    kernel, own = _window(site, input, dim)
    if kernel == own[1:]:
        pool: Layer = GlobalMaxPool2d() if len(own) == 3 else GlobalMaxPool1d()
    else:
        pool = MaxPool2d(kernel)
    return site.layer(pool, Wire(input.cell, own))


@reads("max")
def largest(site: Site, input: Wire, dim: Any = None, keepdim: bool = False) -> ValuesAndPlaces:
    """x.max(2), of which the values are read; where they were found is no layer's outcome."""
    if not isinstance(dim, int):
        raise NoCounterpart("the largest numbers are taken over positions: x.amax((2, 3))")
    return ValuesAndPlaces(amax(replace(site, made=site.made[0]), input, dim, keepdim))


@reads("mean")
def mean(site: Site, input: Wire, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Wire:
    kernel, own = _window(site, input, dim)
    if kernel == own[1:]:
        pool: Layer = GlobalAvgPool2d() if len(own) == 3 else GlobalAvgPool1d()
    else:
        pool = AvgPool2d(kernel)
    return site.layer(pool, Wire(input.cell, own))


def _window(site: Site, input: Wire, dim: Any) -> tuple[Shape, Shape]:
    """(kernel, shape of the value) where all positions along some axes become one."""
    own = site.reading.shapes[input.cell[0]]
    rank = len(input.shape) + 1
    dims = dim if isinstance(dim, (list, tuple)) else (0 if dim is None else dim,)
    axes = {d % rank for d in dims or (0,)}
    aligned = own == input.shape + (1,) * (len(own) - len(input.shape)) and not input.pads
    if axes & {0, 1} or not aligned or len(own) == 1:
        raise NoCounterpart(
            "means are taken over positions, lines and columns, as x.mean((2, 3)); so are maxima"
        )
    return tuple(n if k in axes else 1 for k, n in enumerate(own[1:], start=2)), own
