"""Fast convolutional networks on a CPU: Numba kernels, and a thin trainer around one compiled step."""

import importlib
import sys
from typing import Any

from . import datasets, inspection, kernels, models
from .engine.threads import get_num_threads, set_num_threads
from .inspection.explain import explain
from .inspection.gradient_check import check_gradients
from .models import Sequential, from_onnx, from_torch, load
from .nn import *  # noqa: F403
from .nn import __all__ as _layers
from .nn import losses, optimizers, schedules
from .nn.optimizers import *  # noqa: F403
from .nn.optimizers import __all__ as _optimizers
from .nn.schedules import CosineDecay, OneCycle, StepDecay
from .training import callbacks, metrics
from .training.augment import Augment
from .training.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from .training.history import DivergedError, History
from .training.trainer import Trainer

__version__ = "0.1.0"

__all__ = [  # layers and optimizers are listed in their own files
    *_layers,
    *_optimizers,
    "Augment",
    "CSVLogger",
    "CosineDecay",
    "DivergedError",
    "EarlyStopping",
    "History",
    "ModelCheckpoint",
    "OneCycle",
    "Sequential",
    "StepDecay",
    "Trainer",
    "callbacks",
    "check_gradients",
    "datasets",
    "explain",
    "from_onnx",
    "from_torch",
    "get_num_threads",
    "inspection",
    "kernels",
    "load",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "schedules",
    "set_num_threads",
]

# `from fastconv.metrics import f1` and the like, as in earlier versions.
for _module in (callbacks, losses, metrics, optimizers, schedules):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module


def __getattr__(name: str) -> Any:
    """`estimators` and `plots` are loaded when they are asked for: few runs need them."""
    if name in ("estimators", "plots"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
