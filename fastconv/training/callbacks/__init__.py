"""Things to do after each epoch. A callback is any object with `on_epoch_end(trainer, logs)`.

If it has `on_train_begin(trainer)`, `on_epoch_begin(trainer, logs)` or `on_train_end(trainer)` too, they are
called then; at the beginning of an epoch `logs` are its number and that of epochs.

What it needs to go on with a run that was cut off it gives in `state_dict()`, a dict of JSON values and dicts
of arrays, and gets back by `load_state_dict(state)`; `fit(checkpoint=...)` keeps it.

`logs` holds the figures of the epoch by name: "epoch" (from 0), "epochs", "loss", the metrics, the same
with "val_" in front when there are validation data, "learning_rate" and "seconds".
"""

from .callback import Logs as Logs
from .csv_logger import CSVLogger
from .early_stopping import EarlyStopping
from .model_checkpoint import ModelCheckpoint

__all__ = ["CSVLogger", "EarlyStopping", "ModelCheckpoint"]
