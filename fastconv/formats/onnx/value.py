"""A value of an ONNX graph that is being read, and what layers make of it."""

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.conv import Conv2d
from ...nn.conv_transpose import ConvTranspose1d, ConvTranspose2d
from ...nn.curves import ELU, GELU, Hardsigmoid, Hardswish, ReLU6, SiLU, Softplus
from ...nn.dense import Dense
from ...nn.dropout import Dropout
from ...nn.layer import Arrays, Layer
from ...nn.shape import Flatten
from ...nn.signal import Conv1d
from .layout import Axes, channels_first, feature_order, order_of, regrouped
from .net import Net, Step
from .view import LAST, View

Array = NDArray[Any]
WEIGHTED = (Dense, Conv2d, Conv1d, ConvTranspose2d, ConvTranspose1d)
# Layers that take numbers one by one, in whatever order.
ONE_BY_ONE = (
    ReLU, LeakyReLU, Sigmoid, Tanh, Dropout, ReLU6, ELU, GELU, Hardsigmoid, Hardswish, SiLU, Softplus
)  # fmt: skip
FEATURES = "features that are scaled at the beginning are supported before a dense layer only"


class Value(View):
    """What is known of one value: where the network has it, and how the file does.

    Attributes
    ----------
    alone : bool
        Whether nothing else reads the network's value, so that the layer that makes it may be changed.
    order : array or None
        Feature of the file -> feature here, of features that were flattened with the channels last.
    start : pair of arrays, or None
        What an input is multiplied with, and what is added then, before anything else: numbers, or one for
        each feature.
    groups : int or None
        Into how many groups the file divides the channels at the moment.
    log_softmax : bool
        Whether the file has taken a LogSoftmax of it, which is no layer here.
    unplaced : str
        What to say if no layer comes that takes the start.
    complement : bool
        Whether the file has 1 - p for it, the other class of a binary classifier.
    """

    def __init__(self, net: Net, number: int) -> None:
        super().__init__(net, number)
        self.alone = True
        self.order: NDArray[np.int64] | None = None
        self.start: tuple[Array, Array] | None = None
        self.groups: int | None = None
        self.log_softmax = self.complement = False
        self.unplaced = ""

    def taken(self, alone: bool) -> "Value":
        """The value for a node to go on with; `alone` says whether it is the only one that reads it."""
        one = copy(self)
        one.alone = self.alone and alone
        return one

    @property
    def maker(self) -> Step | None:
        """The layer that makes it, if it may still be changed: else None."""
        return self.net.maker(self.number) if self.alone and self.start is None else None

    # Layers

    def append(self, layer: Layer, **arrays: Array | None) -> None:
        """Go on with what a layer makes of it; parameters that are None the layer does not have."""
        self.check_plain()
        given = {name: array for name, array in arrays.items() if array is not None}
        if self.start is not None:
            layer, given = self._begin(layer, given)
        if isinstance(layer, Dense) and self.order is not None:
            given = self._in_our_order(given)
        elif isinstance(layer, Flatten) and len(self.shape) > 1:
            self.order = feature_order(self.shape, self.axes)
        elif not isinstance(layer, ONE_BY_ONE):
            self.check_order()
        self.put(layer, given)

    def put(self, layer: Layer, arrays: Arrays) -> None:
        """Add a layer whatever the order of axes in the file."""
        axes = self.axes
        self.number, self.alone = self.net.add(layer, (self.number,), arrays), True
        self._axes = channels_first(2) if isinstance(layer, Flatten) else axes

    def _begin(self, layer: Layer, arrays: Arrays) -> tuple[Layer, Arrays]:
        """Put the start before the first layer: as one of images, or into the weights of a dense layer."""
        assert self.start is not None
        if len(self.shape) > 1:
            self.begin()
            return layer, arrays
        (scale, shift), self.start = self.start, None
        if not isinstance(layer, Dense) or "weight" not in arrays:
            raise ValueError(FEATURES)
        weight = arrays["weight"]
        if not shift.any():
            return layer, {**arrays, "weight": weight * scale}
        bias = (weight * shift).sum(axis=1) + arrays.get("bias", 0)
        return replace(layer, bias=True), {**arrays, "weight": weight * scale, "bias": bias}

    def begin(self) -> None:
        """Scale images or signals at the beginning by a layer of its own."""
        if self.start is None or len(self.shape) == 1:
            return
        (scale, shift), self.start = self.start, None
        self.net.check_room(self.shape[0])
        channels = np.ones(self.shape[0], scale.dtype)
        self.append_by_channel(channels * scale, channels * shift if shift else None)

    def start_with(self, scale: Array | None, shift: Array | None) -> None:
        """Multiply the input with one number, or add one, before anything else."""
        one = np.ones((), (scale if scale is not None else shift).dtype)  # type: ignore[union-attr]
        before, added = self.start or (one, 0 * one)
        scale, shift = (one if scale is None else scale), (0 * one if shift is None else shift)
        self.start = (before * scale, added * scale + shift)
        self.net.scale = float(self.start[0]) if self.start[0].size == 1 else 1.0

    def append_by_channel(self, weight: Array, bias: Array | None) -> None:
        """Multiply each channel of images or signals with a weight, and add one to it."""
        count = len(weight)
        kind = Conv2d if len(self.shape) == 3 else Conv1d
        layer = kind(count, 1, groups=count, bias=bias is not None)
        arrays = {"weight": weight.reshape(count, 1, *(1,) * (len(self.shape) - 1))}
        self.put(layer, arrays if bias is None else {**arrays, "bias": bias})

    def pad_now(self) -> None:
        """Let a padding with zeros, which no layer has taken, be a convolution of each channel with one 1.

        Raises
        ------
        ValueError
            If it is another padding.
        """
        pads = self._our_pads()
        if not pads:
            return
        if 1 in pads:
            raise ValueError(f"a Pad must be of lines and columns, got {pads[1]} at the channels")
        if self._pad_value != 0:
            raise ValueError(f"a Pad of {self._pad_value} is supported only just before a MaxPool")
        self._pads = {}
        self.begin()
        count, images = self.shape[0], len(self.shape) == 3
        self.net.check_room(count)
        along = [pads.get(k, (0, 0)) for k in range(2, len(self.shape) + 1)]
        kind, padding = (Conv2d, tuple(along)) if images else (Conv1d, along[0])
        layer = kind(count, 1, groups=count, padding=padding, bias=False)
        self.put(layer, {"weight": np.ones((count, 1, *(1,) * len(along)), np.float32)})

    def _in_our_order(self, arrays: Arrays) -> Arrays:
        """The weights of a dense layer, where the features of the file are in another order than here."""
        weight, order = arrays["weight"], self.order
        if order is not None and weight.shape[1:] == order.shape:
            ours = np.empty_like(weight)
            ours[:, order] = weight
            arrays = {**arrays, "weight": ours}
        self.order = None
        return arrays

    def check_plain(self) -> None:
        """Raise ValueError where something that is no layer waits for what comes next."""
        self.pad_now()
        if self.log_softmax:
            raise ValueError("a LogSoftmax before it is supported at the end only")
        if self.complement:
            raise ValueError("1 - p is supported only beside p, as the other of two classes")
        if self.groups is not None:
            raise ValueError("channels that are divided are supported for an InstanceNormalization only")

    def check_end(self) -> None:
        """Raise ValueError if the network can't end in the value as the file does."""
        if not self.log_softmax:
            self.check_plain()
        if self.start is not None:
            raise ValueError("a scale of the input is supported only before layers")
        if self.shape_in_file != self.shape:
            raise ValueError(
                f"its output has the shape {('N', *self.shape_in_file)}, which is {('N', *self.shape)} here"
            )

    def check_order(self) -> None:
        """Raise ValueError if the value has another order of axes or features than here."""
        if self.order is not None:
            raise ValueError(LAST)
        self.check_axes()

    # Shapes

    def squeeze(self, axes: Iterable[int]) -> None:
        """The value without some axes of the file, which must have one element."""
        for axis in sorted(axes, reverse=True):
            if axis == 0 or self.shape_in_file[axis - 1] != 1:
                raise ValueError(f"an axis to be taken away must have size 1, got axis {axis} of "
                                 f"{('N', *self.shape_in_file)}")  # fmt: skip
            self._axes = (*self._axes[:axis], *self._axes[axis + 1 :])
        self.settle()

    def reshape(self, target: Sequence[int]) -> None:
        """The value as `target` has it, with the batch first: axes are merged, or one of size 1 is added."""
        refused = f"only a Reshape to (N, features) is supported, or one that merges axes, got {list(target)}"
        sizes, now = list(target), (self.net.batch, *self.shape_in_file)
        if not sizes:
            raise ValueError(refused)
        sizes = [now[k] if n == 0 and k < len(now) else n for k, n in enumerate(sizes)]
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = math.prod(now) // max(1, -math.prod(sizes))
        if sizes[0] != self.net.batch or math.prod(sizes) != math.prod(now):
            raise ValueError(refused)
        if self.groups is not None and math.prod(sizes) == math.prod(now):
            self._join_groups(sizes[1:])
            return
        axes = regrouped(self._axes, self._padded(), sizes[1:])
        if axes is None:
            if self._divides(sizes[1:]):
                return
            raise ValueError(refused)
        if any(k in self._pads for axis in axes for k in axis if len(axis) > 1):
            self.pad_now()
        self._axes = axes
        self.settle()

    def _divides(self, sizes: Sequence[int]) -> bool:
        """Take channels that are divided into groups, for the InstanceNormalization that comes next."""
        count, order = sizes[0], order_of(self.axes, self.shape)
        if (
            len(sizes) != 2
            or count < 1
            or self.shape[0] % count
            or order != sorted(order)
            or self._pads
            or self.order is not None
        ):
            return False
        self.groups = count
        return True

    def _join_groups(self, sizes: Sequence[int]) -> None:
        self.groups = None
        if tuple(sizes) != self.shape_in_file:
            raise ValueError(f"divided channels must become {self.shape_in_file} again, got {list(sizes)}")

    def flatten(self) -> None:
        """The value as (N, features)."""
        self.append(Flatten())

    def settle(self) -> None:
        """Flatten what the file has as (N, features)."""
        if len(self._axes) == 2 and len(self.shape) > 1:
            self.append(Flatten())

    # The layer before

    def add_bias(self, bias: Array) -> None:
        """Give the layer that makes the value, one with weights and without a bias, its bias."""
        self.pad_now()
        step = self.maker
        if step is None or not isinstance(step.layer, WEIGHTED) or step.layer.bias:
            raise ValueError("an Add is supported only as the bias of a layer without one")
        step.arrays["bias"] = self.per_channel(bias, "adds")
        step.layer = replace(step.layer, bias=True)

    def per_channel(self, array: Array, verb: str) -> Array:
        """A constant as one number for each channel or feature of the value.

        Broadcasting counts from the last axis: (O,) of features, (O, 1, 1) of images, or one number.
        """
        self.net.check_room(self.shape[0])
        needed = tuple(self.shape[0] if axis == (1,) else 1 for axis in self.axes[1:])
        try:
            if math.prod(needed) != self.shape[0]:  # the file has them merged with others
                raise ValueError
            same = array.reshape(array.shape[-len(needed) :] if array.ndim else ())
            full = np.broadcast_to(same, needed).reshape(-1)
        except ValueError:
            raise ValueError(f"it {verb} an array of shape {array.shape}, expected {needed}") from None
        return np.broadcast_to(full, self.shape[:1])

    def two_classes(self) -> None:
        """Make the Sigmoid at the end, of whose output p a file makes (1 - p, p), a Softmax of two."""
        last = self.net.maker(self.number)
        dense = self.net.maker(last.inputs[0]) if last is not None else None
        fits = last is not None and isinstance(last.layer, Sigmoid) and self.shape == (1,)
        if last is None or dense is None or not fits or not isinstance(dense.layer, Dense):
            raise ValueError("two classes of one output are supported only after a dense layer and a Sigmoid")
        # 1 / (1 + exp(-z)) is the second of softmax(0, z).
        dense.layer, last.layer = replace(dense.layer, out_features=2), Softmax()
        dense.arrays = {name: np.concatenate([np.zeros_like(a), a]) for name, a in dense.arrays.items()}
        self.net.shapes[dense.output] = self.net.shapes[last.output] = (2,)


