"""Every activation and every gradient of a few samples: a network taken apart, one public kernel at a time.

The engine keeps none of these arrays. Here each layer computes them itself, in the public kernels: see
`nn/layer.py`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..engine.inputs import check_targets, samples_as_given
from ..models.model import Model
from ..nn.graph import differentiate, run
from ..nn.layer import Arrays
from ..nn.losses import Loss, LossName, resolve

__all__ = ["activations", "backward"]

Array = NDArray[Any]


def activations(model: Model, X: "ArrayLike") -> list[Array]:
    """What enters a network and what leaves each of its layers, as it predicts.

    Parameters
    ----------
    model : Model
    X : ndarray, shape (N, *input_shape)
        As for `predict`.

    Returns
    -------
    list of ndarrays
        In the network's dtype: the input first (uint8 divided by 255), then the output of each layer, of
        shape (N, *its shape). Dropout lets everything pass; batch normalisation uses its running mean and
        variance.

    Raises
    ------
    TypeError, ValueError
        If `X` does not fit the network.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> from fastconv.inspection import activations
    >>> [a.shape[1:] for a in activations(fc.models.reference_cnn(), np.ones((1, 1, 6, 6)))]
    [(1, 6, 6), (1, 4, 4), (1, 4, 4), (1, 2, 2), (4,), (1,), (1,)]
    """
    X = samples_as_given(X, model.input_shape)
    x = X.astype(model.dtype)
    arrays = [x / x.dtype.type(255) if X.dtype == np.uint8 else x]
    return run(model.nodes, arrays, model.arrays_of)


def backward(
    model: Model, X: "ArrayLike", y: "ArrayLike", loss: LossName | Loss = "cross_entropy"
) -> tuple[float, list[Array], Arrays]:
    """The mean loss of a batch, and its gradient at every point of the network.

    Parameters
    ----------
    model : Model
    X : ndarray, shape (N, *input_shape)
        At least one sample.
    y : ndarray
        For "cross_entropy" labels (N,), one-hot rows, or rows of parts that sum to 1; otherwise numbers of
        the output's shape.
    loss : {"bce", "bce_with_logits", "cross_entropy", "mse"} or Loss

    Returns
    -------
    loss : float
    slopes : list of ndarrays
        Entry k is dL / d activations(model, X)[k]: the input first.
    gradients : dict
        Name -> ndarray, shaped as in `model.parameters()`.

    Raises
    ------
    TypeError, ValueError
        If `X`, `y` or `loss` does not fit the network.

    Notes
    -----
    The network is as `predict` runs it: no dropout, and batch normalisation uses its running mean and
    variance, which are constants here. `model.loss_and_gradients` is in training mode instead; both agree
    on networks without these two layers.

    "bce" after a final Sigmoid, and "cross_entropy" after a final Softmax, are computed from that layer's
    input; so is the gradient there, (A - y) / N, while the last entry is the gradient of the logarithm.
    Source: Bishop (2006), section 5.3; the losses' and layers' own formulas stand with their kernels.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> from fastconv.inspection import backward
    >>> model = fc.models.reference_cnn("float64")
    >>> loss, slopes, gradients = backward(model, np.ones((1, 1, 6, 6)), [1], loss="bce")
    >>> bool(np.isclose(slopes[5][0, 0], gradients["4.bias"][0]))
    True
    """
    loss = resolve(loss)
    loss.check_output(model.output_shape)
    arrays = activations(model, X)
    target = check_targets(y, len(arrays[0]), model.output_shape, loss)
    if not len(target):
        raise ValueError("`X` must hold at least one sample, got none")
    value, slopes = _at_the_end(loss.for_targets(target), model, arrays, target)
    absorbed = model.nodes[-1].output in slopes and model.nodes[-1].inputs[0] in slopes
    nodes = model.nodes[:-1] if absorbed else model.nodes
    gradients = differentiate(nodes, arrays, slopes, model.arrays_of)
    in_order = [slopes.get(k, np.zeros_like(array)) for k, array in enumerate(arrays)]
    return value, in_order, {name: gradients[name] for name in model.parameters()}


def _at_the_end(
    loss: Loss, model: Model, arrays: list[Array], target: Array
) -> tuple[float, dict[int, Array]]:
    """The loss, and its gradient at the output: at the last layer's input too where it absorbs that layer."""
    last = model.nodes[-1]
    output = arrays[last.output]
    absorbed = loss.absorbed(last.layer)
    if absorbed is None:
        value, slope = _value_and_slope(loss, output, target)
        return value, {last.output: slope}
    value, slope = _value_and_slope(absorbed.loss, arrays[last.inputs[0]], target)
    flat = output.reshape(len(output), -1)
    at_output = absorbed.output_gradient(flat, _as_numbers(flat, target, loss))
    return value, {last.inputs[0]: slope, last.output: at_output.reshape(output.shape)}


def _value_and_slope(loss: Loss, output: Array, target: Array) -> tuple[float, Array]:
    """A loss and its gradient at outputs of any shape."""
    target = _as_numbers(output, target, loss)
    return loss.value(output, target), loss.gradient(output, target)


def _as_numbers(output: Array, target: Array, loss: Loss) -> Array:
    """The target in the output's dtype, but for labels."""
    return target if loss.targets == "labels" else target.astype(output.dtype)
