"""Weights that another program saved by name: which of its arrays is which of ours.

Nothing is guessed. A file's order says nothing (the .safetensors format sorts its arrays), so only names
decide. Where shapes alone would leave one possibility, the error says how to ask for it.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..nn.layer import Arrays, Shape

# What PyTorch counts: batches of batch normalisation, networks of a mean. No result depends on it.
IGNORED = ("num_batches_tracked", "n_averaged")
# Parts of names that stand for a wrapper around a module, wherever they are; torch.compile makes the first.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Part of a name -> what made it, in which a weight is worked out anew in each call, and how to get rid of it.
REMEDIES = {
    "parametrizations": "a parametrization: torch.nn.utils.parametrize.remove_parametrizations",
    "weight_mask": "pruning: torch.nn.utils.prune.remove",
    "weight_g": "weight norm: torch.nn.utils.remove_weight_norm",
    "weight_u": "spectral norm: torch.nn.utils.remove_spectral_norm",
}


def matching(
    own: Mapping[str, Shape],
    arrays: Arrays,
    names: Mapping[Any, str] | None = None,
    dtype: str = "float64",
) -> Arrays:
    """The arrays of a file under our names.

    Parameters
    ----------
    own : dict
        Name -> shape of everything there is to load, such as "0.weight".
    arrays : dict
        Name -> array, as they stand in the file. A prefix that all names share is left out of account, and
        so is what torch.compile and the like put into them.
    names : dict, optional
        Our layer, such as 0, -> the file's name of it, such as "conv1".
    dtype : str
        Of the network.

    Raises
    ------
    ValueError
        If a name is missing or left over, or a shape is another; if there are no numbers in an array, those
        of quantised weights (8 bits), which say nothing without their scale, or larger ones than `dtype` has.
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
    arrays = {name: a for name, a in arrays.items() if name.rpartition(".")[2] not in IGNORED}
    arrays = _unwrapped(arrays)
    theirs = _prefixed(own, arrays) if names is None else _renamed(own, names)
    missing = [name for name in theirs.values() if name not in arrays]
    unknown = sorted(arrays.keys() - theirs.values())
    if missing or unknown:
        hint = _remedy(unknown) or ("" if names is not None else _hint(own, arrays))
        raise ValueError(f"its names are others: missing {missing}, unknown {unknown}{hint}")
    for name, shape in own.items():
        if arrays[theirs[name]].shape != shape:
            raise ValueError(f"{theirs[name]!r} must have shape {shape}, got {arrays[theirs[name]].shape}")
        _check_numbers(theirs[name], arrays[theirs[name]], dtype)
    return {name: arrays[theirs[name]] for name in own}


def _unwrapped(arrays: Arrays) -> Arrays:
    """The arrays without the wrappers in their names, unless two names would become one."""
    names = [".".join(part for part in name.split(".") if part not in WRAPPERS) for name in arrays]
    return dict(zip(names, arrays.values(), strict=True)) if len(set(names)) == len(names) else arrays


def _remedy(names: list[str]) -> str:
    """What to do about weights that the file holds in parts only."""
    parts = {part for name in names for part in name.split(".")}
    found = next((REMEDIES[part] for part in REMEDIES if part in parts), None)
    return f"; its weights are worked out by {found} makes plain ones of them" if found else ""


def _check_numbers(name: str, array: NDArray[Any], dtype: str) -> None:
    kind = array.dtype
    if kind.kind not in "iuf" or (kind.kind in "iu" and kind.itemsize == 1):
        why = " (quantised weights need their scale)" if kind.kind in "iu" else ""
        raise ValueError(f"{name!r} must hold floating-point numbers, got {kind}{why}")
    wider = kind.kind == "f" and kind.itemsize > np.dtype(dtype).itemsize
    if wider and bool((np.abs(array[np.isfinite(array)]) > np.finfo(dtype).max).any()):
        raise ValueError(f"{name!r} holds numbers that are too large for {dtype}")


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
