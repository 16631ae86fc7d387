"""What people of Keras, PyTorch and scikit-learn call arguments that here have other names, or none."""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_SAMPLES = {
    "x": "is called `X`",
    "inputs": "is called `X`",
    "labels": "is called `y`",
    "targets": "is called `y`",
}
_OF_TRAINER = "belongs to Trainer"
_ACCUMULATES = "belongs to Trainer, and is called `accumulate`"
_OF_OPTIMIZER = "belongs to the optimizer: Trainer(model, optimizer=SGD(lr=0.1))"
_NO_WORKERS = "is left out: batches are taken as they come, and arrays need no workers"
_SHOWS_NOTHING = "is left out: nothing is shown here"
_DICT = "is left out: what is returned is a dict"

TRAINER = {
    **dict.fromkeys(("lr", "learning_rate"), _OF_OPTIMIZER),
    **dict.fromkeys(("epochs", "batch_size", "callbacks", "verbose"), "belongs to `fit`"),
    **dict.fromkeys(
        ("gradient_accumulation_steps", "accumulate_grad_batches"),
        "is called `accumulate`, a number of batches",
    ),
    **dict.fromkeys(("ema", "use_ema"), "is left out: give `fit` callbacks=[EMA()]"),
    "weight_decay": _OF_OPTIMIZER,
    "criterion": "is called `loss`",
    "net": "is called `model`",
    "network": "is called `model`",
    "random_state": "is called `seed`",
}
FIT = {
    **_SAMPLES,
    **dict.fromkeys(("lr", "learning_rate"), _OF_OPTIMIZER),
    **dict.fromkeys(("loss", "optimizer", "metrics", "seed", "accumulate"), _OF_TRAINER),
    **dict.fromkeys(("gradient_accumulation_steps", "accumulate_grad_batches"), _ACCUMULATES),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs", "nb_epoch"), "is called `epochs`"),
    "eval_set": "is called `validation_data`, a pair (X, y)",
    "initial_epoch": "is left out: a call goes on where the last one ended; see `resume`, too",
    "validation_steps": "is left out: give `validation_data` as a function that makes as many batches",
    "validation_batch_size": "is left out: figures do not depend on it",
    "validation_freq": "is left out: every epoch is validated",
    "class_weights": "is called `class_weight`",
    "sample_weights": "is called `sample_weight`",
    **dict.fromkeys(("workers", "use_multiprocessing", "max_queue_size", "num_workers"), _NO_WORKERS),
    "ckpt_path": "is called `checkpoint`, with resume=True",
}
EVALUATE = {
    **_SAMPLES,
    **dict.fromkeys(("verbose", "callbacks", "progress"), _SHOWS_NOTHING),
    "return_dict": _DICT,
    "steps": "is left out: the whole of an iterable is taken",
    "sample_weights": "is called `sample_weight`",
    **dict.fromkeys(("workers", "use_multiprocessing", "max_queue_size", "num_workers"), _NO_WORKERS),
}
TRAIN_ON_BATCH = {
    **_SAMPLES,
    "class_weight": "is left out: give the weight of each sample as `sample_weight`",
    "return_dict": "is left out: what is returned is the loss",
    "reset_metrics": "is left out: there are no figures beside the loss",
    "sample_weights": "is called `sample_weight`",
}


def hints(names: Mapping[str, str], together: bool = False) -> Callable[[Function], Function]:
    """A method that says what to write instead of these names; a trainer's ranks call some `together`."""

    def add(function: Function) -> Function:
        @functools.wraps(function)
        def hinting(*args: Any, **kwargs: Any) -> Any:
            # One function for both, since warnings count the calls between them and the user's line.
            with args[0].ranks.together(function.__name__) if together else contextlib.nullcontext():
                for name in kwargs:
                    if name in names:
                        called = function.__qualname__.removesuffix(".__init__")
                        raise TypeError(f"`{name}` of {called} {names[name]}")
                return function(*args, **kwargs)

        return hinting  # type: ignore[return-value]

    return add
