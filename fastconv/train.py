"""The trainer: epochs, validation, callbacks and checkpoints around the engine's compiled steps."""

import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import progress as progress_displays
from .builder import optimizer_state
from .checks import real_number, whole_number
from .data import check_samples, check_targets
from .engine import Engine
from .model_files import check_target, read_model, write_model
from .optimizers import SGD, Optimizer
from .sequential import Sequential, check_loss
from .weights import Weights, check_sample_weight, combine

METRICS = ("accuracy",)
WITHOUT_CLASSES = ("mse",)  # losses of numbers that are neither right nor wrong


class DivergedError(ArithmeticError):
    """The loss became infinite or not a number; the message names the epoch and the step.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> trainer = fc.Trainer(fc.Sequential([fc.Dense(1)], (1,)), loss="mse", optimizer=fc.SGD(lr=1e30))
    >>> try:
    ...     trainer.fit(np.ones(64), np.ones(64))
    ... except fc.DivergedError as error:
    ...     print(error)
    the loss became inf in epoch 1, step 2: try a smaller learning rate
    """


class History(dict[str, list[float]]):
    """Name of a figure -> its values, one for each epoch: `history["val_loss"]`.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    >>> history = trainer.fit(np.ones((8, 1, 6, 6)), np.ones(8), epochs=3)
    >>> list(history), len(history["loss"])
    (['loss', 'accuracy', 'learning_rate', 'seconds'], 3)
    """

    def append(self, logs: Mapping[str, Any]) -> None:
        """Add one epoch's figures."""
        for name, value in logs.items():
            if name not in ("epoch", "epochs"):
                self.setdefault(name, []).append(value)


