"""`fastconv warm`: compile ahead, for images of machines and for tests that should not wait."""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.waiting import waiting
from ..formats import json_text, model_file
from ..inspection.classification import class_probabilities
from ..models.building import loss_for
from ..nn.activations import Sigmoid
from ..nn.joint_loss import parts_of
from ..nn.loss import Loss
from ..nn.losses import BCEWithLogits
from ..training.augment import Augment
from ..training.progress import format_seconds
from . import facts, options, output
from .recipes import NETWORKS, OPTIMIZERS, SIGNALS, build_model

EXAMPLES = """\
warm
warm lenet --dtype float32 float64
warm model.npz"""

# Images or signals of each network: those of digits and of photos go through other code.
_SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "lenet": ((1, 8, 8), (1, 28, 28), (3, 32, 32)),
    "vgg": ((3, 32, 32),),
    "reference": ((1, 6, 6),),
    "resnet8": ((3, 32, 32),),
    "ds_cnn": ((1, 49, 10),),
    "mobilenet_v1_025": ((3, 96, 96),),
    "mobilenet_v2": ((3, 96, 96),),
    **dict.fromkeys(SIGNALS, ((1, 150),)),
}
# More than one thread has work, and the last batch is a part of one.
_IMAGES, _BATCH = 70, 32


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "compile what networks need, so that nothing waits for it later"
    command = options.add_command(commands, "warm", run, text, EXAMPLES, "[NETWORK | MODEL ...]")
    command.add_argument(
        "networks",
        metavar="NETWORK",
        nargs="*",
        help=f"{', '.join(_SHAPES)}, or files of saved models (default: {' '.join(NETWORKS)})",
    )
    command.add_argument(
        "--dtype",
        nargs="+",
        choices=("float32", "float64"),
        default=["float32"],
        help="for networks by name (default: float32)",
    )
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Train and predict with each network for a moment; say what that has compiled."""
    for name in args.networks:
        if name not in _SHAPES and not name.endswith(model_file.SUFFIXES):
            endings = " or ".join(model_file.SUFFIXES)
            args.refuse(
                f"NETWORK must be {', '.join(_SHAPES)} or a file that ends in {endings}, got {name!r}"
            )
    models = [named for name in args.networks or NETWORKS for named in _models(name, args.dtype)]
    if not any(os.access(folder, os.W_OK) for folder in facts.cache_folders()):
        raise OSError("no folder for compiled code can be written to: set NUMBA_CACHE_DIR to one that can")
    started, before = time.perf_counter(), _compiled()
    for name, model in models:
        own = time.perf_counter()
        with waiting(f"compiling {name}"):
            _use(model)
        if not args.json:
            output.say(f"{name}: {format_seconds(time.perf_counter() - own).strip()}")
    seconds, files = time.perf_counter() - started, _compiled()
    new = files.keys() - before.keys()
    folders = sorted({str(path.parent) for path in files if os.access(path.parent, os.W_OK)})
    if args.json:
        sizes = {"compiled": len(new), "bytes": sum(files[path] for path in new)}
        print(json_text.to_json({**sizes, "files": len(files), "seconds": seconds, "folders": folders}))
        return 0
    size = f"{len(new)} function{'s' * (len(new) != 1)}, {sum(files[path] for path in new) / 1e6:.1f} MB"
    what = f"compiled {size}" if new else "nothing was left to compile"
    output.say(f"{what}, in {format_seconds(seconds).strip()}; {len(files)} functions in")
    for folder in folders:
        output.say(f"  {folder}")
    return 0


def _models(name: str, dtypes: "list[str]") -> Iterator[tuple[str, Any]]:
    """The networks that an argument stands for, each with what it is called."""
    import fastconv as fc

    if name not in _SHAPES:
        yield name, fc.load(name)
        return
    for dtype in dtypes:
        for shape in _SHAPES[name]:
            kind = "images" if len(shape) == 3 else "signals"
            said = f"{name} for {kind} of {output.shape_text(shape)}, {dtype}"
            yield said, build_model(name, shape, 10, dtype, 0)


def _use(model: Any) -> None:
    """All that commands do with a network: train with each optimizer, evaluate, predict one and many."""
    import fastconv as fc

    rng = np.random.default_rng(0)
    X = [rng.integers(0, 256, (_IMAGES, *shape), dtype=np.uint8) for shape in model.input_shapes]
    loss, y = _loss(model), []
    for shape, (part, _) in zip(model.output_shapes, parts_of(loss), strict=True):
        labels = np.arange(_IMAGES) % max(2, shape[0])
        binary = part.targets == "probabilities" and shape == (1,)
        y.append(labels if part.targets == "labels" or binary else rng.random((_IMAGES, *shape)))
    alone, image = len(X) == 1, len(model.input_shapes[0]) == 3
    augment = Augment(shift=1, rotation=10, noise=0.1, horizontal_flip=True)
    changed = augment if alone and image else None
    state = model.state()
    floats = [samples.astype(model.dtype) for samples in X]
    losses = [part for part, _ in parts_of(loss)]
    given, targets = (losses, y) if len(losses) > 1 else (losses[0], y[0])
    for samples, optimizers in ((X, list(OPTIMIZERS.values())), (floats, [OPTIMIZERS["adam"]])):
        for k, make in enumerate(optimizers):
            trainer = fc.Trainer(model, loss=given, optimizer=make(1e-6))
            for changes in (None, changed) if k == 0 else (None,):
                inputs = samples[0] if alone else samples
                trainer.fit(inputs, targets, epochs=1, batch_size=_BATCH, augment=changes, progress=False)
        trainer.evaluate(inputs, targets)
        for count in (1, _IMAGES):
            few = [array[:count] for array in samples]
            model.predict(few[0] if alone else few)
    if alone and len(model.output_shapes) == 1 and len(model.output_shape) == 1:
        class_probabilities(model, X[0])
    model.load_state(state)


def _loss(model: Any) -> Loss:
    """What a network is trained with by `train`, or that suits its outputs."""
    if model.output_shapes == ((1,),) and not model.ends_in(Sigmoid):
        return BCEWithLogits()
    return loss_for(model)


def _compiled() -> dict[Path, int]:
    """The files of compiled code, and the bytes of each."""
    found = {}
    for folder in facts.cache_folders():
        if os.access(folder, os.R_OK | os.X_OK):
            found.update({path: path.stat().st_size for path in folder.glob("*.nbc")})
    return found
