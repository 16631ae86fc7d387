"""Figures that say how good predictions are, in plain NumPy.

The compiled training step counts right answers itself, by the rule of `predicted_classes`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks.settings import whole_number
from ..nn.losses import LOSSES, Loss, LossName, resolve

# The output above which a binary network says yes: a probability for bce, a logit for bce_with_logits.


def predicted_classes(predictions: "ArrayLike", loss: LossName | Loss) -> NDArray[np.int64]:
    """The class that each output stands for.

    Parameters
    ----------
    predictions : array_like
        A model's outputs: (N, classes) for cross_entropy; (N,), (N, 1) or (N, labels) for the binary losses;
        of images (N, classes, H, W) or (N, labels, H, W).
    loss : str or Loss
        "cross_entropy" and the like (the largest output wins), "bce" (yes above 0.5) or "bce_with_logits"
        and the like (yes above 0).

    Returns
    -------
    ndarray of int64
        Shape (N,), or (N, labels) for several binary labels a sample; of images, for each pixel.

    Raises
    ------
    ValueError
        If `loss` has no classes or the outputs' shape does not fit it.

    Examples
    --------
    >>> predicted_classes([[0.1, 2.0], [3.0, -1.0]], "cross_entropy")
    array([1, 0])
    >>> predicted_classes([[0.2], [0.7]], "bce")
    array([0, 1])
    """
    outputs, loss = np.asarray(predictions), resolve(loss)
    if loss.targets == "labels":
        if outputs.ndim not in (2, 3, 4) or outputs.shape[1] == 0:
            raise ValueError(f"`predictions` must have shape (N, classes), got {outputs.shape}")
        return np.asarray(outputs.argmax(axis=1), dtype=np.int64)
    if loss.threshold is None:
        with_classes = ", ".join(name for name, kind in LOSSES.items() if kind.targets != "numbers")
        raise ValueError(f"accuracy needs a loss with classes ({with_classes}), got {str(loss)!r}")
    if outputs.ndim not in (1, 2, 3, 4):
        raise ValueError(f"`predictions` must have shape (N,) or (N, labels), got {outputs.shape}")
    classes = (outputs > loss.threshold).astype(np.int64)
    return classes[:, 0] if classes.ndim > 1 and classes.shape[1] == 1 else classes


def accuracy(predictions: "ArrayLike", y: "ArrayLike", loss: LossName | Loss) -> float:
    """The part of the answers that is right, between 0 and 1.

    Parameters
    ----------
    predictions : array_like
        A model's outputs, as in `predicted_classes`.
    y : array_like
        The truth: for cross_entropy class numbers, or rows, whose largest part is the class; else targets
        (above 0.5 means yes) of the outputs' shape. Of images, each pixel counts as one.
    loss : str
        The loss that the model was trained with.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are no samples, or the shapes do not fit.

    Examples
    --------
    >>> accuracy([[0.1, 2.0], [3.0, -1.0]], [1, 1], "cross_entropy")
    0.5
    """
    predicted = predicted_classes(predictions, loss)
    truth = np.asarray(y)
    if resolve(loss).targets == "labels":
        truth = _of_rows(truth, np.shape(predictions))
    if truth.ndim == predicted.ndim + 1 and truth.shape[1] == 1:
        truth = truth[:, 0]
    if truth.shape != predicted.shape:
        of_images = f"{np.shape(predictions)} and " if np.ndim(predictions) > 2 else ""
        raise ValueError(
            f"`y` must have shape {predicted.shape} to fit the predictions, got {of_images}{truth.shape}"
        )
    if predicted.size == 0:
        raise ValueError("`predictions` must hold at least one sample, got none")
    if resolve(loss).targets != "labels":
        truth = truth > 0.5
    return float(np.mean(predicted == truth))


def _of_rows(truth: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The class of the largest part where there are rows of a part for each class, as `shape` has them."""
    return truth.argmax(axis=1) if truth.ndim > 1 and truth.shape == shape and truth.size else truth


def _class_numbers(values: "ArrayLike", name: str) -> NDArray[Any]:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iub"):
        hint = f": {name}.argmax(axis=1) makes class numbers of rows" if numbers.ndim == 2 else ""
        raise ValueError(
            f"`{name}` must be a 1-D array of class numbers, got a {numbers.ndim}-D array of "
            f"{numbers.dtype}{hint}"
        )
    return numbers.astype(np.int64)


