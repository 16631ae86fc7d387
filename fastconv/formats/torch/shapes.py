"""Changes of shape and branches, from torch.fx's calls."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...nn.activations import Sigmoid
from ...nn.curves import Hardsigmoid, Hardswish, SiLU
from ...nn.merge import Add, Concatenate
from ...nn.pool import MaxPool2d
from ...nn.signal import MaxPool1d
from .affine import affine, is_constant
from .readers import HINTS, reads, reads_module
from .windows import cut, windowed
from .wires import SAMPLES, NoCounterpart, Site, Wire

# Branches


@reads("add", "iadd", "add_")
def add(site: Site, x: Any, other: Any, *, alpha: float = 1) -> Wire:
    if alpha != 1:
        raise ValueError(f"`alpha` must be 1, got {alpha}")
    for value, constant in ((x, other), (other, x)):
        if isinstance(value, Wire) and is_constant(constant):
            return affine(site, value, shift=constant)
    if not isinstance(x, Wire) or not isinstance(other, Wire):
        raise NoCounterpart("values are added to values and constants")
    if x.shape != other.shape:
        raise NoCounterpart(f"shapes must be the same, got {x.shape} and {other.shape}")
    return site.join(Add(), [x, other], inplace=site.works_in_place)


@reads("cat", "concat", "concatenate")
def cat(site: Site, tensors: Sequence[Any], dim: int = 0) -> Wire:
    wires = list(tensors)
    if not all(isinstance(wire, Wire) for wire in wires):
        raise NoCounterpart("values are joined with values, not with constants")
    axis = dim % (len(wires[0].shape) + 1)
    if axis != 1:
        raise NoCounterpart(f"values are joined along their channels, `dim` 1, got {dim}")
    return wires[0] if len(wires) == 1 else site.join(Concatenate(), wires)


@reads("mul", "imul", "mul_")
def mul(site: Site, x: Any, other: Any) -> Wire:
    """x * sigmoid(x), x * hardsigmoid(x), and a scale by a constant."""
    for one_of, rest in ((x, other), (other, x)):
        if isinstance(one_of, Wire) and is_constant(rest):
            return affine(site, one_of, scale=rest)
        if isinstance(one_of, Wire) and isinstance(rest, Wire) and one_of.shape == rest.shape:
            call = site.reading.call(rest.cell[0])
            gates = {Sigmoid(): SiLU(), Hardsigmoid(): Hardswish()}
            if call is not None and call.inputs == (one_of.cell[0],) and call.layer in gates:
                return site.layer(gates[call.layer], one_of, inplace=site.works_in_place)
    raise NoCounterpart(HINTS["mul"])


# Shapes


@reads("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as", "ravel")
def shaped(site: Site, x: Wire, *sizes: Any, **others: Any) -> Wire:
    return site.reshaped(x)


@reads_module("Flatten", "Unflatten")
def _shape_module(site: Site, module: Any, x: Wire) -> Wire:
    return site.reshaped(x)


@reads("permute")
def permute(site: Site, x: Wire, *dims: Any) -> Wire:
    order = dims[0] if isinstance(dims[0], (list, tuple)) else dims
    sizes = (SAMPLES, *x.shape)
    moved = [axis % len(sizes) for axis in order]
    large = [axis for axis in moved if sizes[axis] != 1]
    if large != sorted(large) or moved[0] != 0:
        raise NoCounterpart(HINTS["permute"])
    return site.reshaped(x)


@reads("transpose", "swapaxes", "swapdims")
def transpose(site: Site, x: Wire, first: int, second: int) -> Wire:
    order = list(range(len(x.shape) + 1))
    order[first], order[second] = order[second], order[first]
    return permute(site, x, order)


@reads("getitem")
def getitem(site: Site, x: Wire, index: Any) -> Wire:
    """x[:, :, 0, 0] of one pixel, x[:, :, ::2, ::2], and x[..., :-2] of what a convolution makes."""
    if tuple(site.made.shape)[:1] == (SAMPLES,) and site.made.numel() == SAMPLES * math.prod(x.shape):
        return site.reshaped(x)
    parts = index if isinstance(index, tuple) else (index,)
    place = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    after = parts[place + 1 :]
    parts = (*parts[:place], *[slice(None)] * (len(x.shape) + 1 - place - len(after)), *after)
    sizes = (SAMPLES, *x.shape)
    if len(sizes) > 2 and len(parts) == len(sizes) and all(isinstance(part, slice) for part in parts):
        spans = [part.indices(size) for part, size in zip(parts, sizes, strict=True)]
        whole = [span[:2] == (0, size) for span, size in zip(spans, sizes, strict=True)]
        steps = [step for _, _, step in spans]
        if all(whole[:2]) and steps[:2] == [1, 1]:
            if all(whole):
                pool = MaxPool2d(1, tuple(steps[2:])) if len(steps) == 4 else MaxPool1d(1, steps[2])
                return windowed(site, pool, x)
            if set(steps) == {1}:
                return cut(site, x, [span[:2] for span in spans[2:]])
    raise NoCounterpart(HINTS["getitem"])


@reads("contiguous", "detach", "float", "double", "half", "bfloat16", "to", "type", "type_as", "cpu", "cuda",
       "requires_grad_", "alias", "positive", "pos")  # fmt: skip
def unchanged(site: Site, x: Wire, *others: Any, **settings: Any) -> Wire:
    return x


@reads("clone")
def clone(site: Site, x: Wire, *, memory_format: Any = None) -> Wire:
    return replace(x, cell=list(x.cell))
