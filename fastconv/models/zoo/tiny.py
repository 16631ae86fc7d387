"""The four networks of MLPerf Tiny, the benchmark of inference on the smallest devices."""

from ...nn.activations import ReLU
from ...nn.conv import Conv2d
from ...nn.dense import Dense
from ...nn.dropout import Dropout
from ...nn.layer import Layer, Shape
from ...nn.merge import Residual
from ...nn.norm import BatchNorm2d
from ...nn.pool import AvgPool2d, GlobalAvgPool2d
from ...nn.shape import Flatten
from ...nn.signal import BatchNorm1d
from ..sequential import Sequential


def resnet8(
    num_classes: int = 10, input_shape: Shape = (3, 32, 32), dtype: str = "float32", seed: int = 0
) -> Sequential:
    """ResNet-8, MLPerf Tiny's network for images (CIFAR-10, 85 % to be reached); its output is logits.

    Source: He et al. (2016) at the size of mlcommons/tiny, benchmark/training/image_classification.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (C, H, W) of an image.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Notes
    -----
    Layers, sizes and paddings are the source's, so that its weights fit. Batch normalisation has PyTorch's
    momentum and eps (0.1 and 1e-5), where Keras has 0.01 and 1e-3; parameters begin as everywhere here.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.resnet8().num_parameters
    78186
    """
    layers = _conv(16)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        body = [*_conv(channels, stride=stride), *_conv(channels)[:-1]]
        # The shortcut has no batch normalisation of its own.
        shortcut = [Conv2d(channels, 1, stride=stride, padding="same")] if stride > 1 else []
        layers += [Residual(body, shortcut), ReLU()]
    layers += [GlobalAvgPool2d(), Flatten(), Dense(num_classes)]
    return Sequential(layers, input_shape, dtype, seed)


def ds_cnn(
    num_classes: int = 12, input_shape: Shape = (1, 49, 10), dtype: str = "float32", seed: int = 0
) -> Sequential:
    """DS-CNN, MLPerf Tiny's network for spoken words (Speech Commands, 90 %); its output is logits.

    Source: Zhang et al. (2017), "Hello edge", as in mlcommons/tiny, benchmark/training/keyword_spotting: an
    image of 49 frames with 10 mel-frequency cepstral coefficients each.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (C, H, W): H frames of W coefficients.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Notes
    -----
    The last pool averages windows of half the input, rounded down, as the source does: of 25 frames it takes
    24. See also the notes of `resnet8`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.ds_cnn().num_parameters
    23756
    """
    layers = [*_conv(64, (10, 4), stride=2), Dropout(0.2)]
    for _ in range(4):
        layers += _separable(64, 64)
    window = tuple(max(1, n // 2) for n in input_shape[1:])
    layers += [Dropout(0.4), AvgPool2d(window), Flatten(), Dense(num_classes)]
    return Sequential(layers, input_shape, dtype, seed)


def mobilenet_v1_025(
    num_classes: int = 2, input_shape: Shape = (3, 96, 96), dtype: str = "float32", seed: int = 0
) -> Sequential:
    """MobileNet with a quarter of the channels, MLPerf Tiny's network for persons in pictures (80 %).

    Its output is logits. Source: Howard et al. (2017), as in mlcommons/tiny,
    benchmark/training/visual_wake_words: with ReLU, not ReLU6.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (C, H, W) of an image.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Notes
    -----
    See those of `resnet8`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.mobilenet_v1_025().num_parameters
    216322
    """
    layers = _conv(8, stride=2)
    channels = 8
    for out_channels, stride in (
        (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2),
        (128, 1), (128, 1), (128, 1), (128, 1), (128, 1), (256, 2), (256, 1),
    ):  # fmt: skip
        layers += _separable(channels, out_channels, stride)
        channels = out_channels
    layers += [GlobalAvgPool2d(), Flatten(), Dense(num_classes)]
    return Sequential(layers, input_shape, dtype, seed)


def autoencoder(input_shape: Shape = (640,), dtype: str = "float32", seed: int = 0) -> Sequential:
    """MLPerf Tiny's network for strange sounds of machines (ToyADMOS, AUC 0.85): it learns to give its input.

    What it gives back badly is strange. Source: mlcommons/tiny, benchmark/training/anomaly_detection, where
    it is trained by mean squared error: `Trainer(model, "mse").fit(X, X)`.

    Parameters
    ----------
    input_shape : tuple
        (features,) of a sample, and of the output: 5 frames of 128 mel bands each.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If `input_shape` is not that of features.

    Notes
    -----
    See those of `resnet8`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.autoencoder().num_parameters
    267928
    """
    if len(input_shape) != 1:
        raise ValueError(f"`input_shape` of an autoencoder must be (features,), got {input_shape!r}")
    layers: list[Layer] = []
    for features in (*[128] * 4, 8, *[128] * 4):
        layers += [Dense(features), BatchNorm1d(), ReLU()]
    return Sequential([*layers, Dense(input_shape[0])], input_shape, dtype, seed)


def _conv(channels: int, kernel_size: int | tuple[int, int] = 3, stride: int = 1) -> list[Layer]:
    """A convolution as all of these have it, ending in ReLU."""
    return [Conv2d(channels, kernel_size, stride=stride, padding="same"), BatchNorm2d(), ReLU()]


def _separable(channels: int, out_channels: int, stride: int = 1) -> list[Layer]:
    """A convolution of each of so many channels by itself, and one of 1x1 that mixes them."""
    depthwise = Conv2d(channels, 3, stride=stride, padding="same", groups=channels)
    return [depthwise, BatchNorm2d(), ReLU(), *_conv(out_channels, 1)]
