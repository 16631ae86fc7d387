"""Who trains the networks and predicts with them, to be timed.

The same weights go to PyTorch by `to_torch`, to ONNX Runtime by `to_onnx`, and to JAX layer by layer.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

from .jax_process import Job
from .jax_process import contender as of_jax
from .networks import given_loss, loss_names, made, trained_of
from .timing import Contender
from .workloads import LEARNING_RATE

# Training: (name, batch size, epochs of fastconv, X, y)


def _fastconv_steps(name: str, batch_size: int, epochs: int, X: Any, y: Any) -> Contender:
    import fastconv as fc

    model = made(name)
    trainer = fc.Trainer(model, loss=given_loss(name, model), optimizer=fc.SGD(lr=LEARNING_RATE), metrics=())

    def call() -> None:
        trainer.fit(X, y, epochs=epochs, batch_size=batch_size, shuffle=False, progress=False)

    return Contender(call, epochs * (len(X) // batch_size))


def _torch_steps(compiles: bool, name: str, batch_size: int, epochs: int, X: Any, y: Any) -> Contender:
    import torch

    model = made(name)
    module, loss = model.to_torch().train(), torch_loss(name, model)
    forward = torch.compile(module) if compiles else module
    trained, parameters = set(trained_of(model)), dict(module.named_parameters())
    for key, tensor in parameters.items():
        tensor.requires_grad_(key in trained)
    optimizer = torch.optim.SGD([parameters[key] for key in trained], lr=LEARNING_RATE)
    samples, targets = tensors(X), tensors(y)

    def call() -> None:
        for first in range(0, len(X), batch_size):
            optimizer.zero_grad(set_to_none=True)
            last = first + batch_size
            loss(forward(samples[first:last]), _part(targets, first, last)).backward()
            optimizer.step()

    return Contender(call, len(X) // batch_size)


def _jax_steps(name: str, batch_size: int, epochs: int, X: Any, y: Any) -> Contender:
    return of_jax(Job("steps", name, batch_size, len(X) // batch_size, LEARNING_RATE))


STEPS: dict[str, Callable[..., Contender]] = {
    "fastconv": _fastconv_steps,
    "torch": partial(_torch_steps, False),
    "torch_compile": partial(_torch_steps, True),
    "jax": _jax_steps,
}


def torch_loss(name: str, model: Any) -> Callable[[Any, Any], Any]:
    """The loss of what a module gives: of several outputs, the sum."""
    from torch.nn import functional as F

    functions: dict[str, Callable[..., Any]] = {
        "cross_entropy": F.cross_entropy,
        "mse": F.mse_loss,
        "bce": F.binary_cross_entropy,
        "bce_with_logits": F.binary_cross_entropy_with_logits,
    }
    parts = [functions[part] for part in loss_names(name, model)]

    def loss(given: Any, wanted: Any) -> Any:
        outputs = given.values() if isinstance(given, dict) else (given,)
        targets = wanted if isinstance(wanted, list) else [wanted]
        return sum(one(a, b) for one, a, b in zip(parts, outputs, targets, strict=True))

    return loss


def tensors(values: Any) -> Any:
    """Arrays as PyTorch's tensors."""
    import torch

    if isinstance(values, list):
        return [torch.from_numpy(array) for array in values]
    return torch.from_numpy(values)


def _part(values: Any, first: int, last: int) -> Any:
    return [v[first:last] for v in values] if isinstance(values, list) else values[first:last]


# Prediction: (name, X)


def _fastconv_predictions(name: str, X: Any) -> Contender:
    model = made(name)
    return Contender(lambda: arrays(model.predict(X)))


def _torch_predictions(compiles: bool, name: str, X: Any) -> Contender:
    import torch

    module, samples = made(name).to_torch().eval(), tensors(X)
    forward = torch.compile(module) if compiles else module

    def call() -> Any:
        with torch.inference_mode():
            return arrays(forward(samples))

    return Contender(call)


def _onnx_predictions(name: str, X: Any) -> Contender:
    import onnxruntime

    import fastconv as fc

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"{name}.onnx")
        made(name).to_onnx(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = fc.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: X}
    return Contender(lambda: tuple(session.run(None, given)))


def _jax_predictions(name: str, X: Any) -> Contender:
    return of_jax(Job("predict", name, len(X)))


def arrays(outputs: Any) -> tuple[Any, ...]:
    """All outputs in order."""
    if isinstance(outputs, dict):
        return tuple(outputs.values())
    return tuple(outputs) if isinstance(outputs, (list, tuple)) else (outputs,)


PREDICTIONS: dict[str, Callable[[str, Any], Contender]] = {
    "fastconv": _fastconv_predictions,
    "torch": partial(_torch_predictions, False),
    "torch_compile": partial(_torch_predictions, True),
    "onnxruntime": _onnx_predictions,
    "jax": _jax_predictions,
}
