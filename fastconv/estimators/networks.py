"""Which network an estimator trains: layers, or a network by its name, from a function, or as it is."""

import copy
import difflib
import math
from collections.abc import Callable
from typing import Any

from .. import models
from ..checks.settings import whole_number
from ..engine.inputs import check_layout, layout_hint
from ..models import building
from ..models.model import Model
from ..nn.activations import ReLU
from ..nn.conv import Conv2d
from ..nn.dense import Dense
from ..nn.layer import Layer, Shape
from ..nn.pool import MaxPool2d
from ..nn.shape import Flatten

Maker = Callable[..., Model]


def _by_name(*makers: Maker) -> dict[str, Maker]:
    return {maker.__name__: maker for maker in makers}


NETWORKS = _by_name(models.lenet5, models.lenet_digits, models.vgg_small)  # that `layers` may name
IMAGES = NETWORKS | _by_name(
    models.resnet8, models.ds_cnn, models.mobilenet_v1_025, models.mobilenet_v2,
)  # fmt: skip
SERIES = _by_name(
    models.time_cnn, models.fcn, models.resnet1d, models.inception_time, models.lite, models.mnist1d_cnn,
)  # fmt: skip


# Layers


def default_layers(input_shape: Shape, n_outputs: int) -> list[Layer]:
    """A small network that suits the input: a LeNet for images, two hidden layers for features.

    Images are halved by pooling until about 4 pixels of the shorter side are left: once for 8x8, twice for
    28x28, three times for 32x32.

    Examples
    --------
    >>> len(default_layers((1, 8, 8), 10)), len(default_layers((20,), 3))
    (9, 5)
    """
    layers: list[Layer] = []
    if len(input_shape) == 3:
        pools = max(0, int(math.log2(min(input_shape[1:]) / 4)))
        blocks = max(2, pools)
        for block in range(blocks):
            layers += [Conv2d(min(16 << block, 64), 3, padding=1), ReLU()]
            if block >= blocks - pools:
                layers.append(MaxPool2d(2))
        layers.append(Flatten())
    else:
        layers += [Dense(64), ReLU()]
    return [*layers, Dense(64), ReLU(), Dense(n_outputs)]


def layers_of(given: Any, shape: Shape, n_outputs: int) -> list[Layer]:
    """The layers that the parameter `layers` stands for.

    Raises
    ------
    ValueError, TypeError
        If it is no name of a network, and nothing that gives layers.
    """
    layers: Any = default_layers if given is None else given
    if isinstance(layers, str):
        if layers not in NETWORKS:
            raise ValueError(f"`layers` must be one of {', '.join(NETWORKS)}, got {layers!r}")
        return list(NETWORKS[layers](n_outputs, shape).layers)
    if _is_function(layers):
        layers = layers(shape, n_outputs)
    try:
        return list(layers)
    except TypeError:
        raise TypeError(
            "`layers` must be None, a name, a list of layers or a function "
            f"(input_shape, n_outputs) -> layers, got {given!r}"
        ) from None


def _is_function(given: Any) -> bool:
    """Whether a setting is a function; layers are called as well, on values."""
    return callable(given) and not isinstance(given, (type, Layer))


# Networks


def is_model(given: Any) -> bool:
    """Whether a setting can be the parameter `model`."""
    return isinstance(given, (str, Model)) or _is_function(given)


def as_name(model: Any) -> Any:
    """The parameter `model`; the name for a function of `fastconv.models`, which has other arguments."""
    known = IMAGES | SERIES
    return next((name for name, maker in known.items() if maker is model), model)


def network_of(model: Any, shape: Shape, n_outputs: int, dtype: str, seed: int) -> Model:
    """The network of an estimator's own that the parameter `model` stands for.

    Raises
    ------
    ValueError, TypeError
        If it is no name of a network, or a function that makes none, or the network takes other samples.
    """
    if isinstance(model, str):
        return _maker(model)(n_outputs, shape, dtype, seed)
    network = model if isinstance(model, Model) else model(shape, n_outputs)
    if not isinstance(network, Model):
        raise TypeError(f"`model` must be a function that returns a network, and it returned {network!r}")
    if network.input_shape != shape:
        raise ValueError(f"`model` must take samples of shape {shape}, got one for {network.input_shape}")
    return _drawn(network, dtype, seed)


def _maker(name: str) -> Maker:
    known = IMAGES | SERIES
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, len(known), 0.5)
    names = [*near, *(other for other in known if other not in near)]
    raise ValueError(f"`model` must be one of {', '.join(names)}, got {name!r}")


def _drawn(network: Model, dtype: str, seed: int) -> Model:
    """A copy of a network: parameters that are still its first ones are drawn anew, others are kept."""
    drawn = building.network_of(network.outline, dtype, seed)
    drawn.metadata = copy.deepcopy(network.metadata)
    if network.frozen:
        drawn.freeze(*network.frozen)
    first, state = building.network_of(network.outline, network.dtype, network.seed).state(), network.state()
    if any((state[name] != array).any() for name, array in first.items()):
        drawn.load_state(state)
    return drawn


# Samples


def sample_shape(model: Any, input_shape: Any, X_shape: Shape) -> Shape:
    """The shape that the network takes the samples of X in.

    Raises
    ------
    ValueError
        If the parameters `model` and `input_shape` do not fit X.
    """
    own, series = X_shape[1:], model is not None and not (isinstance(model, str) and model in IMAGES)
    if len(own) > 3:
        raise ValueError(f"X must have 2, 3 or 4 axes, (N, features) to (N, C, H, W), got {X_shape}")
    if input_shape is None and isinstance(model, Model):
        input_shape = model.input_shape
    if input_shape is None:
        check_layout(X_shape)
        shape = _in_full(own, series)
    else:
        shape = _given_shape(input_shape, series)
        if math.prod(own) != math.prod(shape) or (len(own) > 1 and not same_images(own, shape)):
            hint = layout_hint(X_shape, shape)
            raise ValueError(f"`input_shape` {shape} does not fit X, whose samples have shape {own}{hint}")
    if isinstance(model, str):
        _check_kind(model, shape)
    return shape


def _given_shape(input_shape: Any, series: bool) -> Shape:
    try:
        shape = tuple(whole_number(n, "input_shape") for n in input_shape)
    except TypeError:
        shape = ()
    if not series and len(shape) == 2:
        return (1, *shape)
    if len(shape) not in ((1, 2, 3) if series else (1, 3)):
        forms = "(channels, length), (C, H, W) or (features,)" if series else "(C, H, W) or (H, W)"
        raise ValueError(f"`input_shape` must be {forms}, got {input_shape!r}")
    return shape


def _in_full(own: Shape, series: bool) -> Shape:
    """What X has of a sample, with the channel that series and grey images may leave out."""
    return (1, *own) if len(own) == (1 if series else 2) else own


def _check_kind(name: str, shape: Shape) -> None:
    """Raise ValueError where a network of this name takes no samples of this kind."""
    if name in SERIES and len(shape) != 2:
        raise ValueError(f"`model` {name!r} takes series (channels, length), got samples of shape {shape}")
    if name in IMAGES and len(shape) != 3:
        hint = ": give `input_shape`, what each row becomes" if len(shape) == 1 else ""
        raise ValueError(f"`model` {name!r} takes images (C, H, W), got samples of shape {shape}{hint}")


def same_images(shape: Shape, input_shape: Shape) -> bool:
    """Whether samples of `shape` fit `input_shape`; grey images may leave out their channel."""
    return shape == input_shape or (1, *shape) == input_shape
