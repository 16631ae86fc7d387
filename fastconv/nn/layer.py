"""What a layer is: a record of hyper-parameters that answers everything asked about it.

Given the shape of one input sample:

    output_shape(input_shape)             the shape of one output sample
    parameter_shapes(input_shape)         name -> shape, in the order in which they are stored
    initial_parameters(input_shape, rng)  name -> array
    initial_statistics(input_shape)       name -> array, numbers that training updates without a gradient

and, in the public kernels, as it predicts (`arrays` holds its parameters and statistics by name):

    forward(x, arrays)                    y
    backward(x, y, dy, arrays)            dx, and name -> gradient of each parameter

The compiled form of a layer is in the file of the same name in `engine/lowering/`; files, formulas and other
libraries have tables of their own in `formats/` and `inspection/`, each entry optional.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checks.import_path import import_path
from .graph import Graph
from .value import Value, called

Shape = tuple[int, ...]
Entry = TypeVar("Entry")
Array = NDArray[Any]
Arrays = dict[str, Array]
IntOrPair = Any  # an int or a pair goes in, a pair is kept: no static type says that


class Layer:
    """What layers have in common; a layer without parameters or a change of shape needs no more."""

    takes: ClassVar[str] = (
        ""  # "image", "signal", "features", "signal or features" where only that makes sense
    )
    joins: ClassVar[bool] = False  # whether it may be called on several values
    decayed: ClassVar[tuple[str, ...]] = ("weight",)  # parameters that decay="weights" of an optimizer means
    spelt_out: ClassVar[tuple[str, ...]] = ()  # settings that `call` writes though they be the default
    takes_several: ClassVar[bool] = False  # whether forward and backward take a list of arrays for x

    def __new__(cls, *args: Any, **kwargs: Any) -> "Layer":
        if is_dataclass(cls):
            check_call(cls, args, kwargs)
        return super().__new__(cls)

    def __call__(self, values: Value | Sequence[Value], name: str | None = None) -> Value:
        """Call the layer on values, in the functional form of a network: see `fastconv.Model`.

        Parameters
        ----------
        values : Value, or a list of them for Add and Concatenate
            They begin with `fastconv.Input`.
        name : str, optional
            Of the layer's place, which its parameters are called by: "conv1" makes "conv1.weight". Default is
            the number of the call.

        Returns
        -------
        Value
            A layer that is called again shares its weights.

        Raises
        ------
        TypeError
            If it is called on something else.
        ValueError
            If it can't take values of such shapes.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Flatten()(fc.Input((2, 3, 3))).shape
        (18,)
        """
        return called(self, values, name)

    def lay_out(self, graph: Graph, name: str, inputs: tuple[int, ...]) -> int:
        """Add the layer to a network that is being laid out, as one node or several.

        Parameters
        ----------
        graph : Graph
            What has been laid out before.
        name : str
            The layer's place: "0", "1", "1.0", ...
        inputs : tuple of ints
            The numbers of the values that it takes.

        Returns
        -------
        int
            The number of the value that it makes.

        Raises
        ------
        ValueError
            If the layer can't take such values; the message names it.

        Examples
        --------
        >>> import fastconv as fc
        >>> from fastconv.nn.graph import Graph
        >>> graph = Graph([(1, 6, 6)])
        >>> fc.Conv2d(2, 3).lay_out(graph, "0", (0,)), graph.shapes
        (1, [(1, 6, 6), (2, 4, 4)])
        """
        return graph.add(name, self, inputs)

    def image_layer(self) -> "Layer":
        """The layer that computes the same on images: what the engine runs.

        Returns
        -------
        Layer
            This one, or of a layer over signals (C, L) the one that takes (C, 1, L).

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.MaxPool1d(2).image_layer().call()
        'MaxPool2d((1, 2))'
        """
        return self

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
        >>> import fastconv as fc
        >>> fc.MaxPool2d(2).output_shape((6, 24, 24))
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
        >>> import fastconv as fc
        >>> fc.Dense(10).parameter_shapes((84,))
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
        >>> import fastconv as fc
        >>> weight = fc.Dense(3).initial_parameters((4,), np.random.default_rng(0))["weight"]
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
        >>> import fastconv as fc
        >>> sorted(fc.BatchNorm2d().initial_statistics((2, 8, 8)))
        ['running_mean', 'running_var']
        """
        return {}

    def products(self, input_shape: Shape) -> int:
        """Multiplications with weights that one sample takes, forward.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W), (C, L) or (features,), of one sample.

        Returns
        -------
        int

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Conv2d(1, 3).products((1, 6, 6))  # 9 weights at 16 positions
        144
        """
        matrices = [shape for shape in self.parameter_shapes(input_shape).values() if len(shape) > 1]
        if not matrices:
            return 0
        return sum(map(math.prod, matrices)) * math.prod(self.output_shape(input_shape)[1:])

    def values_per_mean(self, input_shape: Shape, samples: int) -> int | None:
        """How many numbers each mean is taken over in a training step, or None where there are no means.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (features,), of one sample.
        samples : int
            Of the step.

        Returns
        -------
        int or None

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.BatchNorm2d().values_per_mean((2, 8, 8), samples=4)
        256
        """
        return None

    def forward(self, x: Array, arrays: Arrays) -> Array:
        """The output for a batch, as the network predicts, computed by the public kernels.

        Parameters
        ----------
        x : ndarray, shape (N, *input_shape)
        arrays : dict
            Name -> array of the layer's parameters and statistics.

        Returns
        -------
        ndarray, shape (N, *output_shape)
            Never the memory of `x`.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.LeakyReLU(0.5).forward(np.array([[-2.0, 3.0]]), {})
        array([[-1.,  3.]])
        """
        return x.copy()

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        """The gradients of a loss with respect to the input and to the parameters.

        Parameters
        ----------
        x, y : ndarray
            A batch and what `forward` made of it.
        dy : ndarray, shape of y
            Gradient of the loss with respect to `y`.
        arrays : dict
            Name -> array of the layer's parameters and statistics.

        Returns
        -------
        dx : ndarray, shape of x
        gradients : dict
            Name -> ndarray, as in `parameter_shapes`.

        Examples
        --------
        >>> import fastconv as fc
        >>> x = np.array([[-2.0, 3.0]])
        >>> fc.LeakyReLU(0.5).backward(x, x, np.ones((1, 2)), {})[0]
        array([[0.5, 1. ]])
        """
        return dy.reshape(x.shape).copy(), {}

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
        >>> import fastconv as fc
        >>> fc.Dense(10).check_input((84,))
        """
        if self.takes == "image" and len(input_shape) != 3:
            hint = ": for signals (C, L) there are Conv1d and its like" if len(input_shape) == 2 else ""
            raise ValueError(f"{self} takes images (C, H, W), got samples of shape {input_shape}{hint}")
        if self.takes.startswith("signal") and len(input_shape) != 2:
            if len(input_shape) == 1 and "features" in self.takes:
                return
            raise ValueError(f"{self} takes signals (C, L), got samples of shape {input_shape}")
        if self.takes == "features" and len(input_shape) != 1:
            raise ValueError(
                f"{self} takes samples of shape (features,), got {input_shape}: put a Flatten() before it"
            )

    def call(self) -> str:
        """The layer as one would write it: only settings that differ from their defaults, and `spelt_out`.

        Returns
        -------
        str

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Conv2d(32, 3, padding="same").call()
        "Conv2d(32, kernel_size=3, padding='same')"
        """
        parts = []
        by_name: set[str] = {f.name for f in fields(self) if f.kw_only} if is_dataclass(self) else set()
        for number, (name, default) in enumerate(settings_and_defaults(self)):
            value = getattr(self, name)
            if default is inspect.Parameter.empty or name in self.spelt_out or not _same(value, default):
                # A pair of equal numbers is written as one; of equal pairs, one would mean something else.
                if isinstance(value, tuple) and len(set(value)) == 1 and not isinstance(value[0], tuple):
                    value = value[0]
                alone = number == 0 and name not in by_name
                parts.append(f"{value!r}" if alone else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def settings(self) -> dict[str, Any]:
        """Hyper-parameter name -> value, as JSON can hold them.

        Returns
        -------
        dict
            Pairs are lists.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.LeakyReLU(0.1).settings()
        {'negative_slope': 0.1}
        """
        values = {name: getattr(self, name) for name, _ in settings_and_defaults(self)}
        return {k: _as_lists(v) for k, v in values.items()}

    @classmethod
    def from_settings(cls, settings: dict[str, Any], layer_of: Callable[[Any], "Layer"]) -> "Layer":
        """The layer that `settings` described.

        Parameters
        ----------
        settings : dict
            As `settings()` gave it, after a way through JSON.
        layer_of : function
            What makes a layer of the record of one, for layers made of others.

        Returns
        -------
        Layer

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.MaxPool2d.from_settings(fc.MaxPool2d(2).settings(), None).call()
        'MaxPool2d(2)'
        """
        return cls(**{name: _as_tuples(v) for name, v in settings.items()})

    def record(self) -> dict[str, Any]:
        """The layer as files hold it: its name (of a class of your own, its import path) and its settings.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            If the class can't be imported, so that no other process could read the file.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Dropout(0.25).record()
        {'name': 'Dropout', 'p': 0.25}
        """
        return {"name": record_name(self), **self.settings()}


def _as_lists(value: Any) -> Any:
    return [_as_lists(v) for v in value] if isinstance(value, tuple) else value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(v) for v in value) if isinstance(value, list) else value


def settings_and_defaults(record: Any) -> list[tuple[str, Any]]:
    """(name, default or `inspect.Parameter.empty`) of what a record is made with.

    The fields of a dataclass; of another class the arguments of its `__init__`, each kept as an attribute of
    the same name (scikit-learn's convention).

    Raises
    ------
    TypeError
        If an argument is not kept.
    """
    if is_dataclass(record):
        plain = _with_defaults(record)
        return [(f.name, getattr(plain, f.name, inspect.Parameter.empty)) for f in fields(record)]
    arguments = inspect.signature(type(record)).parameters.values()
    kept = [p for p in arguments if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for argument in kept:
        if not hasattr(record, argument.name):
            raise TypeError(
                f"{type(record).__name__} must keep its argument `{argument.name}` as an attribute of that "
                "name (a frozen dataclass does)"
            )
    return [(p.name, p.default) for p in kept]


def _with_defaults(record: Any) -> Any:
    """A record with the same needed settings and defaults for the others, so that these are checked ones."""
    needed = [f.name for f in fields(record) if f.default is MISSING and f.default_factory is MISSING]
    plain = type(record)(**{name: getattr(record, name) for name in needed})
    return SimpleNamespace(**{f.name: getattr(plain, f.name) for f in fields(record) if f.name not in needed})


def _same(value: Any, default: Any) -> bool:
    """Whether a setting is its default; a pair of equal numbers is that number."""
    return bool(value == default) or (isinstance(value, tuple) and set(value) == {default})


# What people write who know PyTorch or Keras -> what to write here.
_FOLLOWS = "is left out: it follows from the layer's input"
COUNTERPARTS = {
    **dict.fromkeys(("in_channels", "in_features", "num_features", "num_channels"), _FOLLOWS),
    "normalized_shape": _FOLLOWS,
    **dict.fromkeys(("input_shape", "input_dim"), "belongs to Sequential"),
    "activation": "is a layer of its own, such as ReLU()",
    "alpha": "is called `negative_slope`",
    "dilation_rate": "is called `dilation`",
    "epsilon": "is called `eps`",
    "filters": "is called `out_channels`",
    "interpolation": "is called `mode`",
    "inplace": "is left out: layers work in place where they can",
    "num_parameters": "is called `per_channel`: True or False",
    "pool_size": "is called `kernel_size`",
    "rate": "is called `p`",
    "size": "is given as `scale_factor`: how many times as large",
    "strides": "is called `stride`",
    "units": "is called `out_features`",
    "use_bias": "is called `bias`",
}


def check_call(kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise TypeError, with a hint, where arguments are those of another library's layer.

    PyTorch's first argument is the number of input channels, which here follows from the input: a call that
    was written for it has one more by position, and must not be taken for something else.
    """
    named = {f.name: f for f in fields(kind) if f.init}
    positional = [name for name, f in named.items() if not f.kw_only]
    if len(args) > len(positional):
        allowed = f"only {', '.join(f'`{name}`' for name in positional)}" if positional else "nothing"
        others = [f"{name}=..." for name, f in named.items() if f.kw_only]
        by_name = f", the rest by name ({', '.join(others)})" if others else ""
        weighted = kind.parameter_shapes is not Layer.parameter_shapes
        hint = "; the number of input channels or features is left out: it follows from the input"
        raise TypeError(
            f"{kind.__name__} takes {allowed} by position{by_name}, got {len(args)} arguments"
            + (hint if weighted else "")
        )
    for name in kwargs:
        if name not in named:
            hint = COUNTERPARTS.get(name, f"is none of its arguments: {', '.join(named) or 'it has none'}")
            raise TypeError(f"`{name}` of {kind.__name__} {hint}")


def entry_of(table: Mapping[type, Entry], record: Any) -> Entry | None:
    """What a table by class holds for a record: for its own class, or the nearest one above it."""
    return next((table[kind] for kind in type(record).__mro__ if kind in table), None)


def record_name(record: Any) -> str:
    """How files call a record's class: by its name, or if it is not fastconv's own by its import path."""
    kind = type(record)
    return kind.__name__ if kind.__module__.startswith("fastconv.") else import_path(kind)


def set_fields(record: Any, **values: Any) -> None:
    """Fill in checked values while a frozen record is being made."""
    for name, value in values.items():
        object.__setattr__(record, name, value)
