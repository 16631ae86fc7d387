"""What rank 0 does alone, such as to call back and to read files, and what of it all ranks take over."""

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.ranks.agreement import by_lead
from .history import History
from .settings import TrainerSettings


@dataclass
class State:
    """What callbacks may change of a trainer, and a script before a call."""

    stop_training: bool
    steps_taken: int
    frozen: frozenset[str]
    optimizer: Any = None  # where it is another one than before
    vectors: dict[int, NDArray[Any]] = field(default_factory=dict)  # by their place in `_vectors`
    epochs_taken: int | None = None  # between calls only
    history: dict[str, list[float]] = field(default_factory=dict)


def _vectors(trainer: TrainerSettings) -> list[NDArray[Any]]:
    """Parameters, statistics and the optimizer's vectors; live."""
    return [*(live.flat for live in trainer.model.live_arrays()), *trainer._optimizer_state]


def _changed(trainer: TrainerSettings, optimizer: Any, before: list[NDArray[Any]]) -> State:
    """What is not as before, when there were this optimizer and these vectors."""
    state = State(trainer.stop_training, trainer.steps_taken, trainer.model.frozen)
    if trainer.optimizer is not optimizer:
        state.optimizer = trainer.optimizer
    for k, vector in enumerate(_vectors(trainer)):
        if k >= len(before) or before[k].tobytes() != vector.tobytes():
            state.vectors[k] = vector
    return state


def _take_over(trainer: TrainerSettings, state: State) -> None:
    """Make a trainer as that of rank 0 is."""
    trainer.stop_training, trainer._steps_taken = state.stop_training, state.steps_taken
    if state.optimizer is not None:
        trainer.optimizer = state.optimizer
    if trainer.model.frozen != state.frozen:
        trainer.model.unfreeze()
        if state.frozen:
            trainer.model.freeze(*state.frozen)
    own = _vectors(trainer)
    for k, values in state.vectors.items():
        own[k][...] = values
    if state.vectors:
        for live in trainer.model.live_arrays():
            live.note_change()
    if state.epochs_taken is not None:
        trainer._epochs_taken, trainer._history = state.epochs_taken, History(state.history)


def led(trainer: TrainerSettings, act: Callable[[], Any]) -> Any:
    """What `act` returns on rank 0, which alone calls it; others take over what it changes of the trainer.

    What it raises is raised on all. Meanwhile the trainer of rank 0 works on its own: a callback may
    evaluate, predict and train, and the others wait.
    """
    ranks = trainer.ranks
    if ranks.count == 1:
        return act()
    answer: list[Any] = []

    def on_lead() -> bytes:
        before = trainer.optimizer, [vector.copy() for vector in _vectors(trainer)]
        with trainer._on_its_own():
            answer.append(act())
        return pickle.dumps((answer[0], _changed(trainer, *before)))  # here, where what it raises is told

    told = by_lead(ranks, on_lead)
    if ranks.leads:
        return answer[0]
    value, state = pickle.loads(told)
    _take_over(trainer, state)
    return value


def share_state(trainer: TrainerSettings) -> None:
    """Give all ranks the parameters, the optimizer's vectors and the counters of rank 0, if theirs differ."""
    ranks = trainer.ranks
    if ranks.count == 1:
        return
    digest = hashlib.sha256(repr((trainer.steps_taken, trainer.epochs_taken)).encode())
    digest.update(repr(sorted(trainer.model.frozen)).encode())
    for vector in _vectors(trainer):
        digest.update(np.ascontiguousarray(vector).data)
    if len(set(ranks.gather(digest.digest()))) == 1:
        return
    state = _changed(trainer, trainer.optimizer, [])
    state.epochs_taken, state.history = trainer.epochs_taken, dict(trainer._history)
    told = ranks.broadcast(state)
    if not ranks.leads:
        _take_over(trainer, told)
