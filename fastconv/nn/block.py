"""Layers made of layers."""

from collections.abc import Iterator, Sequence

import numpy as np

from .layer import Array, Arrays, Layer, Shape

__all__ = ["Block"]


class Block(Layer):
    """A layer of your own, made of existing ones: a subclass says which in `layers()`.

    In a network it is one entry of the list of layers, and its parts run as if they stood there themselves:
    same speed, same bits. Their parameters are called "0.1.weight", as those of a nested torch.nn.Sequential.

    Examples
    --------
    >>> import fastconv as fc
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class ConvBlock(fc.Block):
    ...     channels: int
    ...     def layers(self):
    ...         return [fc.Conv2d(self.channels, 3, padding="same"), fc.BatchNorm2d(), fc.ReLU()]
    >>> model = fc.Sequential([ConvBlock(4), fc.Flatten(), fc.Dense(2)], input_shape=(1, 6, 6))
    >>> list(model.parameters())[:3]
    ['0.0.weight', '0.0.bias', '0.1.weight']
    """

    def layers(self) -> Sequence[Layer]:
        """The layers that this one is made of, in order; the same ones at every call.

        Returns
        -------
        sequence of layers

        Raises
        ------
        NotImplementedError
            If the subclass does not say.

        Examples
        --------
        >>> class Squash(Block):
        ...     def layers(self):
        ...         from fastconv import Flatten, Tanh
        ...         return [Flatten(), Tanh()]
        >>> Squash().output_shape((2, 3, 3))
        (18,)
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have a method `layers()` that returns its layers"
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        for _, layer in leaves(self.layers()):
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {
            f"{name}.{own}": shape
            for name, layer, below in self._parts(input_shape)
            for own, shape in layer.parameter_shapes(below).items()
        }

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        return {
            f"{name}.{own}": array
            for name, layer, below in self._parts(input_shape)
            for own, array in layer.initial_parameters(below, rng).items()
        }

    def initial_statistics(self, input_shape: Shape) -> Arrays:
        return {
            f"{name}.{own}": array
            for name, layer, below in self._parts(input_shape)
            for own, array in layer.initial_statistics(below).items()
        }

    def forward(self, x: Array, arrays: Arrays) -> Array:
        for name, layer in leaves(self.layers()):
            x = layer.forward(x, own_arrays(arrays, name))
        return x

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        parts, values = list(leaves(self.layers())), [x]
        for name, layer in parts:
            values.append(layer.forward(values[-1], own_arrays(arrays, name)))
        gradients: Arrays = {}
        for k, (name, layer) in reversed(list(enumerate(parts))):
            dy, own = layer.backward(values[k], values[k + 1], dy, own_arrays(arrays, name))
            gradients |= {f"{name}.{key}": array for key, array in own.items()}
        return dy, gradients

    def _parts(self, input_shape: Shape) -> Iterator[tuple[str, Layer, Shape]]:
        """(name, layer, shape of its input) of each part."""
        for name, layer in leaves(self.layers()):
            yield name, layer, input_shape
            input_shape = layer.output_shape(input_shape)


def leaves(layers: Sequence[Layer], prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """(name, layer) of all layers that are not made of others, in order: "0", "1.0", "1.1", "2"."""
    for number, layer in enumerate(layers):
        if isinstance(layer, Block):
            yield from leaves(layer.layers(), f"{prefix}{number}.")
        else:
            yield f"{prefix}{number}", layer


def own_arrays(arrays: Arrays, name: str) -> Arrays:
    """Those of the arrays that belong to the layer `name`, by their own names."""
    return {key.rpartition(".")[2]: a for key, a in arrays.items() if key.rpartition(".")[0] == name}
