"""scikit-learn estimators around a network: for pipelines, grid searches and cross-validation.

This module needs scikit-learn (`pip install "fastconv[sklearn]"`) and is loaded when it is first used:
`fastconv.estimators` is there without an import of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import models, optimizers, progress
from .callbacks import EarlyStopping
from .checks import real_number, whole_number
from .layers import Conv2d, Dense, Flatten, Layer, MaxPool2d, ReLU, Shape, Sigmoid, Softmax
from .sequential import Sequential
from .train import Trainer
from .weights import Weights, check_sample_weight, class_weights

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_array, check_random_state, check_X_y
    from sklearn.utils.extmath import softmax
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        f'fastconv.estimators needs scikit-learn 1.6 or newer: pip install "fastconv[sklearn]" ({error})'
    ) from None

__all__ = ["ConvClassifier", "ConvRegressor"]

NETWORKS = {
    "lenet5": models.lenet5,
    "lenet_digits": models.lenet_digits,
    "vgg_small": models.vgg_small,
}
READ_AS_THEY_ARE = [np.float32, np.float64, np.uint8]  # other numbers become the first of these


def default_layers(input_shape: Shape, n_outputs: int) -> list[Layer]:
    """A small network that suits the input: a LeNet for images, two hidden layers for features.

    Images are halved by pooling until about 4 pixels of the shorter side are left: once for 8x8, twice for
    28x28, three times for 32x32.

    Examples
    --------
    >>> len(default_layers((1, 8, 8), 10)), len(default_layers((20,), 3))
    (9, 5)
    """
    layers: list[Layer] = []
    if len(input_shape) == 3:
        pools = max(0, int(math.log2(min(input_shape[1:]) / 4)))
        blocks = max(2, pools)
        for block in range(blocks):
            layers += [Conv2d(min(16 << block, 64), 3, padding=1), ReLU()]
            if block >= blocks - pools:
                layers.append(MaxPool2d(2))
        layers.append(Flatten())
    else:
        layers += [Dense(64), ReLU()]
    return [*layers, Dense(64), ReLU(), Dense(n_outputs)]


class _ConvEstimator(BaseEstimator):
    """What classifier and regressor share; they say what their targets, outputs and loss are."""

    def __init__(
        self,
        layers: Any = None,
        input_shape: Any = None,
        *,
        epochs: int = 30,
        batch_size: int = 32,
        learning_rate: Any = 0.001,
        optimizer: Any = "adam",
        augment: Any = None,
        dtype: str | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        verbose: int = 0,
    ) -> None:
        self.layers = layers
        self.input_shape = input_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.augment = augment
        self.dtype = dtype
        self.random_state = random_state
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.verbose = verbose

    # What subclasses answer

    _metrics: tuple[str, ...] = ()

    def _learn_targets(self, y: NDArray[Any], fresh: bool, classes: ArrayLike | None) -> NDArray[Any]:
        """The targets as the trainer takes them; a fresh fit takes down what they are."""
        raise NotImplementedError

    def _class_weight(self, targets: NDArray[Any], weight: Weights | None) -> Weights | None:
        """The weight of each sample by its class, or None."""
        return None

    def _n_outputs(self) -> int:
        raise NotImplementedError

    def _network(self, layers: list[Layer], shape: Shape, dtype: str, seed: int) -> Sequential:
        """The network of these layers, if its output fits."""
        raise NotImplementedError

    def _loss(self) -> str:
        raise NotImplementedError

    # Training

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        fresh: bool,
        epochs: int,
        early_stopping: bool,
        classes: ArrayLike | None = None,
    ) -> None:
        X, y = self._checked_data(X, y, reset=fresh)
        weight = None if sample_weight is None else check_sample_weight(sample_weight, len(X))
        if weight is not None and not weight.all():  # as if these samples were not there
            kept = weight > 0
            X, y, weight = X[kept], y[kept], weight[kept]
        targets = self._learn_targets(y, fresh, classes)
        by_class = self._class_weight(targets, weight)
        if by_class is not None:
            weight = by_class if weight is None else weight * by_class
            weight = check_sample_weight(weight, len(X), "class_weight")
        if weight is not None:  # of mean 1, so that their scale does not matter
            weight = weight / weight.mean()
        if fresh:
            self._build(X)
        X = X.reshape(len(X), *self.model_.input_shape)
        self._train(X, targets, weight, epochs, early_stopping)

    def _build(self, X: NDArray[Any]) -> None:
        """A new network and its trainer."""
        self._rng = check_random_state(self.random_state)
        shape = self._sample_shape(X)
        seed = int(self._rng.randint(2**31 - 1))
        dtype = ("float64" if X.dtype == np.float64 else "float32") if self.dtype is None else self.dtype
        self.model_ = self._network(self._resolved_layers(shape), shape, dtype, seed)
        self._trainer = self._new_trainer()
        self.history_: dict[str, list[float]] = {}
        self.n_iter_ = 0

    def _new_trainer(self) -> Trainer:
        return Trainer(self.model_, self._loss(), self._resolved_optimizer(), self._metrics)

    def _train(
        self, X: NDArray[Any], y: NDArray[Any], weight: Weights | None, epochs: int, early_stopping: bool
    ) -> None:
        if self._trainer.optimizer != self._resolved_optimizer():  # set_params before a warm start
            self._trainer = self._new_trainer()
        self._trainer.seed = int(self._rng.randint(2**31 - 1))  # another order of samples in each call
        validation: Any = None
        callbacks = []
        if early_stopping:
            train, held_out = self._split(y)
            validation = (X[held_out], y[held_out], None if weight is None else weight[held_out])
            X, y, weight = X[train], y[train], None if weight is None else weight[train]
            callbacks.append(EarlyStopping("val_loss", whole_number(self.patience, "patience")))
        history = self._trainer.fit(
            X,
            y,
            epochs=epochs,
            batch_size=self.batch_size,
            validation_data=validation,
            callbacks=callbacks,
            progress=self._progress(),
            sample_weight=weight,
            augment=self.augment,
        )
        for name, values in history.items():
            self.history_.setdefault(name, []).extend(values)
        self.n_iter_ = len(self.history_["loss"])

    def _split(self, y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Numbers of the samples to train on, and of those to hold out."""
        fraction = real_number(self.validation_fraction, "validation_fraction", 0.0, 1.0, above=True)
        classes = y if isinstance(self, ClassifierMixin) else None
        train, held_out = train_test_split(
            np.arange(len(y)), test_size=fraction, random_state=self._rng, stratify=classes
        )
        return train, held_out

    # Parameters resolved

    def _resolved_layers(self, shape: Shape) -> list[Layer]:
        layers, n_outputs = self.layers, self._n_outputs()
        if layers is None:
            layers = default_layers
        if isinstance(layers, str):
            if layers not in NETWORKS:
                raise ValueError(f"`layers` must be one of {', '.join(NETWORKS)}, got {layers!r}")
            return NETWORKS[layers](n_outputs, shape).layers
        if callable(layers) and not isinstance(layers, type):
            layers = layers(shape, n_outputs)
        try:
            return list(layers)
        except TypeError:
            raise TypeError(
                "`layers` must be None, a name, a list of layers or a function "
                f"(input_shape, n_outputs) -> layers, got {self.layers!r}"
            ) from None

    def _resolved_optimizer(self) -> optimizers.Optimizer:
        optimizer = optimizers.resolve(self.optimizer)
        if isinstance(self.optimizer, str):
            optimizer = replace(optimizer, lr=self.learning_rate)  # type: ignore[type-var]
        return optimizer

    def _progress(self) -> Any:
        verbose = whole_number(int(self.verbose), "verbose", low=0)
        return progress.Lines() if verbose > 1 else verbose == 1

    # Samples

    def _checked_data(self, X: Any, y: Any, reset: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """X and y as arrays that fit each other, and what was seen before; a reset takes down their form."""
        regressor = isinstance(self, RegressorMixin)
        options = {"dtype": READ_AS_THEY_ARE, "multi_output": regressor, "y_numeric": regressor}
        if y is None or not _is_image_stack(X):
            X, y = validate_data(self, X, y, reset=reset, **options)
            return X, y
        X, y = check_X_y(X, y, allow_nd=True, estimator=self, **options)
        if reset:
            self.n_features_in_ = math.prod(X.shape[1:])
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        else:
            self._check_images(X)
        return X, y

    def _checked_samples(self, X: Any) -> NDArray[Any]:
        """X to predict from, in the network's shape."""
        check_is_fitted(self, "model_")
        if _is_image_stack(X):
            X = check_array(X, dtype=READ_AS_THEY_ARE, allow_nd=True, estimator=self)
            self._check_images(X)
        else:
            X = validate_data(self, X, reset=False, dtype=READ_AS_THEY_ARE)
        return X.reshape(len(X), *self.model_.input_shape)

    def _check_images(self, X: NDArray[Any]) -> None:
        if not _same_images(X.shape[1:], self.model_.input_shape):
            raise ValueError(
                f"X has samples of shape {X.shape[1:]}, but {type(self).__name__} is expecting "
                f"{self.model_.input_shape}"
            )

    def _sample_shape(self, X: NDArray[Any]) -> Shape:
        """The input shape of the network for X: `input_shape`, or as X has it."""
        own: Shape = X.shape[1:]
        if len(own) > 3:
            raise ValueError(f"X must have 2, 3 or 4 axes, (N, features) to (N, C, H, W), got {X.shape}")
        if self.input_shape is None:
            return own if len(own) != 2 else (1, *own)
        try:
            shape = tuple(whole_number(n, "input_shape") for n in self.input_shape)
        except TypeError:
            shape = ()
        if len(shape) == 2:
            shape = (1, *shape)
        if len(shape) not in (1, 3):
            raise ValueError(f"`input_shape` must be (C, H, W) or (H, W), got {self.input_shape!r}")
        if math.prod(own) != math.prod(shape) or (len(own) > 1 and not _same_images(own, shape)):
            raise ValueError(f"`input_shape` {shape} does not fit X, whose samples have shape {own}")
        return shape

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class ConvClassifier(ClassifierMixin, _ConvEstimator):
    """A network that tells classes apart.

    Parameters
    ----------
    layers : None, list of layers, str or callable
        None for a small network that suits the input (see `default_layers`); the layers themselves;
        "lenet5", "lenet_digits" or "vgg_small"; or a function (input_shape, n_outputs) -> layers.
        The output has one number for two classes (two will do, too), otherwise one for each class. A last
        Sigmoid or Softmax makes no difference: the loss has its own.
    input_shape : tuple, optional
        (C, H, W) or (H, W): what each row of a 2-D X is reshaped to. X of shape (N, C, H, W) or (N, H, W)
        needs none.
    epochs, batch_size : int
        Passes over the data, and samples of a step.
    learning_rate : float or schedule
        Of the optimizers given by name. A schedule runs over the epochs of one call of `fit`.
    optimizer : {"adam", "sgd", "adamw"} or optimizer
        An optimizer such as SGD(lr=0.1, momentum=0.9) has its own learning rate.
    augment : None or Augment
        How images are changed at random while the network is trained; see `fastconv.Augment`.
    class_weight : None, "balanced" or dict
        Class -> how much its samples count, 1 where it is missing; "balanced" makes all classes count alike.
    dtype : None, "float32" or "float64"
        Of the network. None goes by X, as scikit-learn does: float64 for float64, float32 for all others.
        Float32 is about twice as fast.
    random_state : int, RandomState or None
        Of the first parameters, the order of samples, dropout, augmentation and the held out samples. With
        an int, results have the same bits on any number of threads.
    warm_start : bool
        Whether `fit` goes on with the network that is there.
    early_stopping : bool
        Whether to hold out samples, to stop when their loss no longer falls, and to keep the best epoch.
    validation_fraction : float
        Part of the samples that `early_stopping` holds out, of each class the same.
    patience : int
        Epochs without improvement after which `early_stopping` stops.
    verbose : int
        0 for nothing, 1 for a bar on a terminal and a line an epoch, 2 for the lines only, as in Keras.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels in order.
    model_ : Sequential
        The network; its outputs are logits.
    history_ : dict
        "loss", "accuracy", "learning_rate", "seconds" and, when stopping early, "val_loss" and
        "val_accuracy", each a list with a value for each epoch, all calls after each other.
    n_iter_ : int
        Epochs so far.
    n_features_in_ : int
        Numbers of one sample.
    feature_names_in_ : ndarray
        Names of the columns, where X had any.

    Notes
    -----
    X is read where it lies: float32, float64 or uint8, which is divided by 255 (so predict from what you
    train on), of any strides. Other numbers are converted to float32.

    Weights are scaled to mean 1, and a step is the mean of weighted gradients over its samples. A sample of
    weight 0 is left out. A sample of weight 2 is the same as one given twice, up to rounding, when a step
    takes all samples; in smaller steps it is the same on average only, as the two runs are shuffled
    differently.

    Examples
    --------
    >>> import fastconv as fc
    >>> X_train, y_train, X_test, y_test = fc.datasets.load_digits()
    >>> classifier = fc.estimators.ConvClassifier(epochs=15, random_state=0).fit(X_train, y_train)
    >>> bool(classifier.score(X_test, y_test) > 0.95)
    True
    >>> classifier.predict_proba(X_test).shape
    (360, 10)
    """

    _metrics = ("accuracy",)

    def __init__(
        self,
        layers: Any = None,
        input_shape: Any = None,
        *,
        epochs: int = 30,
        batch_size: int = 32,
        learning_rate: Any = 0.001,
        optimizer: Any = "adam",
        augment: Any = None,
        class_weight: Any = None,
        dtype: str | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            layers,
            input_shape,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizer=optimizer,
            augment=augment,
            dtype=dtype,
            random_state=random_state,
            warm_start=warm_start,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> "ConvClassifier":
        """Train a network, a new one unless `warm_start`.

        Parameters
        ----------
        X : array_like, shape (N, features), (N, H, W) or (N, C, H, W)
        y : array_like, shape (N,)
            Labels of any type, of at least two classes.
        sample_weight : array_like, shape (N,), optional
            How much each sample counts, relative to each other; see the class's notes.

        Returns
        -------
        ConvClassifier
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
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.array(["no", "yes"] * 10)
        >>> fc.estimators.ConvClassifier(epochs=1).fit(X, y).classes_.tolist()
        ['no', 'yes']
        """
        fresh = not (self.warm_start and hasattr(self, "model_"))
        self._fit(X, y, sample_weight, fresh, self.epochs, self.early_stopping)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "ConvClassifier":
        """Train for one epoch more.

        Parameters
        ----------
        X, y : array_like
            As in `fit`; here y may lack some of the classes.
        classes : array_like, shape (n_classes,)
            All labels that will ever come; needed in the first call only.
        sample_weight : array_like, shape (N,), optional
            As in `fit`, relative to each other within this call.

        Returns
        -------
        ConvClassifier
            This one.

        Raises
        ------
        ValueError, TypeError
            If an argument or a parameter does not fit.

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.array(["no", "yes"] * 10)
        >>> classifier = fc.estimators.ConvClassifier()
        >>> classifier = classifier.partial_fit(X[:10], y[:10], classes=["no", "yes"])
        >>> classifier.partial_fit(X[10:], y[10:]).classes_.tolist()
        ['no', 'yes']
        """
        fresh = not hasattr(self, "model_")
        if fresh and classes is None:
            raise ValueError("`classes` must be given in the first call of partial_fit")
        if self.class_weight == "balanced":
            raise ValueError(
                '`class_weight` "balanced" needs all samples at once, not partial_fit: give a dict'
            )
        self._fit(X, y, sample_weight, fresh, 1, False, classes)
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """The logits: of the second of two classes, otherwise of each class.

        Parameters
        ----------
        X : array_like
            As in `fit`.

        Returns
        -------
        ndarray of float64, shape (N,) or (N, n_classes)

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.array(["no", "yes"] * 10)
        >>> classifier = fc.estimators.ConvClassifier(epochs=1).fit(X, y)
        >>> classifier.decision_function(X).shape
        (20,)
        """
        X = self._checked_samples(X)
        logits = self.model_.predict(X).astype(np.float64)
        if len(self.classes_) > 2:
            return logits
        return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """The probability of each class.

        Parameters
        ----------
        X : array_like
            As in `fit`.

        Returns
        -------
        ndarray of float64, shape (N, n_classes)
            In the order of `classes_`.

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.array(["no", "yes"] * 10)
        >>> classifier = fc.estimators.ConvClassifier(epochs=1).fit(X, y)
        >>> classifier.predict_proba(X).sum(axis=1).round(6)[:2]
        array([1., 1.])
        """
        logits = self.decision_function(X)
        if logits.ndim == 1:
            logits = np.column_stack([np.zeros_like(logits), logits])
        return softmax(logits, copy=False)

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """The logarithm of `predict_proba`.

        Parameters
        ----------
        X : array_like
            As in `fit`.

        Returns
        -------
        ndarray of float64, shape (N, n_classes)
            In the order of `classes_`.

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.array(["no", "yes"] * 10)
        >>> classifier = fc.estimators.ConvClassifier(epochs=1).fit(X, y)
        >>> bool((classifier.predict_log_proba(X) <= 0).all())
        True
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label.

        Parameters
        ----------
        X : array_like
            As in `fit`.

        Returns
        -------
        ndarray, shape (N,)
            Of the labels' type.

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.array(["no", "yes"] * 10)
        >>> classifier = fc.estimators.ConvClassifier(epochs=1).fit(X, y)
        >>> set(classifier.predict(X)) <= {"no", "yes"}
        True
        """
        logits = self.decision_function(X)
        return self.classes_[(logits > 0).astype(int) if logits.ndim == 1 else logits.argmax(axis=1)]

    # Inside

    def _learn_targets(self, y: NDArray[Any], fresh: bool, classes: ArrayLike | None) -> NDArray[Any]:
        check_classification_targets(y)
        if fresh:
            self.classes_ = np.unique(y if classes is None else np.asarray(classes))
            if len(self.classes_) < 2:
                raise ValueError(
                    f"y must have at least two classes, got one class: {self.classes_.tolist()[0]!r}"
                )
        elif classes is not None and not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise ValueError(f"`classes` must stay as they were, {self.classes_}, got {classes}")
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y must have labels of the classes {self.classes_}, got also {unknown}")
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _class_weight(self, targets: NDArray[Any], weight: Weights | None) -> Weights | None:
        wanted = self.class_weight
        if wanted is None:
            return None
        if isinstance(wanted, Mapping):
            labels = self.classes_.tolist()
            unknown = [label for label in wanted if label not in labels]
            if unknown:
                raise ValueError(
                    f"`class_weight` must have labels of the classes {labels}, got {unknown[0]!r}"
                )
            wanted = {labels.index(label): value for label, value in wanted.items()}
        return class_weights(wanted, targets, len(self.classes_), weight)[targets]

    def _n_outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _network(self, layers: list[Layer], shape: Shape, dtype: str, seed: int) -> Sequential:
        if len(layers) > 1 and isinstance(layers[-1], (Sigmoid, Softmax)):
            layers = layers[:-1]
        model = Sequential(layers, shape, dtype, seed)
        fitting: list[Shape] = [(self._n_outputs(),), (len(self.classes_),)]
        return _checked_output(model, fitting, f"{len(self.classes_)} classes")

    def _loss(self) -> str:
        return "bce_with_logits" if self.model_.output_shape == (1,) else "cross_entropy"


class ConvRegressor(RegressorMixin, _ConvEstimator):
    """A network that predicts numbers, by the least mean squared error.

    Parameters
    ----------
    layers : None, list of layers, str or callable
        None for a small network that suits the input (see `default_layers`); the layers themselves;
        "lenet5", "lenet_digits" or "vgg_small"; or a function (input_shape, n_outputs) -> layers.
        The output has one number for each target.
    input_shape : tuple, optional
        (C, H, W) or (H, W): what each row of a 2-D X is reshaped to. X of shape (N, C, H, W) or (N, H, W)
        needs none.
    epochs, batch_size : int
        Passes over the data, and samples of a step.
    learning_rate : float or schedule
        Of the optimizers given by name. A schedule runs over the epochs of one call of `fit`.
    optimizer : {"adam", "sgd", "adamw"} or optimizer
        An optimizer such as SGD(lr=0.1, momentum=0.9) has its own learning rate.
    augment : None or Augment
        How images are changed at random while the network is trained; see `fastconv.Augment`.
    dtype : None, "float32" or "float64"
        Of the network. None goes by X, as scikit-learn does: float64 for float64, float32 for all others.
        Float32 is about twice as fast.
    random_state : int, RandomState or None
        Of the first parameters, the order of samples, dropout, augmentation and the held out samples. With
        an int, results have the same bits on any number of threads.
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
    model_ : Sequential
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

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> "ConvRegressor":
        """Train a network, a new one unless `warm_start`.

        Parameters
        ----------
        X : array_like, shape (N, features), (N, H, W) or (N, C, H, W)
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

    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> "ConvRegressor":
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

    def _learn_targets(self, y: NDArray[Any], fresh: bool, classes: ArrayLike | None) -> NDArray[Any]:
        if fresh:
            self._target_shape: Shape = y.shape[1:]
        elif y.shape[1:] != self._target_shape:
            raise ValueError(f"y must have shape {('N', *self._target_shape)} as before, got {y.shape}")
        return y

    def _n_outputs(self) -> int:
        return math.prod(self._target_shape)

    def _network(self, layers: list[Layer], shape: Shape, dtype: str, seed: int) -> Sequential:
        model = Sequential(layers, shape, dtype, seed)
        return _checked_output(model, [(self._n_outputs(),)], f"{self._n_outputs()} targets")

    def _loss(self) -> str:
        return "mse"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _is_image_stack(X: Any) -> bool:
    shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
    return len(shape) > 2


def _same_images(shape: Shape, input_shape: Shape) -> bool:
    """Whether images of `shape` fit `input_shape`; grey ones may leave out their channel."""
    return shape == input_shape or (1, *shape) == input_shape


def _checked_output(model: Sequential, fitting: list[Shape], what: str) -> Sequential:
    if model.output_shape not in fitting:
        raise ValueError(
            f"`layers` must end in an output of shape {fitting[0]} for {what}, got {model.output_shape}"
        )
    return model
