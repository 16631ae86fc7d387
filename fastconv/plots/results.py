"""Pictures of how well a network does: learning curves, confusions and the worst mistakes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks.extras import require
from ..checks.settings import whole_number
from ..engine.inputs import samples_as_given
from ..inspection.classification import class_labels, class_probabilities, worst
from ..models.model import Model
from ..training import metrics
from .panels import Array, literal, panels

LOW_IS_GOOD = ("loss", "mse", "mae")


def history(
    history: Mapping[str, Sequence[float]], *, ax: Any = None, names: str | Sequence[str] | None = None
) -> Any:
    """Curves of the loss and of the metrics over the epochs, training and validation together.

    Parameters
    ----------
    history : dict
        What `Trainer.fit` returned.
    ax : Axes or array of Axes, optional
        One for each panel. With a single one and no `names`, the loss is drawn.
    names : str or list of str, optional
        Figures to draw, a panel each, with their "val_" partners; default is the loss and all metrics.

    Returns
    -------
    Axes or ndarray of Axes
        A single one where `ax` is one or `names` is a string.

    Raises
    ------
    ValueError
        If a name is not in the history.

    Examples
    --------
    >>> import fastconv as fc
    >>> ax = fc.plots.history({"loss": [2.3, 0.4], "val_loss": [0.9, 0.5]}, names="loss")
    >>> [line.get_ydata().tolist() for line in ax.lines[:2]]
    [[2.3, 0.4], [0.9, 0.5]]
    """
    single = isinstance(names, str) or (ax is not None and np.ndim(ax) == 0)
    if names is None:
        curves = curve_names(history)
        names = curves[:1] if single else curves
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in history:
            raise ValueError(f"`names` must be among {', '.join(history)}, got {name!r}")
    axes = panels(ax, len(names), 3, (4.2, 3.2))
    for panel, name in zip(axes, names, strict=True):
        _curves(panel, name, history[name], history.get(f"val_{name}"))
    return axes[0] if single else axes


def curve_names(history: Mapping[str, Sequence[float]]) -> list[str]:
    """The figures of a history that are drawn: the loss and the metrics."""
    return [n for n in history if not n.startswith("val_") and n not in ("learning_rate", "seconds")]


def _curves(ax: Any, name: str, values: Sequence[float], held_out: Sequence[float] | None) -> None:
    """A figure of training, and of validation with its best epoch marked."""
    marker = "o" if len(values) <= 30 else None
    ax.plot(range(1, len(values) + 1), values, color="C0", marker=marker, markersize=3, label="training")
    if held_out:
        epochs = range(1, len(held_out) + 1)
        ax.plot(epochs, held_out, color="C1", marker=marker, markersize=3, label="validation")
        best = int(np.argmin(held_out) if name in LOW_IS_GOOD else np.argmax(held_out))
        label = f"best {held_out[best]:.4g}, epoch {best + 1}"
        ax.plot([best + 1], [held_out[best]], "o", color="C1", markersize=8, fillstyle="none", label=label)
        ax.legend(fontsize="small", frameon=False)
    ax.set_title(literal(name.replace("_", " ")))
    ax.set_xlabel("epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)
    if len(values) == 1:
        ax.set_xlim(0.5, 1.5)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def confusion_matrix(
    y_true: "ArrayLike",
    y_pred: "ArrayLike",
    *,
    classes: Sequence[Any] | None = None,
    normalize: bool = False,
    ax: Any = None,
) -> Any:
    """How often each class was taken for each other one.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (N,)
        True and predicted class numbers from 0, or labels of any kind.
    classes : list, optional
        The classes' names, in the order of their numbers; where `y_true` holds labels, those labels.
    normalize : bool
        Whether each row is divided by its sum: shares of the true class.
    ax : Axes, optional

    Returns
    -------
    Axes
        With one image: row i, column j is class i predicted as class j. Colours grow with the square root,
        so that rare mistakes are seen.

    Raises
    ------
    ValueError
        If lengths differ or there is an unknown class.

    Examples
    --------
    >>> import fastconv as fc
    >>> ax = fc.plots.confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1], classes=["cat", "dog"])
    >>> ax.images[0].get_array().tolist()
    [[1.0, 1.0], [0.0, 2.0]]
    """
    counts, names = _counted(np.asarray(y_true), np.asarray(y_pred), classes)
    (panel,) = panels(ax, 1, 1, (5.0, 4.6))
    colors = require("matplotlib.colors", "plot", "fastconv.plots")
    shown = counts.astype(float)
    if normalize:
        shown /= np.maximum(shown.sum(axis=1, keepdims=True), 1)
    norm = colors.PowerNorm(0.5, vmin=0, vmax=max(shown.max(initial=0.0), 1e-9))
    panel.imshow(shown, cmap="Blues", norm=norm)
    if len(names) <= 20:
        size = "small" if len(names) <= 12 else "xx-small"
        for (i, j), value in np.ndenumerate(shown):
            color = "white" if norm(value) > 0.6 else "black" if counts[i, j] else "0.7"
            text = f"{value:.2f}".lstrip("0") if normalize and 0 < value < 1 else f"{value:.0f}"
            panel.text(j, i, text, ha="center", va="center", fontsize=size, color=color)
    step = -(-len(names) // 20)
    places, labels = range(0, len(names), step), [_short(str(name)) for name in names[::step]]
    turned = max(map(len, labels), default=0) > 3
    panel.set_xticks(places, labels, fontsize="small", rotation=90 if turned else 0)
    panel.set_yticks(places, labels, fontsize="small")
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.set_xlabel("predicted")
    panel.set_ylabel("true")
    return panel


def _short(name: str) -> str:
    return literal(name if len(name) <= 16 else f"{name[:15]}…")


def _counted(truth: Array, predicted: Array, classes: Sequence[Any] | None) -> tuple[Array, list[Any]]:
    """The confusion matrix, and the names of its classes."""
    if truth.dtype.kind in "iub" and predicted.dtype.kind in "iub":
        counts = metrics.confusion_matrix(truth, predicted, None if classes is None else len(classes))
        return counts, list(range(len(counts)) if classes is None else classes)
    names = list(np.unique(np.concatenate([truth, predicted])) if classes is None else classes)
    numbers = {name: k for k, name in enumerate(names)}
    try:
        rows, columns = ([numbers[label] for label in labels.tolist()] for labels in (truth, predicted))
    except KeyError as error:
        raise ValueError(f"`classes` must hold every label, {error} is missing") from None
    return metrics.confusion_matrix(rows, columns, len(names)), names


def worst_mistakes(
    model: Model,
    X: "ArrayLike",
    y: "ArrayLike",
    *,
    count: int = 12,
    classes: Sequence[Any] | None = None,
    ax: Any = None,
) -> Array:
    """The images that the network is most wrong about: the truth was thought least probable.

    Parameters
    ----------
    model : Model
        A classifier of images: logits, a Sigmoid or a Softmax at its end.
    X : ndarray, shape (N, C, H, W)
    y : ndarray of ints, shape (N,)
        True class numbers.
    count : int
        At most so many images.
    classes : list, optional
        The classes' names.
    ax : array of Axes, optional
        `count` of them; those that are not needed are left alone.

    Returns
    -------
    ndarray of Axes
        One for each image, the worst first. Without a mistake, a single one that says so.

    Raises
    ------
    TypeError, ValueError
        If `X` or `y` does not fit the network, or it is no classifier of images.

    Examples
    --------
    >>> import fastconv as fc
    >>> X, y = fc.datasets.load_digits()[:2]
    >>> axes = fc.plots.worst_mistakes(fc.models.lenet_digits(), X, y, count=3)
    >>> len(axes)
    3
    """
    if len(model.input_shapes) != 1:
        raise ValueError(f"`model` must take images alone, it takes {', '.join(model.input_names)}")
    images = samples_as_given(X, model.input_shape)
    if images.ndim != 4:
        raise ValueError(f"`X` must be images (N, C, H, W), got {images.shape}")
    probabilities = class_probabilities(model, images)
    labels = class_labels(y, probabilities)
    names = list(range(probabilities.shape[1]) if classes is None else classes)
    chosen = worst(probabilities, labels, whole_number(count, "count"))
    axes = panels(ax, max(1, len(chosen)), 6, (1.5, 1.9))
    if not len(chosen):
        axes[0].text(0.5, 0.5, f"no mistakes\nin {len(labels)} images", ha="center", va="center")
        axes[0].set_axis_off()
    for panel, k in zip(axes, chosen, strict=False):
        said = int(probabilities[k].argmax())
        panel.imshow(picture(images[k]), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        truth, answer = literal(names[labels[k]]), literal(names[said])
        text = f"true {truth}\nsaid {answer}, {probabilities[k, said]:.0%}"
        panel.set_title(text, fontsize="small")
        panel.set_axis_off()
    return axes


def picture(image: Array) -> NDArray[np.float64]:
    """An image (C, H, W) to look at: (H, W, 3) if it has 3 channels, else their mean (H, W); 0 to 1.

    Examples
    --------
    >>> picture(np.array([[[0, 255]]], dtype=np.uint8))
    array([[0., 1.]])
    """
    values = image.astype(np.float64)
    values = values.transpose(1, 2, 0) if len(values) == 3 else values.mean(axis=0)
    if image.dtype == np.uint8:
        return values / 255
    low, high = min(0.0, float(values.min())), float(values.max())
    return np.asarray((values - low) / (high - low or 1.0))
