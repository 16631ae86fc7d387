"""The trainer: what people call to train a network, and to measure it."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..checks.settings import real_number, whole_number
from ..formats.model_file import check_target
from . import other_names
from . import progress as progress_displays
from .augment import Augment, check_augment
from .batches import EVALUATED_AT_ONCE, ArrayFeed, BatchFeed, Feed, array_feeds, validation_feed
from .callbacks.callback import check_callbacks
from .callbacks.files import check_files
from .fitting import Fitting, guarded_epoch
from .grouped import GroupedFeed
from .history import DivergedError, History
from .loops import Steps, evaluate
from .other_names import hints
from .sample_weights import check_sample_weight
from .settings import TrainerSettings

__all__ = ["DivergedError", "History", "Trainer"]


class Trainer(TrainerSettings):
    """Trains a network.

    Parameters
    ----------
    model : Sequential
        Its parameters are changed in place.
    loss : str or Loss
        One of `fastconv.losses`, or its name: "cross_entropy", "focal" or "hinge" of classes; "bce",
        "bce_with_logits", "binary_focal" or "binary_hinge" of yes and no; "mse", "huber" or "smooth_l1".
        Of a network with several outputs a list of one for each, or a dict by their names.
        "bce" after a final Sigmoid, and "cross_entropy" after a final Softmax, are computed from the
        layer's input, which is exact where the factors alone would overflow.
    optimizer : SGD, Adam, AdamW or another of `fastconv.optimizers`
        Default is SGD(lr=0.01).
    metrics : str or function, or a tuple of them
        Figures beside the loss: "accuracy" (left out for "mse", which has no classes), "precision", "recall",
        "f1", "auc", "top5_accuracy", or functions (y_true, outputs) -> number, which go by their own name;
        see the notes.
    seed : int
        Of the order of samples, of dropout and of augmentation.
    loss_weights : list or dict of floats, optional
        Of several outputs, what the loss of each is multiplied by before they are added; default is 1.
    accumulate : int
        How many batches of `fit` make one step: it has the bits of one batch of so many times the size, and
        what is left over at the end of an epoch divides by its own size.

    Raises
    ------
    ValueError, TypeError
        If an argument is unknown or does not fit the model.

    Notes
    -----
    Metrics are those of `fastconv.metrics`, over all samples of a pass at once, each counting as one: of
    class 1 where there are two classes, else the mean over the classes. Figures of validation data are of the
    outputs that `model.predict` gives; those of training data, as in Keras, of the outputs that the steps
    themselves made, dropout and all, while the parameters changed. Accuracy takes no time: a step counts it
    anyway. A function gets y in the outputs' shape, or the labels (N,), and is called once a pass.
    Of several outputs, figures are named after them, "policy_loss" and "policy_accuracy", and metrics may be
    a dict by these names.

    With `accumulate`, a step takes the samples of all its batches at once. That needs the memory of the large
    batch, and batch normalisation goes by all of its samples (in PyTorch's loops, by each batch alone). It
    serves loaders of small batches, and recipes in two numbers. Schedules, `on_batch_end` and `steps_taken`
    count steps; `steps_per_epoch` counts batches.

    Loss, optimizer, metrics, seed and `accumulate` may be assigned later, and hold from the next call on. An
    optimizer of the same class as the one before goes on with its moments, another one begins anew; a
    callback may assign one, which holds from the next epoch on.

    One thread at a time trains a network: `fit` or `train_on_batch` in another one raises RuntimeError, and
    so does `evaluate` while another thread trains. `model.predict` takes the parameters as they are then.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.random((64, 1, 6, 6)), rng.integers(0, 2, 64)
    >>> model, metrics = fc.models.reference_cnn(), ("accuracy", "f1", "auc")
    >>> trainer = fc.Trainer(model, loss="bce", optimizer=fc.SGD(lr=0.1), metrics=metrics)
    >>> history = trainer.fit(X, y, epochs=2)
    >>> len(history["loss"]), 0 <= history["auc"][-1] <= 1
    (2, True)
    """

    @hints(other_names.FIT)
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 5,
        batch_size: int = 32,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        callbacks: Iterable[Any] | None = (),
        progress: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        sample_weight: "ArrayLike | None" = None,
        class_weight: Any = None,
        augment: Augment | None = None,
        steps_per_epoch: int | None = None,
        verbose: int | str | None = None,
    ) -> History:
        """Train for some epochs, going on where the last call ended.

        Parameters
        ----------
        X : ndarray, shape (N, *input_shape), or batches
            Of several inputs, a list of arrays or a dict of them by name; of several outputs, y likewise.
            Real numbers, of any strides; those of uint8, and no others, are divided by 255. Read sample by
            sample, and converted in pieces where they are not float32, float64, uint8 or int64. Without y, an
            iterable of batches (X, y) or (X, y, sample_weight), such as a list, a PyTorch DataLoader or a
            generator, or a function that returns one for each epoch; see the notes.
        y : ndarray
            For "cross_entropy" int labels (N,), one-hot rows (N, classes), taken as the labels, or rows that
            sum to 1, parts of each class; of outputs (classes, H, W) labels (N, H, W), a class for each
            pixel. For other losses with classes labels; otherwise numbers of the output's shape.
        epochs, batch_size : int
            Passes over the data, and samples of a step. A last, smaller batch divides by its own size.
        validation_data : tuple of arrays or iterable of batches, optional
            (X, y) or (X, y, sample_weight) to evaluate after every epoch, or batches of them as for X.
        validation_split : float
            Instead, the part of X and y to hold out, 0 to 1: of each class its last samples, so that all keep
            their share (a class of one sample is trained on); without classes, the last samples of all.
        shuffle : bool
            Whether each epoch takes the samples in a new order; batches are always taken as they come.
        callbacks : iterable
            Objects with `on_epoch_end(trainer, logs)` or other methods of `Callback`. With `on_batch_end`,
            steps are run one by one: the same numbers, but slower for small networks.
        progress : None, bool or object
            None shows progress on a terminal only, True always, False never.
        checkpoint : path, optional
            A file, .npz or .safetensors, that holds, after every epoch, all that is needed to go on.
        resume : bool
            Go on from `checkpoint`, if that file is there, and end as a run that was never cut off: with the
            state of callbacks that have `state_dict()` and `load_state_dict(state)`, too. Another network,
            optimizer, seed or metrics, other data, weights or shuffling are refused; a run that a callback
            has stopped stays so, unless more `epochs` are asked for.
        sample_weight : ndarray, shape (N,), optional
            How much each sample counts: numbers >= 0 which its loss and gradient are multiplied by. A step
            still divides by the number of its samples, as in Keras, so weights of mean 1 keep the size of
            the steps; accuracy counts every sample as one.
        class_weight : dict, ndarray of shape (classes,) or "balanced", optional
            The same for all samples of a class: class number -> weight, 1 where it is missing; a weight for
            each class; or weights that make all classes count the same. Both together are multiplied. Not for
            held out samples. Of parts of classes, the largest decides.
        augment : Augment, optional
            How each image is changed at random, anew in every epoch. Held out samples are left as they are.
        steps_per_epoch : int, optional
            Batches of an epoch, where an iterable has no end or is too long for one.
        verbose : {"auto", 0, 1, 2}, optional
            Keras's name for `progress`: 0 shows nothing, 1 a bar, 2 a line for each epoch. Not both.

        Returns
        -------
        History
            Name of a figure -> its values, one for each epoch.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.
        DivergedError
            If the loss or a parameter is no longer finite. Where X or y is not, it is a ValueError too, and
            says where. Network and optimizer are then as they were before the epoch.
        RuntimeError
            If another thread trains the network.

        Notes
        -----
        Two calls of one epoch do what one call of two does: order of samples, dropout, augmentation and the
        optimizer's moments go on, and `history` has all epochs. A schedule of learning rates spans one
        call. To repeat a run exactly, begin with a new Trainer of the same seed on a network in the same
        state (`model.load_state`).

        An iterable is gone through once an epoch. With `steps_per_epoch`, an epoch goes on where the last one
        has stopped, and what has come to its end is begun anew. An iterator, such as a generator, cannot be:
        for several epochs it needs `steps_per_epoch` (or a function that makes it), and if it ends too soon,
        so does training, with a warning, as in Keras. A resumed run begins its iterable anew.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> def batches():
        ...     rng = np.random.default_rng(0)
        ...     while True:
        ...         y = rng.integers(0, 2, 16)
        ...         yield rng.random((16, 1, 6, 6)) * (1 + y[:, None, None, None]), y
        >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
        >>> history = trainer.fit(batches(), epochs=3, steps_per_epoch=10)
        >>> len(history["loss"]), trainer.steps_taken
        (3, 30)
        """
        epochs, batch_size = whole_number(epochs, "epochs"), whole_number(batch_size, "batch_size")
        split = real_number(validation_split, "validation_split", 0.0, 1.0)
        if resume and checkpoint is None:
            raise ValueError("`resume` needs `checkpoint`, the file to go on from")
        if checkpoint is not None:
            check_target(checkpoint, "checkpoint")
        if not isinstance(shuffle, (bool, np.bool_)):
            raise TypeError(f"`shuffle` must be True or False, got {shuffle!r}")
        callbacks = check_callbacks(() if callbacks is None else callbacks)
        check_files(callbacks, checkpoint)
        if augment is not None and len(self.model.inputs) > 1:
            raise ValueError("`augment` is for a network with one input: change the images beforehand")
        augment = check_augment(augment, self.model.input_shape)
        display = progress_displays.resolve(progress, verbose)
        form = self._form()
        held_out: Feed | None = None
        if validation_data is not None:
            if split:
                raise ValueError(
                    f"`validation_split` must be 0 where `validation_data` is given, got {validation_split!r}"
                )
            held_out = validation_feed(validation_data, form, epochs)
        if y is None:
            _refuse(validation_split=split > 0, sample_weight=sample_weight is not None)
            feed = self._batches(X, epochs, steps_per_epoch, class_weight)
        else:
            if steps_per_epoch is not None:
                raise ValueError(f"`steps_per_epoch` is for batches, not for arrays, got {steps_per_epoch!r}")
            X, y = form.check(X, y)
            weight = None if sample_weight is None else check_sample_weight(sample_weight, len(X))
            seed = self.seed if shuffle else None
            at_once = batch_size * self.accumulate
            feed, rest = array_feeds(X, y, weight, split, class_weight, form, at_once, seed)
            held_out = rest if held_out is None else held_out
        fitting = Fitting(self, feed, held_out, epochs, callbacks, display, augment, checkpoint)
        with self._working("fit"):
            if not resume or fitting.resume():
                fitting.run()
        return fitting.history

    @hints(other_names.TRAIN_ON_BATCH)
    def train_on_batch(self, X: Any, y: Any, sample_weight: "ArrayLike | None" = None) -> float:
        """Take one step on a batch.

        Parameters
        ----------
        X, y, sample_weight : ndarray
            One batch, as in `fit`.

        Returns
        -------
        float
            The mean loss of the batch, before the step.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or the learning rate is a schedule: only `fit` knows how many steps
            there will be.
        DivergedError
            If the loss or a parameter is no longer finite. Where X or y is not, it is a ValueError too, and
            says where. Network and optimizer are then as they were before the step.
        RuntimeError
            If another thread trains the network.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce", optimizer=fc.SGD(lr=0.1))
        >>> losses = [trainer.train_on_batch(np.ones((4, 1, 6, 6)), [0, 1, 1, 1]) for _ in range(9)]
        >>> losses[-1] < losses[0]
        True
        """
        if not isinstance(self.optimizer.lr, float):
            raise ValueError(f"`lr` must be a number for train_on_batch, got {self.optimizer.lr!r}")
        X, y = self._form().check(X, y)
        weight = None
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, len(X), may_be_zeros=True)
        with self._working("train_on_batch"):
            task, steps = self._current_task(), self._single_steps
            if steps is None or not steps.still_fit(task):
                steps = self._single_steps = Steps(task, self.steps_taken)
            feed, silent = ArrayFeed(X, y, weight, len(X)), progress_displays.Silent()
            metrics, _ = guarded_epoch(self, steps, feed, 0, 1, silent)
        return metrics.loss

    @hints(other_names.EVALUATE)
    def evaluate(
        self,
        X: Any,
        y: Any = None,
        *,
        batch_size: int = EVALUATED_AT_ONCE,
        sample_weight: "ArrayLike | None" = None,
    ) -> dict[str, float]:
        """The mean loss and the metrics over some samples.

        Parameters
        ----------
        X, y : ndarray
            As in `fit`; X alone may be an iterable of batches.
        batch_size : int
            Samples in work at a time.
        sample_weight : ndarray, shape (N,), optional
            What each sample's loss is multiplied by, as in `fit`.

        Returns
        -------
        dict
            "loss" and the metrics, but no "accuracy" where the loss has no classes.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
        >>> sorted(trainer.evaluate(np.zeros((4, 1, 6, 6)), [0, 1, 0, 1]))
        ['accuracy', 'loss']
        """
        batch_size = whole_number(batch_size, "batch_size")
        self.model.engines.training.check_free()
        if y is None:
            _refuse(sample_weight=sample_weight is not None)
            return evaluate(self._current_task(), BatchFeed(X, self._form()), batch_size=batch_size)
        X, y = self._form().check(X, y)
        weight = None if sample_weight is None else check_sample_weight(sample_weight, len(X))
        return evaluate(self._current_task(), ArrayFeed(X, y, weight, batch_size), batch_size=batch_size)

    # Inside

    def _batches(self, X: Any, epochs: int, steps: int | None, class_weight: Any) -> Feed:
        """The feed of an iterable of batches."""
        if isinstance(class_weight, str):
            raise ValueError(f"`class_weight` must be a dict for batches, got {class_weight!r}")
        feed = BatchFeed(X, self._form(), epochs, steps, class_weight)
        return feed if self.accumulate == 1 else GroupedFeed(feed, self.accumulate)


def _refuse(**given: bool) -> None:
    """Raise ValueError if an argument that only arrays can have is given with batches."""
    for name, is_given in given.items():
        if is_given:
            raise ValueError(f"`{name}` is for arrays X and y, and there is no y")
