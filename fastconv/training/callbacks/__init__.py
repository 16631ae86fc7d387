"""Things to do at certain moments of training: stop it, save the model, write figures down.

`Callback` tells the moments. Each callback has a file of its own.
"""

from .callback import Callback
from .callback import Logs as Logs
from .csv_logger import CSVLogger
from .early_stopping import EarlyStopping
from .ema import EMA
from .model_checkpoint import ModelCheckpoint
from .optuna_pruning import OptunaPruning
from .reduce_lr_on_plateau import ReduceLROnPlateau
from .tensorboard import TensorBoard
from .wandb import WandB

__all__ = [
    "EMA",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "ModelCheckpoint",
    "OptunaPruning",
    "ReduceLROnPlateau",
    "TensorBoard",
    "WandB",
]
