"""`Augment`: how training changes images at random, so that a network sees new ones in every epoch."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks.scalars import nonnegative_pair
from ..checks.settings import real_number, whole_number
from ..engine.engine import Engine
from ..engine.inputs import check_layout, samples_as_given
from ..engine.memory import lanes_of
from ..engine.run import Run
from ..engine.threads import get_num_threads
from ..models.sequential import Sequential
from ..nn.layer import Shape
from ..nn.shape import Flatten


@dataclass(frozen=True)
class Augment:
    """Random changes of each training image, for `Trainer.fit(..., augment=...)`; by default there are none.

    An image is flipped, then rotated about its centre, then shifted, in one go; noise comes last. Each draws
    numbers of its own, anew in every step, from the trainer's seed: results have the same bits on any number
    of threads.

    Parameters
    ----------
    shift : int or pair
        Moved by up to so many pixels (down or up, left or right), whole ones, all alike.
    rotation : float
        Turned by up to so many degrees either way, 0 to 180. Pixels are interpolated bilinearly.
    horizontal_flip, vertical_flip : bool
        Every second image, on average, has left and right, or top and bottom, exchanged.
    noise : float
        Standard deviation of normal random numbers that are added to the pixels.
    fill : float
        What comes in from outside the image. Pixels of uint8 images are divided by 255 before all this:
        white is 1.

    Raises
    ------
    ValueError, TypeError
        If a parameter does not fit.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> X, y = np.random.default_rng(0).random((64, 1, 6, 6)), np.arange(64) % 2
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    >>> history = trainer.fit(X, y, epochs=2, augment=fc.Augment(shift=1, rotation=10))
    """

    shift: Any = 0
    rotation: float = field(default=0.0, kw_only=True)
    horizontal_flip: bool = field(default=False, kw_only=True)
    vertical_flip: bool = field(default=False, kw_only=True)
    noise: float = field(default=0.0, kw_only=True)
    fill: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        def keep(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        keep("shift", nonnegative_pair(self.shift, "shift"))
        keep("rotation", real_number(self.rotation, "rotation"))
        if self.rotation > 180:
            raise ValueError(f"`rotation` must be a number of degrees from 0 to 180, got {self.rotation!r}")
        for name in ("horizontal_flip", "vertical_flip"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"`{name}` must be True or False, got {getattr(self, name)!r}")
            keep(name, bool(getattr(self, name)))
        keep("noise", real_number(self.noise, "noise"))
        keep("fill", real_number(self.fill, "fill", low=-np.inf))

    @property
    def moves(self) -> bool:
        """Whether pixels come to other places.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Augment(noise=0.1).moves, fc.Augment(shift=1).moves
        (False, True)
        """
        return bool(any(self.shift) or self.rotation or self.horizontal_flip or self.vertical_flip)

    def apply(self, X: "ArrayLike", seed: int = 0, step: int = 1, dtype: str = "float32") -> NDArray[Any]:
        """Images as training would see them, to look at.

        Parameters
        ----------
        X : ndarray, shape (N, C, H, W) or (N, H, W)
            float32, float64 or uint8 (divided by 255).
        seed : int
            Of the trainer.
        step : int
            Which step, counted from 1, has these images as its batch. Each step draws new numbers.
        dtype : {"float32", "float64"}
            Of the network.

        Returns
        -------
        ndarray
            Of X's shape.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> fc.Augment(shift=1, fill=-1).apply(np.arange(12.0).reshape(1, 3, 4))
        array([[[-1., -1., -1., -1.],
                [ 0.,  1.,  2.,  3.],
                [ 4.,  5.,  6.,  7.]]], dtype=float32)
        """
        seed, step = whole_number(seed, "seed", low=0), whole_number(step, "step")
        shape = np.shape(X)
        if len(shape) not in (3, 4):
            raise ValueError(f"`X` must have shape (N, C, H, W) or (N, H, W), got {shape}")
        check_layout(shape)
        images = samples_as_given(X, shape[1:] if len(shape) == 4 else (1, *shape[1:]))
        model = Sequential([Flatten()], images.shape[1:], dtype)
        output = np.empty((len(images), *model.output_shape), model.dtype)
        if len(images):
            lanes = lanes_of(model.dtype)
            size = -(-len(images) // lanes) * lanes
            engine = Engine(model, Run("predict", size, get_num_threads(), augmentation=self), seed=seed)
            engine.load(images)
            engine.set_updates(step - 1)
            engine.write_to(output)
            engine.run(0, 1)
        return output.reshape(shape)


def check_augment(augment: Any, input_shape: Shape) -> Augment | None:
    """`augment`, or None where it asks for nothing.

    Raises
    ------
    TypeError
        If it is neither an `Augment` nor None.
    ValueError
        If samples of `input_shape` are not images.
    """
    if augment is None:
        return None
    if not isinstance(augment, Augment):
        raise TypeError(f"`augment` must be an Augment such as Augment(shift=2), got {augment!r}")
    if len(input_shape) != 3:
        raise ValueError(
            f"`augment` changes images (C, H, W), but the network takes samples of {input_shape}"
        )
    return augment if augment.moves or augment.noise else None
