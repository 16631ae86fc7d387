"""What a trainer is made with, and what it keeps from call to call; what of that may be assigned when."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..checks.settings import whole_number
from ..engine.ranks.agreement import given_ranks
from ..engine.ranks.communicator import ALONE, Alone
from ..engine.threads import sharing
from ..models.building import given_model
from ..models.model import Model
from ..nn.activations import Softmax
from ..nn.joint_loss import JointLoss, resolve_for
from ..nn.losses import Loss, LossName
from ..nn.optimizers import SGD, Optimizer
from . import other_names
from .feeds import Form
from .finite import Snapshot
from .history import History
from .loops import Steps, Task
from .other_names import hints
from .running_metrics import JointMetricSet, MetricName, MetricSet

Metric = MetricName | Callable[..., float]


class TrainerSettings:
    """The part of `Trainer` that is not training: its docstring says what all of it is."""

    _accumulate = 1  # of trainers that were pickled before there was a choice
    _kept_steps: Steps | None = None  # of the last `fit`, for the next one
    ranks: Alone = ALONE  # of trainers that were pickled before there were others
    data = "shared"

    @hints(other_names.TRAINER)
    def __init__(
        self,
        model: Model,
        loss: LossName | Loss | Sequence[Any] | Mapping[str, Any] = "cross_entropy",
        optimizer: Optimizer | None = None,
        metrics: Metric | Sequence[Metric] | Mapping[str, Any] = ("accuracy",),
        seed: int = 0,
        *,
        loss_weights: Any = None,
        accumulate: int = 1,
        communicator: Any = None,
        data: str = "shared",
    ) -> None:
        self.ranks: Alone = given_ranks(communicator)
        if data not in ("shared", "local"):
            raise ValueError(f'`data` must be "shared" or "local", got {data!r}')
        self.data = data
        self._model = given_model(model)
        self._task: Task | None = None
        self._single_steps: Steps | None = None
        self._snapshot: Snapshot | None = None
        self._at_work = self._in_epoch = False
        self._optimizer_state: list[Any] = []
        self._loss_weights = loss_weights
        self.loss, self.metrics = loss, metrics
        self.optimizer = SGD() if optimizer is None else optimizer
        self.seed, self.accumulate = seed, accumulate
        self.stop_training = False
        self.steps_taken = 0
        self._epochs_taken = 0
        self._history = History()

    @property
    def model(self) -> Model:
        """The network that is trained; a trainer keeps the one that it was made for.

        Returns
        -------
        Model

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").model.num_parameters
        15
        """
        return self._model

    @property
    def loss(self) -> Any:
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
    def loss(self, loss: Any) -> None:
        self._check_idle("loss")
        self._resolved(loss, self._loss_weights)
        self._loss, self._task = loss, None

    @property
    def loss_weights(self) -> Any:
        """What the loss of each output is multiplied by, as it was given.

        Returns
        -------
        list, dict or None

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").loss_weights
        """
        return self._loss_weights

    @loss_weights.setter
    def loss_weights(self, loss_weights: Any) -> None:
        self._check_idle("loss_weights")
        self._resolved(self.loss, loss_weights)
        self._loss_weights, self._task = loss_weights, None

    def _resolved(self, loss: Any, loss_weights: Any) -> Loss:
        """The loss of all outputs, checked against them."""
        return resolve_for(loss, self.model.output_names, self.model.output_shapes, loss_weights)

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
        else:  # what a run is known by, whatever its callbacks make of it
            self._given_optimizer = optimizer
        before = getattr(self, "_optimizer", None)
        if type(before) is type(optimizer) and before.with_lr(optimizer.lr) == optimizer:
            self._optimizer, self._task = optimizer, None
            return
        if self._in_epoch:
            raise RuntimeError(
                "in on_batch_end only the learning rate of the optimizer can change, as by "
                "trainer.optimizer.with_lr(0.01): assign another optimizer in on_epoch_end"
            )
        fresh = optimizer.initial_state(self.model.flat_parameters)
        if type(optimizer) is type(before):
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
    def accumulate(self) -> int:
        """How many batches make one step of `fit`.

        Returns
        -------
        int

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").accumulate
        1
        """
        return self._accumulate

    @accumulate.setter
    def accumulate(self, accumulate: int) -> None:
        self._check_idle("accumulate")
        self._accumulate = whole_number(accumulate, "accumulate")

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
        steps = whole_number(steps, "steps_taken", low=0)
        if self._in_epoch:
            raise RuntimeError("`steps_taken` can't be changed within an epoch: assign it in on_epoch_end")
        self._steps_taken = steps

    @property
    def epochs_taken(self) -> int:
        """How many epochs there were in all calls of `fit`; the order of samples follows from it.

        Returns
        -------
        int

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").epochs_taken
        0
        """
        return self._epochs_taken

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

    def _metric_set(self, metrics: Any) -> MetricSet | JointMetricSet:
        loss = self._resolved(self.loss, self.loss_weights)
        from_softmax = [isinstance(layer, Softmax) for layer in self.model.last_layers()]
        if isinstance(loss, JointLoss):
            return JointMetricSet(metrics, loss, from_softmax)
        return MetricSet(metrics, loss, from_softmax[0])

    def _current_task(self) -> Task:
        """What is trained, and how, as it is now."""
        if self._task is None:
            self._task = Task(
                self.model,
                self._resolved(self.loss, self.loss_weights),
                self.optimizer,
                self._optimizer_state,
                self._metric_set(self.metrics),
                self.seed,
            )
        return self._task

    @contextmanager
    def _working(self, call: str) -> Iterator[None]:
        """Keeps other threads from training the network, and its own callbacks from what can't change now.

        Steps of an epoch that is under way would mix with those of another call.
        """
        with self.model.engines.training:
            if self._at_work and call == "fit":
                raise RuntimeError("`fit` can't be called by a callback of `fit`; `train_on_batch` can")
            if self._in_epoch:
                raise RuntimeError(f"`{call}` can't be called in on_batch_end: call it in on_epoch_end")
            before, self._at_work = self._at_work, True
            try:
                with sharing(training=True):
                    yield
            finally:
                self._at_work = before

    def _form(self) -> Form:
        local = self.ranks.count > 1 and self.data == "local"
        return Form(self.model, self._current_task().loss, self.ranks, local)

    @contextmanager
    def _on_its_own(self) -> Iterator[None]:
        """While rank 0 does what it alone does, its trainer is one of a process on its own."""
        ranks, self.ranks = self.ranks, ALONE
        try:
            yield
        finally:
            self.ranks = ranks

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_single_steps": None,
            "_kept_steps": None,
            "_task": None,
            "_snapshot": None,
            "_at_work": False,
            "_in_epoch": False,
            "ranks": ALONE,  # a communicator stays in its process
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._optimizer_state = self.optimizer.initial_state(self.model.flat_parameters)
        for own, vector in zip(self._optimizer_state, kept["_optimizer_state"], strict=True):
            own[...] = vector
