"""Layers that training leaves as they are, and which parameters an optimizer changes and lets decay."""

from collections.abc import Callable, Iterable
from typing import Any

from .graph import Node
from .layer import Arrays
from .optimizer import Optimizer


class Freezing:
    """The part of a network that says which of its layers are trained."""

    nodes: tuple[Node, ...]
    parameters: Callable[[], Arrays]  # a subclass has it
    _frozen: frozenset[str] = frozenset()

    @property
    def frozen(self) -> frozenset[str]:
        """The places of the layers that training leaves as they are.

        Returns
        -------
        frozenset of str
            As in the names of parameters, without their own: "0", "2.1".

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.reference_cnn().frozen
        frozenset()
        """
        return self._frozen

    def freeze(self, *places: str) -> None:
        """Leave layers as they are in training, as for a network whose first layers have learned enough.

        Parameters
        ----------
        places : str
            Where the layers stand, as in the names of their parameters: "0" is the first layer and all that
            is in it, "0.1" only the second part of it. Without any, all layers are frozen.

        Raises
        ------
        TypeError, ValueError
            If there is no layer with parameters at one of the places; nothing is then frozen.

        Notes
        -----
        Their parameters get no gradient, no step and no weight decay, and no time is spent on them: where
        all layers up to one are frozen, the backward pass ends there. As in Keras, a frozen batch
        normalisation uses its running mean and variance in training too, and leaves them as they are; dropout
        goes on. In `loss_and_gradients` the gradients of frozen parameters are zeros.

        What is frozen is kept in files and checkpoints. A callback may change it between epochs.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> model = fc.models.lenet5()
        >>> model.freeze("0", "3")
        >>> before = model.state()
        >>> loss = fc.Trainer(model).train_on_batch(np.ones((4, 1, 28, 28)), [0, 1, 2, 3])
        >>> [name for name, array in model.parameters().items() if (array != before[name]).any()][0]
        '7.weight'
        """
        self._set_frozen(self._frozen | self._at(places))

    def unfreeze(self, *places: str) -> None:
        """Train layers again.

        Parameters
        ----------
        places : str
            As in `freeze`; without any, all layers are trained.

        Raises
        ------
        TypeError, ValueError
            If there is no layer with parameters at one of the places.

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.lenet5()
        >>> model.freeze()
        >>> model.unfreeze("11")
        >>> sorted(model.frozen)
        ['0', '3', '7', '9']
        """
        self._set_frozen(self._frozen - self._at(places))

    def _at(self, places: Iterable[Any]) -> frozenset[str]:
        """The layers with parameters at or below some places."""
        learning = {name.rpartition(".")[0] for name in self.parameters()}
        if not places:
            return frozenset(learning)
        found: set[str] = set()
        for place in places:
            if not isinstance(place, str):
                raise TypeError(f"`places` must be names of layers such as '0' or '2.1', got {place!r}")
            prefix = place.removesuffix(".")
            below = {name for name in learning if name == prefix or name.startswith(f"{prefix}.")}
            if not below:
                there = ", ".join(map(repr, dict.fromkeys(n.name for n in self.nodes if n.name in learning)))
                raise ValueError(f"`places` must be of layers with parameters, {there}, got {place!r}")
            found |= below
        return frozenset(found)

    def _set_frozen(self, names: frozenset[str]) -> None:
        vars(self)["_frozen"] = names


def update_runs(network: Any, optimizer: Optimizer, frozen: frozenset[str]) -> list[tuple[int, int, bool]]:
    """The runs of parameters that are trained: (first, end, whether they decay), as long as they can be.

    An update that goes through runs takes no longer than one through all parameters.
    """
    layers = {node.name: node.layer for node in network.nodes}
    runs: list[tuple[int, int, bool]] = []
    start = 0
    for name, array in network.parameters().items():
        place, end = name.rpartition(".")[0], start + array.size
        if place not in frozen:
            decays = optimizer.decays(name, layers[place].image_layer())
            if runs and runs[-1][1:] == (start, decays):
                runs[-1] = (runs[-1][0], end, decays)
            else:
                runs.append((start, end, decays))
        start = end
    return runs