def confusion_matrix(
    y_true: "ArrayLike", y_pred: "ArrayLike", num_classes: int | None = None
) -> NDArray[np.int64]:
    """How often each class was taken for each other one.

    Parameters
    ----------
    y_true, y_pred : array_like of int, shape (N,)
        True and predicted class numbers, from 0.
    num_classes : int, optional
        Number of classes; by default one more than the largest number seen.

    Returns
    -------
    ndarray of int64, shape (num_classes, num_classes)
        Entry (i, j) counts the samples of class i that were predicted as class j, as in scikit-learn.

    Raises
    ------
    ValueError
        If the lengths differ or a class number is out of range.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1])
    array([[1, 1],
           [0, 2]])
    """
    truth, predicted = _class_numbers(y_true, "y_true"), _class_numbers(y_pred, "y_pred")
    if truth.shape != predicted.shape:
        raise ValueError(f"`y_pred` must have the length of `y_true`, {len(truth)}, got {len(predicted)}")
    both = np.concatenate([truth, predicted])
    if num_classes is None:
        num_classes = int(both.max()) + 1 if both.size else 0
    if both.size and (both.min() < 0 or both.max() >= num_classes):
        raise ValueError(
            f"class numbers must be from 0 to {num_classes - 1}, got {both.min()} to {both.max()}"
        )
    counts = np.bincount(truth * num_classes + predicted, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def precision_recall(confusion: "ArrayLike") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of each class, from a confusion matrix.

    Parameters
    ----------
    confusion : array_like of int, shape (C, C)
        What `confusion_matrix` returns.

    Returns
    -------
    precision : ndarray of float64, shape (C,)
        Of the samples predicted as this class, the part that is; NaN if none was predicted.
    recall : ndarray of float64, shape (C,)
        Of the samples of this class, the part that was found; NaN if there are none.

    Examples
    --------
    >>> precision, recall = precision_recall([[1, 1], [0, 2]])
    >>> recall
    array([0.5, 1. ])
    """
    counts = np.asarray(confusion, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return counts.diagonal() / counts.sum(axis=0), counts.diagonal() / counts.sum(axis=1)


def precision(y_true: "ArrayLike", y_pred: "ArrayLike", average: str = "binary") -> float:
    """The part of the samples predicted as a class that is of this class: TP / (TP + FP).

    Parameters
    ----------
    y_true, y_pred : array_like of int, shape (N,) or (N, labels)
        True and predicted class numbers, from 0; or yes (1) and no (0) for each of several labels.
    average : {"binary", "macro"}
        "binary" is that of class 1 of two; "macro" is the mean over all classes that occur in either (or over
        all labels), each counting the same.

    Returns
    -------
    float
        0 to 1. A class that was never predicted counts as 0. (scikit-learn's, with zero_division=0.)

    Raises
    ------
    ValueError
        If there are no samples, the shapes differ, or the numbers do not fit `average`.

    Examples
    --------
    >>> precision([0, 0, 1, 1], [0, 1, 1, 1])
    0.6666666666666666
    >>> precision([0, 0, 1, 1, 2], [0, 1, 1, 1, 2], average="macro")
    0.8888888888888888
    """
    hits, predicted, _ = _counts(y_true, y_pred, average)
    return _mean_ratio(hits, predicted)


def recall(y_true: "ArrayLike", y_pred: "ArrayLike", average: str = "binary") -> float:
    """The part of the samples of a class that was found: TP / (TP + FN).

    Parameters
    ----------
    y_true, y_pred, average
        As in `precision`.

    Returns
    -------
    float
        0 to 1, with 0 for a class without samples.

    Raises
    ------
    ValueError
        As in `precision`.

    Examples
    --------
    >>> recall([0, 1, 1, 1], [0, 0, 1, 1])
    0.6666666666666666
    """
    hits, _, true = _counts(y_true, y_pred, average)
    return _mean_ratio(hits, true)


def f1(y_true: "ArrayLike", y_pred: "ArrayLike", average: str = "binary") -> float:
    """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), of each class and then averaged.

    Parameters
    ----------
    y_true, y_pred, average
        As in `precision`.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError
        As in `precision`.

    Examples
    --------
    >>> f1([0, 0, 1, 1], [0, 1, 1, 1])
    0.8
    """
    hits, predicted, true = _counts(y_true, y_pred, average)
    return _mean_ratio(2 * hits, predicted + true)


def _counts(
    y_true: "ArrayLike", y_pred: "ArrayLike", average: str
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(right ones, predicted ones, true ones) of each class to average over."""
    if average not in ("binary", "macro"):
        raise ValueError(f'`average` must be "binary" or "macro", got {average!r}')
    if np.size(y_true) == 0:
        raise ValueError("`y_true` must hold at least one sample, got none")
    if np.ndim(y_true) == 2:
        truth, predicted = _yes_or_no(y_true, "y_true"), _yes_or_no(y_pred, "y_pred")
        if truth.shape != predicted.shape:
            raise ValueError(
                f"`y_pred` must have the shape of `y_true`, {truth.shape}, got {predicted.shape}"
            )
        if average == "binary":
            raise ValueError('`average` must be "macro" for several labels a sample, got "binary"')
        return (truth & predicted).sum(axis=0), predicted.sum(axis=0), truth.sum(axis=0)
    confusion = confusion_matrix(y_true, y_pred)
    if average == "binary" and len(confusion) > 2:
        raise ValueError(f'`average` must be "macro" for {len(confusion)} classes, got "binary"')
    hits, guesses, true = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    wanted = np.arange(len(confusion)) == 1 if average == "binary" else guesses + true > 0
    return hits[wanted], guesses[wanted], true[wanted]


def _yes_or_no(values: "ArrayLike", name: str) -> NDArray[np.bool_]:
    numbers = np.asarray(values)
    if numbers.ndim != 2 or not np.isin(numbers, (0, 1)).all():
        raise ValueError(
            f"`{name}` must be 0 and 1 of shape (N, labels), got other values or {numbers.shape}"
        )
    return numbers.astype(bool)


def _mean_ratio(part: NDArray[Any], whole: NDArray[Any]) -> float:
    ratios = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return float(ratios.sum() / max(1, len(part)))  # there may be nothing of class 1


def auc(y_true: "ArrayLike", scores: "ArrayLike") -> float:
    """The area under the receiver operating characteristic.

    It is the probability that a sample of the class has a larger score than one that is not, ties counting
    one half: (R - n1 (n1 + 1) / 2) / (n1 n0), with R the sum of the ranks of the n1 samples of the class
    among all n1 + n0 scores, equal scores sharing the mean of their ranks.

    Parameters
    ----------
    y_true : array_like of int
        (N,) of 0 and 1 for one score a sample; (N,) class numbers, from 0, for a score of each class, such as
        a probability; (N, labels) of 0 and 1 for several labels a sample.
    scores : array_like
        (N,) or (N, 1), (N, classes) or (N, labels): the larger, the more likely.

    Returns
    -------
    float
        0 to 1; of class 1 of two classes, for more of them the mean of each against the rest, for several
        labels their mean. NaN where it is undefined: if a class has no samples, or all, or a score is NaN.

    Raises
    ------
    ValueError
        If the shapes do not fit, or `y_true` holds other numbers.

    Notes
    -----
    Source: Hanley and McNeil (1982). Averages are those of scikit-learn's `roc_auc_score`, multi_class="ovr".

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    >>> auc([0, 1, 2], [[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.5, 0.3]])
    0.75
    """
    values = np.asarray(scores, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"`scores` must have shape (N,), (N, classes) or (N, labels), got {np.shape(scores)}"
        )
    if np.ndim(y_true) == 2:
        truth = _yes_or_no(y_true, "y_true")
    else:
        numbers, count = _class_numbers(y_true, "y_true"), values.shape[1]
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < max(count, 2)):
            raise ValueError(
                f"`y_true` must be from 0 to {max(count, 2) - 1}, got {numbers.min()} to {numbers.max()}"
            )
        if count <= 2:
            truth, values = numbers[:, None] == 1, values[:, -1:]
        else:
            truth = numbers[:, None] == np.arange(count)
    if truth.shape != values.shape:
        raise ValueError(f"`scores` must have shape {truth.shape} to fit `y_true`, got {values.shape}")
    return float(np.mean([_rank_statistic(*columns) for columns in zip(truth.T, values.T, strict=True)]))


