"""The best epoch so far, by one figure of the logs."""

import warnings

import numpy as np

from ...checks.settings import real_number
from .callback import Logs

# Figures that grow when a model gets better, by the end of their names; all others shrink.
_GROWING = ("accuracy", "acc", "precision", "recall", "f1", "auc")


class Best:
    """The best value so far of one figure in the logs."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"`monitor` must be a name such as 'val_loss', got {monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"`mode` must be 'auto', 'min' or 'max', got {mode!r}")
        if mode == "auto":
            mode = "max" if monitor.lower().endswith(_GROWING) else "min"
        self.monitor = monitor
        self.sign = 1.0 if mode == "max" else -1.0
        self.min_delta = real_number(min_delta, "min_delta")
        self.value: float | None = None
        self._said = False  # that another figure is watched

    def read(self, logs: Logs) -> float:
        """The figure of this epoch: without validation data, "val_loss" falls back to "loss"."""
        validated = any(name.startswith("val_") for name in logs)
        names = [self.monitor] if validated else [self.monitor, self.monitor.removeprefix("val_")]
        for name in names:
            if name in logs:
                if name != self.monitor and not self._said:
                    self._said = True
                    warnings.warn(
                        f"`monitor` is {self.monitor!r}, but there are no validation data: {name!r} is "
                        "watched instead",
                        stacklevel=11,  # the line that calls `fit`
                    )
                return float(logs[name])
        raise ValueError(f"`monitor` must be one of {', '.join(logs)}, got {self.monitor!r}")

    def improves(self, value: float) -> bool:
        """Remember `value` and say True, if it is the best so far by more than `min_delta`; NaN never is."""
        better = not np.isnan(value) and (
            self.value is None or self.sign * (value - self.value) > self.min_delta
        )
        if better:
            self.value = value
        return better
