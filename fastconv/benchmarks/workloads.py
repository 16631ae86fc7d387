"""Every piece of work that is measured, with its contenders.

A contender is the same work done by "fastconv", by "im2col" (NumPy, `im2col.py`), by "im2col_inside" (the
same with the batch's samples innermost, training steps only), by "torch", or by "onnxruntime" (prediction).
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from . import lane_kernels
from .nets import NETS
from .timing import Contender
from .work import Check, Work, mean_difference

# Small enough that the networks stay in a normal range however often they are stepped.
LEARNING_RATE = 1e-3


_KERNEL_MODULES = {
    "fastconv": "fastconv.kernels",
    "im2col": "fastconv.benchmarks.im2col",
    "torch": "fastconv.benchmarks.torch_kernels",
}


def kernel_work(name: str, label: str, flops: int, *args: Any, **settings: Any) -> Work:
    """A public kernel on these arguments."""

    def make(who: str) -> Contender | None:
        if who not in _KERNEL_MODULES:
            return None
        function = getattr(importlib.import_module(_KERNEL_MODULES[who]), name, None)
        if function is None:  # the baseline has no signals
            return None
        mine = args
        if who == "torch":
            import torch

            mine = tuple(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in args)
        return Contender(lambda: function(*mine, **settings))

    return Work(f"{name} {label}", flops, make)


def random_array(*shape: int) -> Any:
    """Normal random float32 numbers."""
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


# batch, channels, edge of the image, output channels, kernel, padding
CONV_SHAPES = {
    "LeNet-5 first": (128, 1, 28, 6, 5, 0),
    "LeNet-5 second": (128, 6, 12, 16, 5, 0),
    "VGG first": (64, 3, 32, 32, 3, 1),
    "VGG second": (64, 32, 32, 32, 3, 1),
    "VGG fourth": (64, 64, 16, 64, 3, 1),
}


def conv_works(label: str, batch_size: int | None = None) -> list[Work]:
    """The convolution of this label and its two gradients."""
    n, c, edge, o, k, padding = CONV_SHAPES[label]
    n = batch_size or n
    out = edge + 2 * padding - k + 1
    x, weight, dy = random_array(n, c, edge, edge), random_array(o, c, k, k), random_array(n, o, out, out)
    flops = 2 * dy.size * c * k * k
    label = f"{n}x{c}x{edge}x{edge} -> {o}, {k}x{k}"
    return [
        kernel_work("conv2d", label, flops, x, weight, random_array(o), padding=padding),
        kernel_work("conv2d_grad_weight", label, flops, x, dy, (k, k), padding=padding),
        kernel_work("conv2d_grad_input", label, flops, dy, weight, (edge, edge), padding=padding),
    ]


def other_kernel_works(batch_size: int | None = None) -> list[Work]:
    """Everything but convolutions, on shapes of LeNet-5 and the VGG net."""
    n, m = batch_size or 128, batch_size or 64
    image, volume = random_array(n, 6, 24, 24), random_array(m, 32, 32, 32)
    x, weight, dy = random_array(n, 256), random_array(120, 256), random_array(n, 120)
    flops = 2 * n * 256 * 120
    logits, labels = random_array(n, 10), np.arange(n) % 10
    image_label, volume_label = f"{n}x6x24x24", f"{m}x32x32x32"
    ones, zeros = np.ones(32, np.float32), np.zeros(32, np.float32)
    norm = (volume, ones, zeros, zeros.copy(), ones.copy(), True)
    return [
        kernel_work("max_pool2d", f"{image_label}, 2x2", 0, image, 2),
        kernel_work("max_pool2d", f"{volume_label}, 2x2", 0, volume, 2),
        kernel_work("avg_pool2d", f"{volume_label}, 2x2", 0, volume, 2),
        kernel_work("batch_norm2d", f"{volume_label}, training", 0, *norm),
        kernel_work("relu", volume_label, 0, volume),
        kernel_work("dense", f"{n}x256 -> 120", flops, x, weight, random_array(120)),
        kernel_work("dense_grad_weight", f"{n}x256 -> 120", flops, x, dy),
        kernel_work("dense_grad_input", f"{n}x256 -> 120", flops, dy, weight),
        kernel_work("softmax", f"{n}x10", 0, logits),
        kernel_work("cross_entropy", f"{n}x10", 0, logits, labels),
    ]


def kernel_works(batch_size: int | None = None) -> list[Work]:
    """All kernels; `batch_size` replaces the usual ones."""
    convolutions = [work for label in CONV_SHAPES for work in conv_works(label, batch_size)]
    return convolutions + other_kernel_works(batch_size)


@dataclass(frozen=True)
class StepWork:
    """A training step.

    Parameters
    ----------
    net : str
        A name of `nets.NETS`.
    title : str
        The network's name for readers.
    batch_size : int
    batches : int
        In the data that are stepped through, by all contenders alike.
    epochs : int
        That fastconv's `fit` makes of them in one call.
    """

    net: str
    title: str
    batch_size: int
    batches: int
    epochs: int

    def work(self, batches: int | None = None) -> Work:
        """This step as a piece of work; `batches` replaces the usual number, in one epoch."""
        net = NETS[self.net]
        count, epochs = (batches, 1) if batches else (self.batches, self.epochs)

        def make(who: str) -> Contender | None:
            if who not in _STEPS:
                return None
            X, y = net.batches(self.batch_size, count)
            return _STEPS[who](self.net, self.batch_size, epochs, X, y, LEARNING_RATE)

        def make_check(who: str) -> Contender | None:
            if who not in _STEPS:
                return None
            # One step so long that the gradient dominates the new parameters.
            return _STEPS[who](self.net, self.batch_size, 1, *net.batches(self.batch_size, 1), 1e3)

        name = f"{self.title}, training step, batch {self.batch_size}"
        checks = (Check("parameters after a step", make_check, difference=mean_difference),)
        return Work(name, net.step_flops() * self.batch_size, make, checks, "network")


STEPS = (
    StepWork("reference", "15-parameter network", 1, 2000, 20),
    StepWork("reference", "15-parameter network", 32, 500, 20),
    StepWork("lenet5", "LeNet-5", 128, 32, 2),
    StepWork("lenet5", "LeNet-5", 32, 64, 4),
    StepWork("lenet5", "LeNet-5", 1, 256, 4),
    StepWork("vgg_small", "VGG-style net", 64, 2, 2),
)


def _fastconv_steps(net: str, batch_size: int, epochs: int, X: Any, y: Any, lr: float) -> Contender:
    import fastconv as fc

    builders: dict[str, Callable[[], Any]] = {
        "reference": fc.models.reference_cnn,
        "lenet5": fc.models.lenet5,
        "vgg_small": fc.models.vgg_small,
    }
    model = builders[net]()
    model.load_state(NETS[net].initial_parameters())
    trainer = fc.Trainer(model, loss=NETS[net].loss, optimizer=fc.SGD(lr=lr))

    def call() -> None:
        trainer.fit(X, y, epochs=epochs, batch_size=batch_size, shuffle=False, progress=False)

    return Contender(call, epochs * (len(X) // batch_size), model.parameters)


def _im2col_steps(
    inside: bool, net: str, batch_size: int, epochs: int, X: Any, y: Any, lr: float
) -> Contender:
    from .im2col_nets import Network

    network = Network(net, NETS[net].initial_parameters(), samples_inside=inside)

    def call() -> None:
        for first in range(0, len(X), batch_size):
            network.step(X[first : first + batch_size], y[first : first + batch_size], lr)

    return Contender(call, len(X) // batch_size, network.parameters)


def _torch_steps(net: str, batch_size: int, epochs: int, X: Any, y: Any, lr: float) -> Contender:
    import torch

    from .torch_nets import Network

    network = Network(net, NETS[net].initial_parameters(), lr)
    images, labels = torch.from_numpy(X), torch.from_numpy(y)

    def call() -> None:
        for first in range(0, len(X), batch_size):
            network.step(images[first : first + batch_size], labels[first : first + batch_size])

    return Contender(call, len(X) // batch_size, network.parameters)


_STEPS: dict[str, Callable[..., Contender]] = {
    "fastconv": _fastconv_steps,
    "im2col": partial(_im2col_steps, False),
    "im2col_inside": partial(_im2col_steps, True),
    "torch": _torch_steps,
}


def lenet_step(scale: float) -> Contender:
    """A LeNet-5 training step of fastconv, its weights and inputs multiplied by `scale`."""
    import fastconv as fc

    net = NETS["lenet5"]
    X, y = net.batches(128, 8)
    model = fc.models.lenet5()
    model.load_state({name: array * np.float32(scale) for name, array in net.initial_parameters().items()})
    trainer = fc.Trainer(model, optimizer=fc.SGD(lr=LEARNING_RATE * scale))
    images = X * np.float32(scale)

    def call() -> None:
        trainer.fit(images, y, epochs=4, batch_size=128, shuffle=False, progress=False)

    return Contender(call, 32)


@dataclass(frozen=True)
class PredictWork:
    """Predictions of LeNet-5 for one batch."""

    batch_size: int

    def work(self) -> Work:
        """This as a piece of work."""
        net = NETS["lenet5"]
        X, _ = net.batches(self.batch_size, 1)
        parameters = net.initial_parameters()

        def make(who: str) -> Contender | None:
            if who not in _PREDICTIONS:
                return None
            return Contender(_PREDICTIONS[who](X, parameters))

        name = f"LeNet-5, predict, batch {self.batch_size}"
        return Work(name, sum(net.forward_flops()) * self.batch_size, make, kind="network")


def _fastconv_predictions(X: Any, parameters: Any) -> Callable[[], Any]:
    import fastconv as fc

    model = fc.models.lenet5()
    model.load_state(parameters)
    return lambda: model.predict(X)


def _torch_predictions(X: Any, parameters: Any) -> Callable[[], Any]:
    import torch

    from .torch_nets import Network

    model, images = Network("lenet5", parameters, 0.0).model.eval(), torch.from_numpy(X)

    def call() -> Any:
        with torch.inference_mode():
            return model(images)

    return call


def _onnx_predictions(X: Any, parameters: Any) -> Callable[[], Any]:
    import fastconv as fc

    from .onnx_nets import session

    runtime = session("lenet5", parameters, fc.get_num_threads())
    return lambda: runtime.run(None, {"x0": X})[0]


_PREDICTIONS: dict[str, Callable[[Any, Any], Callable[[], Any]]] = {
    "fastconv": _fastconv_predictions,
    "torch": _torch_predictions,
    "onnxruntime": _onnx_predictions,
}

PREDICTIONS = (PredictWork(256), PredictWork(1))


def predict_works() -> list[Work]:
    """All predictions."""
    return [prediction.work() for prediction in PREDICTIONS]


def lane_works() -> list[Work]:
    """The engine's convolutions on one block of samples; only fastconv has them."""

    def work(label: str, which: str) -> Work:
        made, flops = lane_kernels.contender(lane_kernels.SHAPES[label], which)
        return Work(f"lanes {which} {label}", flops, lambda who: made if who == "fastconv" else None)

    return [work(label, which) for label in lane_kernels.SHAPES for which in lane_kernels.KERNELS]


def step_works(batches: int | None = None) -> list[Work]:
    """All training steps; `batches` replaces the usual number of batches in the data."""
    return [step.work(batches) for step in STEPS]
