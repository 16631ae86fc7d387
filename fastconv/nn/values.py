"""The functional form: from the values that layers were called on to the outline of a network."""

from collections.abc import Mapping, Sequence
from typing import Any

from .layer import Layer, Shape
from .outline import Call, Outline, checked_shape
from .value import Value, checked_name, kind_of, laid_out

__all__ = ["Input", "Value"]


def Input(shape: Shape, name: str | None = None) -> Value:
    """What enters a network: the value that its first layers are called on.

    Parameters
    ----------
    shape : tuple
        Of one sample: (C, H, W) of an image, (C, L) of a signal, or (features,).
    name : str, optional
        What X is called where there are several inputs.

    Returns
    -------
    Value

    Raises
    ------
    TypeError, ValueError
        If it is no shape of a sample.

    Examples
    --------
    >>> import fastconv as fc
    >>> image, speed = fc.Input((1, 8, 8), name="image"), fc.Input((3,), name="speed")
    >>> features = fc.Flatten()(fc.ReLU()(fc.Conv2d(4, 3)(image)))
    >>> output = fc.Dense(2)(fc.Concatenate()([features, speed]))
    >>> fc.Model([image, speed], output).input_shapes
    ((1, 8, 8), (3,))
    """
    return Value(checked_shape(shape), name=checked_name(name))


def outline_of(inputs: Any, outputs: Any) -> Outline:
    """How a network is written down that makes `outputs` of `inputs`.

    Raises
    ------
    TypeError
        If they are no values.
    ValueError
        If an output depends on an input that is not there, or names do not fit.
    """
    starts, start_names = _named(inputs, "inputs", "input")
    ends, end_names = _named(outputs, "outputs", "output")
    for value in starts:
        if value.layer is not None:
            raise ValueError(f"`inputs` must be made by Input(...), got {value!r}")
    if len(set(map(id, starts))) != len(starts):
        raise ValueError("`inputs` must be different values, got one twice")
    for value in ends:
        if value.layer is None:
            raise ValueError("`outputs` must be made by layers, got an Input")
    calls = _calls_before(ends, starts)
    numbers = {id(value): k for k, value in enumerate([*starts, *calls])}
    named = [
        Call(name, call.layer, tuple(numbers[id(value)] for value in call.inputs))
        for name, call in zip(_names_of(calls), calls, strict=True)
        if call.layer is not None
    ]
    shapes = tuple(value.shape for value in starts)
    return Outline(shapes, start_names, tuple(named), tuple(numbers[id(v)] for v in ends), end_names)


def _named(given: Any, what: str, kind: str) -> tuple[list[Value], tuple[str, ...]]:
    """Values, and a name for each: a dict's, their own, "input" where there is one, "input_0", ..."""
    names: list[str | None]
    if isinstance(given, Mapping):
        values, names = list(given.values()), [checked_name(name, optional=False) for name in given]
    else:
        values = list(given) if isinstance(given, Sequence) else [given]
        names = [v.name if isinstance(v, Value) and v.layer is None else None for v in values]
    for value in values:
        if not isinstance(value, Value):
            raise TypeError(f"`{what}` must be values, which begin with fastconv.Input, got {kind_of(value)}")
    if not values:
        raise ValueError(f"`{what}` must hold at least one value, got none")
    plain = [kind] if len(values) == 1 else [f"{kind}_{k}" for k in range(len(values))]
    found = tuple(name or other for name, other in zip(names, plain, strict=True))
    return values, found


def _calls_before(ends: list[Value], starts: list[Value]) -> list[Value]:
    """What layers make on the way to some values, in the order in which they were called."""
    known, found, waiting = set(map(id, starts)), {}, list(ends)
    while waiting:
        value = waiting.pop()
        if id(value) in found or id(value) in known:
            continue
        if value.layer is None:
            name = f" {value.name!r}" if value.name else ""
            raise ValueError(f"`outputs` depend on an Input{name} of shape {value.shape} not in `inputs`")
        found[id(value)] = value
        waiting += value.inputs
    return sorted(found.values(), key=lambda value: value.number)


def _names_of(calls: list[Value]) -> list[str]:
    """The name of each call: its own, that of the same layer before it, or its number."""
    by_layer: dict[int, str] = {}
    owners: dict[str, Layer | None] = {}
    names = []
    for number, call in enumerate(calls):
        before = by_layer.get(id(call.layer))
        name = call.name or before or str(number)
        if before is not None and name != before and _has_weights(call):
            raise ValueError(
                f"{call.layer} is called {before!r} and {name!r}: a layer that is called twice shares its "
                "weights, which have one name; for weights of its own, make a new layer"
            )
        if owners.setdefault(name, call.layer) is not call.layer:
            raise ValueError(f"names of layers must be their own, got {name!r} for two: give other names")
        by_layer.setdefault(id(call.layer), name)
        names.append(name)
    return names


def _has_weights(call: Value) -> bool:
    nodes = laid_out(call.layer, call.inputs)[0].nodes if call.layer is not None else []
    return any(node.layer.parameter_shapes(node.input_shape) for node in nodes)
