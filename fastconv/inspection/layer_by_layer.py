"""Every activation and every gradient of a few samples: a network taken apart, one public kernel at a time.

The engine keeps none of these arrays. Here each layer computes them itself, in the public kernels: see
`nn/layer.py`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.columns import arrays_in, inputs_as_given, outputs_as_given
from ..engine.inputs import readable
from ..models.model import Model
from ..nn.graph import Node, differentiate, run
from ..nn.joint_loss import parts_of, resolve_for
from ..nn.layer import Arrays
from ..nn.losses import AbsorbedLayer, Loss

__all__ = ["activations", "backward"]

Array = NDArray[Any]


def activations(model: Model, X: Any) -> list[Array]:
    """What enters a network and what leaves each of its layers, as it predicts.

    Parameters
    ----------
    model : Model
    X : ndarray, shape (N, *input_shape), or list or dict of them
        As for `predict`.

    Returns
    -------
    list of ndarrays
        In the network's dtype: the inputs first (uint8 divided by 255), then the output of each layer, of
        shape (N, *its shape); entry k is value k of `model.nodes`. Dropout lets everything pass; batch
        normalisation uses its running mean and variance.

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
    given = inputs_as_given(X, model.input_names, model.input_shapes)
    arrays = []
    for array in arrays_in(given):
        x = array.astype(model.dtype)
        arrays.append(x / x.dtype.type(255) if array.dtype == np.uint8 else x)
    return run(model.nodes, arrays, model.arrays_of)


def backward(
    model: Model, X: Any, y: Any, loss: Any = "cross_entropy", *, loss_weights: Any = None
) -> tuple[float, list[Array], Arrays]:
    """The mean loss of a batch, and its gradient at every point of the network.

    Parameters
    ----------
    model : Model
    X : ndarray, shape (N, *input_shape), or list or dict of them
        At least one sample.
    y : ndarray, or list or dict of them
        For "cross_entropy" labels (N,), one-hot rows, or rows of parts that sum to 1; otherwise numbers of
        the output's shape.
    loss : {"bce", "bce_with_logits", "cross_entropy", "mse"} or Loss, or list or dict of them
    loss_weights : list or dict of floats, optional
        As for `loss_and_gradients`, of a network with several outputs.

    Returns
    -------
    loss : float
    slopes : list of ndarrays
        Entry k is dL / d activations(model, X)[k]: the inputs first.
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
    input, if no other layer reads that output; so is the gradient there, (A - y) / N, while the entry of the
    output is the gradient of the logarithm.
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
    joint = resolve_for(loss, model.output_names, model.output_shapes, loss_weights)
    arrays = activations(model, X)
    given = outputs_as_given(y, len(arrays[0]), model.output_names, model.output_shapes, joint)
    if not len(given):
        raise ValueError("`X` must hold at least one sample, got none")
    targets = [a.astype(np.int64) if a.dtype == np.uint8 else readable(a) for a in arrays_in(given)]
    joint = joint.for_targets(given)
    value, absorbed, slopes = 0.0, [], dict[int, Array]()
    for end, (part, weight), target in zip(endings(model, joint), parts_of(joint), targets, strict=True):
        part_value, found = _at_the_end(part, end, arrays, target)
        value += weight * part_value
        absorbed += [end.node] if end.absorbed else []
        for number, slope in found.items():
            slope = slope if weight == 1 else slope.dtype.type(weight) * slope
            slopes[number] = slopes[number] + slope if number in slopes else slope
    nodes = [node for node in model.nodes if node not in absorbed]
    gradients = differentiate(nodes, arrays, slopes, model.arrays_of)
    in_order = [slopes.get(k, np.zeros_like(array)) for k, array in enumerate(arrays)]
    return value, in_order, {name: gradients[name] for name in model.parameters()}


@dataclass(frozen=True)
class Ending:
    """Where an output comes from, and how its loss is computed from that layer's input, if it is."""

    name: str
    node: Node
    absorbed: AbsorbedLayer | None

    @property
    def start(self) -> int:
        """The value that the way back starts from."""
        return self.node.inputs[0] if self.absorbed else self.node.output


def endings(model: Model, loss: Loss) -> list[Ending]:
    """Where each output comes from; a layer is absorbed by its loss only if nothing else reads its value.

    Examples
    --------
    >>> import fastconv as fc
    >>> (end,) = endings(fc.models.reference_cnn(), fc.losses.BCE())
    >>> end.node.name, end.start == end.node.inputs[0]
    ('5', True)
    """
    makers = {node.output: node for node in model.nodes}
    read = {value for node in model.nodes for value in node.inputs}
    found = []
    for value, name, (part, _) in zip(model.outputs, model.output_names, parts_of(loss), strict=True):
        alone = value not in read and model.outputs.count(value) == 1
        found.append(Ending(name, makers[value], part.absorbed(makers[value].layer) if alone else None))
    return found


def _at_the_end(
    loss: Loss, end: Ending, arrays: list[Array], target: Array
) -> tuple[float, dict[int, Array]]:
    """A loss, and its gradient at the output: at the last layer's input too where it absorbs that layer."""
    output = arrays[end.node.output]
    if end.absorbed is None:
        value, slope = value_and_slope(loss, output, target)
        return value, {end.node.output: slope}
    value, slope = value_and_slope(end.absorbed.loss, arrays[end.start], target)
    flat = output.reshape(len(output), -1)
    at_output = end.absorbed.output_gradient(flat, _as_numbers(flat, target, loss))
    return value, {end.start: slope, end.node.output: at_output.reshape(output.shape)}


def value_and_slope(loss: Loss, output: Array, target: Array) -> tuple[float, Array]:
    """A loss and its gradient at outputs of any shape."""
    target = _as_numbers(output, target, loss)
    return loss.value(output, target), loss.gradient(output, target)


def _as_numbers(output: Array, target: Array, loss: Loss) -> Array:
    """The target in the output's dtype, but for labels."""
    return target if loss.targets == "labels" else target.astype(output.dtype)
