"""What a classifier says about images, and where it is most wrong."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..engine.inputs import check_targets
from ..kernels import sigmoid, softmax
from ..models.sequential import Sequential
from ..nn.activations import Sigmoid, Softmax
from ..nn.losses import CrossEntropy


def class_probabilities(model: Sequential, X: ArrayLike) -> NDArray[np.float64]:
    """The probability of each class, from a network that ends in logits, a Sigmoid or a Softmax.

    Parameters
    ----------
    model : Sequential
        One output (the probability of class 1, or its logit) or one for each class.
    X : ndarray, shape (N, *input_shape)

    Returns
    -------
    ndarray, shape (N, classes)

    Raises
    ------
    ValueError
        If the network is no classifier: it ends in an image, or in several independent yes or no answers.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> class_probabilities(fc.models.reference_cnn(), np.zeros((3, 1, 6, 6))).shape
    (3, 2)
    """
    if len(model.output_shape) != 1 or (model.ends_in(Sigmoid) and model.output_shape != (1,)):
        last = type(model.nodes[-1].layer).__name__
        raise ValueError(
            f"`model` must end in one output or one for each class, got {last} of shape {model.output_shape}"
        )
    outputs = model.predict(X).astype(np.float64)
    if model.output_shape == (1,):
        yes = outputs if model.ends_in(Sigmoid) else sigmoid(outputs)
        return np.concatenate([1 - yes, yes], axis=1)
    return outputs if model.ends_in(Softmax) else softmax(outputs)


def class_names(model: Sequential) -> list[Any]:
    """What the classes of a network are called: as its metadata say, or 0, 1, ...

    Examples
    --------
    >>> import fastconv as fc
    >>> class_names(fc.models.reference_cnn())
    [0, 1]
    """
    count = max(model.output_shape[-1], 2)
    names = model.metadata.get("classes") if isinstance(model.metadata, dict) else None
    if not isinstance(names, (list, tuple)) or len(names) != count:
        return list(range(count))
    return [name if isinstance(name, (str, int, float)) else str(name) for name in names]


def class_labels(y: ArrayLike, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """`y` as class numbers (N,), checked against the probabilities.

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    return check_targets(y, len(probabilities), probabilities.shape[1:], CrossEntropy())


def worst(probabilities: NDArray[np.float64], labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The wrong answers whose truth was thought least probable, so those of the highest loss, worst first.

    Parameters
    ----------
    probabilities : ndarray, shape (N, classes)
    labels : ndarray of ints, shape (N,)
    count : int
        At most so many.

    Returns
    -------
    ndarray of ints
        Indices of samples; the first of equal ones comes first.

    Examples
    --------
    >>> worst(np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]), np.array([1, 0, 1]), 5)
    array([0, 1])
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    truth = probabilities[wrong, labels[wrong]]
    return wrong[np.argsort(truth, kind="stable")[:count]]
