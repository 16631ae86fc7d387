"""Fast convolutional networks on a CPU: Numba kernels, and a thin trainer around one compiled step."""

import importlib
from typing import Any

from . import datasets, inspection, kernels, models
from .engine.threads import get_num_threads, set_num_threads
from .inspection.explain import explain
from .inspection.gradient_check import check_gradients
from .models import Sequential, from_onnx, from_torch, load
from .nn import optimizers, schedules
from .nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from .nn.conv import Conv2d
from .nn.dense import Dense
from .nn.dropout import Dropout
from .nn.norm import BatchNorm2d
from .nn.optimizers import SGD, Adam, AdamW
from .nn.pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from .nn.schedules import CosineDecay, OneCycle, StepDecay
from .nn.shape import Flatten
from .training import callbacks, metrics
from .training.augment import Augment
from .training.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from .training.history import DivergedError, History
from .training.trainer import Trainer

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
    "metrics",
    "models",
    "optimizers",
    "schedules",
    "set_num_threads",
]


def __getattr__(name: str) -> Any:
    """`estimators` and `plots` are loaded when they are asked for: few runs need them."""
    if name in ("estimators", "plots"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
