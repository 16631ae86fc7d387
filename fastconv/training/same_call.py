"""What must be the same on all ranks that train one network together."""

import contextlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ..engine.columns import arrays_in
from ..engine.ranks.agreement import check_same_call
from ..kernels.precision import get_precision
from ..simd.host import HOST
from .leading import share_state
from .settings import TrainerSettings

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")  # differs from process to process


def agree(
    trainer: TrainerSettings, call: str, check: Callable[[], None], facts: Callable[[], dict[str, Any]]
) -> None:
    """Check the arguments of a call on all ranks, and that all ranks make the same; rank 0's state holds.

    `facts` returns what of the arguments, once they are checked, must be the same.

    Raises
    ------
    ValueError
        If ranks make different calls.
    Exception
        If `check` raises on any rank.
    """
    if trainer.ranks.count == 1:
        check()
        return

    def describe() -> dict[str, Any]:
        with warned_once(trainer):
            check()
            found = {"call": call, **_of_package(), **_of_trainer(trainer), **facts()}
        return {name: _in_words(fact) for name, fact in found.items()}

    check_same_call(trainer.ranks, describe)
    share_state(trainer)


@contextlib.contextmanager
def warned_once(trainer: TrainerSettings) -> Iterator[None]:
    """What all ranks would warn of in this block, rank 0 does."""
    if trainer.ranks.leads or trainer.data == "local":
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def form_of(trainer: TrainerSettings, name: str, columns: Any) -> dict[str, Any]:
    """Shape and dtype of arrays that all ranks have; those of each rank's own are brought into one form."""
    if trainer.ranks.count == 1 or trainer.data == "local":
        return {}
    arrays = arrays_in(columns)
    return {
        f"shape of {name}": [array.shape for array in arrays],
        f"dtype of {name}": [str(array.dtype) for array in arrays],
    }


def _of_package() -> dict[str, Any]:
    """What the last bits depend on."""
    version = getattr(sys.modules[__name__.partition(".")[0]], "__version__", "")
    return {"version of fastconv": version, "vector unit": HOST.name, "precision": get_precision()}


def _of_trainer(trainer: TrainerSettings) -> dict[str, Any]:
    """The network and all settings."""
    model = trainer.model
    layers = {f"layer {node.name}": f"{node.layer}, {node.inputs} -> {node.output}" for node in model.nodes}
    return {
        "dtype": model.dtype,
        "inputs": dict(zip(model.input_names, model.input_shapes, strict=True)),
        **layers,
        "outputs": dict(zip(model.output_names, model.output_shapes, strict=True)),
        "loss": trainer.loss,
        "loss_weights": trainer.loss_weights,
        "optimizer": trainer.optimizer,
        "metrics": trainer.metrics,
        "seed": trainer.seed,
        "accumulate": trainer.accumulate,
        "data": trainer.data,
    }


def _in_words(fact: Any) -> str:
    """A fact as a text that is the same in every process where it is the same."""
    return _ADDRESS.sub("", fact if isinstance(fact, str) else repr(fact))
