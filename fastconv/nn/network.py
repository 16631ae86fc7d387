"""What a network is: its layers, the shapes between them, and one flat vector that holds its parameters."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks.settings import whole_number
from . import summary
from .block import full_name, own_arrays
from .freezing import Freezing
from .graph import Node
from .layer import Arrays, Layer, Shape
from .live import LiveArrays
from .outline import Outline

_BUILD_ANEW = "build a new network, such as Sequential(layers, input_shape)"
_BUILT = (
    "outline", "layers", "nodes", "dtype", "seed", "num_parameters", "input_shape", "output_shape", "inputs",
    "outputs", "input_shapes", "output_shapes", "input_names", "output_names",
)  # fmt: skip


class Network(Freezing):
    """A graph of layers with its shapes, parameters and statistics; `Model` adds what it can do.

    `layers` are as they were given; `nodes` are the layers that compute, each at its place: blocks are taken
    apart. Nodes of one name are one layer at several places, which share its parameters.

    All parameters lie in one vector, `flat_parameters`, in the order of the layers; the arrays handed out
    are views of it. The statistics (of batch normalisation) lie in `flat_statistics` likewise.

    Numbers may be written into these arrays; what says how many there are, and of what kind, is fixed:
    compiled code trusts it. Each view is a new one, so that to reshape it changes nothing here. `nn/live.py`
    tells how a network that has made something of these numbers sees that they have changed.
    """

    outline: Outline
    layers: tuple[Layer, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]  # numbers of values: see `nn/graph.py`
    outputs: tuple[int, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    input_shape: Shape  # of the only input; of several, all of them
    output_shape: Shape
    dtype: str
    seed: int

    # What can't be assigned, and what to do instead.
    _FIXED: ClassVar[dict[str, str]] = {
        **dict.fromkeys(_BUILT, _BUILD_ANEW),
        "flat_parameters": "write into it, flat_parameters[...] = values, or use load_state",
        "flat_statistics": "write into it, flat_statistics[...] = values, or use load_state",
    }

    def __init__(self, outline: Outline, dtype: str = "float32", seed: int = 0) -> None:
        seed, dtype = whole_number(seed, "seed", low=0), _checked_dtype(dtype)
        graph, outputs = outline.lay_out()
        output_shapes = tuple(graph.shapes[value] for value in outputs)
        vars(self).update(
            outline=outline,
            layers=tuple(call.layer for call in outline.calls),
            nodes=tuple(graph.nodes),
            inputs=tuple(range(len(outline.input_shapes))),
            outputs=outputs,
            input_names=outline.input_names,
            output_names=outline.output_names,
            input_shapes=outline.input_shapes,
            output_shapes=output_shapes,
            input_shape=_only(outline.input_shapes),
            output_shape=_only(output_shapes),
            dtype=dtype,
            seed=seed,
        )
        rng = np.random.default_rng(seed)
        self._live_parameters = self._lay_out(
            lambda node: node.layer.initial_parameters(node.input_shape, rng)
        )
        self._live_statistics = self._lay_out(lambda node: node.layer.initial_statistics(node.input_shape))

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse_fixed(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse_fixed(name)
        super().__delattr__(name)

    def _refuse_fixed(self, name: str) -> None:
        if name in self._FIXED:
            raise AttributeError(f"`{name}` of a network can't be changed: {self._FIXED[name]}")

    def _lay_out(self, initial: Callable[[Node], Arrays]) -> LiveArrays:
        """One flat vector for what `initial` gives each layer, and name -> view into it."""
        owners = {node.name: node for node in reversed(self.nodes)}  # of several, the first
        arrays = {
            full_name(node, name): np.asarray(array)
            for node in self.nodes
            if owners[node.name] is node
            for name, array in initial(node).items()
        }
        flat = np.zeros(sum(a.size for a in arrays.values()), self.dtype)
        live = LiveArrays(flat, {name: array.shape for name, array in arrays.items()})
        for name, array in arrays.items():
            live.views[name][...] = array
        return live

    def live_arrays(self) -> tuple[LiveArrays, LiveArrays]:
        """The parameters and the statistics as the engine has them: whoever writes to them notes it there.

        Returns
        -------
        parameters, statistics : LiveArrays

        Examples
        --------
        >>> import fastconv as fc
        >>> parameters, statistics = fc.models.reference_cnn().live_arrays()
        >>> before = parameters.stamp()
        >>> parameters.note_change()
        >>> parameters.stamp() == before
        False
        """
        return self._live_parameters, self._live_statistics

    @property
    def flat_parameters(self) -> NDArray[Any]:
        """All parameters in one vector, in the order of `parameters()`; live.

        Returns
        -------
        ndarray, shape (num_parameters,)

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.reference_cnn()
        >>> model.flat_parameters[-1] = 7
        >>> model.parameters()["4.bias"]
        array([7.], dtype=float32)
        """
        return self._live_parameters.hand_out_flat()

    @property
    def flat_statistics(self) -> NDArray[Any]:
        """All statistics in one vector, in the order of `statistics()`; live.

        Returns
        -------
        ndarray of one dimension

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Sequential([fc.Conv2d(2, 3), fc.BatchNorm2d()], (1, 6, 6)).flat_statistics
        array([0., 0., 1., 1.], dtype=float32)
        """
        return self._live_statistics.hand_out_flat()

    @property
    def num_parameters(self) -> int:
        """How many numbers training adjusts.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.reference_cnn().num_parameters
        15
        """
        return self._live_parameters.flat.size

    def products(self) -> int:
        """Multiplications with weights that one sample takes, forward.

        Returns
        -------
        int

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.reference_cnn().products()  # 9 weights at 16 positions, and 4 weights
        148
        """
        return sum(node.layer.products(node.input_shape) for node in self.nodes)

    def ends_in(self, kind: type[Layer]) -> bool:
        """Whether the only output comes from a layer of this class.

        Parameters
        ----------
        kind : class of layers

        Returns
        -------
        bool

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.reference_cnn().ends_in(fc.Sigmoid)
        True
        """
        layers = self.last_layers()
        return len(layers) == 1 and isinstance(layers[0], kind)

    def last_layers(self) -> list[Layer]:
        """The layer that each output comes from.

        Returns
        -------
        list of layers

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.reference_cnn().last_layers()
        [Sigmoid()]
        """
        makers = {node.output: node.layer for node in self.nodes}
        return [makers[value] for value in self.outputs]

    def arrays_of(self, node: Node) -> Arrays:
        """Name -> array of the parameters and statistics of one layer, by its own names; live.

        Parameters
        ----------
        node : Node
            One of `nodes`.

        Returns
        -------
        dict

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.reference_cnn()
        >>> {name: a.shape for name, a in model.arrays_of(model.nodes[0]).items()}
        {'weight': (1, 1, 3, 3), 'bias': (1,)}
        """
        return own_arrays({**self.parameters(), **self.statistics()}, node.name)

    def parameters(self) -> Arrays:
        """Name -> array of every parameter, by PyTorch's names; live: writing to them changes the network.

        Returns
        -------
        dict

        Examples
        --------
        >>> import fastconv as fc
        >>> {name: a.shape for name, a in fc.models.reference_cnn().parameters().items()}
        {'0.weight': (1, 1, 3, 3), '0.bias': (1,), '4.weight': (1, 4), '4.bias': (1,)}
        """
        return self._live_parameters.hand_out()

    def statistics(self) -> Arrays:
        """Name -> array of what training keeps beside the parameters (running means and variances); live.

        Returns
        -------
        dict

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.Sequential([fc.Conv2d(2, 3), fc.BatchNorm2d()], (1, 6, 6))
        >>> {name: a.shape for name, a in model.statistics().items()}
        {'1.running_mean': (2,), '1.running_var': (2,)}
        """
        return self._live_statistics.hand_out()

    def state(self) -> Arrays:
        """Name -> copy of every parameter and statistic: all that training changes.

        Returns
        -------
        dict

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.reference_cnn()
        >>> before = model.state()
        >>> model.parameters()["4.bias"][:] = 7
        >>> model.load_state(before)
        """
        return {name: array.copy() for name, array in self._own_arrays().items()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Copy arrays into the network.

        Parameters
        ----------
        state : dict
            As `state()` gives it: every name, each with its shape.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or an array has another shape or holds no numbers. The network
            is then unchanged.

        Examples
        --------
        >>> import fastconv as fc
        >>> model, other = fc.models.reference_cnn(seed=0), fc.models.reference_cnn(seed=1)
        >>> other.load_state(model.state())
        >>> bool((other.flat_parameters == model.flat_parameters).all())
        True
        """
        own = self._own_arrays()
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise ValueError(
                f"`state` must have the names {sorted(own)}; missing: {missing}, unknown: {unknown}"
            )
        for name, array in own.items():
            if np.shape(state[name]) != array.shape:
                raise ValueError(
                    f"`state[{name!r}]` must have shape {array.shape}, got {np.shape(state[name])}"
                )
        converted = {name: np.asarray(state[name], self.dtype) for name in own}  # all, before one is copied
        for name, array in own.items():
            array[...] = converted[name]
        for live in self.live_arrays():
            live.note_change()

    def _own_arrays(self) -> Arrays:
        """Name -> array of every parameter and statistic."""
        return {**self._live_parameters.views, **self._live_statistics.views}

    def describe(self) -> list[tuple[str, Shape, int]]:
        """(layer, output shape, parameters) of every layer, as `summary` prints them; shared ones count once.

        Returns
        -------
        list of tuples

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.reference_cnn().describe()[0]
        ('0  Conv2d(1, kernel_size=3)', (1, 4, 4), 10)
        """
        rows = summary.rows(self)[len(self.inputs) :]
        return [(row.name, row.output_shape, row.parameters or 0) for row in rows]

    def __repr__(self) -> str:
        return summary.as_text(self)

    def _repr_html_(self) -> str:
        """The same table in a notebook."""
        return summary.as_html(self)


def parameter_shapes(outline: Outline) -> dict[str, Shape]:
    """Name -> shape of every parameter of a network that there need not be."""
    return {
        full_name(node, name): shape
        for node in outline.lay_out()[0].nodes
        for name, shape in node.layer.parameter_shapes(node.input_shape).items()
    }


def _only(shapes: tuple[Shape, ...]) -> Any:
    """The shape of the only one; of several, all of them."""
    return shapes[0] if len(shapes) == 1 else shapes


def _checked_dtype(dtype: Any) -> str:
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = ""
    if name not in ("float32", "float64"):
        raise ValueError(f'`dtype` must be "float32" or "float64", got {dtype!r}')
    return name