class Trainer:
    """Trains a network.

    Parameters
    ----------
    model : Sequential
        Its parameters are changed in place.
    loss : {"bce", "bce_with_logits", "cross_entropy", "mse"}
        "bce" after a final Sigmoid, and "cross_entropy" after a final Softmax, are computed from the
        layer's input, which is exact where the factors alone would overflow.
    optimizer : SGD, Adam or AdamW
        Default is SGD(lr=0.01).
    metrics : tuple of str
        Figures beside the loss: "accuracy" (left out for "mse", which has no classes), or nothing.
    seed : int
        Of the order of samples and of dropout.

    Raises
    ------
    ValueError, TypeError
        If an argument is unknown or does not fit the model.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.random((64, 1, 6, 6)), rng.integers(0, 2, 64)
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce", optimizer=fc.SGD(lr=0.1))
    >>> history = trainer.fit(X, y, epochs=2)
    >>> len(history["loss"])
    2
    """

    def __init__(
        self,
        model: Sequential,
        loss: str = "cross_entropy",
        optimizer: Optimizer | None = None,
        metrics: str | Sequence[str] = ("accuracy",),
        seed: int = 0,
    ) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"`model` must be a Sequential, got {model!r}")
        check_loss(loss, model.output_shape)
        optimizer = SGD() if optimizer is None else optimizer
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"`optimizer` must be an optimizer such as SGD(lr=0.1), got {optimizer!r}")
        try:
            self.metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
        except TypeError:
            raise TypeError(f"`metrics` must be names among {METRICS}, got {metrics!r}") from None
        for name in self.metrics:
            if name not in METRICS:
                raise ValueError(f"`metrics` must be among {METRICS}, got {name!r}")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.seed = whole_number(seed, "seed", low=0)
        self.stop_training = False
        self.steps_taken = 0
        self._state = optimizer_state(optimizer, model)

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        epochs: int = 5,
        batch_size: int = 32,
        validation_data: tuple[ArrayLike, ...] | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        callbacks: Iterable[Any] = (),
        progress: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
    ) -> History:
        """Train for some epochs.

        Parameters
        ----------
        X : ndarray, shape (N, *input_shape)
            float32, float64 or uint8 (divided by 255), of any strides; read sample by sample.
        y : ndarray
            int labels (N,) for "cross_entropy", otherwise numbers of the output's shape.
        epochs, batch_size : int
            Passes over the data, and samples of a step. A last, smaller batch divides by its own size.
        validation_data : tuple of arrays, optional
            (X, y) or (X, y, sample_weight) to evaluate after every epoch.
        validation_split : float
            Instead, the last part of X and y to hold out, 0 to 1.
        shuffle : bool
            Whether each epoch takes the samples in a new order.
        callbacks : iterable
            Objects with `on_epoch_end(trainer, logs)`.
        progress : None, bool or object
            None shows progress on a terminal only, True always, False never.
        checkpoint : path, optional
            A file, .npz or .safetensors, that holds, after every epoch, all that is needed to go on.
        resume : bool
            Go on from `checkpoint`, if that file is there.
        sample_weight : ndarray, shape (N,), optional
            How much each sample counts: numbers >= 0 which its loss and gradient are multiplied by. A step
            still divides by the number of its samples, as in Keras, so weights of mean 1 keep the size of
            the steps; accuracy counts every sample as one.
        class_weight : dict or "balanced", optional
            The same for all samples of a class: class number -> weight, 1 where it is missing; or weights
            that make all classes count the same. Both together are multiplied. Not for held out samples.

        Returns
        -------
        History
            Name of a figure -> its values, one for each epoch.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.
        DivergedError
            If the loss is no longer finite.
        """
        X, y = self._checked(X, y)
        weight = None if sample_weight is None else check_sample_weight(sample_weight, len(X))
        epochs, batch_size = whole_number(epochs, "epochs"), whole_number(batch_size, "batch_size")
        split = real_number(validation_split, "validation_split", 0.0, 1.0)
        if validation_data is not None:
            held_out: tuple[Any, ...] = self._checked_validation(validation_data)
        elif split:
            kept = len(X) - round(len(X) * split)
            if not 0 < kept < len(X):
                raise ValueError(f"`validation_split` = {split} leaves no samples on one side of {len(X)}")
            X, held_out, y = X[:kept], (X[kept:], y[kept:]), y[:kept]
            if weight is not None:
                held_out, weight = (*held_out, weight[kept:]), weight[:kept]
        else:
            held_out = ()
        if resume and checkpoint is None:
            raise ValueError("`resume` needs `checkpoint`, the file to go on from")
        if checkpoint is not None:
            check_target(checkpoint, "checkpoint")
        weight = combine(weight, class_weight, y, self.loss, math.prod(self.model.output_shape))
        callbacks = _checked_callbacks(callbacks)
        history, first_epoch = History(), 0
        if resume and checkpoint is not None and Path(checkpoint).exists():
            history, first_epoch = self._restore(checkpoint)
        display = progress_displays.resolve(progress)
        display.start(epochs, len(X))
        try:
            display.compiling(f"{len(self.model.layers)} layers for {self.model.dtype}")
            started = time.perf_counter()
            engine = Engine(
                self.model,
                "train",
                min(batch_size, len(X)),
                self.loss,
                self.optimizer,
                self._state,
                self.seed,
                weighted=weight is not None,
            )
            evaluator = self._evaluator(len(held_out[0]), 256, len(held_out) == 3) if held_out else None
            progress_displays.compiled(display, time.perf_counter() - started)
            self.stop_training = False
            for epoch in range(first_epoch, epochs):
                logs: dict[str, Any] = {"epoch": epoch, "epochs": epochs}
                logs.update(self._epoch(engine, X, y, weight, epoch, epochs, shuffle, display))
                if evaluator:
                    started = time.perf_counter()
                    figures = self._evaluate(evaluator, *held_out)
                    logs.update({f"val_{name}": value for name, value in figures.items()})
                    logs["seconds"] += time.perf_counter() - started
                history.append(logs)
                for callback in callbacks:
                    callback.on_epoch_end(self, logs)
                if checkpoint is not None:
                    self._save(checkpoint, history, epoch + 1)
                display.epoch_end(logs)
                if self.stop_training:
                    break
            if evaluator:
                self.model.idle_engines.put_back(evaluator)
        finally:
            display.close()
        return history

    def evaluate(
        self, X: ArrayLike, y: ArrayLike, batch_size: int = 256, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """The mean loss and the metrics over some samples.

        Parameters
        ----------
        X, y : ndarray
            As in `fit`.
        batch_size : int
            Samples in work at a time.
        sample_weight : ndarray, shape (N,), optional
            What each sample's loss is multiplied by, as in `fit`.

        Returns
        -------
        dict
            "loss", and "accuracy" if it is among the metrics and the loss has classes.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
        >>> sorted(trainer.evaluate(np.zeros((4, 1, 6, 6)), [0, 1, 0, 1]))
        ['accuracy', 'loss']
        """
        X, y = self._checked(X, y)
        weight = None if sample_weight is None else check_sample_weight(sample_weight, len(X))
        evaluator = self._evaluator(len(X), whole_number(batch_size, "batch_size"), weight is not None)
        figures = self._evaluate(evaluator, X, y, weight)
        self.model.idle_engines.put_back(evaluator)
        return figures

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._state = [np.require(vector, requirements=["W"]) for vector in kept["_state"]]

    # Inside

    def _checked(
        self, X: ArrayLike, y: ArrayLike, name: str | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        X = check_samples(X, self.model.input_shape, f"{name}[0]" if name else "X")
        y = check_targets(y, len(X), self.model.output_shape, self.loss, f"{name}[1]" if name else "y")
        if not len(X):
            raise ValueError(f"`{name or 'X'}` must hold at least one sample, got none")
        return X, y

    def _checked_validation(self, validation_data: Any) -> tuple[Any, ...]:
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise TypeError("`validation_data` must be a pair (X, y), or (X, y, sample_weight)")
        X, y = self._checked(validation_data[0], validation_data[1], "validation_data")
        if len(validation_data) == 2 or validation_data[2] is None:
            return X, y
        return X, y, check_sample_weight(validation_data[2], len(X), "validation_data[2]")

    def _evaluator(self, samples: int, batch_size: int, weighted: bool) -> Engine:
        return self.model.idle_engines.take(self.model, "evaluate", samples, batch_size, self.loss, weighted)

    def _epoch(
        self,
        engine: Engine,
        X: NDArray[Any],
        y: NDArray[Any],
        weight: Weights | None,
        epoch: int,
        epochs: int,
        shuffle: bool,
        display: progress_displays.Progress,
    ) -> dict[str, float]:
        """One pass over the data; returns its figures."""
        started = time.perf_counter()
        order = None
        if shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(X))
        engine.load(X, y, order, weight)
        steps = engine.steps
        engine.set_updates(self.steps_taken)
        rate = 0.0

        def set_rates(first_step: int, count: int) -> None:
            nonlocal rate
            first = epoch * steps + first_step
            rates = self.optimizer.learning_rates(first, count, steps, epochs * steps)
            engine.ports.rates[:count] = rates
            rate = float(rates[-1])

        logs = np.empty((steps, 2))
        for first_step, log in engine.run_all(set_rates, engine.chunk):
            last_step = first_step + len(log)
            logs[first_step:last_step] = log
            losses = logs[first_step:last_step, 0]
            mean = float(losses.sum()) / len(log)
            if not math.isfinite(mean) and not np.isfinite(losses).all():
                step = int(np.argmax(~np.isfinite(losses)))
                raise DivergedError(
                    f"the loss became {losses[step]} in epoch {epoch + 1}, step {first_step + step + 1}: "
                    "try a smaller learning rate"
                )
            display.batch(epoch, min(len(X), last_step * engine.batch_size), mean)
            self.steps_taken += len(log)
        figures = self._figures(logs, engine.batch_size, len(X))
        return {**figures, "learning_rate": rate, "seconds": time.perf_counter() - started}

    def _evaluate(
        self, engine: Engine, X: NDArray[Any], y: NDArray[Any], weight: Weights | None = None
    ) -> dict[str, float]:
        engine.load(X, y, weight=weight)
        logs = np.empty((engine.steps, 2))
        for first_step, log in engine.run_all():
            logs[first_step : first_step + len(log)] = log
        return self._figures(logs, engine.batch_size, len(X))

    def _figures(self, logs: NDArray[Any], batch_size: int, samples: int) -> dict[str, float]:
        """Of the (mean loss, right answers) of every batch, added at once: the same bits however the steps
        were divided into calls."""
        counts = np.full(len(logs), float(batch_size))
        counts[-1] = samples - (len(logs) - 1) * batch_size
        figures = {"loss": float(logs[:, 0] @ counts) / samples}
        if "accuracy" in self.metrics and self.loss not in WITHOUT_CLASSES:
            figures["accuracy"] = float(logs[:, 1].sum()) / samples
        return figures

    # Checkpoints

    def _save(self, path: str | os.PathLike[str], history: History, epochs_done: int) -> None:
        description = {
            "kind": "checkpoint",
            "epochs_done": epochs_done,
            "steps_taken": self.steps_taken,
            "history": dict(history),
            "run": self._run_description(),
        }
        arrays = {f"model.{name}": array for name, array in self.model.state().items()}
        arrays |= {f"optimizer.{k}": array for k, array in enumerate(self._state)}
        write_model(path, description, arrays)

    def _restore(self, path: str | os.PathLike[str]) -> tuple[History, int]:
        description, arrays = read_model(path)
        try:
            if description["kind"] != "checkpoint" or description["run"] != self._run_description():
                raise ValueError("it was written by another network, loss, optimizer or seed")
            state = {n.removeprefix("model."): a for n, a in arrays.items() if n.startswith("model.")}
            vectors = [arrays[f"optimizer.{k}"] for k in range(len(self._state))]
            if any(vector.shape != own.shape for vector, own in zip(vectors, self._state, strict=True)):
                raise ValueError("its optimizer has vectors of another size")
            history = History(description["history"])
            epochs_done, steps_taken = int(description["epochs_done"]), int(description["steps_taken"])
            self.model.load_state(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a checkpoint to go on from: {error}") from None
        for own, vector in zip(self._state, vectors, strict=True):
            own[...] = vector
        self.steps_taken = steps_taken
        return history, epochs_done

    def _run_description(self) -> Any:
        """What must be the same for a checkpoint to be gone on from, as JSON gives it back."""
        optimizer = {"name": type(self.optimizer).__name__, **asdict(cast(Any, self.optimizer))}
        layers = [{"name": type(layer).__name__, **layer.settings()} for layer in self.model.layers]
        run = {"layers": layers, "dtype": self.model.dtype, "loss": self.loss, "seed": self.seed}
        return json.loads(json.dumps({**run, "optimizer": optimizer}, default=repr))


def _checked_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    try:
        callbacks = list(callbacks)
    except TypeError:
        raise TypeError(f"`callbacks` must be a list of callbacks, got {callbacks!r}") from None
    for callback in callbacks:
        if not callable(getattr(callback, "on_epoch_end", None)) or isinstance(callback, type):
            raise TypeError(f"`callbacks` must have a method on_epoch_end(trainer, logs), got {callback!r}")
    return callbacks
