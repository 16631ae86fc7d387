"""Fast convolutional networks on a CPU: Numba kernels, and a thin trainer around one compiled step."""

import importlib
from typing import Any

from . import datasets, inspection, kernels, models
from .augment import Augment
from .callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from .gradients import check_gradients
from .layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from .loading import from_onnx, from_torch, load
from .optimizers import SGD, Adam, AdamW
from .runtime import get_num_threads, set_num_threads
from .schedules import CosineDecay, OneCycle, StepDecay
from .sequential import Sequential
from .train import DivergedError, History, Trainer
from .walkthrough import explain

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Augment",
    "AvgPool2d",
    "BatchNorm2d",
    "CSVLogger",
    "Conv2d",
    "CosineDecay",
    "Dense",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalAvgPool2d",
    "History",
    "LeakyReLU",
    "MaxPool2d",
    "ModelCheckpoint",
    "OneCycle",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "StepDecay",
    "Tanh",
    "Trainer",
    "check_gradients",
    "datasets",
    "explain",
    "from_onnx",
    "from_torch",
    "get_num_threads",
    "inspection",
    "kernels",
    "load",
    "models",
    "set_num_threads",
]


def __getattr__(name: str) -> Any:
    """`estimators` and `plots` are loaded when they are asked for: few runs need them."""
    if name in ("estimators", "plots"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
