"""The trainer: epochs, validation, callbacks and checkpoints around the engine's compiled steps."""

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ..checks.settings import real_number, whole_number
from ..formats.model_file import check_target
from ..models.sequential import Sequential
from ..nn.activations import Softmax
from ..nn.losses import Loss, resolve
from ..nn.optimizers import SGD, Optimizer
from . import progress as progress_displays
from .augment import Augment, check_augment
from .batches import EVALUATED_AT_ONCE, ArrayFeed, BatchFeed, Feed, Form, array_feeds, validation_feed
from .callbacks import call_each, check_callbacks
from .checkpoint import Position, describe, restore, save
from .finite import Snapshot
from .history import DivergedError, History, NotFiniteError
from .loops import Steps, Task, evaluate, evaluator
from .progress import Progress
from .running_metrics import MetricSet, RunningMetrics
from .sample_weights import check_sample_weight

__all__ = ["DivergedError", "History", "Trainer"]


class Trainer:
    """Trains a network.

    Parameters
    ----------
    model : Sequential
        Its parameters are changed in place.
    loss : {"bce", "bce_with_logits", "cross_entropy", "mse"} or Loss
        By name, or one of `fastconv.losses`.
        "bce" after a final Sigmoid, and "cross_entropy" after a final Softmax, are computed from the
        layer's input, which is exact where the factors alone would overflow.
    optimizer : SGD, Adam, AdamW or another of `fastconv.optimizers`
        Default is SGD(lr=0.01).
    metrics : str or function, or a tuple of them
        Figures beside the loss: "accuracy" (left out for "mse", which has no classes), "precision", "recall",
        "f1", "auc", "top5_accuracy", or functions (y_true, outputs) -> number, which go by their own name;
        see the notes.
    seed : int
        Of the order of samples, of dropout and of augmentation.

    Raises
    ------
    ValueError, TypeError
        If an argument is unknown or does not fit the model.

    Notes
    -----
    Metrics are those of `fastconv.metrics`, over all samples of a pass at once, each counting as one: of
    class 1 where there are two classes, else the mean over the classes. Figures of validation data are of the
    outputs that `model.predict` gives; those of training data, as in Keras, of the outputs that the steps
    themselves made, dropout and all, while the parameters changed. Accuracy takes no time: a step counts it
    anyway. A function gets y in the outputs' shape, or the labels (N,), and is called once a pass.

    Loss, optimizer, metrics and seed may be assigned later, and hold from the next call on. An optimizer of
    the same class as the one before goes on with its moments, another one begins anew; a callback may assign
    one, which holds from the next epoch on.

    One thread at a time trains a network: `fit` or `train_on_batch` in another one raises RuntimeError, and
    so does `evaluate` while another thread trains. `model.predict` takes the parameters as they are then.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.random((64, 1, 6, 6)), rng.integers(0, 2, 64)
    >>> model, metrics = fc.models.reference_cnn(), ("accuracy", "f1", "auc")
    >>> trainer = fc.Trainer(model, loss="bce", optimizer=fc.SGD(lr=0.1), metrics=metrics)
    >>> history = trainer.fit(X, y, epochs=2)
    >>> len(history["loss"]), 0 <= history["auc"][-1] <= 1
    (2, True)
    """

    def __init__(
        self,
        model: Sequential,
        loss: str | Loss = "cross_entropy",
        optimizer: Optimizer | None = None,
        metrics: str | Callable[..., float] | Sequence[str | Callable[..., float]] = ("accuracy",),
        seed: int = 0,
    ) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"`model` must be a Sequential, got {model!r}")
        self._model = model
        self._task: Task | None = None
        self._single_steps: Steps | None = None
        self._snapshot: Snapshot | None = None
        self._at_work = False
        self._optimizer_state: list[Any] = []
        self.loss, self.metrics = loss, metrics
        self.optimizer = SGD() if optimizer is None else optimizer
        self.seed = seed
        self.stop_training = False
        self.steps_taken = 0
        self._epochs_taken = 0
        self._history = History()

    @property
    def model(self) -> Sequential:
        """The network that is trained; a trainer keeps the one that it was made for.

        Returns
        -------
        Sequential

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").model.num_parameters
        15
        """
        return self._model

    @property
    def loss(self) -> str | Loss:
        """The loss, as it was given.

        Returns
        -------
        str or Loss

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").loss
        'bce'
        """
        return self._loss

    @loss.setter
    def loss(self, loss: str | Loss) -> None:
        self._check_idle("loss")
        resolve(loss).check_output(self.model.output_shape)
        self._loss, self._task = loss, None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer.

        Returns
        -------
        Optimizer

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").optimizer.lr
        0.01
        """
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"`optimizer` must be an optimizer such as SGD(lr=0.1), got {optimizer!r}")
        if self._at_work:
            self.model.engines.training.check_free()
        fresh = optimizer.initial_state(self.model.flat_parameters)
        if type(optimizer) is type(getattr(self, "_optimizer", None)):
            for own, kept in zip(fresh, self._optimizer_state, strict=False):
                own[...] = kept
        self._optimizer, self._optimizer_state = optimizer, fresh
        self._task = self._snapshot = None

    @property
    def metrics(self) -> Any:
        """The metrics, as they were given.

        Returns
        -------
        tuple

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").metrics
        ('accuracy',)
        """
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._check_idle("metrics")
        self._metrics, self._task = self._metric_set(metrics).wanted, None

    @property
    def seed(self) -> int:
        """What the order of samples, dropout and augmentation are drawn from.

        Returns
        -------
        int

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").seed
        0
        """
        return self._seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._check_idle("seed")
        self._seed, self._task = whole_number(seed, "seed", low=0), None

    @property
    def steps_taken(self) -> int:
        """How many steps the optimizer has made, which corrects the bias of Adam's moments.

        Returns
        -------
        int

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").steps_taken
        0
        """
        return self._steps_taken

    @steps_taken.setter
    def steps_taken(self, steps: int) -> None:
        self._steps_taken = whole_number(steps, "steps_taken", low=0)

    @property
    def history(self) -> History:
        """The figures of all epochs so far, those of earlier calls of `fit` included: a copy.

        Returns
        -------
        History

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
        >>> for _ in range(3):
        ...     history = trainer.fit(np.ones((8, 1, 6, 6)), np.ones(8), epochs=1)
        >>> len(history["loss"]), len(trainer.history["loss"])
        (1, 3)
        """
        return History({name: list(values) for name, values in self._history.items()})

    def _check_idle(self, name: str) -> None:
        """Raise RuntimeError while the network trains: data and figures were checked for what holds now."""
        if self._at_work:
            raise RuntimeError(f"`{name}` can't be changed while the network trains: assign it after `fit`")

    def _metric_set(self, metrics: Any) -> MetricSet:
        return MetricSet(metrics, resolve(self.loss), self.model.ends_in(Softmax))

    def _current_task(self) -> Task:
        """What is trained, and how, as it is now."""
        if self._task is None:
            self._task = Task(
                self.model,
                resolve(self.loss),
                self.optimizer,
                self._optimizer_state,
                self._metric_set(self.metrics),
                self.seed,
            )
        return self._task

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Keeps other threads from training the network, and its own callbacks from what can't change now."""
        with self.model.engines.training:
            before, self._at_work = self._at_work, True
            try:
                yield
            finally:
                self._at_work = before

    def _form(self) -> Form:
        return Form(self.model.input_shape, self.model.output_shape, resolve(self.loss))

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        epochs: int = 5,
        batch_size: int = 32,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        callbacks: Iterable[Any] = (),
        progress: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
        augment: Augment | None = None,
        steps_per_epoch: int | None = None,
    ) -> History:
        """Train for some epochs, going on where the last call ended.

        Parameters
        ----------
        X : ndarray, shape (N, *input_shape), or batches
            Real numbers, of any strides; those of uint8, and no others, are divided by 255. Read sample by
            sample, and converted in pieces where they are not float32, float64, uint8 or int64. Without y, an
            iterable of batches (X, y) or (X, y, sample_weight), such as a list, a PyTorch DataLoader or a
            generator, or a function that returns one for each epoch; see the notes.
        y : ndarray
            For "cross_entropy" int labels (N,), one-hot rows (N, classes), taken as the labels, or rows that
            sum to 1, parts of each class; otherwise numbers of the output's shape.
        epochs, batch_size : int
            Passes over the data, and samples of a step. A last, smaller batch divides by its own size.
        validation_data : tuple of arrays or iterable of batches, optional
            (X, y) or (X, y, sample_weight) to evaluate after every epoch, or batches of them as for X.
        validation_split : float
            Instead, the part of X and y to hold out, 0 to 1: of each class its last samples, so that all keep
            their share (a class of one sample is trained on); without classes, the last samples of all.
        shuffle : bool
            Whether each epoch takes the samples in a new order; batches are always taken as they come.
        callbacks : iterable
            Objects with `on_epoch_end(trainer, logs)`, and perhaps `on_train_begin(trainer)`,
            `on_epoch_begin(trainer, logs)` and `on_train_end(trainer)`.
        progress : None, bool or object
            None shows progress on a terminal only, True always, False never.
        checkpoint : path, optional
            A file, .npz or .safetensors, that holds, after every epoch, all that is needed to go on.
        resume : bool
            Go on from `checkpoint`, if that file is there, and end as a run that was never cut off: with the
            state of callbacks that have `state_dict()` and `load_state_dict(state)`, too. Another network,
            optimizer, seed or metrics, other data, weights or shuffling are refused; a run that a callback
            has stopped stays so, unless more `epochs` are asked for.
        sample_weight : ndarray, shape (N,), optional
            How much each sample counts: numbers >= 0 which its loss and gradient are multiplied by. A step
            still divides by the number of its samples, as in Keras, so weights of mean 1 keep the size of
            the steps; accuracy counts every sample as one.
        class_weight : dict, ndarray of shape (classes,) or "balanced", optional
            The same for all samples of a class: class number -> weight, 1 where it is missing; a weight for
            each class; or weights that make all classes count the same. Both together are multiplied. Not for
            held out samples. Of parts of classes, the largest decides.
        augment : Augment, optional
            How each image is changed at random, anew in every epoch. Held out samples are left as they are.
        steps_per_epoch : int, optional
            Batches of an epoch, where an iterable has no end or is too long for one.

        Returns
        -------
        History
            Name of a figure -> its values, one for each epoch.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.
        DivergedError
            If the loss or a parameter is no longer finite. Where X or y is not, it is a ValueError too, and
            says where. Network and optimizer are then as they were before the epoch.
        RuntimeError
            If another thread trains the network.

        Notes
        -----
        Two calls of one epoch do what one call of two does: order of samples, dropout, augmentation and the
        optimizer's moments go on, and `history` has all epochs. A schedule of learning rates spans one
        call. To repeat a run exactly, begin with a new Trainer of the same seed on a network in the same
        state (`model.load_state`).

        An iterable is gone through once an epoch. With `steps_per_epoch`, an epoch goes on where the last one
        has stopped, and what has come to its end is begun anew. An iterator, such as a generator, cannot be:
        for several epochs it needs `steps_per_epoch` (or a function that makes it), and if it ends too soon,
        so does training, with a warning, as in Keras. A resumed run begins its iterable anew.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> def batches():
        ...     rng = np.random.default_rng(0)
        ...     while True:
        ...         y = rng.integers(0, 2, 16)
        ...         yield rng.random((16, 1, 6, 6)) * (1 + y[:, None, None, None]), y
        >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
        >>> history = trainer.fit(batches(), epochs=3, steps_per_epoch=10)
        >>> len(history["loss"]), trainer.steps_taken
        (3, 30)
        """
        epochs, batch_size = whole_number(epochs, "epochs"), whole_number(batch_size, "batch_size")
        split = real_number(validation_split, "validation_split", 0.0, 1.0)
        if resume and checkpoint is None:
            raise ValueError("`resume` needs `checkpoint`, the file to go on from")
        if checkpoint is not None:
            check_target(checkpoint, "checkpoint")
        callbacks = check_callbacks(callbacks)
        augment = check_augment(augment, self.model.input_shape)
        display = progress_displays.resolve(progress)
        task, form = self._current_task(), self._form()
        held_out: Feed | None = None
        if validation_data is not None:
            if split:
                raise ValueError(
                    f"`validation_split` must be 0 where `validation_data` is given, got {validation_split!r}"
                )
            held_out = validation_feed(validation_data, form, epochs)
        if y is None:
            _refuse(validation_split=split > 0, sample_weight=sample_weight is not None)
            feed = self._batches(X, epochs, steps_per_epoch, class_weight)
        else:
            if steps_per_epoch is not None:
                raise ValueError(f"`steps_per_epoch` is for batches, not for arrays, got {steps_per_epoch!r}")
            X, y = form.check(X, y)
            weight = None if sample_weight is None else check_sample_weight(sample_weight, len(X))
            seed = self.seed if shuffle else None
            feed, rest = array_feeds(X, y, weight, split, class_weight, form, batch_size, seed)
            held_out = rest if held_out is None else held_out
        run = {} if checkpoint is None else describe(task, augment, feed, held_out)
        with self._working():
            history, position = History(), Position()
            if resume and checkpoint is not None and Path(checkpoint).exists():
                history, position = restore(checkpoint, run, task, callbacks)
                self.steps_taken, self._epochs_taken = position.steps_taken, position.epochs_taken
                self._history = History({name: list(values) for name, values in history.items()})
                if position.stopped_at is not None and epochs <= position.stopped_at:
                    done = f"after {position.epochs_done} of {position.stopped_at} epochs"
                    warnings.warn(f"the run has stopped {done}: ask for more to train on", stacklevel=2)
                    return history
            display.start(epochs, feed.samples)
            try:
                steps = self._ready(feed, held_out, augment, display)
                self.stop_training = False
                call_each(callbacks, "on_train_begin", self)
                for epoch in range(position.epochs_done, epochs):
                    call_each(callbacks, "on_epoch_begin", self, {"epoch": epoch, "epochs": epochs})
                    task, steps = self._as_assigned(steps, augment)
                    logs = self._logs_of_epoch(steps, feed, held_out, epoch, epochs, display)
                    if logs is None:
                        break
                    history.append(logs)
                    self._history.append(logs)
                    self._epochs_taken += 1
                    call_each(callbacks, "on_epoch_end", self, logs)
                    if checkpoint is not None:
                        stopped_at = epochs if self.stop_training else None
                        position = Position(epoch + 1, self.steps_taken, self._epochs_taken, stopped_at)
                        save(checkpoint, run, task, history, position, callbacks)
                    display.epoch_end(logs)
                    if self.stop_training or feed.ended:
                        break
                call_each(callbacks, "on_train_end", self)
            finally:
                display.close()
        return history

    def _ready(self, feed: Feed, held_out: Feed | None, augment: Augment | None, display: Progress) -> Steps:
        """Compile, or read from the cache, all that the epochs need."""
        display.compiling(f"{len(self.model.nodes)} layers for {self.model.dtype}")
        started, task = time.perf_counter(), self._current_task()
        steps = Steps(task, self.steps_taken, augment)
        steps.engine(feed.batch_size, feed.weighted, feed.targets)
        if held_out:
            size, weighted = held_out.batch_size, held_out.weighted
            self.model.engines.give_back(evaluator(task, size, weighted, held_out.targets))
        progress_displays.compiled(display, time.perf_counter() - started)
        return steps

    def _as_assigned(self, steps: Steps, augment: Augment | None) -> tuple[Task, Steps]:
        """The task as it is now, and steps of it: a callback may have assigned another optimizer."""
        task = self._current_task()
        return task, steps if task is steps.task else Steps(task, self.steps_taken, augment)

    def _logs_of_epoch(
        self, steps: Steps, feed: Feed, held_out: Feed | None, epoch: int, epochs: int, display: Progress
    ) -> dict[str, Any] | None:
        """Train and validate for one epoch; None where there was no sample left."""
        started, task = time.perf_counter(), steps.task
        metrics, rate = self._epoch(steps, feed, epoch, epochs, display)
        if feed.ended:
            where = f"in epoch {epoch + 1} of {epochs}, after {metrics.steps} steps"
            warnings.warn(f"`X` has come to its end {where}: training ends here", stacklevel=3)
        if not metrics.steps:
            return None
        logs: dict[str, Any] = {"epoch": epoch, "epochs": epochs, **metrics.figures(task.metrics)}
        logs.update(learning_rate=rate, seconds=0.0)
        if held_out:
            figures = evaluate(task, held_out, epoch)
            logs.update({f"val_{name}": value for name, value in figures.items()})
        logs["seconds"] = time.perf_counter() - started
        return logs

    def train_on_batch(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Take one step on a batch.

        Parameters
        ----------
        X, y, sample_weight : ndarray
            One batch, as in `fit`.

        Returns
        -------
        float
            The mean loss of the batch, before the step.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or the learning rate is a schedule: only `fit` knows how many steps
            there will be.
        DivergedError
            If the loss or a parameter is no longer finite. Where X or y is not, it is a ValueError too, and
            says where. Network and optimizer are then as they were before the step.
        RuntimeError
            If another thread trains the network.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce", optimizer=fc.SGD(lr=0.1))
        >>> losses = [trainer.train_on_batch(np.ones((4, 1, 6, 6)), [0, 1, 1, 1]) for _ in range(9)]
        >>> losses[-1] < losses[0]
        True
        """
        if not isinstance(self.optimizer.lr, float):
            raise ValueError(f"`lr` must be a number for train_on_batch, got {self.optimizer.lr!r}")
        X, y = self._form().check(X, y)
        weight = None
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, len(X), may_be_zeros=True)
        with self._working():
            task, steps = self._current_task(), self._single_steps
            if steps is None or not steps.still_fit(task):
                steps = self._single_steps = Steps(task, self.steps_taken)
            metrics, _ = self._epoch(steps, ArrayFeed(X, y, weight, len(X)), 0, 1, progress_displays.Silent())
        return metrics.loss

    def evaluate(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        batch_size: int = EVALUATED_AT_ONCE,
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """The mean loss and the metrics over some samples.

        Parameters
        ----------
        X, y : ndarray
            As in `fit`; X alone may be an iterable of batches.
        batch_size : int
            Samples in work at a time.
        sample_weight : ndarray, shape (N,), optional
            What each sample's loss is multiplied by, as in `fit`.

        Returns
        -------
        dict
            "loss" and the metrics, but no "accuracy" where the loss has no classes.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
        >>> sorted(trainer.evaluate(np.zeros((4, 1, 6, 6)), [0, 1, 0, 1]))
        ['accuracy', 'loss']
        """
        batch_size = whole_number(batch_size, "batch_size")
        self.model.engines.training.check_free()
        if y is None:
            _refuse(sample_weight=sample_weight is not None)
            return evaluate(self._current_task(), BatchFeed(X, self._form()), batch_size=batch_size)
        X, y = self._form().check(X, y)
        weight = None if sample_weight is None else check_sample_weight(sample_weight, len(X))
        return evaluate(self._current_task(), ArrayFeed(X, y, weight, batch_size), batch_size=batch_size)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_single_steps": None, "_task": None, "_snapshot": None, "_at_work": False}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._optimizer_state = self.optimizer.initial_state(self.model.flat_parameters)
        for own, vector in zip(self._optimizer_state, kept["_optimizer_state"], strict=True):
            own[...] = vector

    # Inside

    def _epoch(
        self, steps: Steps, feed: Feed, epoch: int, epochs: int, display: Progress
    ) -> tuple[RunningMetrics, float]:
        """One pass over the data; its steps count even where it is cut short, but not where they diverge."""
        if self._snapshot is None:
            self._snapshot = Snapshot(self.model, steps.task.optimizer_state)
        self._snapshot.take()
        steps.taken = self.steps_taken
        try:
            return steps.epoch(feed, epoch, epochs, display, self._epochs_taken)
        except DivergedError as error:
            self._snapshot.put_back()
            steps.taken = self.steps_taken
            cause = self._snapshot.what_was_not_finite()
            if cause is None or isinstance(error, NotFiniteError):
                raise
            raise DivergedError(f"{str(error).partition(':')[0]}: {cause}") from None
        finally:
            self.steps_taken = steps.taken

    def _batches(self, X: Any, epochs: int, steps: int | None, class_weight: Any) -> Feed:
        """The feed of an iterable of batches."""
        if isinstance(class_weight, str):
            raise ValueError(f"`class_weight` must be a dict for batches, got {class_weight!r}")
        feed = BatchFeed(X, self._form(), epochs, steps, class_weight)
        if feed.steps is None and not isinstance(self.optimizer.lr, float):
            raise ValueError(
                f"`steps_per_epoch` must be given for {self.optimizer.lr!r}, got batches without a length"
            )
        return feed


def _refuse(**given: bool) -> None:
    """Raise ValueError if an argument that only arrays can have is given with batches."""
    for name, is_given in given.items():
        if is_given:
            raise ValueError(f"`{name}` is for arrays X and y, and there is no y")
