"""Images and signals that are made larger, from and to ONNX."""

import numpy as np

from ...nn.layer import Shape
from ...nn.resize import Upsample
from .functions import DOMAIN, FUNCTIONS
from .graph import Graph, as_image
from .node import Node
from .pool import LARGEST_IMAGE
from .tables import reads, writes
from .value import Array, Value

# As ONNX calls our ways: where a new element lies among the old, and which of them a repeated one is.
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
CLOSE = 1e-6  # of places between elements: factors may have been rounded


@reads("Resize", "Upsample")
def read_resize(value: Value, node: Node) -> None:
    value.check_plain()
    where = value.positions()
    factors = _factors(value, node)
    ours = [1] * (len(value.shape) - 1)
    for axis, factor in enumerate(factors):
        k = where[axis]
        if k is not None:
            ours[k] = factor
        elif factor != 1:
            raise ValueError(f"signals have no axis {axis + 2} that could be made larger")
    node.must_be("exclude_outside", 0)
    mode, images = node.get("mode", "nearest"), len(ours) == 2
    layers = [Upsample(ours if images else ours[0])]
    if mode in ("linear", "bilinear"):
        name = "bilinear" if images else "linear"
        scale = ours if images else ours[0]
        layers = [Upsample(scale, name, align_corners=aligned) for aligned in (False, True)]
    elif mode != "nearest":
        raise ValueError(f"`mode` must be 'nearest' or 'linear', got {mode!r}")
    sizes = value.shape_in_file[1:]
    for layer in layers:
        pairs = zip(sizes, factors, strict=True)
        if all(_same_places(node, layer, size, factor) for size, factor in pairs if factor > 1):
            value.append(layer)
            value.set_positions(where)
            return
    ways = {name: node.get(name) for name in ("coordinate_transformation_mode", "nearest_mode")}
    raise ValueError(f"where its elements lie has no counterpart, got {ways} with `mode` {mode!r}")


def _factors(value: Value, node: Node) -> list[int]:
    """How many times as large each axis of positions becomes: whole numbers."""
    rank, shape = len(value.shape_in_file) + 1, value.shape_in_file
    axes = [int(axis) % rank for axis in node.get("axes", range(rank))]
    node.must_be("keep_aspect_ratio_policy", "stretch")
    if node.domain != DOMAIN and node.has(3) and node.constant(3).size:
        sizes = dict(zip(axes, node.constant(3).reshape(-1).tolist(), strict=True))
        found = {axis: n / shape[axis - 1] if axis else 1.0 for axis, n in sizes.items()}
    else:
        last = 1 if node.kind == "Upsample" or node.opset < 11 else 2
        scales = node.get("scales") if node.get("scales") is not None else node.constant(last).reshape(-1)
        found = dict(zip(axes, (float(n) for n in scales), strict=True))
    factors = [found.get(axis, 1.0) for axis in range(rank)]
    if any(factor != 1 for factor in factors[:2]) or any(not f >= 1 or f != f // 1 for f in factors):
        raise ValueError(f"only whole factors of lines and columns are supported, got {factors}")
    made = [n * int(factor) for n, factor in zip(shape[1:], factors[2:], strict=True)]
    if max(made) > LARGEST_IMAGE:
        raise ValueError(f"it makes images of {made} elements, supported are up to {LARGEST_IMAGE} a side")
    return [int(factor) for factor in factors[2:]]


def _same_places(node: Node, layer: Upsample, size: int, factor: int) -> bool:
    """Whether the file takes each new element along an axis from where the layer does."""
    default = "half_pixel" if node.kind == "Resize" and node.opset >= 11 else "asymmetric"
    way = node.get("coordinate_transformation_mode", default)
    new = np.arange(size * factor)
    places = {
        "half_pixel": (new + 0.5) / factor - 0.5,
        "half_pixel_symmetric": (new + 0.5) / factor - 0.5,
        "pytorch_half_pixel": (new + 0.5) / factor - 0.5,
        "asymmetric": new / factor,
        "align_corners": new * (size - 1) / (size * factor - 1),
    }.get(way)
    if places is None:
        return False
    if layer.mode == "nearest":
        rounding = node.get("nearest_mode", "round_prefer_floor" if default == "half_pixel" else "floor")
        rounded = {
            "floor": np.floor(places + CLOSE),
            "ceil": np.ceil(places - CLOSE),
            "round_prefer_floor": np.ceil(places - 0.5 - CLOSE),
            "round_prefer_ceil": np.floor(places + 0.5 + CLOSE),
        }.get(rounding)
        return rounded is not None and np.array_equal(np.clip(rounded, 0, size - 1), new // factor)
    return np.allclose(np.clip(places, 0, size - 1), _places(layer, size, factor), rtol=0, atol=CLOSE)


def _places(layer: Upsample, size: int, factor: int) -> Array:
    """Where each new element lies among `size` old ones."""
    new = np.arange(size * factor)
    if layer.mode == "nearest":
        return new // factor
    if layer.align_corners:
        return new * ((size - 1) / max(1, size * factor - 1))
    return np.clip((new + 0.5) / factor - 0.5, 0, size - 1)


# Of float64, of which ONNX Runtime has none: each line of `down`, and column of `across`, holds the shares of
# the old elements in a new one.
FUNCTIONS["Resize"] = (
    ["X", "roi", "scales", "down", "across"],
    ["mode", "coordinate_transformation_mode", "nearest_mode"],
    (("MatMul", ["X", "across"], ["columns"], {}), ("MatMul", ["down", "columns"], ["Y"], {})),
)


@writes(Upsample)
def write_upsample(graph: Graph, layer: Upsample, below: Shape, above: Shape) -> None:
    flat = len(below) == 2
    size, scale = as_image(below)[1:], (1,) * flat + layer.scales(below)
    way = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "floor"}
    if layer.align_corners:
        way["coordinate_transformation_mode"] = "align_corners"
    way = NEAREST if layer.mode == "nearest" else way
    with graph.images(flat):  # since lines of three axes not all programs know
        roi = graph.constant("roi", np.zeros(0, graph.dtype))
        scales = graph.constant("scales", np.array([1, 1, *scale], np.float32))
        if not graph.double:
            graph.add("Resize", roi, scales, **way)
            return
        down, across = (_shares(layer, n, k) for n, k in zip(size, scale, strict=True))
        tables = graph.constant("down", down), graph.constant("across", across.T)
        graph.add("Resize", roi, scales, *tables, domain=DOMAIN, **way)


def _shares(layer: Upsample, size: int, factor: int) -> Array:
    """Line i: the share of each of `size` elements in the new element i."""
    places = _places(layer, size, factor)
    before = np.minimum(np.floor(places).astype(int), size - 1)
    after, part = np.minimum(before + 1, size - 1), places - before
    shares = np.zeros((size * factor, size))
    np.add.at(shares, (np.arange(size * factor), before), 1 - part)
    np.add.at(shares, (np.arange(size * factor), after), part)
    return shares
