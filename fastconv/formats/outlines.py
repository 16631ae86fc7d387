"""Networks as our files hold them: a row as its layers, another graph as the calls of its layers."""

from collections.abc import Callable
from typing import Any

from ..nn.layer import Layer
from ..nn.outline import Call, Outline, checked_shape


def written(outline: Outline) -> dict[str, Any]:
    """The outline as JSON holds it.

    Raises
    ------
    ValueError
        If a layer's class can't be imported, so that no other process could read the file, or layers are
        nested too deep.
    """
    try:
        return _written(outline)
    except RecursionError:
        raise ValueError("`layers` are nested too deep for a file") from None


def _written(outline: Outline) -> dict[str, Any]:
    if outline.is_row:
        shape = list(outline.input_shapes[0])
        return {"input_shape": shape, "layers": [call.layer.record() for call in outline.calls]}
    shared = {call.name: call.layer for call in reversed(outline.calls)}
    return {
        "inputs": [
            {"name": name, "shape": list(shape)}
            for name, shape in zip(outline.input_names, outline.input_shapes, strict=True)
        ],
        "layers": {name: shared[name].record() for name in dict.fromkeys(c.name for c in outline.calls)},
        "calls": [[call.name, list(call.inputs)] for call in outline.calls],
        "outputs": [
            {"name": name, "value": value}
            for name, value in zip(outline.output_names, outline.outputs, strict=True)
        ],
    }


def read(description: dict[str, Any], layer_of: Callable[[Any], Layer]) -> Outline:
    """The outline that `written` described; `layer_of` makes a layer of its record.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it describes no network.
    """
    if "calls" not in description:
        layers = [layer_of(entry) for entry in description["layers"]]
        return Outline.of_row(layers, checked_shape(description["input_shape"]))
    inputs, outputs = description["inputs"], description["outputs"]
    layers_by_name = {name: layer_of(entry) for name, entry in description["layers"].items()}
    calls = tuple(Call(name, layers_by_name[name], tuple(values)) for name, values in description["calls"])
    if unused := set(layers_by_name) - {call.name for call in calls}:
        raise ValueError(f"layer {min(unused)} is called nowhere")
    count = len(inputs)
    for number, call in enumerate(calls):
        if not all(_is_among(value, 0, count + number) for value in call.inputs):
            raise ValueError(f"layer {call.name} takes a value that is not there: {call.inputs}")
    values = tuple(entry["value"] for entry in outputs)
    if not (inputs and values and all(_is_among(value, count, count + len(calls)) for value in values)):
        raise ValueError(f"its outputs are no values of its layers: {values}")
    return Outline(
        tuple(checked_shape(entry["shape"]) for entry in inputs),
        tuple(entry["name"] for entry in inputs),
        calls,
        values,
        tuple(entry["name"] for entry in outputs),
    )


def _is_among(value: Any, low: int, high: int) -> bool:
    """Whether it is the number of one of the values from `low` to before `high`."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < high
