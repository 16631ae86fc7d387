"""Checkpoints: all that a run needs to go on, in one file."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.model_file import read_model, write_model
from ..nn.layer import record_name
from .augment import Augment
from .batches import Feed
from .history import History
from .loops import Task

# What files of earlier versions do not tell: where it is missing, it is not compared.
_NEWER = ("metrics", "data", "validation_data")


@dataclass
class Position:
    """How far a run has come."""

    epochs_done: int = 0  # of this call of fit
    steps_taken: int = 0  # by the trainer, in all calls
    epochs_taken: int = 0
    stopped_at: int | None = None  # the number of epochs asked for, where a callback has stopped the run


def save(
    path: str | os.PathLike[str],
    run: Mapping[str, Any],
    task: Task,
    history: History,
    position: Position,
    callbacks: list[Any],
) -> None:
    """Write the network, the optimizer's vectors, the history and the callbacks' state after some epochs."""
    description = {
        "kind": "checkpoint",
        **{name: value for name, value in asdict(position).items() if value is not None},
        "history": dict(history),
        "run": run,
        "network": network_of(task.model),
        "callbacks": [],
    }
    arrays = {f"model.{name}": array for name, array in task.model.state().items()}
    arrays |= {f"optimizer.{k}": array for k, array in enumerate(task.optimizer_state)}
    for number, (name, callback) in enumerate(_with_state(callbacks)):
        state, own = _without_arrays(callback.state_dict(), f"callbacks.{number}.")
        description["callbacks"].append({"name": name, "state": state})
        arrays |= own
    try:
        write_model(path, description, arrays)
    except OSError as error:  # a full disk does not say of which file it speaks
        error.filename = os.fspath(path)
        raise


def network_of(model: Any) -> dict[str, Any]:
    """What `run` does not tell of a network: with it, `load` reads a checkpoint too."""
    return {"input_shape": list(model.input_shape), "seed": model.seed, "metadata": model.metadata}


def restore(
    path: str | os.PathLike[str], run: Mapping[str, Any], task: Task, callbacks: list[Any]
) -> tuple[History, Position]:
    """Read a checkpoint into the task's network and optimizer, and into the callbacks.

    Raises
    ------
    ValueError
        If it is damaged, or was written by another run; nothing is then changed.
    """
    description, arrays = read_model(path)
    try:
        if description["kind"] != "checkpoint":
            raise ValueError("it is none")
        _check_same_run(description["run"], run)
        state = {n.removeprefix("model."): a for n, a in arrays.items() if n.startswith("model.")}
        vectors = [arrays[f"optimizer.{k}"] for k in range(len(task.optimizer_state))]
        if any(vector.shape != own.shape for vector, own in zip(vectors, task.optimizer_state, strict=True)):
            raise ValueError("its optimizer has vectors of another size")
        history = History(description["history"])
        done = int(description["epochs_done"])
        position = Position(
            done,
            int(description["steps_taken"]),
            int(description.get("epochs_taken", done)),
            description.get("stopped_at"),
        )
        states = _states(description.get("callbacks", []), arrays)
        task.model.load_state(state)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a checkpoint to go on from: {error}") from None
    for own, vector in zip(task.optimizer_state, vectors, strict=True):
        own[...] = vector
    _give_states(states, callbacks)
    return history, position


def describe(task: Task, augment: Augment | None, feed: Feed, held_out: Feed | None) -> Any:
    """What must be the same for a checkpoint to be gone on from, as JSON gives it back.

    Raises
    ------
    ValueError
        If a layer, the loss or the optimizer is a user's own and can't be imported.
    """
    settings = {name: value for name, value in task.optimizer.settings().items() if value is not None}
    run = {
        "layers": [layer.record() for layer in task.model.layers],
        "dtype": task.model.dtype,
        "loss": task.loss.record(),
        "seed": task.seed,
        "metrics": list(task.metrics.by_name),
        "data": feed.fingerprint(),
        "validation_data": None if held_out is None else held_out.fingerprint(),
    }
    if augment is not None:
        run["augment"] = asdict(augment)
    run["optimizer"] = {"name": record_name(task.optimizer), **settings}
    return json.loads(json.dumps(run, default=_in_words))


def _in_words(thing: Any) -> Any:
    """A user's own setting, such as a schedule, in words that are the same in every process.

    Its `repr` may hold an address. What begins with an underscore is taken for its own affair.
    """
    if isinstance(thing, np.generic):
        return thing.item()
    if isinstance(thing, np.ndarray):
        return thing.tolist()
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    public = {name: value for name, value in getattr(thing, "__dict__", {}).items() if name[:1] != "_"}
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **(public if kind is not thing else {})}


def _check_same_run(written: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Raise ValueError that says what differs."""
    for name in sorted({*written, *run}):
        if name in _NEWER and name not in written:
            continue
        before, now = written.get(name), run.get(name)
        if before == now:
            continue
        if name in ("data", "validation_data") and before and now:
            differing = [part for part in now if before.get(part) != now[part]]
            raise ValueError(f"it was written with other {name}: {', '.join(differing)} not the same")
        what = f"`{name}` was {before}, and is {now}"
        if name in _NEWER:
            raise ValueError(f"it was written by a run with other {name}: {what}")
        raise ValueError(f"it was written by another network, loss, optimizer, seed or augmentation: {what}")


# The state of callbacks


def _with_state(callbacks: list[Any]) -> Iterator[tuple[str, Any]]:
    """(name of its class, callback) of those that have state to keep."""
    for callback in callbacks:
        if callable(getattr(callback, "state_dict", None)):
            yield type(callback).__qualname__, callback


def _without_arrays(state: Mapping[str, Any], prefix: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The state as JSON can hold it, and its arrays, and dicts of arrays, by names of their own."""
    plain, arrays = {}, {}
    for key, value in state.items():
        if isinstance(value, Mapping) and value and all(isinstance(a, np.ndarray) for a in value.values()):
            plain[key] = {"arrays": list(value)}
            arrays.update({f"{prefix}{key}/{name}": array for name, array in value.items()})
        else:
            plain[key] = {"value": value}
    return plain, arrays


def _states(
    kept: list[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]
) -> list[tuple[str, dict[str, Any]]]:
    """(name of its class, state) of each callback that the file tells of."""
    states = []
    for number, entry in enumerate(kept):
        state = {}
        for key, held in entry["state"].items():
            names = held.get("arrays", [])
            of_arrays = {name: arrays[f"callbacks.{number}.{key}/{name}"] for name in names}
            state[key] = held.get("value", of_arrays)
        states.append((entry["name"], state))
    return states


def _give_states(states: list[tuple[str, dict[str, Any]]], callbacks: list[Any]) -> None:
    """Give each callback the state of its class, in their order; what is left over is said."""
    waiting = list(_with_state(callbacks))
    for name, state in states:
        found = next((entry for entry in waiting if entry[0] == name), None)
        if found is None:
            warnings.warn(f"`callbacks` have no {name}, whose state the checkpoint keeps", stacklevel=4)
            continue
        waiting.remove(found)
        found[1].load_state_dict(state)
