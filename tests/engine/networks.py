"""Networks that hold every layer in every position, data for them, and what the tests of engines share."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.block import Composite


def conv(channels, kernel_size, stride=1):
    """A convolution before a normalisation, which takes away what a bias adds."""
    return fc.Conv2d(channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)


# Name -> (layers, input shape). Together: every layer, in every position.
NETWORKS = {
    "conv stride padding": ([fc.Conv2d(3, 3, stride=2, padding=1), fc.Flatten(), fc.Dense(3)], (2, 7, 6)),
    "conv pairs": (
        [fc.Conv2d(5, (3, 2), stride=(1, 2), padding=(2, 0)), fc.ReLU(),
         fc.Conv2d(4, (2, 3), stride=(2, 1), padding=(0, 1)), fc.Flatten(), fc.Dense(2)],
        (2, 6, 8),
    ),
    "conv dilation": (
        [fc.Conv2d(6, 3, dilation=2), fc.Tanh(), fc.Conv2d(2, 2, dilation=(1, 2), padding=1), fc.Flatten(),
         fc.Dense(3)],
        (1, 8, 9),
    ),
    "conv stride past the edge": (
        [fc.Conv2d(3, 1), fc.Conv2d(4, 2, stride=3), fc.ReLU(), fc.Flatten(), fc.Dense(2)], (1, 7, 7)
    ),
    "conv groups depthwise": (
        [fc.Conv2d(4, 3, groups=2, padding=1), fc.LeakyReLU(0.2), fc.Conv2d(8, 3, groups=4, bias=False),
         fc.ReLU(), fc.Conv2d(10, 1), fc.GlobalAvgPool2d(), fc.Flatten()],
        (2, 6, 5),
    ),
    "conv same": (
        [fc.Conv2d(3, 4, padding="same"), fc.ReLU(), fc.Conv2d(2, (3, 2), padding="same", dilation=2),
         fc.Sigmoid(), fc.Conv2d(1, 3, padding="valid")],
        (1, 6, 7),
    ),
    "conv alone": ([fc.Conv2d(7, 3)], (3, 5, 6)),
    "max pool overlapping padded": (
        [fc.Conv2d(3, 2), fc.ReLU(), fc.MaxPool2d(3, stride=2, padding=1), fc.ReLU(), fc.Flatten(),
         fc.Dense(2)],
        (1, 8, 7),
    ),
    "max pool ceil dilated": (
        [fc.Conv2d(2, 2), fc.MaxPool2d(2, stride=3, ceil_mode=True), fc.Conv2d(3, 2, padding=1),
         fc.MaxPool2d((2, 3), stride=1, padding=(1, 1), dilation=(2, 1)), fc.LeakyReLU(), fc.Flatten()],
        (1, 9, 8),
    ),
    "max pool with a rest": (
        [fc.Conv2d(2, 2, padding=1), fc.Tanh(), fc.MaxPool2d(2, stride=3), fc.Flatten(), fc.Dense(3)],
        (1, 7, 6),
    ),
    "avg pool": (
        [fc.Conv2d(3, 2), fc.AvgPool2d(3, stride=2, padding=1), fc.Tanh(),
         fc.AvgPool2d(2, stride=1, padding=1, count_include_pad=False), fc.Sigmoid(),
         fc.AvgPool2d((2, 3), ceil_mode=True), fc.Flatten(), fc.Dense(2)],
        (2, 8, 7),
    ),
    "global avg pool": (
        [fc.Conv2d(5, 3, padding=1), fc.ReLU(), fc.GlobalAvgPool2d(), fc.Tanh(), fc.Flatten(), fc.Dense(3)],
        (2, 5, 4),
    ),
    "batch norm": (
        [fc.BatchNorm2d(), fc.Conv2d(4, 3, padding=1, bias=False), fc.BatchNorm2d(0.3, 1e-3), fc.ReLU(),
         fc.MaxPool2d(2), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(2)],
        (2, 6, 6),
    ),
    "batch norm last": ([fc.Conv2d(3, 2), fc.Tanh(), fc.BatchNorm2d()], (1, 4, 5)),
    "dropout of nothing": (
        [fc.Conv2d(3, 3), fc.ReLU(), fc.Dropout(0.0), fc.Flatten(), fc.Dropout(0), fc.Dense(4), fc.Sigmoid(),
         fc.Dropout(0.0), fc.Dense(2)],
        (1, 6, 6),
    ),
    "activations after conv": (
        [fc.Conv2d(2, 2), fc.Sigmoid(), fc.Conv2d(3, 2), fc.Tanh(), fc.Conv2d(2, 2), fc.LeakyReLU(0.3),
         fc.Flatten(), fc.Dense(2)],
        (1, 6, 5),
    ),
    "activations after dense": (
        [fc.Dense(5), fc.Sigmoid(), fc.Dense(17), fc.Tanh(), fc.Dense(6), fc.LeakyReLU(), fc.Dense(18),
         fc.ReLU(), fc.Dense(3), fc.Softmax()],
        (4,),
    ),
    "activations after flatten": (
        [fc.Conv2d(2, 2, padding=1), fc.Flatten(), fc.Sigmoid(), fc.Dense(4), fc.Tanh()], (1, 3, 4)
    ),
    "two activations in a row": (
        [fc.Conv2d(3, 2), fc.ReLU(), fc.Tanh(), fc.Conv2d(2, 2), fc.Tanh(), fc.ReLU(), fc.Flatten(),
         fc.ReLU(), fc.Dense(4), fc.Sigmoid(), fc.LeakyReLU(), fc.Dense(3), fc.ReLU(), fc.ReLU(),
         fc.Dense(2)],
        (1, 6, 6),
    ),
    "activations first": ([fc.Tanh(), fc.ReLU(), fc.Flatten(), fc.Dense(3, bias=False)], (2, 3, 3)),
    "activation before pool": (
        [fc.Conv2d(2, 3), fc.Sigmoid(), fc.MaxPool2d(2), fc.Conv2d(3, 2), fc.LeakyReLU(), fc.AvgPool2d(2),
         fc.Flatten()],
        (1, 8, 8),
    ),
    "softmax in the middle": ([fc.Dense(5), fc.Softmax(), fc.Dense(3), fc.Softmax(), fc.Tanh()], (3,)),
    "features only": ([fc.Dense(1)], (1,)),
    "a sigmoid last": ([fc.Flatten(), fc.Dense(3), fc.Sigmoid()], (1, 4, 3)),
    "a sigmoid image": (
        [fc.Conv2d(2, 3, padding=1), fc.ReLU(), fc.Conv2d(1, 3, padding=1), fc.Sigmoid()], (1, 4, 5)
    ),
    "a sigmoid before the end": ([fc.Conv2d(2, 2), fc.Sigmoid(), fc.Flatten()], (1, 3, 3)),
    "a softmax last": ([fc.Conv2d(2, 2), fc.ReLU(), fc.Flatten(), fc.Dense(4), fc.Softmax()], (1, 4, 4)),
    "conv pads of each side": (
        [fc.Conv2d(3, 3, padding=((0, 1), (2, 0))), fc.ReLU(), fc.MaxPool2d(3, 2, ((1, 0), (0, 1))),
         fc.Conv2d(2, (2, 3), padding=((1, 0), (1, 1))), fc.Tanh(),
         fc.AvgPool2d(2, 1, ((0, 1), (1, 0)), count_include_pad=False),
         fc.AvgPool2d(2, 2, ((1, 0), (0, 1))), fc.Flatten(), fc.Dense(2)],
        (2, 8, 7),
    ),
    "same with a stride": (
        [fc.Conv2d(4, 3, stride=2, padding="same"), fc.ReLU(),
         fc.Conv2d(3, (2, 3), stride=(1, 2), padding="same_lower"), fc.Tanh(),
         fc.MaxPool2d(3, 2, "same"), fc.AvgPool2d(2, 1, "same_lower"), fc.Flatten(), fc.Dense(3)],
        (1, 11, 14),
    ),
    "adaptive pool": (
        [fc.Conv2d(3, 2), fc.ReLU(), fc.AdaptiveAvgPool2d((4, 9)), fc.Conv2d(4, 2, padding=1), fc.Tanh(),
         fc.AdaptiveAvgPool2d((3, None)), fc.LeakyReLU(), fc.AdaptiveAvgPool2d(2), fc.Flatten(), fc.Dense(2)],
        (2, 7, 8),
    ),
    "global max pool": (
        [fc.Conv2d(5, 3, padding=1), fc.ReLU(), fc.GlobalMaxPool2d(), fc.ReLU(), fc.Flatten(), fc.Dense(3)],
        (2, 5, 4),
    ),
    "layer norm": (
        [fc.LayerNorm(), fc.Conv2d(4, 3, padding=1), fc.LayerNorm(eps=1e-3), fc.ReLU(), fc.Conv2d(2, 3),
         fc.Flatten(), fc.LayerNorm(), fc.Dense(5), fc.Tanh(), fc.LayerNorm(), fc.Dense(2)],
        (2, 6, 5),
    ),
    "instance norm": (
        [fc.InstanceNorm2d(), fc.Conv2d(4, 3, padding=1, bias=False),
         fc.InstanceNorm2d(eps=1e-3, affine=True), fc.Tanh(), fc.Conv2d(3, 2, bias=False),
         fc.InstanceNorm2d(), fc.ReLU(), fc.Conv2d(2, 2, padding=1, bias=False),
         fc.InstanceNorm2d(affine=True), fc.AvgPool2d(2), fc.Flatten()],
        (2, 6, 5),
    ),
    "prelu": (
        [fc.PReLU(), fc.Conv2d(5, 3, padding=1), fc.PReLU(True, init=0.1), fc.PReLU(), fc.Conv2d(3, 2),
         fc.BatchNorm2d(), fc.PReLU(True), fc.Flatten(), fc.PReLU(init=-0.5), fc.PReLU(True), fc.Dense(4),
         fc.PReLU(True), fc.Dense(2)],
        (2, 6, 5),
    ),
    "spatial dropout of nothing": (
        [fc.Conv2d(3, 3), fc.ReLU(), fc.SpatialDropout2d(0.0), fc.Conv2d(2, 2), fc.SpatialDropout2d(0),
         fc.Tanh(), fc.Flatten(), fc.Dense(2)],
        (1, 6, 6),
    ),
    "bent activations": (
        [fc.Conv2d(3, 2), fc.ReLU6(), fc.Conv2d(4, 2), fc.Hardswish(), fc.Conv2d(3, 2, padding=1),
         fc.Hardsigmoid(), fc.Flatten(), fc.Dense(6), fc.Hardswish(), fc.Dense(5), fc.ReLU6(), fc.Dense(2)],
        (1, 6, 5),
    ),
    "smooth activations": (
        [fc.Conv2d(3, 2), fc.ELU(0.7), fc.Conv2d(4, 2, padding=1), fc.SiLU(), fc.GELU(), fc.AvgPool2d(2),
         fc.Softplus(), fc.Flatten(), fc.Dense(6), fc.GELU("tanh"), fc.Dense(5), fc.ELU(), fc.Dense(3),
         fc.SiLU()],
        (1, 6, 5),
    ),
    "features of a flattened image": (
        [fc.Conv2d(3, 2), fc.Flatten(), fc.BatchNorm1d(), fc.Tanh(), fc.Residual([fc.Dense(36)]),
         fc.Softplus(), fc.Dense(2)],
        (1, 4, 5),
    ),
    "signal": (
        [fc.Conv1d(4, 3, padding="causal", dilation=2, bias=False), fc.BatchNorm1d(), fc.ReLU(),
         fc.MaxPool1d(3, 2, 1), fc.Conv1d(6, 4, stride=2, padding=(1, 2), groups=2, bias=False),
         fc.GroupNorm(3), fc.Tanh(), fc.AvgPool1d(2, ceil_mode=True),
         fc.Conv1d(5, 3, padding="same", bias=False), fc.GlobalAvgPool1d(), fc.Flatten(),
         fc.Dense(4, bias=False), fc.BatchNorm1d(0.3, 1e-3), fc.ReLU(), fc.Dense(2)],
        (2, 21),
    ),
    "signal windows": (
        [fc.Conv1d(3, 9, padding=6), fc.PReLU(True), fc.MaxPool1d(2, stride=3, dilation=2, ceil_mode=True),
         fc.Conv1d(4, 2, stride=2, padding="same_lower"), fc.ReLU(),
         fc.AvgPool1d(3, 1, (1, 0), count_include_pad=False), fc.MaxPool1d(2, 1, (0, 1)), fc.Flatten()],
        (2, 8),
    ),
    "signal channels": (
        [fc.InstanceNorm1d(), fc.Conv1d(4, 3), fc.InstanceNorm1d(affine=True), fc.SiLU(),
         fc.AdaptiveAvgPool1d(7), fc.LayerNorm(), fc.Conv1d(5, 2), fc.ELU(), fc.SpatialDropout1d(0.0),
         fc.GlobalMaxPool1d(), fc.Flatten(), fc.Dense(3)],
        (2, 12),
    ),
    "signal without weights before the end": ([fc.PReLU(), fc.GlobalMaxPool1d(), fc.Flatten()], (3, 9)),
    "batch norm and sums": (
        [conv(4, 3), fc.BatchNorm2d(), fc.ReLU(),
         fc.Residual([conv(4, 3), fc.BatchNorm2d(), fc.ReLU(), conv(4, 3), fc.BatchNorm2d()]), fc.ReLU(),
         fc.Residual([conv(6, 3, 2), fc.BatchNorm2d()], [conv(6, 1, 2), fc.BatchNorm2d()]), fc.ReLU(),
         fc.Residual([fc.BatchNorm2d(), fc.Conv2d(6, 3, padding=1)]), fc.Flatten(), fc.Dense(2)],
        (2, 7, 6),
    ),
    "batch norm before everything": (
        [conv(5, 3), fc.BatchNorm2d(), fc.ReLU6(), conv(4, 2), fc.BatchNorm2d(), fc.Dropout(0.0),
         conv(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Concatenate(conv(3, 1), []), fc.BatchNorm2d(),
         fc.ReLU(), fc.MaxPool2d(2), conv(3, 1), fc.BatchNorm2d(), fc.ReLU(), fc.AvgPool2d(2, stride=1),
         conv(4, 1), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dense(17, bias=False), fc.BatchNorm1d(),
         fc.ReLU(), fc.Dense(3)],
        (1, 8, 9),
    ),
    "residual": (
        [fc.Conv2d(4, 3, padding=1), fc.ReLU(),
         fc.Residual([fc.Conv2d(4, 3, padding=1), fc.BatchNorm2d(), fc.ReLU(), fc.Conv2d(4, 1)]), fc.ReLU(),
         fc.Residual([fc.Conv2d(5, 3, stride=2, padding=1), fc.PReLU()], fc.Conv2d(5, 1, stride=2)),
         fc.GlobalAvgPool2d(), fc.Flatten(), fc.Residual([fc.Dense(5), fc.Tanh()]), fc.Dense(2)],
        (2, 6, 5),
    ),
    "branches": (
        [fc.Concatenate([fc.Conv2d(3, 1), fc.ReLU()], fc.MaxPool2d(3, 1, 1), [fc.InstanceNorm2d()]),
         fc.Add(fc.Conv2d(4, 3), [fc.Conv2d(4, 1), fc.AvgPool2d(3, 1)], fc.Conv2d(4, 3)), fc.Tanh(),
         fc.Flatten(), fc.Concatenate(fc.Dense(3), [fc.Dense(2), fc.LayerNorm()], []), fc.Dense(3)],
        (2, 5, 5),
    ),
    "group norm": (
        [fc.GroupNorm(2), fc.Conv2d(6, 3, padding=1), fc.GroupNorm(3, eps=1e-3), fc.Tanh(), fc.AvgPool2d(2),
         fc.Flatten(), fc.Dense(4), fc.GroupNorm(1), fc.Sigmoid(), fc.Dense(2)],
        (2, 6, 5),
    ),
    "conv transpose": (
        [fc.Conv2d(3, 3, stride=2, padding=1), fc.ReLU(),
         fc.ConvTranspose2d(6, 3, stride=2, padding=1, output_padding=1), fc.ReLU(),
         fc.ConvTranspose2d(2, (2, 3), stride=(3, 1), padding=(0, 2), dilation=(1, 2), bias=False),
         fc.Sigmoid(), fc.ConvTranspose2d(1, 2, padding=1), fc.Flatten(), fc.Dense(2)],
        (2, 7, 6),
    ),
    "conv transpose groups": (
        [fc.ConvTranspose2d(6, (2, 3), stride=2, groups=2), fc.LeakyReLU(), fc.BatchNorm2d(),
         fc.ConvTranspose2d(9, 2, stride=(1, 3), dilation=2, output_padding=(1, 2), groups=3), fc.Tanh(),
         fc.AvgPool2d(2), fc.Flatten(), fc.Dense(3)],
        (4, 4, 3),
    ),
    "conv transpose alone": ([fc.ConvTranspose2d(7, 3, stride=2)], (3, 2, 4)),
    "conv transpose of signals": (
        [fc.ConvTranspose1d(5, 4, stride=2, padding=1), fc.ReLU(),
         fc.ConvTranspose1d(4, 3, stride=3, output_padding=2, dilation=2, groups=1, bias=False), fc.Tanh(),
         fc.Flatten(), fc.Dense(2)],
        (3, 7),
    ),
    "upsample": (
        [fc.Conv2d(3, 2), fc.ReLU(), fc.Upsample(2), fc.Conv2d(4, 3, padding=1), fc.Tanh(),
         fc.Upsample((1, 3), "bilinear"), fc.ReLU(), fc.Upsample((3, 2), "bilinear", align_corners=True),
         fc.Conv2d(2, 3, stride=2), fc.Flatten(), fc.Dense(2)],
        (1, 4, 3),
    ),
    "upsample first": ([fc.Upsample((2, 3)), fc.Conv2d(3, 2), fc.Tanh(), fc.Upsample(2)], (2, 3, 2)),
    "upsample last": ([fc.Conv2d(17, 2, padding=1), fc.Sigmoid(), fc.Upsample(2, "bilinear")], (2, 3, 4)),
    "upsample signals": (
        [fc.ConvTranspose1d(4, 3), fc.Upsample(3), fc.Tanh(), fc.ConvTranspose1d(3, 2),
         fc.Upsample(2, "linear"), fc.Flatten(), fc.Dense(3)],
        (2, 5),
    ),
    "depthwise": (
        [fc.DepthwiseConv2d(3, padding=1, depth_multiplier=2), fc.ReLU(), fc.Conv2d(3, 1),
         fc.DepthwiseConv2d((2, 3), stride=2, bias=False), fc.Tanh(), fc.Flatten(), fc.Dense(2)],
        (2, 6, 5),
    ),
    "separable": (
        [fc.SeparableConv2d(5, 3, stride=2, padding="same"), fc.ReLU(),
         fc.SeparableConv2d(4, (2, 3), padding=1, depth_multiplier=2, bias=False), fc.Tanh(), fc.Flatten(),
         fc.Dense(2)],
        (2, 6, 5),
    ),
    "separable signals": (
        [fc.DepthwiseConv1d(3, padding="causal", depth_multiplier=2), fc.ReLU(),
         fc.SeparableConv1d(3, 4, padding=(2, 1)), fc.Flatten(), fc.Dense(2)],
        (2, 9),
    ),
}  # fmt: skip
# Those of one layer after the other, so that each value is the output of one entry of the list.
ROWS = [
    name
    for name, (layers, _) in NETWORKS.items()
    if not any(isinstance(layer, Composite) for layer in layers)
]
PROBABILITIES = {"a sigmoid last", "a sigmoid image", "a sigmoid before the end", "a softmax last"}


def losses_of(name):
    """The losses that make sense for a network."""
    layers, input_shape = NETWORKS[name]
    shape = fc.Sequential(layers, input_shape).output_shape
    yield from ("mse", "bce_with_logits")
    if len(shape) == 1 and shape[0] > 1:
        yield "cross_entropy"
    if name in PROBABILITIES:
        yield "bce"


CASES = [(name, loss) for name in NETWORKS for loss in losses_of(name)]
each_case = pytest.mark.parametrize(("name", "loss"), CASES)


def build(name, dtype="float64", seed=3):
    layers, input_shape = NETWORKS[name]
    model = fc.Sequential(layers, input_shape, dtype=dtype, seed=seed)
    rng = np.random.default_rng(seed)
    for array in model.parameters().values():  # away from the ones and zeros of batch normalisation
        array += rng.uniform(-0.1, 0.1, array.shape)
    return model


def data_for(model, loss, count=21, seed=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, *model.input_shape))
    if loss == "cross_entropy":
        return X, rng.integers(0, model.output_shape[0], count)
    y = rng.random((count, *model.output_shape))
    return X, y if loss == "mse" else np.round(y)


def assert_first_weights_gradient_is_right(model, X, y):
    """Whether that of "0.weight" is what finite differences of the mean square error say."""
    _, gradients = model.loss_and_gradients(X, y, "mse")
    weight, step = model.parameters()["0.weight"], 1e-6
    for index in np.ndindex(weight.shape):
        value, ends = weight[index], []
        for sign in (1, -1):
            weight[index] = value + sign * step
            ends.append(model.loss_and_gradients(X, y, "mse")[0])
        weight[index] = value
        assert gradients["0.weight"][index] == pytest.approx(
            (ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8
        )


def images_and_labels(count, shape, classes, seed=0):
    """Noise on one pattern a class, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    X = rng.random((classes, *shape))[y] + 0.3 * rng.random((count, *shape))
    return X.astype(np.float32), y