def _rank_statistic(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if ones == 0 or zeros == 0 or np.isnan(scores).any():
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[place.ravel()][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def top_k_accuracy(y_true: "ArrayLike", scores: "ArrayLike", k: int = 5) -> float:
    """The part of the samples whose class has one of the `k` largest scores.

    Parameters
    ----------
    y_true : array_like, shape (N,) or (N, classes)
        Class numbers, from 0; or rows, whose largest part is the class.
    scores : array_like, shape (N, classes)
        Equal scores are all counted as the largest of them, as in Keras; NaN is never among the largest.
    k : int
        At least 1.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, there are no samples, or `k` is not a positive int.

    Examples
    --------
    >>> top_k_accuracy([0, 1], [[0.2, 0.5, 0.3], [0.2, 0.3, 0.5]], k=2)
    0.5
    """
    values = np.asarray(scores)
    truth = _class_numbers(_of_rows(np.asarray(y_true), values.shape), "y_true")
    if values.ndim != 2 or len(values) != len(truth) or not len(truth):
        raise ValueError(
            f"`scores` must have shape ({len(truth)}, classes) of at least one, got {values.shape}"
        )
    if truth.min() < 0 or truth.max() >= values.shape[1]:
        raise ValueError(
            f"`y_true` must be from 0 to {values.shape[1] - 1}, got {truth.min()} to {truth.max()}"
        )
    own = np.take_along_axis(values, truth[:, None], axis=1)
    return float(np.mean(((values > own).sum(axis=1) < whole_number(k, "k")) & ~np.isnan(own[:, 0])))
