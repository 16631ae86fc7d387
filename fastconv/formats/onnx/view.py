"""Where a value of the network lies in the file: its axes there, and a padding that waits for its layer."""

import math
from collections.abc import Callable, Iterable, Sequence

from ...nn.layer import Shape
from .layout import Axes, channels_first, in_file, order_of, renamed, transposed
from .net import Net

Pair = tuple[int, int]
LAST = "what it takes has the channels last, which is supported up to a dense layer only"


class View:
    """A value of the network as the file has it.

    Attributes
    ----------
    net : Net
        The network it belongs to.
    number : int
        Of the network's value.
    """

    def __init__(self, net: Net, number: int) -> None:
        self.net, self.number = net, number
        self._axes = channels_first(len(net.shapes[number]) + 1)
        self._pads: dict[int, Pair] = {}  # by axis of the file's input, or of ours
        self._pad_value = 0.0

    @property
    def shape(self) -> Shape:
        """The shape of one sample here."""
        return self.net.shapes[self.number]

    @property
    def axes(self) -> Axes:
        """Which of our axes each axis of the file is."""
        return renamed(self._axes, self.net.axes_of(self.number))

    @property
    def shape_in_file(self) -> Shape:
        """The shape of one sample in the file, with a padding that waits for its layer."""
        return in_file(self._padded(), self._axes)

    def _padded(self) -> Shape:
        shape = self.net.shape_in_file(self.number)
        return tuple(n + sum(self._pads.get(k, (0, 0))) for k, n in enumerate(shape, 1))

    @property
    def is_input(self) -> bool:
        """Whether no layer has changed it yet."""
        return self.net.is_input(self.number)

    def check_axes(self) -> None:
        """Raise ValueError if the value has another order of axes than here."""
        order = order_of(self.axes, self.shape)
        if order != sorted(order) and order == [*sorted(k for k in order if k != 1), 1]:
            raise ValueError(LAST)
        if order != sorted(order):
            raise ValueError(
                "only (N, H, W, C) to (N, C, H, W) and back is supported, "
                f"got axes in the order {[0, *order]}"
            )

    def positions(self) -> list[int | None]:
        """Which of our positions (0 for lines, ...) each axis of the file after the channels is.

        None is an axis of one element that the network does not have. An input that may have its channels
        last is found to have them so where only that fits.

        Raises
        ------
        ValueError
            If the file's axes are not N, C, and then the positions.
        """
        found = self._positions()
        if found is None and self.net.may_turn(self.number):
            self.net.turn(self.number)
            found = self._positions()
            if found is None:
                self.net.turn(self.number)
        if found is None:
            self.check_axes()
            raise ValueError(
                f"it must take images (N, C, H, W) or signals (N, C, L), got {('N', *self.shape_in_file)}"
            )
        return found

    def _positions(self) -> list[int | None] | None:
        axes, shape = self.axes, self.shape
        pads = self._our_pads()

        def is_large(k: int) -> bool:
            return shape[k - 1] != 1 or k in pads

        if len(shape) < 2 or len(axes) < 3 or any(map(is_large, set(axes[1]) ^ {1})):
            return None
        free = [k for k in range(2, len(shape) + 1) if not any(k in axis for axis in axes[2:])]
        where: list[int | None] = []
        for axis in axes[2:]:
            kept = sorted((k for k in axis if k > 1), key=is_large, reverse=True)
            if sum(map(is_large, kept)) > 1:
                return None
            kept = kept or free[:1]
            free = [k for k in free if k not in kept]
            where.append(kept[0] - 2 if kept else None)
        large = [k for k in where if k is not None and is_large(k + 2)]
        return where if large == sorted(large) else None

    def has_channels_at(self, axis: int) -> bool:
        """Whether this axis of the file is that of the channels; an input may be found to have them last."""
        if self.net.may_turn(self.number) and self._axes[axis] == (len(self.shape),):
            self.net.turn(self.number)
        return self.axes[axis] == (1,) or (self.shape[0] == 1 and self.axes[axis] == ())

    def set_positions(self, where: Sequence[int | None]) -> None:
        """Let the file's axes after the channels be these of ours."""
        self._axes = ((0,), (1,), *(() if k is None else (k + 2,) for k in where))

    def transpose(self, perm: Sequence[int]) -> None:
        """The value with its axes in another order."""
        axes = transposed(self._axes, perm)
        if axes[0] != (0,):
            raise ValueError(f"only (N, H, W, C) to (N, C, H, W) and back is supported, got {list(perm)}")
        self._axes = axes

    def unsqueeze(self, axes: Iterable[int]) -> None:
        """The value with axes of one element more."""
        for axis in sorted(axes):
            if axis == 0:
                raise ValueError("the first axis must be that of the samples")
            self._axes = (*self._axes[:axis], (), *self._axes[axis:])

    # A padding that waits for its layer

    def hold_pad(self, sizes: dict[int, Pair], value: float) -> None:
        """Keep a padding, (before, after) by axis of the file, for the layer that comes next."""
        self.pad_now()
        pads = {}
        for axis, pair in sizes.items():
            if len(self._axes[axis]) != 1 or self._axes[axis] == (0,):
                raise ValueError(f"it must pad lines and columns of images, got {pair} at axis {axis}")
            pads[self._axes[axis][0]] = pair
        self._pads, self._pad_value = pads, value
        self.net.largest = max(self.net.largest, math.prod(self._padded()))

    def _our_pads(self) -> dict[int, Pair]:
        names = self.net.axes_of(self.number)
        return {names[k][0]: pair for k, pair in self._pads.items()}

    def pad_now(self) -> None:
        """Let a padding that waits be there, or raise ValueError."""
        raise NotImplementedError

    def take_pad(self, allowed: Callable[[float], bool]) -> list[Pair]:
        """(before, after) along each of our positions, that a Pad before this layer put there.

        Raises
        ------
        ValueError
            If its value is not the layer's own.
        """
        pads = self._our_pads()
        if pads and (1 in pads or not allowed(self._pad_value)):
            self.pad_now()
            pads = {}
        self._pads = {}
        return [pads.get(k, (0, 0)) for k in range(2, len(self.shape) + 1)]