def smooth_lenet5(dtype, seed):
    """LeNet-5 as first published, with tanh and average pooling: no kinks to fall on either side of."""
    layers = [
        fc.Conv2d(6, 5), fc.Tanh(), fc.AvgPool2d(2), fc.Conv2d(16, 5), fc.Tanh(), fc.AvgPool2d(2),
        fc.Flatten(), fc.Dense(120), fc.Tanh(), fc.Dense(84), fc.Tanh(), fc.Dense(10),
    ]  # fmt: skip
    return fc.Sequential(layers, (1, 28, 28), dtype=dtype, seed=seed)


# Losses


def loss_of(loss, value, target, dtype, last=()):
    """The loss of one number, which the network leaves alone."""
    model = fc.Sequential([fc.Flatten(), *last], (1,), dtype=dtype)
    return model.loss_and_gradients(np.array([[value]], dtype), np.array([[target]], dtype), loss)[0]


# The same bits

THREADED = [
    fc.Conv2d(6, 3, padding=1), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Dropout(0.3),
    fc.Conv2d(4, 3), fc.ReLU(), fc.Flatten(), fc.Dense(20), fc.ReLU(), fc.Dropout(0.5), fc.Dense(3),
]  # fmt: skip


def trained_bits(dtype="float32", count=301, batch_size=100, optimizer=fc.Adam(0.01), epochs=3):  # noqa: B008
    model = fc.Sequential(THREADED, (2, 9, 8), dtype=dtype)
    X, y = images_and_labels(count, (2, 9, 8), 3)
    trainer = fc.Trainer(model, optimizer=optimizer)
    history = trainer.fit(X, y, epochs=epochs, batch_size=batch_size, validation_split=0.2)
    loss, gradients = model.loss_and_gradients(X, y)
    return [
        *model.state().values(), model.predict(X), history["loss"], history["val_loss"], history["accuracy"],
        loss, *gradients.values(), list(trainer.evaluate(X, y).values()),
    ]  # fmt: skip


def assert_same_bits(results, expected):
    assert len(results) == len(expected)
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, other)