def joined(values: Sequence[Value], layer: Layer, channels: int | None = None) -> Value:
    """The value that a layer makes of several, which lie in the file alike but for their channels' axis.

    Raises
    ------
    ValueError
        If they do not.
    """
    for value in values:
        value.check_plain()
        value.begin()
        if value.start is not None:
            raise ValueError(FEATURES)
    views = {_view(value, channels) for value in values}
    for value in values:
        if len(views) > 1 and value.net.may_turn(value.number):
            value.net.turn(value.number)
            views = {_view(value, channels) for value in values}
    if len(views) > 1:
        shapes = ", ".join(str(("N", *value.shape_in_file)) for value in values)
        raise ValueError(f"it takes values of one shape that lie in the file alike, got {shapes}")
    first = values[0]
    made = Value(first.net, first.net.add(layer, [value.number for value in values], {}))
    made._axes = first.axes if channels is None else tuple(
        (1,) if k == channels else axis for k, axis in enumerate(first.axes)
    )  # fmt: skip
    made.order = first.order
    return made


def _view(value: Value, channels: int | None) -> Axes:
    """Which of our axes of more than one element each axis of the file is, but that of the channels."""
    return tuple(
        () if k == channels else tuple(one for one in axis if one == 0 or value.shape[one - 1] != 1)
        for k, axis in enumerate(value.axes)
    )
