"""Pictures of a network: its filters, and the numbers that run through it forward and backward."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks.settings import whole_number
from ..engine.inputs import check_samples
from ..inspection.layer_by_layer import activations, backward
from ..inspection.samples import each
from ..models.model import Model
from ..nn.conv import Conv2d
from ..nn.layer import Shape
from ..nn.signal import Conv1d
from .panels import Array, literal, panels

SIGNED = "RdBu_r"
BETWEEN = "0.8"  # a grey, not to be taken for a zero
MOST_WRITTEN = 40  # numbers are written into their cells up to so many cells


def filters(model: Model, layer: int | str | None = None, *, count: int = 64, ax: Any = None) -> Any:
    """The weights of a convolution: one plane, of signals one line, for each filter and input channel.

    Parameters
    ----------
    model : Model
    layer : int or str, optional
        Name of a Conv2d or a Conv1d, "1.0" for the first part of block 1; default is the first.
    count : int
        At most so many filters are drawn, and of each at most 32 input channels.
    ax : Axes, optional

    Returns
    -------
    Axes
        With one image: the filters row by row, each with its input channels side by side, and NaN between
        them. The scale is symmetric around zero; up to 40 weights are written out.

    Raises
    ------
    ValueError
        If there is no such convolution.

    Examples
    --------
    >>> import fastconv as fc
    >>> ax = fc.plots.filters(fc.models.reference_cnn())
    >>> ax.images[0].get_array().shape
    (3, 3)
    """
    convolutions = list(dict.fromkeys(n.name for n in model.nodes if isinstance(n.layer, (Conv2d, Conv1d))))
    if not convolutions:
        raise ValueError("`model` must have a Conv2d layer, or a Conv1d, it has none")
    layer = convolutions[0] if layer is None else layer
    if str(layer) not in convolutions:
        names = ", ".join(convolutions)
        raise ValueError(f"`layer` must be the number of a Conv2d, one of {names}, got {layer!r}")
    weight = model.parameters()[f"{layer}.weight"]
    size = " x ".join(map(str, weight.shape[2:]))
    weight = weight[:, :, None] if weight.ndim == 3 else weight
    shown = weight[: whole_number(count, "count"), :32]
    strips = np.stack([_mosaic(planes, len(planes), 1) for planes in shown])
    gap = 1 if shown.shape[1] == 1 else 2
    (panel,) = panels(ax, 1, 1, (5.2, 4.2))
    image = _signed_image(panel, _mosaic(strips, _columns(strips, 1.4, gap), gap))
    panel.figure.colorbar(image, ax=panel, shrink=0.8, pad=0.03)
    number, channels = weight.shape[:2]
    first = f", the first {len(shown)}" if len(shown) < number else ""
    side = f"\n{channels} input channels side by side" if channels > 1 else ""
    side += f", the first {shown.shape[1]}" if shown.shape[1] < channels else ""
    plural = "s" if number > 1 else ""
    panel.set_title(
        f"Layer {literal(layer)}: {number} filter{plural} of {size}{first}{side}", fontsize="medium"
    )
    return panel


def _columns(planes: Array, aspect: float, gap: int) -> int:
    """How many planes in a row fill a panel of width / height = `aspect` well, with few places left empty."""
    count, height, width = planes.shape
    columns = np.arange(count, 0, -1)
    rows = -(-count // columns)
    size = np.minimum(aspect / (columns * (width + gap)), 1 / (rows * (height + gap)))
    full = size >= 0.85 * size.max()
    return int(columns[full][np.argmin((rows * columns)[full])])


def _mosaic(planes: Array, columns: int, gap: int) -> Array:
    """Planes (n, H, W) in one, row by row, with NaN between them."""
    count, height, width = planes.shape
    rows = -(-count // columns)
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for k, plane in enumerate(planes):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        whole[top : top + height, left : left + width] = plane
    return whole


def _largest(values: Array) -> float:
    """The largest finite magnitude, or 1 where all is zero."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0


def _written(value: float, largest: float) -> str:
    """A number with as many decimals as give the largest of its picture two digits."""
    decimals = max(0, 1 - math.floor(math.log10(largest)))
    if value == 0 or decimals > 4:
        return f"{value:.1g}"
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}"  # + 0.0 makes -0.0 a plain zero


def _signed_image(ax: Any, values: Array) -> Any:
    """An image with zero in the neutral colour; few numbers are also written."""
    limit = _largest(values)
    image = ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    image.set_cmap(image.get_cmap().with_extremes(bad=BETWEEN))
    ax.set_axis_off()
    if values.size <= MOST_WRITTEN:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "white" if abs(value) > 0.6 * limit else "black"
                size = "small" if values.size <= 16 else "x-small"
                style = {"ha": "center", "va": "center", "fontsize": size, "color": color}
                ax.text(j, i, _written(value, limit), **style)
    return image


