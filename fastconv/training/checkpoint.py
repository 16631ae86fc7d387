"""Checkpoints: all that a run needs to go on, in one file."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.model_file import read_model, write_model
from ..formats.outlines import written
from ..nn.layer import record_name
from ..nn.optimizers import BY_NAME, Optimizer
from .augment import Augment
from .feeds import Feed
from .history import History
from .settings import TrainerSettings

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
    trainer: TrainerSettings,
    history: History,
    position: Position,
    callbacks: list[Any],
) -> None:
    """Write the network, the optimizer's vectors, the history and the callbacks' state after some epochs."""
    task = trainer._current_task()
    description = {
        "kind": "checkpoint",
        **{name: value for name, value in asdict(position).items() if value is not None},
        "history": dict(history),
        "run": run,
        "optimizer": _plain(_settings_of(task.optimizer)),  # a callback may have assigned another one
        "network": network_of(trainer.model),
        "callbacks": [],
    }
    arrays = {f"model.{name}": array for name, array in task.model.state().items()}
    arrays |= {f"optimizer.{k}": array for k, array in enumerate(task.optimizer_state)}
    for number, (name, callback) in enumerate(_with_state(callbacks)):
        state, own = _without_arrays(name, callback.state_dict(), f"callbacks.{number}.")
        description["callbacks"].append({"name": name, "state": state})
        arrays |= own
    try:
        write_model(path, description, arrays)
    except OSError as error:  # a full disk does not say of which file it speaks
        error.filename = os.fspath(path)
        raise


def network_of(model: Any) -> dict[str, Any]:
    """What `run` does not tell of a network: with it, `load` reads a checkpoint too."""
    about = {"seed": model.seed, "metadata": model.metadata}
    if model.frozen:
        about["frozen"] = sorted(model.frozen)
    shape = written(model.outline).get("input_shape")
    return about if shape is None else {"input_shape": shape, **about}


def restore(
    path: str | os.PathLike[str], run: Mapping[str, Any], trainer: TrainerSettings, callbacks: list[Any]
) -> tuple[History, Position]:
    """Read a checkpoint into the trainer and its network, and into the callbacks.

    Raises
    ------
    ValueError
        If it is damaged, or was written by another run; nothing is then changed.
    """
    description, arrays = read_model(path)
    try:
        if description["kind"] != "checkpoint":
            raise ValueError("it is none")
        written = description["run"]
        _check_same_run(written, run)
        optimizer = _as_left(trainer._given_optimizer, description.get("optimizer", written["optimizer"]))
        fresh = optimizer.initial_state(trainer.model.flat_parameters)
        state = {n.removeprefix("model."): a for n, a in arrays.items() if n.startswith("model.")}
        vectors = [arrays[f"optimizer.{k}"] for k in range(len(fresh))]
        if any(vector.shape != own.shape for vector, own in zip(vectors, fresh, strict=True)):
            raise ValueError("its optimizer has vectors of another size")
        history = History({str(name): list(values) for name, values in description["history"].items()})
        done = int(description["epochs_done"])
        position = Position(
            done,
            int(description["steps_taken"]),
            int(description.get("epochs_taken", done)),
            description.get("stopped_at"),
        )
        states = _states(description.get("callbacks", []), arrays)
        frozen = description.get("network", {}).get("frozen", [])
        trainer.model.load_state(state)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not a checkpoint to go on from: {error}") from None
    trainer.model.unfreeze()  # a callback may have frozen other layers since the run began
    if frozen:
        trainer.model.freeze(*frozen)
    trainer.optimizer = optimizer
    for own, vector in zip(trainer._current_task().optimizer_state, vectors, strict=True):
        own[...] = vector
    _give_states(states, callbacks)
    return history, position


def describe(trainer: TrainerSettings, augment: Augment | None, feed: Feed, held_out: Feed | None) -> Any:
    """What must be the same for a checkpoint to be gone on from, as JSON gives it back.

    Raises
    ------
    ValueError
        If a layer, the loss or the optimizer is a user's own and can't be imported.
    """
    task = trainer._current_task()
    run = {
        **_layers_of(task.model),
        "dtype": task.model.dtype,
        "loss": task.loss.record(),
        "seed": task.seed,
        "metrics": list(task.metrics.by_name),
        "data": feed.fingerprint(),
        "validation_data": None if held_out is None else held_out.fingerprint(),
    }
    if augment is not None:
        run["augment"] = asdict(augment)
    run["optimizer"] = _settings_of(trainer._given_optimizer)
    return _plain(run)


def _layers_of(model: Any) -> dict[str, Any]:
    """What `written` tells of the layers of a network, and of a graph how they are called."""
    description = written(model.outline)
    description.pop("input_shape", None)
    return description


def _settings_of(optimizer: Optimizer) -> dict[str, Any]:
    settings = {name: value for name, value in optimizer.settings().items() if value is not None}
    return {"name": record_name(optimizer), **settings}


def _as_left(optimizer: Optimizer, left: dict[str, Any]) -> Optimizer:
    """The optimizer that the run was left with: a callback may have lowered its rate, or assigned another.

    Raises
    ------
    ValueError
        If it can't be made from its settings.
    """
    now = _plain(_settings_of(optimizer))
    if left == now:
        return optimizer
    kinds = {kind.__name__: kind for kind in BY_NAME.values()}
    kind = type(optimizer) if left["name"] == now["name"] else kinds.get(left["name"])
    settings = {name: value for name, value in left.items() if name != "name"}
    with suppress(TypeError, ValueError):
        if settings["lr"] == now["lr"]:
            settings["lr"] = optimizer.lr  # a schedule is words in the file
        other = optimizer.with_lr(settings["lr"])
        if _plain(_settings_of(other)) != left and kind is not None:
            other = kind(**settings)
        if _plain(_settings_of(other)) == left:
            return other
    raise ValueError(f"a callback had assigned an optimizer that can't be made from the file: {left}")


def _plain(description: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(description, default=_in_words))


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


def _without_arrays(
    name: str, state: Mapping[str, Any], prefix: str
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The state as JSON can hold it, and its arrays, and dicts of arrays, by names of their own.

    Raises
    ------
    TypeError
        If a value would come back as something else.
    """
    plain: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for key, value in state.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            plain[key] = {"array": True}
            arrays[f"{prefix}{key}"] = value
        elif isinstance(value, Mapping) and value and all(isinstance(a, np.ndarray) for a in value.values()):
            plain[key] = {"arrays": list(value)}
            arrays.update({f"{prefix}{key}/{name}": array for name, array in value.items()})
        elif _comes_back(value := value.item() if isinstance(value, np.generic) else value):
            plain[key] = {"value": value}
        else:
            raise TypeError(
                f"state_dict() of {name} must give JSON values (lists, dicts with names, numbers), arrays or "
                f"dicts of arrays, got {value!r} as {key!r}"
            )
    return plain, arrays


def _comes_back(value: Any) -> bool:
    """Whether JSON gives a value back as it was: a tuple would be a list, a number as a key a text."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _comes_back(held) for key, held in value.items())
    if isinstance(value, list):
        return all(map(_comes_back, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _states(
    kept: list[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]
) -> list[tuple[str, dict[str, Any]]]:
    """(name of its class, state) of each callback that the file tells of."""
    states = []
    for number, entry in enumerate(kept):
        state = {}
        for key, held in entry["state"].items():
            if "array" in held:
                state[key] = arrays[f"callbacks.{number}.{key}"]
                continue
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
            warnings.warn(f"`callbacks` have no {name}, whose state the checkpoint keeps", stacklevel=8)
            continue
        waiting.remove(found)
        found[1].load_state_dict(state)
