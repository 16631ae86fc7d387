"""What is read of an ONNX graph: one node, and the chain of layers so far."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.conv import Conv2d
from ...nn.dense import Dense
from ...nn.dropout import Dropout
from ...nn.layer import Arrays, Layer, Shape
from ...nn.pool import AvgPool2d, MaxPool2d
from ...nn.shape import Flatten
from .layout import CHANNELS_FIRST, CHANNELS_LAST, feature_order, here, in_file, transposed

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)
NO_PADS: Pads = ((0, 0), (0, 0))
DTYPES = {1: "float32", 11: "float64"}  # of TensorProto.DataType
OPEN_BATCH = 1_000_003  # stands for the batch in shapes that are worked out, where the file leaves it open
# Layers that take numbers one by one, in whatever order.
ONE_BY_ONE = (ReLU, LeakyReLU, Sigmoid, Tanh, Dropout)


class Node:
    """A node of the graph: its attributes as Python values, its inputs as arrays where they are constant."""

    def __init__(self, onnx: Any, proto: Any, opset: int, constants: Arrays) -> None:
        self.kind, self.domain, self.opset = proto.op_type, proto.domain, opset
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self._name = proto.name or (proto.output[0] if proto.output else "")
        self._constants = constants

    def __str__(self) -> str:
        return f"{self._name!r} ({self.kind})"

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute; texts as str."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def must_be(self, name: str, *allowed: Any) -> None:
        """Raise ValueError unless an attribute is absent or one of `allowed`."""
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise ValueError(f"`{name}` must be {' or '.join(map(repr, allowed))}, got {value!r}")

    def decimal(self, name: str, default: float) -> Decimal:
        """A number that was rounded to float32, as the shortest decimal that is rounded to the same."""
        return Decimal(str(np.float32(self.get(name, default))))

    def pair(self, name: str, default: Shape | None = None) -> Shape:
        """An attribute of two ints, for height and width."""
        value = self.get(name, default)
        if value is None or len(value) != 2:
            raise ValueError(f"`{name}` must be two ints, got {value}")
        return tuple(value)

    def has(self, number: int) -> bool:
        """Whether there is an input `number`."""
        return number < len(self.inputs) and self.inputs[number] != ""

    def constant(self, number: int) -> NDArray[Any]:
        """Input `number`, which must be there and be constant."""
        if not self.has(number) or self.inputs[number] not in self._constants:
            raise ValueError(f"its input {number} must be a constant")
        return self._constants[self.inputs[number]]

    def weights(self, number: int) -> NDArray[Any]:
        """Input `number`, constant floating-point numbers."""
        array = self.constant(number)
        if array.dtype not in (np.float32, np.float64):
            raise ValueError(f"its input {number} must be of float32 or float64, got {array.dtype}")
        return array

    def scalar(self, number: int) -> float:
        """Input `number`, one number."""
        array = self.weights(number)
        if array.size != 1:
            raise ValueError(f"its input {number} must be one number, got an array of shape {array.shape}")
        return float(array.reshape(()))

    def axes(self) -> list[int]:
        """The axes of a ReduceMean, Squeeze or Unsqueeze: an attribute in older opsets, later an input."""
        found = self.constant(1) if self.has(1) else self.get("axes", [])
        return [int(axis) for axis in found]


def pads_around(layer: Layer, shape: Shape) -> Pads:
    """The padding of a convolution or a pooling of images of a shape; none of any other layer."""
    return layer.pads(shape) if isinstance(layer, (Conv2d, MaxPool2d, AvgPool2d)) else NO_PADS


class Chain:
    """The layers read so far, and what they make.

    Attributes
    ----------
    layers : list
    arrays : dict
        "0.weight", ... -> array.
    input_shape, shape : tuple
        Of one sample before the first and after the last layer.
    batch : int
        Samples in a batch; OPEN_BATCH if that is left open.
    size : int
        Bytes of all arrays; one that several layers share counts, as it is copied, for each of them.
    largest : int
        Numbers of the largest value on the way, padding included.
    input_axes, axes : tuple
        Which of our axes each axis of the file is, in the input and after the last layer.
    start : pair of arrays, or None
        What the input is multiplied with, and what is added then.
    log_softmax : bool
        Whether the file goes on with a LogSoftmax, which is no layer here.
    """

    def __init__(self, input_shape: Shape, batch: int) -> None:
        self.layers: list[Layer] = []
        self.arrays: Arrays = {}
        self.input_shape = self.shape = input_shape
        self.batch, self.size, self.largest = batch, 0, math.prod(input_shape)
        self.input_axes = self.axes = CHANNELS_FIRST
        self.log_softmax = False
        self.start: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._waits = False  # whether the start is still to come
        self._pad: tuple[Pads, float] | None = None
        self._order: NDArray[np.int64] | None = None  # of features that were flattened with channels last

    def append(self, layer: Layer, **arrays: NDArray[Any] | None) -> None:
        """Add a layer that takes the arrays so far; parameters that are None it does not have."""
        self.no_pad()
        if self.log_softmax:
            raise ValueError("a LogSoftmax before it is supported at the end only")
        if self._waits:
            arrays = self._begin(layer, arrays)
        layer, arrays = self._in_our_order(layer, arrays)
        shape = layer.output_shape(self.shape)
        if math.prod(shape) > 2**31 - 1:
            raise ValueError(f"its output of shape {shape} is too large")
        if len(self.shape) == 3:
            self._count_padded(pads_around(layer, self.shape))
        self.largest = max(self.largest, math.prod(shape))
        wanted = dict(layer.parameter_shapes(self.shape))
        wanted |= {name: a.shape for name, a in layer.initial_statistics(self.shape).items()}
        given = {name: array for name, array in arrays.items() if array is not None}
        for name, size in wanted.items():
            if name not in given or given[name].shape != size:
                found = given[name].shape if name in given else "none"
                raise ValueError(f"its {name} must have shape {size}, got {found}")
            self.arrays[f"{len(self.layers)}.{name}"] = given[name]
            self.size += given[name].nbytes
        self.layers.append(layer)
        self.shape = shape

    def start_with(self, scale: NDArray[Any] | None, shift: NDArray[Any] | None) -> None:
        """Multiply the input with one number, or add one, before anything else."""
        one = np.ones((), (scale if scale is not None else shift).dtype)  # type: ignore[union-attr]
        before, added = self.start or (one, 0 * one)
        scale, shift = (one if scale is None else scale), (0 * one if shift is None else shift)
        self.start, self._waits = (before * scale, added * scale + shift), True

    def _begin(self, layer: Layer, arrays: dict[str, NDArray[Any] | None]) -> dict[str, NDArray[Any] | None]:
        """Put the start before the first layer: as one of images, or into the weights of a dense layer."""
        assert self.start is not None
        scale, shift = self.start
        self._waits = False
        if len(self.shape) == 3:
            channels = np.ones(self.shape[0], scale.dtype)
            self.append_by_channel(channels * scale, channels * shift if shift else None)
            return arrays
        weight = arrays.get("weight")
        if not isinstance(layer, Dense) or weight is None or shift:
            raise ValueError(
                "features that are scaled at the beginning are supported before a dense layer only"
            )
        return {**arrays, "weight": weight * scale}

    def append_by_channel(self, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        """Multiply each channel of images with a weight, and add one to it."""
        axes, self.axes = self.axes, CHANNELS_FIRST
        count = len(weight)
        layer = Conv2d(count, 1, groups=count, bias=bias is not None)
        self.append(layer, weight=weight.reshape(count, 1, 1, 1), bias=bias)
        self.axes = axes

    def _in_our_order(
        self, layer: Layer, arrays: dict[str, NDArray[Any] | None]
    ) -> tuple[Layer, dict[str, NDArray[Any] | None]]:
        """A layer as it has to be where the file's order of axes or features is not ours."""
        if isinstance(layer, ONE_BY_ONE):
            return layer, arrays
        if isinstance(layer, Flatten) and len(self.shape) == 3:
            self._order, self.axes = feature_order(self.shape, self.axes), CHANNELS_FIRST
        elif isinstance(layer, Dense) and self._order is not None:
            weight = arrays["weight"]
            if weight is not None and weight.shape[1:] == self._order.shape:
                ours = np.empty_like(weight)
                ours[:, self._order] = weight
                arrays = {**arrays, "weight": ours}
            self._order = None
        else:
            self.check_order()
        return layer, arrays

    def check_order(self) -> None:
        """Raise ValueError if the value has another order of axes or features than here."""
        if self._order is not None or (len(self.shape) == 3 and self.axes != CHANNELS_FIRST):
            raise ValueError(
                "what it takes has the channels last, which is supported up to a dense layer only"
            )

    def transpose(self, perm: Shape) -> None:
        """The value with its axes in another order; at the very beginning it tells that of the input."""
        self.no_pad()
        if len(self.shape) == 1:
            kept = tuple(perm) == (0, 1)
        else:
            kept = self._go_on_with(transposed(self.axes, perm)) or (
                self._may_turn() and self._go_on_with(transposed(CHANNELS_LAST, perm), CHANNELS_LAST)
            )
        if not kept:
            raise ValueError(f"only (N, H, W, C) to (N, C, H, W) and back is supported, got {list(perm)}")

    def _may_turn(self) -> bool:
        """Whether the input may still be one with the channels last."""
        return not self.layers and self.axes == self.input_axes == CHANNELS_FIRST

    def reshape(self, target: Sequence[int]) -> None:
        """The value as `target` has it, with the batch first: flattened, or with an axis of 1 moved."""
        self.no_pad()
        batch = {-1, 0, self.batch}
        size = math.prod(self.shape)
        if target[:1] and target[0] in batch and len(target) == 2 and target[1] in (-1, size):
            if len(self.shape) > 1:
                self.append(Flatten())
            return
        if len(target) == 4 and target[0] in batch and len(self.shape) == 3:
            now = in_file(self.shape, self.axes)
            sizes = [n or now[k] for k, n in enumerate(target[1:])]
            if sizes.count(-1) == 1:
                sizes[sizes.index(-1)] = -size // math.prod(sizes)
            if self._moves_one(sizes):
                return
        raise ValueError(f"only a Reshape to (N, features) is supported, got {list(target)}")

    def _moves_one(self, target: Sequence[int]) -> bool:
        """Whether the value gets this shape by moving an axis of 1 only, which is a Transpose too."""
        now = in_file(self.shape, self.axes)
        if tuple(target) == now:
            return True
        starts = [self.axes]
        if self._may_turn():
            starts.append(CHANNELS_LAST)  # the input may be so
        for start in starts:
            shape = here(now, start)
            for axes in (CHANNELS_FIRST, CHANNELS_LAST):
                still = shape[0] == 1 or shape[1:] == (1, 1)
                if axes != start and still and in_file(shape, axes) == tuple(target):
                    return self._go_on_with(axes, start)
        return False

    def _go_on_with(self, axes: Shape, start: Shape | None = None) -> bool:
        """Take the order `axes` if it is one of those there are, and `start` for the order of the input."""
        if axes not in (CHANNELS_FIRST, CHANNELS_LAST):
            return False
        if start is not None and start != self.axes:
            self.input_shape = self.shape = here(self.shape, start)
            self.input_axes = start
        self.axes = axes
        return True

    def hold_pad(self, pads: Pads, value: float) -> None:
        """Keep a padding for the layer that comes next."""
        self.no_pad()
        self._pad = pads, value
        self._count_padded(pads)

    def _count_padded(self, pads: Pads) -> None:
        (top, bottom), (left, right) = pads
        channels, height, width = self.shape
        self.largest = max(self.largest, channels * (top + height + bottom) * (left + width + right))

    def take_pad(self, allowed: Callable[[float], bool]) -> Pads:
        """The padding that a Pad before this layer put there, if its value is the layer's own."""
        if self._pad is None:
            return NO_PADS
        (pads, value), self._pad = self._pad, None
        if not allowed(value):
            raise ValueError(f"a Pad of {value} before it is not supported")
        return pads

    def no_pad(self) -> None:
        """Raise ValueError if a Pad still waits for its layer."""
        if self._pad is not None:
            raise ValueError("a Pad is supported only just before a Conv, MaxPool or AveragePool")

    def add_bias(self, bias: NDArray[Any]) -> None:
        """Give the last layer, a Dense or Conv2d without one, its bias."""
        self.no_pad()
        layer = self.layers[-1] if self.layers else None
        if not isinstance(layer, (Dense, Conv2d)) or layer.bias:
            raise ValueError("an Add is supported only as the bias of a layer without one")
        full = self.per_channel(bias, "adds")
        self.layers[-1] = replace(layer, bias=True)
        self.arrays[f"{len(self.layers) - 1}.bias"] = full

    def per_channel(self, array: NDArray[Any], verb: str) -> NDArray[Any]:
        """A constant as one number for each channel or feature of the value.

        Broadcasting counts from the last axis: (O,) of features, (O, 1, 1) of images, or one number.
        """
        needed = in_file((self.shape[0], *(1,) * (len(self.shape) - 1)), self.axes)
        try:
            same = array.reshape(array.shape[-len(needed) :] if array.ndim else ())
            return np.broadcast_to(same, needed).reshape(-1)
        except ValueError:
            raise ValueError(f"it {verb} an array of shape {array.shape}, expected {needed}") from None

    def two_classes(self) -> None:
        """Make the Sigmoid at the end, of whose output p a file makes (1 - p, p), a Softmax of two."""
        dense = self.layers[-2] if len(self.layers) > 1 else None
        if not isinstance(self.layers[-1], Sigmoid) or self.shape != (1,) or not isinstance(dense, Dense):
            raise ValueError("two classes of one output are supported only after a dense layer and a Sigmoid")
        # 1 / (1 + exp(-z)) is the second of softmax(0, z).
        self.layers[-2:] = [replace(dense, out_features=2), Softmax()]
        for name, array in self.arrays.items():
            if name.startswith(f"{len(self.layers) - 2}."):
                self.arrays[name] = np.concatenate([np.zeros_like(array), array])
        self.shape = (2,)
