"""What a classifier says about images, and where it is most wrong."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..engine.columns import inputs_as_given
from ..engine.inputs import check_targets, class_numbers
from ..engine.ranks.communicator import ALONE, Alone
from ..models.model import Model
from ..nn.losses import CrossEntropy
from ..training.evaluating import predict
from ..training.feeds import EVALUATED_AT_ONCE


def class_probabilities(model: Model, X: "ArrayLike", ranks: Alone = ALONE) -> NDArray[np.float64]:
    """`predict_proba` of a network of which one class is right.

    Parameters
    ----------
    model : Model
        One output (the probability of class 1, or its logit) or one for each class.
    X : ndarray, shape (N, *input_shape)
    ranks : Ranks, optional
        Those that share the work, and all give the same X.

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
    if len(model.output_shape) != 1 or model.answers_apart():
        last = type(model.nodes[-1].layer).__name__
        raise ValueError(
            f"`model` must end in one output or one for each class, got {last} of shape {model.output_shape}"
        )
    samples = inputs_as_given(X, model.input_names, model.input_shapes)
    return model.as_probabilities(predict(model, samples, EVALUATED_AT_ONCE, ranks))


def class_labels(y: "ArrayLike", probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """`y` as class numbers (N,), checked against the probabilities; of rows, the largest part decides.

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    labels = check_targets(y, len(probabilities), probabilities.shape[1:], CrossEntropy())
    return class_numbers(labels)


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
