"""What the batches of one pass over the data add up to: the loss, and the metrics asked for."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels import softmax
from ..nn.losses import Loss
from . import metrics

CLASS_METRICS = ("precision", "recall", "f1", "auc")
MetricName = Literal["accuracy", "precision", "recall", "f1", "auc", "top5_accuracy"]
NAMES = ("accuracy", *CLASS_METRICS, "top5_accuracy")
TAKEN = ("loss", "learning_rate", "seconds", "epoch", "epochs")  # names of other figures
Function = Callable[[NDArray[Any], NDArray[Any]], float]


class MetricSet:
    """The figures beside the loss, by name.

    Parameters
    ----------
    wanted : str or function, or an iterable of them
        Names among `NAMES`, or functions (y_true, outputs) -> number, which go by their own name.
    loss : Loss
    gives_probabilities : bool
        Whether the network ends in a Softmax, so that its outputs need none.

    Raises
    ------
    TypeError, ValueError
        If one is neither, there are two of one name, or it does not fit the loss.
    """

    def __init__(self, wanted: Any, loss: Loss, gives_probabilities: bool) -> None:
        self.loss, self.gives_probabilities = loss, gives_probabilities
        if isinstance(wanted, str) or callable(wanted):
            wanted = (wanted,)
        if not isinstance(wanted, Iterable):
            raise TypeError(f"`metrics` must be names among {NAMES} or functions, got {wanted!r}")
        self.wanted = tuple(wanted)
        names = [self._name(metric) for metric in self.wanted]
        for name in names:
            if names.count(name) > 1 or name in TAKEN:
                raise ValueError(f"`metrics` must have names of their own, got {name!r} twice")
        self.by_name = dict(zip(names, self.wanted, strict=True))

    def _name(self, metric: Any) -> str:
        if callable(metric):
            name = getattr(metric, "__name__", None)
            if not isinstance(name, str):
                raise TypeError(f"`metrics` must be functions with a `__name__`, got {metric!r}")
            return name
        if metric not in NAMES:
            raise ValueError(f"`metrics` must be among {NAMES} or functions, got {metric!r}")
        if metric in CLASS_METRICS and self.loss.targets == "numbers":
            raise ValueError(f"`metrics` {metric!r} needs a loss with classes, got {str(self.loss)!r}")
        if metric == "top5_accuracy" and self.loss.targets != "labels":
            raise ValueError(f'`metrics` {metric!r} needs the loss "cross_entropy", got {str(self.loss)!r}')
        return str(metric)

    @property
    def need_outputs(self) -> bool:
        """Whether any of them needs more than the number of right answers, which each step counts."""
        return any(metric != "accuracy" for metric in self.wanted)

    def figure(self, name: str, y: NDArray[Any], outputs: NDArray[Any]) -> float:
        """One of them, from all targets and outputs."""
        metric = self.by_name[name]
        if callable(metric):
            value = metric(y, outputs)
            try:
                return float(value)
            except (TypeError, ValueError):
                raise TypeError(f"`metrics` {name} must return a number, got {value!r}") from None
        outputs = np.moveaxis(outputs, 1, -1).reshape(
            -1, outputs.shape[1]
        )  # each pixel of an image counts as one
        if self.loss.targets == "labels":
            y = y.reshape(-1)
        else:
            y = (y > 0.5).astype(np.int64)
            y = np.moveaxis(y, 1, -1).reshape(outputs.shape)
        if metric == "top5_accuracy":
            return metrics.top_k_accuracy(y, outputs, 5)
        if metric == "auc":
            return metrics.auc(y, self._scores(outputs))
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        two = y.ndim == 1 and (self.loss.targets != "labels" or outputs.shape[1] == 2)
        predicted = metrics.predicted_classes(outputs, self.loss)
        function = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}[metric]
        return function(y, predicted, "binary" if two else "macro")

    def _scores(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """What the samples are ranked by, class by class: probabilities where those of one sum to 1."""
        if self.loss.targets != "labels" or self.gives_probabilities:
            return outputs
        return softmax(outputs.astype(np.float64))


class RunningMetrics:
    """Takes down the batches of one pass."""

    def __init__(self) -> None:
        self._logs: list[NDArray[Any]] = []
        self._counts: list[NDArray[Any]] = []
        self._targets: list[NDArray[Any]] = []
        self._outputs: list[NDArray[Any]] = []
        self.steps = self.samples = 0

    def add(self, log: NDArray[Any], samples: int, batch_size: int) -> None:
        """Some steps that took `samples` samples, the last one perhaps fewer than `batch_size`: their (mean
        loss, right answers), one row each."""
        counts = np.full(len(log), float(batch_size))
        counts[-1] = samples - (len(log) - 1) * batch_size
        self._logs.append(log.astype(np.float64))
        self._counts.append(counts)
        self.steps, self.samples = self.steps + len(log), self.samples + samples

    def add_outputs(self, y: NDArray[Any], outputs: NDArray[Any]) -> None:
        """Targets and outputs of some samples; those of losses without labels have one shape."""
        self._targets.append(y.reshape(outputs.shape) if y.size == outputs.size else y)
        self._outputs.append(outputs)

    @property
    def loss(self) -> float:
        """The mean loss; added at once, so with the same bits however steps were divided into calls."""
        return float(np.concatenate(self._logs)[:, 0] @ np.concatenate(self._counts)) / self.samples

    def figures(self, wanted: MetricSet) -> dict[str, float]:
        """The mean loss and the metrics."""
        figures = {"loss": self.loss}
        if wanted.need_outputs:
            y, outputs = np.concatenate(self._targets), np.concatenate(self._outputs)
        for name, metric in wanted.by_name.items():
            if metric != "accuracy":
                figures[name] = wanted.figure(name, y, outputs)
            elif wanted.loss.targets != "numbers":  # its numbers are neither right nor wrong
                figures[name] = float(np.concatenate(self._logs)[:, 1].sum()) / self.samples
        return figures
