"""Weights that another program saved by name: which of its arrays is which of ours.

Nothing is guessed. A file's order says nothing (the .safetensors format sorts its arrays), so only names
decide. Where shapes alone would leave one possibility, the error says how to ask for it.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..nn.layer import Arrays, Shape

IGNORED = "num_batches_tracked"  # PyTorch counts the batches of batch normalisation; no result depends on it


def matching(own: Mapping[str, Shape], arrays: Arrays, names: Mapping[Any, str] | None = None) -> Arrays:
    """The arrays of a file under our names.

    Parameters
    ----------
    own : dict
        Name -> shape of everything there is to load, such as "0.weight".
    arrays : dict
        Name -> array, as they stand in the file. A prefix that all names share is left out of account.
    names : dict, optional
        Our layer, such as 0, -> the file's name of it, such as "conv1".

    Raises
    ------
    ValueError
        If a name is missing or left over, or a shape is another.
    TypeError
        If `names` is not a dictionary of texts.

    Examples
    --------
    >>> import numpy as np
    >>> matching({"0.bias": (2,)}, {"net.0.bias": np.zeros(2)})
    {'0.bias': array([0., 0.])}
    >>> matching({"0.bias": (2,)}, {"fc.bias": np.zeros(2)}, names={0: "fc"})
    {'0.bias': array([0., 0.])}
    """
    arrays = {name: array for name, array in arrays.items() if name.rpartition(".")[2] != IGNORED}
    theirs = _prefixed(own, arrays) if names is None else _renamed(own, names)
    missing = [name for name in theirs.values() if name not in arrays]
    unknown = sorted(arrays.keys() - theirs.values())
    if missing or unknown:
        hint = "" if names is not None else _hint(own, arrays)
        raise ValueError(f"its names are others: missing {missing}, unknown {unknown}{hint}")
    for name, shape in own.items():
        if arrays[theirs[name]].shape != shape:
            raise ValueError(f"{theirs[name]!r} must have shape {shape}, got {arrays[theirs[name]].shape}")
    return {name: arrays[theirs[name]] for name in own}


def _prefixed(own: Mapping[str, Shape], arrays: Arrays) -> dict[str, str]:
    """Our names -> the same with the prefix that all names of the file share, if that is all that differs."""
    first = next(iter(own), "")
    for name in arrays:
        prefix = name.removesuffix(first)
        if name == prefix + first and prefix.endswith(".") and arrays.keys() == {prefix + n for n in own}:
            return {n: prefix + n for n in own}
    return {n: n for n in own}


def _renamed(own: Mapping[str, Shape], names: Mapping[Any, str]) -> dict[str, str]:
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names.values()):
        raise TypeError(f'`names` must be a dictionary such as {{0: "conv1"}}, got {names!r}')
    given = {str(layer): name for layer, name in names.items()}
    layers = list(dict.fromkeys(name.partition(".")[0] for name in own))
    if wrong := [layer for layer in given if layer not in layers]:
        raise ValueError(f"`names` must name layers with weights, {', '.join(layers)}, got {wrong[0]!r}")
    parts = ((name, *name.split(".")) for name in own)
    return {name: f"{given.get(layer, layer)}.{part}" for name, layer, part in parts}


def _hint(own: Mapping[str, Shape], arrays: Arrays) -> str:
    """How to load them all the same, if shapes leave one possibility."""
    ours = _by_layer(own)
    theirs = _by_layer({name: array.shape for name, array in arrays.items()})
    counts = Counter(ours.values())
    if counts != Counter(theirs.values()):
        return ""
    if max(counts.values(), default=1) > 1:
        return "; the shapes leave several possibilities: give `names`, our layer -> the file's"
    found = {shapes: layer for layer, shapes in theirs.items()}
    names = {int(layer): found[shapes] for layer, shapes in ours.items()}
    return f"; by its shapes it can only be names={names}: give that if it is meant"


def _by_layer(shapes: Mapping[str, Shape]) -> dict[str, frozenset[tuple[str, Shape]]]:
    layers: dict[str, set[tuple[str, Shape]]] = {}
    for name, shape in shapes.items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, set()).add((part, shape))
    return {layer: frozenset(parts) for layer, parts in layers.items()}