def feature_maps(model: Model, x: Any, *, layers: Sequence[int] | None = None, ax: Any = None) -> Array:
    """What each layer makes of one image, from the input to the output.

    Parameters
    ----------
    model : Model
    x : ndarray, shape input_shape, or (1, *input_shape)
        One sample; of several inputs, a list of them, or a dict by the inputs' names.
    layers : list of int, optional
        Only these entries of `inspection.activations`: the inputs, then the layers' outputs; of one input, 0
        is the input, k the output of layer k - 1.
    ax : array of Axes, optional
        One for each panel.

    Returns
    -------
    ndarray of Axes
        One for each array: images as planes, at most 64, signals with a line for each channel, features as
        bars.

    Raises
    ------
    ValueError
        If `x` is not one sample, or there are too few Axes.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> axes = fc.plots.feature_maps(fc.models.reference_cnn(), np.ones((6, 6)))
    >>> [ax.get_title().split(":")[0] for ax in axes[:3]]
    ['input', '0 Conv2d', '1 ReLU']
    """
    sample = each(x, model.input_names, model.input_shapes, _one_sample)
    return _layer_panels(model, activations(model, sample), layers, ax)


def gradient_maps(
    model: Model,
    x: Any,
    y: Any,
    loss: Any = "cross_entropy",
    *,
    loss_weights: Any = None,
    layers: Sequence[int] | None = None,
    ax: Any = None,
) -> Array:
    """The gradient of the loss of one image that reaches each layer's output, and the image itself.

    Parameters
    ----------
    model, x, layers, ax
        As in `feature_maps`.
    y : int or number
        The label or target; of several outputs, a list or a dict of them.
    loss : str or Loss
        As in `inspection.backward`.
    loss_weights : list or dict of floats, optional
        Of several outputs, as in `inspection.backward`.

    Returns
    -------
    ndarray of Axes

    Raises
    ------
    TypeError, ValueError
        If `x`, `y` or `loss` does not fit the network.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> axes = fc.plots.gradient_maps(fc.models.reference_cnn(), np.ones((6, 6)), 1, loss="bce")
    >>> len(axes)
    7
    """
    sample = each(x, model.input_names, model.input_shapes, _one_sample)
    target = each(y, model.output_names, model.output_shapes, _one_target)
    slopes = backward(model, sample, target, loss, loss_weights=loss_weights)[1]
    return _layer_panels(model, slopes, layers, ax)


def _one_target(y: Any, output_shape: Shape) -> Array:
    return np.asarray(y) if np.ndim(y) == len(output_shape) + 1 else np.asarray(y)[None]


def _one_sample(x: "ArrayLike", input_shape: Shape) -> Array:
    x = np.asarray(x)
    single = x.shape in (input_shape, input_shape[1:])
    sample = check_samples(x[None] if single else x, input_shape, "x")
    if len(sample) != 1:
        raise ValueError(f"`x` must be one sample, got {len(sample)}")
    return sample


def _layer_panels(model: Model, arrays: list[Array], layers: Sequence[int] | None, ax: Any) -> Array:
    kinds = (f"{node.name} {node.layer.call().partition('(')[0]}" for node in model.nodes)
    names = [literal(name) for name in (*model.input_names, *kinds)]
    chosen = list(range(len(arrays))) if layers is None else list(layers)
    if not chosen or not all(k in range(len(arrays)) for k in chosen):
        raise ValueError(f"`layers` must be numbers from 0 to {len(arrays) - 1}, got {layers!r}")
    axes = panels(ax, len(chosen), 4, (2.3, 2.4))
    for panel, k in zip(axes, chosen, strict=True):
        values = arrays[k][0]
        shape = " x ".join(map(str, values.shape))
        ends = dict.fromkeys((f"{values.min():.2g}", f"{values.max():.2g}"))
        panel.set_title(f"{names[k]}: {shape}\n{' to '.join(ends)}", fontsize="small")
        if values.ndim == 3:
            planes, gap = values[:64], int(values[0].size > 1)
            _signed_image(panel, _mosaic(planes, _columns(planes, 1.0, gap), gap))
        elif values.ndim == 2:
            _signed_image(panel, values[:64])
            panel.set_aspect("auto")
        else:
            _bars(panel, values)
    return axes


def _bars(ax: Any, values: Array) -> None:
    few, count = len(values) <= 4, len(values)
    bars = ax.bar(range(count), values, 0.8 if count <= 20 else 1.0, color=np.where(values < 0, "C0", "C3"))
    ax.axhline(0, color="0.5", linewidth=0.6)
    if few:
        largest = _largest(values)
        ax.bar_label(bars, [_written(value, largest) for value in values], fontsize="x-small", padding=1)
        ax.set_xlim(count / 2 - 2.5, count / 2 + 1.5)
        ax.margins(y=0.15)
    if count <= 10:
        ax.set_xticks(range(count))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.tick_params(labelsize="x-small")
    ax.spines[["top", "right"]].set_visible(False)
