"""Layers made of layers."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .graph import Graph, Node, differentiate, run
from .layer import Array, Arrays, Layer, Shape

__all__ = ["Block"]


class Composite(Layer):
    """A layer that is laid out as several nodes: `lay_out` says which, and all else follows."""

    def lay_out(self, graph: Graph, name: str, inputs: tuple[int, ...]) -> int:
        raise NotImplementedError

    def output_shape(self, *input_shapes: Shape) -> Shape:
        """The shape of one output sample, as its parts make it.

        Parameters
        ----------
        *input_shapes : tuples
            Of one sample of each input; mostly there is one.

        Returns
        -------
        tuple

        Raises
        ------
        ValueError
            If a part can't take what it would get; the message names it.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Residual([fc.Conv2d(4, 3, padding="same")]).output_shape((4, 6, 6))
        (4, 6, 6)
        """
        graph = Graph(list(input_shapes))
        return graph.shapes[self._lay_out_alone(graph)]

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {
            full_name(node, own): shape
            for node in self._nodes(input_shape)
            for own, shape in node.layer.parameter_shapes(node.input_shape).items()
        }

    def products(self, input_shape: Shape) -> int:
        return sum(node.layer.products(node.input_shape) for node in self._nodes(input_shape))

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        return {
            full_name(node, own): array
            for node in self._nodes(input_shape)
            for own, array in node.layer.initial_parameters(node.input_shape, rng).items()
        }

    def initial_statistics(self, input_shape: Shape) -> Arrays:
        return {
            full_name(node, own): array
            for node in self._nodes(input_shape)
            for own, array in node.layer.initial_statistics(node.input_shape).items()
        }

    def forward(self, x: Array, arrays: Arrays) -> Array:
        graph, output = self._alone(x.shape[1:])
        y = run(graph.nodes, [x], lambda node: own_arrays(arrays, node.name))[output]
        return y.copy() if output == 0 else y

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        graph, output = self._alone(x.shape[1:])

        def arrays_of(node: Node) -> Arrays:
            return own_arrays(arrays, node.name)

        values, slopes = run(graph.nodes, [x], arrays_of), {output: dy}
        gradients = differentiate(graph.nodes, values, slopes, arrays_of)
        return slopes[0], gradients

    def _nodes(self, input_shape: Shape) -> list[Node]:
        return self._alone(input_shape)[0].nodes

    def _alone(self, input_shape: Shape) -> tuple[Graph, int]:
        """The layer's own graph, and the value that it makes."""
        graph = Graph([input_shape])
        return graph, self._lay_out_alone(graph)

    def _lay_out_alone(self, graph: Graph) -> int:
        return self.lay_out(graph, "", tuple(range(len(graph.shapes))))


class Block(Composite):
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

    def lay_out(self, graph: Graph, name: str, inputs: tuple[int, ...]) -> int:
        return graph.chain(self.layers(), inputs[0], f"{name}." if name else "")


def checked_layers(layers: Iterable[Layer], name: str) -> tuple[Layer, ...]:
    """The layers as a tuple; `name` is what the message calls them.

    Raises
    ------
    TypeError
        If one of them is no layer.
    """
    try:
        checked = tuple(layers)
    except TypeError:
        raise TypeError(f"{name} must be a list of layers, got {layers!r}") from None
    for number, layer in enumerate(checked):
        place = f"`{name[1:-1]}[{number}]`" if name == "`layers`" else f"layer {number} in {name}"
        if isinstance(layer, type) and issubclass(layer, Layer):
            raise TypeError(f"{place} must be a layer, got the class: write {layer.__name__}(...)")
        if not isinstance(layer, Layer):
            raise TypeError(f"{place} must be a layer, got {layer!r}")
    return checked


def full_name(node: Node, name: str) -> str:
    """What an array of a node is called: "2.weight"; in a layer by itself that has no name, "weight"."""
    return f"{node.name}.{name}" if node.name else name


def own_arrays(arrays: Any, name: str) -> Arrays:
    """Those of the arrays that belong to the layer `name`, by their own names."""
    return {key.rpartition(".")[2]: a for key, a in arrays.items() if key.rpartition(".")[0] == name}
