"""Layers: records of hyper-parameters that answer what a network has to know to be built.

Every layer answers the same four questions, given the shape of one input sample:

    output_shape(input_shape)            the shape of one output sample
    parameter_shapes(input_shape)        name -> shape, in the order in which they are stored
    initial_parameters(input_shape, rng) name -> array
    initial_statistics(input_shape)      name -> array, numbers that training updates without a gradient

How a layer is computed stands in `lowering.py`.
"""

import math
from dataclasses import MISSING, fields
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Arrays = dict[str, NDArray[Any]]
IntOrPair = Any  # an int or a pair goes in, a pair is kept: no static type says that


class Layer:
    """What layers have in common; a layer without parameters or a change of shape needs no more."""

    takes: ClassVar[str] = ""  # "image" or "features" where only that input shape makes sense

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of one output sample for one input sample of `input_shape`.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.

        Returns
        -------
        tuple

        Raises
        ------
        ValueError
            If the layer can't take such a sample.

        Examples
        --------
        >>> MaxPool2d(2).output_shape((6, 24, 24))
        (6, 12, 12)
        """
        return input_shape

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Name -> shape of the parameters.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.

        Returns
        -------
        dict
            In the order in which the parameters are stored.

        Examples
        --------
        >>> Dense(10).parameter_shapes((84,))
        {'weight': (10, 84), 'bias': (10,)}
        """
        return {}

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        """Name -> array of the parameters before training.

        Uniform within 1 / sqrt(fan_in), PyTorch's default for convolution and linear layers.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.
        rng : numpy.random.Generator
            Where the numbers come from.

        Returns
        -------
        dict
            Name -> ndarray of float64, shaped as in `parameter_shapes`.

        Examples
        --------
        >>> weight = Dense(3).initial_parameters((4,), np.random.default_rng(0))["weight"]
        >>> bool(abs(weight).max() <= 1 / 4**0.5)
        True
        """
        shapes = self.parameter_shapes(input_shape)
        if not shapes:
            return {}
        bound = 1.0 / math.sqrt(math.prod(shapes["weight"][1:]))
        return {name: rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}

    def initial_statistics(self, input_shape: Shape) -> Arrays:
        """Name -> array of the numbers that training keeps beside the parameters.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.

        Returns
        -------
        dict
            Name -> ndarray of float64.

        Examples
        --------
        >>> sorted(BatchNorm2d().initial_statistics((2, 8, 8)))
        ['running_mean', 'running_var']
        """
        return {}

    def check_input(self, input_shape: Shape) -> None:
        """Raise ValueError where the layer can't take a sample of this shape.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.

        Raises
        ------
        ValueError
            The message names the layer and the shape.

        Examples
        --------
        >>> Dense(10).check_input((84,))
        """
        if self.takes == "image" and len(input_shape) != 3:
            raise ValueError(f"{self} takes images (C, H, W), got samples of shape {input_shape}")
        if self.takes == "features" and len(input_shape) != 1:
            raise ValueError(
                f"{self} takes samples of shape (features,), got {input_shape}: put a Flatten() before it"
            )

    def call(self) -> str:
        """The layer as one would write it: only settings that differ from their defaults.

        Returns
        -------
        str

        Examples
        --------
        >>> Conv2d(32, 3, padding="same").call()
        "Conv2d(32, kernel_size=3, padding='same')"
        """
        record = fields(cast(Any, self))
        needed = [f.name for f in record if f.default is MISSING]
        plain = type(self)(*[getattr(self, name) for name in needed])
        parts = []
        for number, f in enumerate(record):
            value = getattr(self, f.name)
            if f.name in needed or value != getattr(plain, f.name):
                if isinstance(value, tuple) and len(set(value)) == 1:
                    value = value[0]
                parts.append(f"{value!r}" if number == 0 else f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def settings(self) -> dict[str, Any]:
        """Hyper-parameter name -> value, as JSON can hold them.

        Returns
        -------
        dict
            Pairs are lists.

        Examples
        --------
        >>> LeakyReLU(0.1).settings()
        {'negative_slope': 0.1}
        """
        values = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def record(self) -> dict[str, Any]:
        """The layer as files hold it: its name and its settings.

        Returns
        -------
        dict

        Examples
        --------
        >>> Dropout(0.25).record()
        {'name': 'Dropout', 'p': 0.25}
        """
        return {"name": type(self).__name__, **self.settings()}


def set_fields(layer: Layer, **values: Any) -> None:
    """Fill in checked values while a frozen record is being made."""
    for name, value in values.items():
        object.__setattr__(layer, name, value)
