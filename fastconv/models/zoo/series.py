"""Networks for time series, as their authors published them.

A sample is (channels, length). Most of them average over time, so that their parameters do not depend on the
length.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.activations import ReLU, Sigmoid
from ...nn.dense import Dense
from ...nn.layer import Layer, Shape
from ...nn.merge import Concatenate, Residual
from ...nn.shape import Flatten
from ...nn.signal import AvgPool1d, BatchNorm1d, Conv1d, GlobalAvgPool1d, MaxPool1d
from ..sequential import Sequential

SHORT = 60  # below it, time_cnn pads: dl-4-tsc does so for series of 24


def time_cnn(num_classes: int, input_shape: Shape, dtype: str = "float32", seed: int = 0) -> Sequential:
    """Time-CNN: two convolutions with sigmoids and average pools; its output is logits.

    Source: Zhao et al. (2017), as in hfawaz/dl-4-tsc (`cnn.py`), which ends in a sigmoid and is trained by
    mean squared error. Series shorter than 60 are padded, as there.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (channels, length) of a series.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.time_cnn(2, (1, 150)).num_parameters
    902
    """
    shape = _series(input_shape)
    padding = "same" if shape[1] < SHORT else "valid"
    layers: list[Layer] = []
    for filters in (6, 12):
        layers += [Conv1d(filters, 7, padding=padding), Sigmoid(), AvgPool1d(3)]
    return Sequential([*layers, Flatten(), Dense(num_classes)], shape, dtype, seed)


def fcn(num_classes: int, input_shape: Shape, dtype: str = "float32", seed: int = 0) -> Sequential:
    """FCN: three convolutions over the whole series, and the mean over time; its output is logits.

    Source: Wang, Yan and Oates (2017), "Time series classification from scratch with deep neural networks",
    as in hfawaz/dl-4-tsc.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (channels, length) of a series.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.fcn(2, (1, 150)).num_parameters
    264962
    """
    layers = [*_conv(128, 8), *_conv(256, 5), *_conv(128, 3), *_head(num_classes)]
    return Sequential(layers, _series(input_shape), dtype, seed)


def resnet1d(num_classes: int, input_shape: Shape, dtype: str = "float32", seed: int = 0) -> Sequential:
    """ResNet for time series: three blocks of three convolutions; its output is logits.

    Source: Wang, Yan and Oates (2017), as in hfawaz/dl-4-tsc, where the shortcut of the last block, whose
    channels need no change, is a batch normalisation alone.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (channels, length) of a series.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.resnet1d(2, (1, 150)).num_parameters
    504258
    """
    layers: list[Layer] = []
    for block, filters in enumerate((64, 128, 128)):
        body = [*_conv(filters, 8), *_conv(filters, 5), *_conv(filters, 3)[:-1]]
        shortcut: list[Layer] = [BatchNorm1d()] if block == 2 else _conv(filters, 1)[:-1]
        layers += [Residual(body, shortcut), ReLU()]
    return Sequential([*layers, *_head(num_classes)], _series(input_shape), dtype, seed)


def inception_time(num_classes: int, input_shape: Shape, dtype: str = "float32", seed: int = 0) -> Sequential:
    """One network of InceptionTime: six modules that look at four lengths at once; its output is logits.

    Source: Ismail Fawaz et al. (2020), "InceptionTime: finding AlexNet for time series classification", who
    average the probabilities of five of them, trained from different seeds.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (channels, length) of a series.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.inception_time(2, (1, 150)).num_parameters
    420450
    """
    shape = _series(input_shape)
    layers: list[Layer] = []
    for half in range(2):
        body = [*_inception(bottleneck=half > 0 or shape[0] > 1), *_inception(), *_inception()]
        shortcut = [Conv1d(4 * 32, 1, bias=False), BatchNorm1d()]
        layers += [Residual(body, shortcut), ReLU()]
    return Sequential([*layers, *_head(num_classes)], shape, dtype, seed)


def lite(num_classes: int, input_shape: Shape, dtype: str = "float32", seed: int = 0) -> Sequential:
    """LITE: an inception module with hand-made filters, and two separable convolutions; its output is logits.

    Source: Ismail-Fawaz et al. (2023), "LITE: light inception with boosting techniques for time series
    classification", who average five of them; also aeon's `LITENetwork`. The hand-made filters are frozen.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (channels, length) of a series.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.lite(2, (1, 150)).num_parameters
    10318
    """
    shape, filters = _series(input_shape), _hand_made_filters()
    hand_made = Concatenate(*[[_same(1, len(weights))] for weights in filters])
    layers: list[Layer] = [Concatenate(*_three_lengths(), [hand_made, ReLU()]), BatchNorm1d(), ReLU()]
    channels = 3 * 32 + len(filters)
    for length, dilation in ((20, 2), (10, 4)):
        layers += [
            _same(channels, length, dilation=dilation, groups=channels),
            _same(32, 1),
            BatchNorm1d(),
            ReLU(),
        ]
        channels = 32
    network = Sequential([*layers, *_head(num_classes)], shape, dtype, seed)
    parameters = network.parameters()
    for number, weights in enumerate(filters):
        parameters[f"0.3.0.{number}.0.weight"][...] = weights
    network.freeze("0.3.0")
    return network


def mnist1d_cnn(
    num_classes: int = 10, input_shape: Shape = (1, 40), dtype: str = "float32", seed: int = 0
) -> Sequential:
    """The convolutional network of MNIST-1D, which reaches 94 % there; its output is logits.

    Source: Greydanus and Kobak (2024), "Scaling down deep learning with MNIST-1D": trained by Adam with a
    learning rate of 0.01 on batches of 100, in 6,000 to 8,000 steps.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (channels, length) of a series.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.mnist1d_cnn().num_parameters
    5210
    """
    layers: list[Layer] = []
    for kernel_size in (5, 3, 3):
        layers += [Conv1d(25, kernel_size, stride=2, padding=1), ReLU()]
    return Sequential([*layers, Flatten(), Dense(num_classes)], _series(input_shape), dtype, seed)


# Parts


def _conv(filters: int, kernel_size: int) -> list[Layer]:
    return [Conv1d(filters, kernel_size, padding="same"), BatchNorm1d(), ReLU()]


def _same(filters: int, kernel_size: int, **settings: int) -> Conv1d:
    """A convolution without bias that keeps the length."""
    return Conv1d(filters, kernel_size, padding="same", bias=False, **settings)


def _head(num_classes: int) -> list[Layer]:
    return [GlobalAvgPool1d(), Flatten(), Dense(num_classes)]


def _three_lengths() -> list[list[Layer]]:
    """The convolutions of an inception module, each a branch."""
    return [[_same(32, length)] for length in (40, 20, 10)]


def _inception(bottleneck: bool = True) -> list[Layer]:
    """An inception module: convolutions of three lengths, which a bottleneck may go before, and a pool."""
    lengths = Concatenate(*_three_lengths())
    first: list[Layer] = [_same(32, 1)] if bottleneck else []
    pool = [MaxPool1d(3, stride=1, padding="same"), _same(32, 1)]
    return [Concatenate([*first, lengths], pool), BatchNorm1d(), ReLU()]


def _hand_made_filters() -> list[NDArray[Any]]:
    """LITE's filters that are not learned: they see increases, decreases and peaks of six lengths."""
    increases = [np.where(np.arange(n) % 2, 1.0, -1.0) for n in (2, 4, 8, 16, 32, 64)]
    peaks = []
    for n in (4, 8, 16, 32, 64):
        up = np.linspace(0, 1, n // 4 + 1)[1:] ** 2
        hill = np.concatenate([up, up[::-1]])
        peaks.append(np.concatenate([-hill, 2 * hill, -hill]))
    return [*increases, *(-weights for weights in increases), *peaks]


def _series(input_shape: Any) -> Shape:
    """The shape, if it is that of a series.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 2:
        raise ValueError(f"`input_shape` of a series must be (channels, length), got {input_shape!r}")
    return tuple(input_shape)
