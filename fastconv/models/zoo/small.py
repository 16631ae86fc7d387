"""The smallest networks: the one to check by hand, and the first ones for images."""

from ...nn.activations import ReLU, Sigmoid
from ...nn.conv import Conv2d
from ...nn.dense import Dense
from ...nn.layer import Layer, Shape
from ...nn.pool import MaxPool2d
from ...nn.shape import Flatten
from ..sequential import Sequential


def reference_cnn(dtype: str = "float32", seed: int = 0) -> Sequential:
    """The 15-parameter network: 6x6 grey images, 3x3 convolution, ReLU, 2x2 max-pool, one sigmoid output.

    The smallest network that has every part; train it with loss="bce".

    Parameters
    ----------
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
    >>> fc.models.reference_cnn().num_parameters
    15
    """
    layers: list[Layer] = [Conv2d(1, 3), ReLU(), MaxPool2d(2), Flatten(), Dense(1), Sigmoid()]
    return Sequential(layers, (1, 6, 6), dtype, seed)


def lenet5(
    num_classes: int = 10, input_shape: Shape = (1, 28, 28), dtype: str = "float32", seed: int = 0
) -> Sequential:
    """LeNet-5 with ReLU and max-pooling, for 28x28 images; its output is logits.

    Source: LeCun et al. (1998), with the changes that today's libraries make.

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

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.lenet5().num_parameters
    44426
    """
    layers: list[Layer] = [
        Conv2d(6, 5), ReLU(), MaxPool2d(2),
        Conv2d(16, 5), ReLU(), MaxPool2d(2),
        Flatten(), Dense(120), ReLU(), Dense(84), ReLU(), Dense(num_classes),
    ]  # fmt: skip
    return Sequential(layers, input_shape, dtype, seed)


def lenet_digits(
    num_classes: int = 10, input_shape: Shape = (1, 8, 8), dtype: str = "float32", seed: int = 0
) -> Sequential:
    """A LeNet for the 8x8 digits of scikit-learn; its output is logits.

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

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.lenet_digits().output_shape
    (10,)
    """
    layers: list[Layer] = [
        Conv2d(16, 3, padding=1), ReLU(),
        Conv2d(32, 3, padding=1), ReLU(), MaxPool2d(2),
        Flatten(), Dense(64), ReLU(), Dense(num_classes),
    ]  # fmt: skip
    return Sequential(layers, input_shape, dtype, seed)


def vgg_small(
    num_classes: int = 10, input_shape: Shape = (3, 32, 32), dtype: str = "float32", seed: int = 0
) -> Sequential:
    """Four 3x3 convolutions (32, 32, pool, 64, 64, pool) and two dense layers; its output is logits.

    Source: the pattern of Simonyan and Zisserman (2015), at the size of CIFAR images.

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

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.vgg_small().num_parameters
    591274
    """
    layers: list[Layer] = [
        Conv2d(32, 3, padding="same"), ReLU(), Conv2d(32, 3, padding="same"), ReLU(), MaxPool2d(2),
        Conv2d(64, 3, padding="same"), ReLU(), Conv2d(64, 3, padding="same"), ReLU(), MaxPool2d(2),
        Flatten(), Dense(128), ReLU(), Dense(num_classes),
    ]  # fmt: skip
    return Sequential(layers, input_shape, dtype, seed)
