"""`check_gradients`: a network's gradients against finite differences."""

from typing import Any

import numpy as np

from ..models.building import network_of
from ..models.model import Model


def check_gradients(
    model: Model,
    X: Any,
    y: Any,
    loss: Any = "cross_entropy",
    *,
    loss_weights: Any = None,
    step: float = 1e-6,
    samples: int = 20,
    seed: int = 0,
) -> float:
    """The largest relative error of a network's gradients against central differences in float64.

    Parameters
    ----------
    model : Model
        Any dtype; the check works on a float64 copy.
    X, y : ndarray, or list or dict of them
        A batch, as for `loss_and_gradients`.
    loss : str or Loss, or list or dict of them
    loss_weights : list or dict of floats, optional
        As for `loss_and_gradients`.
    step : float
        Half the distance of the two points of a difference.
    samples : int
        At most so many entries of each parameter are checked, chosen at random.
    seed : int
        Of that choice.

    Returns
    -------
    float
        max |gradient - difference| / max(largest |gradient| of its parameter, 1e-3). About 1e-7 for a right
        gradient; where a point lies near a kink of ReLU or max-pool, more.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> X = np.random.default_rng(0).random((4, 1, 6, 6))
    >>> fc.check_gradients(fc.models.reference_cnn(), X, [0, 1, 1, 0], loss="bce") < 1e-5
    True
    """
    exact = network_of(model.outline, "float64", model.seed)
    exact.load_state(model.state())
    weights = {} if loss_weights is None else {"loss_weights": loss_weights}
    _, gradients = exact.loss_and_gradients(X, y, loss, **weights)
    rng = np.random.default_rng(seed)
    worst = 0.0
    for name, array in exact.parameters().items():
        flat, gradient = array.reshape(-1), gradients[name].reshape(-1)
        scale = max(float(np.abs(gradient).max()), 1e-3)
        for k in rng.permutation(flat.size)[:samples]:
            value = flat[k]
            ends = []
            for sign in (1, -1):
                flat[k] = value + sign * step
                ends.append(exact.loss_and_gradients(X, y, loss, **weights)[0])
            flat[k] = value
            worst = max(worst, abs((ends[0] - ends[1]) / (2 * step) - gradient[k]) / scale)
    return float(worst)
