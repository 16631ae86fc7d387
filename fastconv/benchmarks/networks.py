"""The networks that are measured in training and prediction, and the samples and losses that they get."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..inspection.random_batch import random_batch
from ..models.building import loss_for, network_of
from ..nn.joint_loss import parts_of
from ..nn.losses import MSE as SquaredError


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


def made(name: str, dtype: str = "float32") -> Any:
    """A network with the weights of its float32 form.

    Examples
    --------
    >>> a, b = (made("mlp", dtype).parameters()["1.bias"] for dtype in ("float32", "float64"))
    >>> a.dtype, b.dtype, bool((a == b).all())
    (dtype('float32'), dtype('float64'), True)
    """
    model = NETWORKS[name][1]()
    return model if model.dtype == dtype else twin(model, dtype)


def twin(model: Any, dtype: str) -> Any:
    """The same network with its numbers in another dtype."""
    other = network_of(model.outline, dtype, model.seed)
    other.load_state({key: array.astype(dtype) for key, array in model.state().items()})
    return other


def comparable_model(name: str, dtype: str) -> Any:
    """The same with dropout that drops nothing: what is dropped differs between libraries."""
    import fastconv as fc

    model = made(name, dtype)
    if not any(isinstance(node.layer, fc.Dropout) for node in model.nodes):
        return model
    layers = [fc.Dropout(0.0) if isinstance(layer, fc.Dropout) else layer for layer in model.layers]
    other = fc.Sequential(layers, model.input_shape, dtype=dtype)
    other.load_state(model.state())
    return other


def loss_of(name: str, model: Any) -> Any:
    """The loss of a network, of all its outputs."""
    if name in MSE:
        return SquaredError()
    return loss_for(model)


def given_loss(name: str, model: Any) -> Any:
    """The loss as a trainer takes it: of several outputs, a list."""
    parts = [part for part, _ in parts_of(loss_of(name, model))]
    return parts if len(parts) > 1 else parts[0]


def loss_names(name: str, model: Any) -> list[str]:
    """The losses of the outputs by name.

    Examples
    --------
    >>> loss_names("lenet5", made("lenet5"))
    ['cross_entropy']
    """
    return [part.name for part, _ in parts_of(loss_of(name, model))]


def batches_of(name: str, model: Any, count: int) -> tuple[Any, Any]:
    """(X, y) of so many random samples, the same numbers in every dtype."""
    X, y = random_batch(made(name), count, loss_of(name, model))
    return _cast(X, model.dtype), _cast(y, model.dtype)


def _cast(values: Any, dtype: str) -> Any:
    if isinstance(values, list):
        return [_cast(array, dtype) for array in values]
    return values.astype(dtype) if values.dtype.kind == "f" else values


def trained_of(model: Any) -> list[str]:
    """The names of the parameters that are not frozen."""
    return [name for name in model.parameters() if name.rpartition(".")[0] not in model.frozen]
