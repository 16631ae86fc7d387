"""What the batches of one pass over the data add up to: the loss, and the metrics asked for."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..engine.columns import arrays_in
from ..kernels import softmax
from ..nn.joint_loss import JointLoss
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
        if (twice := _figure_twice(names)) is not None:
            raise ValueError(f"`metrics` must have names of their own, got {twice!r} twice")
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


class JointMetricSet:
    """The figures beside the loss of a network with several outputs: those of each, after its name.

    Parameters
    ----------
    wanted : str or function, or an iterable of them, or a dict of such by the outputs' names
        Names hold for every output whose loss they fit, and must fit one; of a dict, each its own.
    loss : JointLoss
    gives_probabilities : list of bool
        Of each output, whether it comes from a Softmax.

    Raises
    ------
    TypeError, ValueError
        If a metric is unknown, or fits no output, or two figures would have one name.
    """

    def __init__(self, wanted: Any, loss: JointLoss, gives_probabilities: list[bool]) -> None:
        self.loss, self.wanted = loss, wanted
        by_output = isinstance(wanted, Mapping)
        if by_output and not set(wanted) <= set(loss.names):
            raise ValueError(
                f"`metrics` must have names of outputs, {', '.join(loss.names)}, got {', '.join(wanted)}"
            )
        if isinstance(wanted, str) or callable(wanted):
            wanted = (wanted,)
        self.sets: dict[str, MetricSet] = {}
        for name, part, ready in zip(loss.names, loss.losses, gives_probabilities, strict=True):
            own = wanted.get(name, ()) if by_output else _fitting(wanted, loss, part)
            self.sets[name] = MetricSet(own, part, ready)
        if (twice := _figure_twice([*(f"{name}_loss" for name in loss.names), *self.by_name])) is not None:
            raise ValueError(
                f"outputs must have names whose figures are their own, got {twice!r} twice: rename one"
            )

    @property
    def by_name(self) -> dict[str, Any]:
        """Name of a figure -> metric."""
        return {f"{name}_{key}": m for name, own in self.sets.items() for key, m in own.by_name.items()}

    @property
    def need_outputs(self) -> bool:
        """Whether any of them needs more than the number of right answers, which each step counts."""
        return any(own.need_outputs for own in self.sets.values())


def _figure_twice(names: list[str]) -> str | None:
    """A name that a history would have for two figures, if any: in validation all are called "val_..."."""
    known = [*TAKEN, *names]
    name, count = Counter([*known, *(f"val_{name}" for name in known)]).most_common(1)[0]
    return name if count > 1 else None


def _fitting(wanted: Any, loss: JointLoss, part: Loss) -> Any:
    """Those of the metrics that fit the loss of one output."""
    if not isinstance(wanted, Iterable):
        return wanted  # which MetricSet refuses
    return [metric for metric in wanted if callable(metric) or not _fits_another(metric, loss, part)]


def _fits_another(metric: Any, loss: JointLoss, part: Loss) -> bool:
    """Whether a metric is for another output than that of the loss `part`."""

    def fits(one: Loss) -> bool:
        with suppress(ValueError):
            MetricSet((metric,), one, False)
            return True
        return False

    return not fits(part) and any(fits(other) for other in loss.losses)


class RunningMetrics:
    """Takes down the batches of one pass."""

    def __init__(self) -> None:
        self._logs: list[NDArray[Any]] = []
        self._counts: list[NDArray[Any]] = []
        self._targets: list[list[NDArray[Any]]] = []  # of each output
        self._outputs: list[list[NDArray[Any]]] = []
        self.steps = self.samples = 0

    def add(self, log: NDArray[Any], samples: int, batch_size: int) -> None:
        """Some steps that took `samples` samples, the last one perhaps fewer than `batch_size`: their (mean
        loss, right answers), one row each."""
        counts = np.full(len(log), float(batch_size))
        counts[-1] = samples - (len(log) - 1) * batch_size
        self._logs.append(log.astype(np.float64))
        self._counts.append(counts)
        self.steps, self.samples = self.steps + len(log), self.samples + samples

    def extend(self, others: "RunningMetrics") -> None:
        """Add the batches that came after these."""
        self._logs += others._logs
        self._counts += others._counts
        self._targets += others._targets
        self._outputs += others._outputs
        self.steps, self.samples = self.steps + others.steps, self.samples + others.samples

    def add_outputs(self, y: Any, outputs: Any) -> None:
        """Targets and outputs of some samples; those of losses without labels have one shape."""
        pairs = list(zip(arrays_in(y), arrays_in(outputs), strict=True))
        self._targets.append([t.reshape(o.shape) if t.size == o.size else t for t, o in pairs])
        self._outputs.append([o for _, o in pairs])

    @property
    def loss(self) -> float:
        """The mean loss; added at once, so with the same bits however steps were divided into calls."""
        return self._mean_loss(0)

    def figures(self, wanted: "MetricSet | JointMetricSet") -> dict[str, float]:
        """The mean loss and the metrics; of several outputs also the loss of each."""
        if isinstance(wanted, MetricSet):
            return self._figures_of(0, 0, wanted)
        figures = {"loss": self.loss}
        for k, (name, own) in enumerate(wanted.sets.items()):
            of_output = self._figures_of(k, 2 + 2 * k, own)
            figures |= {f"{name}_{key}": value for key, value in of_output.items()}
        return figures

    def _figures_of(self, output: int, column: int, wanted: MetricSet) -> dict[str, float]:
        """Loss and metrics of one output, whose (loss, right answers) are in the log from `column` on."""
        figures = {"loss": self._mean_loss(column)}
        if wanted.need_outputs:
            y, outputs = (
                np.concatenate([part[output] for part in parts]) for parts in (self._targets, self._outputs)
            )
        for name, metric in wanted.by_name.items():
            if metric != "accuracy":
                figures[name] = wanted.figure(name, y, outputs)
            elif wanted.loss.targets != "numbers":  # its numbers are neither right nor wrong
                figures[name] = float(self._joined()[0][:, column + 1].sum()) / self.samples
        return figures

    def _mean_loss(self, column: int) -> float:
        log, counts = self._joined()
        return float(log[:, column] @ counts) / self.samples

    def _joined(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The log of all steps, and how many samples each took; what has been joined once stays so."""
        for parts in (self._logs, self._counts):
            if len(parts) > 1:
                parts[:] = [np.concatenate(parts)]
        return self._logs[0], self._counts[0]
