"""Checkpoints: all that a run needs to go on, in one file."""

import json
import os
from dataclasses import asdict
from typing import Any

from ..formats.model_file import read_model, write_model
from ..nn.layer import record_name
from .augment import Augment
from .history import History
from .loops import Task


def save(
    path: str | os.PathLike[str],
    task: Task,
    history: History,
    epochs_done: int,
    steps_taken: int,
    augment: Augment | None,
) -> None:
    """Write the network, the optimizer's vectors and the history after some epochs."""
    description = {
        "kind": "checkpoint",
        "epochs_done": epochs_done,
        "steps_taken": steps_taken,
        "history": dict(history),
        "run": describe(task, augment),
    }
    arrays = {f"model.{name}": array for name, array in task.model.state().items()}
    arrays |= {f"optimizer.{k}": array for k, array in enumerate(task.optimizer_state)}
    try:
        write_model(path, description, arrays)
    except OSError as error:  # a full disk does not say of which file it speaks
        error.filename = os.fspath(path)
        raise


def restore(path: str | os.PathLike[str], task: Task, augment: Augment | None) -> tuple[History, int, int]:
    """Read a checkpoint into the task's network and optimizer: (history, epochs done, steps taken).

    Raises
    ------
    ValueError
        If it is damaged, or was written by another run; nothing is then changed.
    """
    description, arrays = read_model(path)
    try:
        if description["kind"] != "checkpoint" or description["run"] != describe(task, augment):
            raise ValueError("it was written by another network, loss, optimizer, seed or augmentation")
        state = {n.removeprefix("model."): a for n, a in arrays.items() if n.startswith("model.")}
        vectors = [arrays[f"optimizer.{k}"] for k in range(len(task.optimizer_state))]
        if any(vector.shape != own.shape for vector, own in zip(vectors, task.optimizer_state, strict=True)):
            raise ValueError("its optimizer has vectors of another size")
        history = History(description["history"])
        epochs_done, steps_taken = int(description["epochs_done"]), int(description["steps_taken"])
        task.model.load_state(state)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a checkpoint to go on from: {error}") from None
    for own, vector in zip(task.optimizer_state, vectors, strict=True):
        own[...] = vector
    return history, epochs_done, steps_taken


def describe(task: Task, augment: Augment | None) -> Any:
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
    }
    if augment is not None:
        run["augment"] = asdict(augment)
    run["optimizer"] = {"name": record_name(task.optimizer), **settings}
    return json.loads(json.dumps(run, default=repr))
