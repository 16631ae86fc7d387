"""What the classifier and the regressor share: arguments, networks, training."""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, check_X_y
from sklearn.utils.validation import check_is_fitted, validate_data

from ..checks.settings import real_number, whole_number
from ..engine.inputs import layout_hint
from ..models.model import Model
from ..models.sequential import Sequential
from ..nn import optimizers
from ..nn.layer import Layer, Shape
from ..nn.losses import LossName
from ..training import progress
from ..training.callbacks import EarlyStopping
from ..training.running_metrics import MetricName
from ..training.sample_weights import Weights, check_sample_weight
from ..training.trainer import Trainer
from .networks import as_name, is_model, layers_of, network_of, same_images, sample_shape

# Other numbers become the first of these. What the engine has to convert, it converts in pieces.
READ_AS_THEY_ARE = [
    np.float32, np.float64, np.float16, np.bool_, np.uint8, np.uint16, np.uint32, np.uint64, np.int8,
    np.int16, np.int32, np.int64,
]  # fmt: skip
SMALLEST_IMAGE = 8  # pixels of a side: shorter rows may be anything


class FlatImagesWarning(UserWarning):
    """Rows of features have as many numbers as an image, and are learned without regard to neighbours.

    `input_shape=(1, 28, 28)` makes images of rows of 784 numbers; `input_shape=(784,)` says that they are
    none.

    Examples
    --------
    >>> import fastconv as fc
    >>> issubclass(fc.estimators.FlatImagesWarning, UserWarning)
    True
    """


class ConvEstimator(BaseEstimator):
    """What classifier and regressor share; they say what their targets, outputs and loss are."""

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
        self.model = model
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

    _metrics: tuple[MetricName, ...] = ()

    def _learn_targets(self, y: NDArray[Any], fresh: bool, classes: ArrayLike | None) -> NDArray[Any]:
        """The targets as the trainer takes them; a fresh fit takes down what they are."""
        raise NotImplementedError

    def _class_weight(self, targets: NDArray[Any], weight: Weights | None) -> Weights | None:
        """The weight of each sample by its class, or None."""
        return None

    def _for_output(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The targets as the network's output has them."""
        return targets

    def _output_sizes(self) -> list[int]:
        """How many numbers the output may have: what `layers` are asked for first, and `model` last."""
        raise NotImplementedError

    def _purpose(self) -> str:
        """What the output has numbers for."""
        raise NotImplementedError

    def _fitted_to_loss(self, layers: list[Layer]) -> list[Layer]:
        """The layers without what the loss does itself."""
        return layers

    def _name_outputs(self) -> None:
        """Take down in the network what its outputs stand for."""

    def _loss(self) -> LossName:
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
        self._train(X, self._for_output(targets), weight, epochs, early_stopping)

    def _build(self, X: NDArray[Any]) -> None:
        """A new network and its trainer."""
        self._rng = check_random_state(self.random_state)
        self._check_kind_of_network()
        if self.layers is None and self.model is None and self.input_shape is None and X.ndim == 2:
            _warn_of_flat_images(X.shape[1])
        shape = sample_shape(as_name(self.model), self.input_shape, X.shape)
        self.model_ = self._new_network(shape, X.dtype, int(self._rng.randint(2**31 - 1)))
        self._name_outputs()
        self._trainer = self._new_trainer()
        self.history_: dict[str, list[float]] = {}
        self.n_iter_ = 0

    def _check_kind_of_network(self) -> None:
        if self.model is None:
            return
        if self.layers is not None:
            raise ValueError(f"`layers` must be None where `model` is given, got {self.layers!r}")
        if not is_model(self.model):
            raise TypeError(
                "`model` must be None, a name, a network or a function (input_shape, n_outputs) -> network, "
                f"got {self.model!r}"
            )

    def _new_network(self, shape: Shape, of_samples: Any, seed: int) -> Model:
        """The network for samples of a shape and a dtype, if its output fits."""
        dtype, sizes = self.dtype, self._output_sizes()
        if dtype is None:
            own = self.model.dtype if isinstance(self.model, Model) else of_samples
            dtype = "float64" if np.dtype(own) == np.float64 else "float32"
        network: Model
        if self.model is None:
            layers = self._fitted_to_loss(layers_of(self.layers, shape, sizes[0]))
            network, wanted = Sequential(layers, shape, dtype, seed), sizes[0]
        else:
            network, wanted = network_of(as_name(self.model), shape, sizes[-1], dtype, seed), sizes[-1]
        if network.output_shape not in [(size,) for size in sizes]:
            raise ValueError(
                f"`{'layers' if self.model is None else 'model'}` must end in an output of shape {(wanted,)} "
                f"for {self._purpose()}, got {network.output_shape}"
            )
        return network

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
            callbacks.append(EarlyStopping("val_loss", patience=whole_number(self.patience, "patience")))
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
        if classes is not None and classes.ndim == 2:
            classes = classes.argmax(axis=1)
        train, held_out = train_test_split(
            np.arange(len(y)), test_size=fraction, random_state=self._rng, stratify=classes
        )
        return train, held_out

    # Parameters resolved

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
        options = {
            "dtype": READ_AS_THEY_ARE,
            "multi_output": regressor or is_rows(y),
            "y_numeric": regressor,
        }
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
        if not same_images(X.shape[1:], self.model_.input_shape):
            raise ValueError(
                f"X has samples of shape {X.shape[1:]}, but {type(self).__name__} is expecting "
                f"{self.model_.input_shape}{layout_hint(X.shape, self.model_.input_shape)}"
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _shape_of(values: Any) -> Shape:
    return tuple(values.shape if hasattr(values, "shape") else np.asarray(values).shape)


def _is_image_stack(X: Any) -> bool:
    return len(_shape_of(X)) > 2


def is_rows(y: Any) -> bool:
    """Whether there are several numbers for each sample."""
    shape = _shape_of(y)
    return len(shape) == 2 and shape[1] > 1


def _warn_of_flat_images(features: int) -> None:
    """Warn where rows of so many features may well be square images."""
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if channels * side**2 == features and side >= SMALLEST_IMAGE:
            warnings.warn(
                f"rows of {features} numbers are taken as features: for images, give `input_shape`="
                f"({channels}, {side}, {side}); ({features},) says that they are none",
                FlatImagesWarning,
                stacklevel=5,  # where `fit` was called
            )
