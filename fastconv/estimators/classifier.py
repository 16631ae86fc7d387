"""The scikit-learn classifier."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from ..engine.inputs import class_numbers, targets_as_given
from ..nn.activations import Sigmoid, Softmax
from ..nn.layer import Layer
from ..nn.losses import CrossEntropy, LossName
from ..training.sample_weights import Weights, class_weights
from .base import ConvEstimator, is_rows


class ConvClassifier(ClassifierMixin, ConvEstimator):
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
        needs none. With a `model` for time series, (channels, length).
    model : None, str, callable or Model
        A whole network instead of `layers`: one of `fastconv.models`, such as "resnet8", by its name; a
        function (input_shape, n_classes) -> network; or a network, of which a copy is trained. Networks that
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
    class_weight : None, "balanced", dict or array_like
        Class -> how much its samples count, 1 where it is missing; a weight for each class, in the order of
        `classes_`; "balanced" makes all classes count alike.
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
        Part of the samples that `early_stopping` holds out, of each class the same.
    patience : int
        Epochs without improvement after which `early_stopping` stops.
    verbose : int
        0 for nothing, 1 for a bar on a terminal and a line an epoch, 2 for the lines only, as in Keras.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels in order.
    model_ : Model
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
    X is read where it lies, of any dtype and strides; uint8, and nothing else, is divided by 255 (so predict
    from what you train on). Rows of a 2-D X are features, unless `input_shape` makes images of them.

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
        model: Any = None,
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
            model=model,
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

    def fit(self, X: Any, y: Any, sample_weight: "ArrayLike | None" = None) -> "ConvClassifier":
        """Train a network, a new one unless `warm_start`.

        Parameters
        ----------
        X : array_like, shape (N, features), (N, H, W), (N, C, H, W); (N, length) or (N, channels, length)
        y : array_like, shape (N,) or (N, n_classes)
            Labels of any type, of at least two classes; or rows of what each class, 0 to n_classes - 1, has
            of the sample, numbers >= 0 that sum to 1. One-hot rows are taken as the labels.
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
        self, X: Any, y: Any, classes: "ArrayLike | None" = None, sample_weight: "ArrayLike | None" = None
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
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
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
        X = self._checked_samples(X)
        return self.model_.predict_proba(X)

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

    def score(self, X: Any, y: Any, sample_weight: "ArrayLike | None" = None) -> float:
        """The part of right answers.

        Parameters
        ----------
        X : array_like
            As in `fit`.
        y : array_like, shape (N,) or (N, n_classes)
            Labels, or rows, of which the largest part is the class.
        sample_weight : array_like, shape (N,), optional
            How much each sample counts.

        Returns
        -------
        float
            0 to 1.

        Examples
        --------
        >>> import fastconv as fc
        >>> X, y = np.random.default_rng(0).random((20, 4)), np.eye(2)[np.arange(20) % 2]
        >>> classifier = fc.estimators.ConvClassifier(epochs=1).fit(X, y)
        >>> 0 <= classifier.score(X, y) <= 1
        True
        """
        if is_rows(y):
            y = self.classes_[np.asarray(y).argmax(axis=1)]
        return float(super().score(X, y, sample_weight))

    # Inside

    def _learn_targets(self, y: NDArray[Any], fresh: bool, classes: "ArrayLike | None") -> NDArray[Any]:
        if y.ndim == 2:
            return self._learn_rows(y, fresh, classes)
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

    def _learn_rows(self, y: NDArray[Any], fresh: bool, classes: "ArrayLike | None") -> NDArray[Any]:
        """The targets of rows of a part for each class; classes are numbers, unless they are known."""
        known = classes if fresh else self.classes_
        self.classes_ = np.arange(y.shape[1]) if known is None else np.unique(np.asarray(known))
        if y.shape[1] != len(self.classes_):
            raise ValueError(
                f"y must have a column for each of the classes {self.classes_}, got shape {y.shape}"
            )
        return targets_as_given(y, len(y), self.classes_.shape, CrossEntropy())

    def _for_output(self, targets: NDArray[Any]) -> NDArray[Any]:
        return targets[:, 1:] if targets.ndim == 2 and self.model_.output_shape == (1,) else targets

    def _class_weight(self, targets: NDArray[Any], weight: Weights | None) -> Weights | None:
        wanted = self.class_weight
        if wanted is None:
            return None
        if isinstance(wanted, Mapping):
            known = self.classes_.tolist()
            unknown = [label for label in wanted if label not in known]
            if unknown:
                raise ValueError(
                    f"`class_weight` must have labels of the classes {known}, got {unknown[0]!r}"
                )
            wanted = {known.index(label): value for label, value in wanted.items()}
        labels = class_numbers(targets)
        return class_weights(wanted, labels, len(self.classes_), weight)[labels]

    def _output_sizes(self) -> list[int]:
        count = len(self.classes_)
        return [1, 2] if count == 2 else [count]

    def _purpose(self) -> str:
        return f"{len(self.classes_)} classes"

    def _fitted_to_loss(self, layers: list[Layer]) -> list[Layer]:
        return layers[:-1] if len(layers) > 1 and isinstance(layers[-1], (Sigmoid, Softmax)) else layers

    def _name_outputs(self) -> None:
        for ending in (Sigmoid, Softmax):
            if self.model_.ends_in(ending):
                raise ValueError(f"`model` must give logits: leave out the last {ending.__name__}()")
        names = self.classes_.tolist()
        if all(isinstance(name, (str, int, float)) for name in names):  # files hold no others
            self.model_.classes = names

    def _loss(self) -> LossName:
        return "bce_with_logits" if self.model_.output_shape == (1,) else "cross_entropy"
