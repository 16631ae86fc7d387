"""Fast convolutional networks on a CPU: Numba kernels, and a thin trainer around one compiled step."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from .checks import interrupts as _interrupts

if _interrupts.is_program():  # before the imports that take their time
    _interrupts.watch()

from . import kernels, models
from .engine.ranks import early as _early
from .engine.ranks.errors import RankError
from .engine.threads import get_num_threads, set_num_threads
from .kernels.precision import get_precision, set_precision
from .models import Model, Sequential, from_onnx, from_torch, load
from .nn import *  # noqa: F403
from .nn import __all__ as _layers
from .nn import losses, optimizers, schedules
from .nn.optimizers import *  # noqa: F403
from .nn.optimizers import __all__ as _optimizers
from .nn.schedules import CosineDecay, OneCycle, StepDecay, Warmup
from .nn.values import Input
from .training import callbacks, metrics
from .training.augment import Augment
from .training.callbacks import (
    EMA,
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    OptunaPruning,
    ReduceLROnPlateau,
    TensorBoard,
    WandB,
)
from .training.history import DivergedError, History, NotFiniteError
from .training.lr_finder import RateSearch, lr_finder
from .training.trainer import Trainer

_early.end_all_with_an_error()

if TYPE_CHECKING:  # at run time by `__getattr__`
    from . import datasets as datasets
    from . import estimators as estimators
    from . import inspection as inspection
    from . import plots as plots
    from .inspection.classify import classify
    from .inspection.explain import explain
    from .inspection.gradient_check import check_gradients
    from .inspection.profile import Profile, ProfileRow, profile
    from .inspection.scale import Scaling, ScalingRow, scale

__version__ = "0.1.0"

__all__ = [  # layers and optimizers are listed in their own files
    *_layers,
    *_optimizers,
    "Augment",
    "EMA",
    "CSVLogger",
    "Callback",
    "CosineDecay",
    "DivergedError",
    "EarlyStopping",
    "History",
    "Input",
    "Model",
    "ModelCheckpoint",
    "NotFiniteError",
    "OneCycle",
    "OptunaPruning",
    "Profile",
    "ProfileRow",
    "RankError",
    "RateSearch",
    "ReduceLROnPlateau",
    "Scaling",
    "ScalingRow",
    "Sequential",
    "StepDecay",
    "TensorBoard",
    "Trainer",
    "WandB",
    "Warmup",
    "callbacks",
    "check_gradients",
    "classify",
    "datasets",
    "explain",
    "from_onnx",
    "from_torch",
    "get_num_threads",
    "get_precision",
    "inspection",
    "kernels",
    "load",
    "losses",
    "lr_finder",
    "metrics",
    "models",
    "optimizers",
    "profile",
    "scale",
    "schedules",
    "set_num_threads",
    "set_precision",
]

# `from fastconv.metrics import f1` and the like, as in earlier versions.
for _module in (callbacks, losses, metrics, optimizers, schedules):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module


# What few processes need is loaded when it is asked for: name -> its module.
_LATER = {
    "datasets": ".datasets",
    "estimators": ".estimators",
    "inspection": ".inspection",
    "plots": ".plots",
    "check_gradients": ".inspection.gradient_check",
    "classify": ".inspection.classify",
    "explain": ".inspection.explain",
    "Profile": ".inspection.profile",
    "ProfileRow": ".inspection.profile",
    "profile": ".inspection.profile",
    "Scaling": ".inspection.scale",
    "ScalingRow": ".inspection.scale",
    "scale": ".inspection.scale",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_LATER[name], __name__)
    return getattr(module, name, module)


def _draw_history(history: History, **settings: Any) -> Any:
    return importlib.import_module(".plots", __name__).history(history, **settings)


History._draw = _draw_history


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER, "__version__"})


if "pdoc" in sys.modules:  # it looks into the module's dictionary, and does not ask for what is not there
    globals().update({name: __getattr__(name) for name in _LATER if name in __all__})
