"""Figures that say how good predictions are, in plain NumPy.

The compiled training step counts right answers itself, by the rule of `predicted_classes`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRICS = ("accuracy",)

# The output above which a binary network says yes: a probability for bce, a logit for bce_with_logits.
THRESHOLDS = {"bce": 0.5, "bce_with_logits": 0.0}


def predicted_classes(predictions: ArrayLike, loss: str) -> NDArray[np.int64]:
    """The class that each output stands for.

    Parameters
    ----------
    predictions : array_like
        A model's outputs: (N, classes) for cross_entropy; (N,), (N, 1) or (N, labels) for the binary losses.
    loss : str
        "cross_entropy" (the largest output wins), "bce" (yes above 0.5) or "bce_with_logits" (yes above 0).

    Returns
    -------
    ndarray of int64
        Shape (N,), or (N, labels) for several binary labels a sample.

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
    outputs = np.asarray(predictions)
    if loss == "cross_entropy":
        if outputs.ndim != 2 or outputs.shape[1] == 0:
            raise ValueError(f"`predictions` must have shape (N, classes), got {outputs.shape}")
        return np.asarray(outputs.argmax(axis=1), dtype=np.int64)
    if loss not in THRESHOLDS:
        raise ValueError(f"accuracy needs the loss cross_entropy, bce or bce_with_logits, got {loss!r}")
    if outputs.ndim not in (1, 2):
        raise ValueError(f"`predictions` must have shape (N,) or (N, labels), got {outputs.shape}")
    classes = (outputs > THRESHOLDS[loss]).astype(np.int64)
    return classes[:, 0] if classes.ndim == 2 and classes.shape[1] == 1 else classes


def accuracy(predictions: ArrayLike, y: ArrayLike, loss: str) -> float:
    """The part of the answers that is right, between 0 and 1.

    Parameters
    ----------
    predictions : array_like
        A model's outputs, as in `predicted_classes`.
    y : array_like
        The truth: class numbers for cross_entropy, else targets (above 0.5 means yes) of the outputs' shape.
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
    if truth.ndim == 2 and truth.shape[1] == 1:
        truth = truth[:, 0]
    if truth.shape != predicted.shape:
        raise ValueError(f"`y` must have shape {predicted.shape} to fit the predictions, got {truth.shape}")
    if predicted.size == 0:
        raise ValueError("`predictions` must hold at least one sample, got none")
    if loss != "cross_entropy":
        truth = truth > 0.5
    return float(np.mean(predicted == truth))


def _class_numbers(values: ArrayLike, name: str) -> NDArray[Any]:
    numbers = np.asarray(values)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iub"):
        raise ValueError(
            f"`{name}` must be a 1-D array of class numbers, got a {numbers.ndim}-D array of {numbers.dtype}"
        )
    return numbers.astype(np.int64)


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, num_classes: int | None = None
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


def precision_recall(confusion: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
