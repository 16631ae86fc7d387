"""The scikit-learn regressor."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin

from ..nn.layer import Shape
from ..nn.losses import LossName
from .base import ConvEstimator


class ConvRegressor(RegressorMixin, ConvEstimator):
    """A network that predicts numbers, by the least mean squared error.

    Parameters
    ----------
    layers : None, list of layers, str or callable
        None for a small network that suits the input (see `default_layers`); the layers themselves;
        "lenet5", "lenet_digits" or "vgg_small"; or a function (input_shape, n_outputs) -> layers.
        The output has one number for each target.
    input_shape : tuple, optional
        (C, H, W) or (H, W): what each row of a 2-D X is reshaped to. X of shape (N, C, H, W) or (N, H, W)
        needs none. With a `model` for time series, (channels, length).
    model : None, str, callable or Model
        A whole network instead of `layers`: one of `fastconv.models`, such as "resnet8", by its name; a
        function (input_shape, n_targets) -> network; or a network, of which a copy is trained. Networks that
        take images do so as above. For all others X is time series, (N, length) or (N, channels, length);
        (features,) as `input_shape` makes rows of features of them.
    epochs, batch_size : int
        Passes over the data, and samples of a step.
    learning_rate : float or schedule
        Of the optimizers given by name. A schedule runs over the epochs of one call of `fit`.
    optimizer : str or optimizer
        "adam", "sgd" or the name of another one of `fastconv.optimizers`, in lower case.
        An optimizer such as SGD(lr=0.1, momentum=0.9) has its own learning rate.
    augment : None or Augment
        How images are changed at random while the network is trained; see `fastconv.Augment`.
    dtype : None, "float32" or "float64"
        Of the network. None goes by X, as scikit-learn does: float64 for float64, float32 for all others;
        or is that of the network given. Float32 is about twice as fast.
    random_state : int, RandomState or None
        Of the first parameters (a `model` that was trained keeps its own), the order of samples, dropout,
        augmentation and the held out samples. With an int, results have the same bits on any number of
        threads.
    warm_start : bool
        Whether `fit` goes on with the network that is there.
    early_stopping : bool
        Whether to hold out samples, to stop when their loss no longer falls, and to keep the best epoch.
    validation_fraction : float
        Part of the samples that `early_stopping` holds out.
    patience : int
        Epochs without improvement after which `early_stopping` stops.
    verbose : int
        0 for nothing, 1 for a bar on a terminal and a line an epoch, 2 for the lines only, as in Keras.

    Attributes
    ----------
    model_ : Model
        The network.
    history_ : dict
        "loss", "learning_rate", "seconds" and, when stopping early, "val_loss", each a list with a value
        for each epoch, all calls after each other.
    n_iter_ : int
        Epochs so far.
    n_features_in_ : int
        Numbers of one sample.
    feature_names_in_ : ndarray
        Names of the columns, where X had any.

    Notes
    -----
    X is read, and weights are meant, as in `ConvClassifier`. Networks learn targets of about unit scale
    best: `sklearn.compose.TransformedTargetRegressor` with a StandardScaler sees to that.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> X = np.random.default_rng(0).random((500, 8, 8))
    >>> y = X[:, :4].mean(axis=(1, 2)) - X[:, 4:].mean(axis=(1, 2))
    >>> regressor = fc.estimators.ConvRegressor(random_state=0).fit(X[:400], y[:400])
    >>> bool(regressor.score(X[400:], y[400:]) > 0.8)
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: "ArrayLike | None" = None) -> "ConvRegressor":
        """Train a network, a new one unless `warm_start`.

        Parameters
        ----------
        X : array_like, shape (N, features), (N, H, W), (N, C, H, W); (N, length) or (N, channels, length)
        y : array_like, shape (N,) or (N, targets)
        sample_weight : array_like, shape (N,), optional
            How much each sample counts, relative to each other; see `ConvClassifier`.

        Returns
        -------
        ConvRegressor
            This one.

        Raises
        ------
        ValueError, TypeError
            If an argument or a parameter does not fit.
        DivergedError
            If the loss is no longer finite.

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.arange(20.0)
        >>> fc.estimators.ConvRegressor(epochs=1).fit(X, y).n_features_in_
        4
        """
        fresh = not (self.warm_start and hasattr(self, "model_"))
        self._fit(X, y, sample_weight, fresh, self.epochs, self.early_stopping)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: "ArrayLike | None" = None) -> "ConvRegressor":
        """Train for one epoch more.

        Parameters
        ----------
        X, y : array_like
            As in `fit`.
        sample_weight : array_like, shape (N,), optional
            As in `fit`, relative to each other within this call.

        Returns
        -------
        ConvRegressor
            This one.

        Raises
        ------
        ValueError, TypeError
            If an argument or a parameter does not fit.

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.arange(20.0)
        >>> fc.estimators.ConvRegressor().partial_fit(X, y).partial_fit(X, y).n_features_in_
        4
        """
        self._fit(X, y, sample_weight, not hasattr(self, "model_"), 1, False)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The predicted numbers.

        Parameters
        ----------
        X : array_like
            As in `fit`.

        Returns
        -------
        ndarray of float64, shape (N,) or (N, targets)
            As y was.

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.arange(20.0)
        >>> fc.estimators.ConvRegressor(epochs=1).fit(X, y).predict(X).shape
        (20,)
        """
        X = self._checked_samples(X)
        return self.model_.predict(X).reshape(len(X), *self._target_shape).astype(np.float64)

    # Inside

    def _learn_targets(self, y: NDArray[Any], fresh: bool, classes: "ArrayLike | None") -> NDArray[Any]:
        if fresh:
            self._target_shape: Shape = y.shape[1:]
        elif y.shape[1:] != self._target_shape:
            raise ValueError(f"y must have shape {('N', *self._target_shape)} as before, got {y.shape}")
        return y

    def _output_sizes(self) -> list[int]:
        return [math.prod(self._target_shape)]

    def _purpose(self) -> str:
        return f"{math.prod(self._target_shape)} targets"

    def _loss(self) -> LossName:
        return "mse"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
