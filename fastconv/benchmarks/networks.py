"""The networks that are measured in training and prediction, and what others make of them.

The same weights go to PyTorch by `to_torch` and to ONNX Runtime by `to_onnx`. Before anything is timed,
outputs, losses and gradients are compared with PyTorch's.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .timing import Contender
from .workloads import LEARNING_RATE, Work

STEP_BATCHES = (1, 8, 32, 128)
PREDICT_BATCHES = (1, 8, 64, 256)
MOST_FLOPS = 4e10  # in one piece of work: with more, it takes a large part of a second and gigabytes
SHORT, LONG = 1e8, 1e9  # operations in the batches that all step through, and in one call of `fit`
MOST_BATCHES, MOST_EPOCHS = 64, 20
FLOOR = 1e-2  # of the largest gradient: what is smaller, before a normalisation for example, is rounding


def _cnn() -> Any:
    import fastconv as fc

    layers = [
        *(fc.Conv2d(32, 3), fc.ReLU(), fc.MaxPool2d(2)),
        *(fc.Conv2d(64, 3), fc.ReLU(), fc.MaxPool2d(2)),
        *(fc.Flatten(), fc.Dense(128), fc.ReLU(), fc.Dense(10)),
    ]
    return fc.Sequential(layers, (1, 28, 28))


def _mlp() -> Any:
    import fastconv as fc

    layers = [fc.Flatten(), fc.Dense(256), fc.ReLU(), fc.Dense(128), fc.ReLU(), fc.Dense(10)]
    return fc.Sequential(layers, (1, 28, 28))


def _vgg_with_batch_norm() -> Any:
    import fastconv as fc

    layers: list[Any] = []
    for channels in ((32, 32), (64, 64), (128,)):
        for count in channels:
            layers += [fc.Conv2d(count, 3, padding=1), fc.BatchNorm2d(), fc.ReLU()]
        layers += [fc.MaxPool2d(2)] if len(channels) == 2 else []
    layers += [fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(10)]
    return fc.Sequential(layers, (3, 32, 32))


def _named(name: str, *args: Any) -> Any:
    import fastconv as fc

    return getattr(fc.models, name)(*args)


_SERIES = (2, (1, 150))
# By the name of the command line: what readers call a network, and what makes it.
NETWORKS: dict[str, tuple[str, Callable[[], Any]]] = {
    "reference_cnn": ("15-parameter network", partial(_named, "reference_cnn")),
    "lenet5": ("LeNet-5", partial(_named, "lenet5")),
    "lenet_digits": ("LeNet of 8x8 digits", partial(_named, "lenet_digits")),
    "vgg_small": ("VGG-style net", partial(_named, "vgg_small")),
    "vgg_bn": ("VGG with batch norm", _vgg_with_batch_norm),
    "cnn": ("32-64 CNN", _cnn),
    "mlp": ("MLP 784-256-128-10", _mlp),
    "resnet8": ("ResNet-8", partial(_named, "resnet8")),
    "ds_cnn": ("DS-CNN", partial(_named, "ds_cnn")),
    "mobilenet_v1_025": ("MobileNetV1 0.25", partial(_named, "mobilenet_v1_025")),
    "mobilenet_v2": ("MobileNetV2", partial(_named, "mobilenet_v2")),
    "autoencoder": ("autoencoder", partial(_named, "autoencoder")),
    "unet": ("U-Net", partial(_named, "unet")),
    "atari_cnn": ("Atari CNN", partial(_named, "atari_cnn")),
    "mnist1d_cnn": ("MNIST-1D CNN", partial(_named, "mnist1d_cnn")),
    "time_cnn": ("Time-CNN", partial(_named, "time_cnn", *_SERIES)),
    "fcn": ("FCN", partial(_named, "fcn", *_SERIES)),
    "resnet1d": ("ResNet of series", partial(_named, "resnet1d", *_SERIES)),
    "inception_time": ("InceptionTime", partial(_named, "inception_time", *_SERIES)),
    "lite": ("LITE", partial(_named, "lite", *_SERIES)),
}
MSE = ("autoencoder",)  # what they learn is not what their output looks like


def step_flops(model: Any) -> int:
    """Operations of a training step for one sample: forward, and the gradients that anything depends on."""
    trained = {name.rpartition(".")[0] for name in model.parameters()} - model.frozen
    products, depending = 0, set[int]()  # values whose gradient is wanted
    for node in model.nodes:
        gradients = (node.name in trained) + (not depending.isdisjoint(node.inputs))
        products += (1 + gradients) * node.layer.products(node.input_shape)
        depending |= {node.output} if gradients else set()
    return 2 * products


def _loss(name: str, model: Any) -> Any:
    from ..nn.joint_loss import default_for
    from ..nn.losses import MSE as SquaredError

    if name in MSE:
        return SquaredError()
    return default_for(model.last_layers(), model.output_names, model.output_shapes)


def _given_loss(name: str, model: Any) -> Any:
    """The loss as a trainer takes it: of several outputs, a list."""
    from ..nn.joint_loss import parts_of

    parts = [part for part, _ in parts_of(_loss(name, model))]
    return parts if len(parts) > 1 else parts[0]


def _batches(name: str, model: Any, count: int) -> tuple[Any, Any]:
    from ..inspection.random_batch import random_batch

    return random_batch(model, count, _loss(name, model))


def _torch_loss(name: str, model: Any) -> Callable[[Any, Any], Any]:
    """The loss of what a module gives: of several outputs, the sum."""
    from torch.nn import functional as F

    from ..nn.joint_loss import parts_of

    functions: dict[str, Callable[..., Any]] = {
        "cross_entropy": F.cross_entropy,
        "mse": F.mse_loss,
        "bce": F.binary_cross_entropy,
        "bce_with_logits": F.binary_cross_entropy_with_logits,
    }
    parts = [functions[part.name] for part, _ in parts_of(_loss(name, model))]

    def loss(given: Any, wanted: Any) -> Any:
        outputs = given.values() if isinstance(given, dict) else (given,)
        targets = wanted if isinstance(wanted, list) else [wanted]
        return sum(one(a, b) for one, a, b in zip(parts, outputs, targets, strict=True))

    return loss


def _tensors(values: Any) -> Any:
    import torch

    if isinstance(values, list):
        return [torch.from_numpy(array) for array in values]
    return torch.from_numpy(values)


def _part(values: Any, first: int, last: int) -> Any:
    return [v[first:last] for v in values] if isinstance(values, list) else values[first:last]


# Training


def _fastconv_steps(name: str, batch_size: int, epochs: int, X: Any, y: Any) -> Contender:
    import fastconv as fc

    model = NETWORKS[name][1]()
    trainer = fc.Trainer(model, loss=_given_loss(name, model), optimizer=fc.SGD(lr=LEARNING_RATE), metrics=())

    def call() -> None:
        trainer.fit(X, y, epochs=epochs, batch_size=batch_size, shuffle=False, progress=False)

    return Contender(call, epochs * (len(X) // batch_size))


def _torch_steps(compiles: bool, name: str, batch_size: int, epochs: int, X: Any, y: Any) -> Contender:
    import torch

    model = NETWORKS[name][1]()
    module, loss = model.to_torch().train(), _torch_loss(name, model)
    forward = torch.compile(module) if compiles else module
    trained, parameters = set(_trained(model)), dict(module.named_parameters())
    for key, tensor in parameters.items():
        tensor.requires_grad_(key in trained)
    optimizer = torch.optim.SGD([parameters[key] for key in trained], lr=LEARNING_RATE)
    samples, targets = _tensors(X), _tensors(y)

    def call() -> None:
        for first in range(0, len(X), batch_size):
            optimizer.zero_grad(set_to_none=True)
            last = first + batch_size
            loss(forward(samples[first:last]), _part(targets, first, last)).backward()
            optimizer.step()

    return Contender(call, len(X) // batch_size)


_STEPS: dict[str, Callable[..., Contender]] = {
    "fastconv": _fastconv_steps,
    "torch": partial(_torch_steps, False),
    "torch_compile": partial(_torch_steps, True),
}


def step_work(name: str, batch_size: int) -> Work | None:
    """A training step of a network; None where it would take too long, or nothing can be learned from it."""
    title, make_model = NETWORKS[name]
    model = make_model()
    flops = step_flops(model) * batch_size
    if flops > MOST_FLOPS or not _learns_from(model, batch_size):
        return None
    batches = int(np.clip(SHORT / flops, 2, MOST_BATCHES))
    epochs = int(np.clip(LONG / (flops * batches), 1, MOST_EPOCHS))

    def make(who: str) -> Contender | None:
        if who not in _STEPS:
            return None
        X, y = _batches(name, model, batches * batch_size)
        return _STEPS[who](name, batch_size, epochs, X, y)

    def make_check(who: str) -> Contender | None:
        gradients = {"fastconv": _fastconv_gradients, "torch": _torch_gradients}.get(who)
        if gradients is None:
            return None
        X, y = _batches(name, model, batch_size)
        return Contender(partial(gradients, name, X, y))

    return Work(f"{title}, training step, batch {batch_size}", flops, make, make_check, "network")


def _learns_from(model: Any, batch_size: int) -> bool:
    """Whether normalisations have more than one value to take the mean of."""
    from ..nn.norm import check_batch

    try:
        check_batch(model.nodes, batch_size)
    except ValueError:
        return False
    return True


def _without_dropout(model: Any) -> Any:
    """The same network with dropout that drops nothing: what is dropped differs between libraries."""
    import fastconv as fc

    if not any(isinstance(node.layer, fc.Dropout) for node in model.nodes):
        return model
    layers = [fc.Dropout(0.0) if isinstance(layer, fc.Dropout) else layer for layer in model.layers]
    other = fc.Sequential(layers, model.input_shape, dtype=model.dtype)
    other.load_state(model.state())
    return other


def _fastconv_gradients(name: str, X: Any, y: Any) -> tuple[Any, ...]:
    model = _without_dropout(NETWORKS[name][1]())
    loss, gradients = model.loss_and_gradients(X, y, _given_loss(name, model))
    return _comparable(loss, {key: gradients[key] for key in _trained(model)})


def _torch_gradients(name: str, X: Any, y: Any) -> tuple[Any, ...]:
    model = _without_dropout(NETWORKS[name][1]())
    module = model.to_torch().train()
    loss = _torch_loss(name, model)(module(_tensors(X)), _tensors(y))
    loss.backward()
    found = dict(module.named_parameters())
    return _comparable(loss.item(), {key: found[key].grad.numpy() for key in _trained(model)})


def _trained(model: Any) -> list[str]:
    """The names of the parameters that are not frozen."""
    return [name for name in model.parameters() if name.rpartition(".")[0] not in model.frozen]


def _comparable(loss: float, gradients: dict[str, Any]) -> tuple[Any, ...]:
    """The loss and each gradient, with a number behind it that its error is at least measured by."""
    largest = max(float(np.abs(g).max()) for g in gradients.values())
    return (np.array([loss]), *(np.append(g, FLOOR * largest) for g in gradients.values()))


# Prediction


def _fastconv_predictions(name: str, X: Any) -> Callable[[], Any]:
    model = NETWORKS[name][1]()
    return lambda: _arrays(model.predict(X))


def _torch_predictions(compiles: bool, name: str, X: Any) -> Callable[[], Any]:
    import torch

    module, samples = NETWORKS[name][1]().to_torch().eval(), _tensors(X)
    forward = torch.compile(module) if compiles else module

    def call() -> Any:
        with torch.inference_mode():
            return _arrays(forward(samples))

    return call


def _onnx_predictions(name: str, X: Any) -> Callable[[], Any]:
    import onnxruntime

    import fastconv as fc

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"{name}.onnx")
        NETWORKS[name][1]().to_onnx(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = fc.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: X}
    return lambda: tuple(session.run(None, given))


def _arrays(outputs: Any) -> tuple[Any, ...]:
    """All outputs in order."""
    if isinstance(outputs, dict):
        return tuple(outputs.values())
    return tuple(outputs) if isinstance(outputs, (list, tuple)) else (outputs,)


_PREDICTIONS: dict[str, Callable[[str, Any], Callable[[], Any]]] = {
    "fastconv": _fastconv_predictions,
    "torch": partial(_torch_predictions, False),
    "torch_compile": partial(_torch_predictions, True),
    "onnxruntime": _onnx_predictions,
}


def predict_work(name: str, batch_size: int) -> Work | None:
    """A prediction of one batch; None where it would take too long."""
    title, make_model = NETWORKS[name]
    model = make_model()
    flops = 2 * model.products() * batch_size
    if flops > MOST_FLOPS:
        return None

    def make(who: str) -> Contender | None:
        if who not in _PREDICTIONS:
            return None
        X, _ = _batches(name, model, batch_size)
        return Contender(_PREDICTIONS[who](name, X))

    return Work(f"{title}, predict, batch {batch_size}", flops, make, kind="network")
