"""The trainer: what people call to train a network, and to measure it."""

import os
from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from ..checks.settings import whole_number
from ..engine.columns import inputs_as_given
from . import other_names
from .asked import Asked, Samples, refuse
from .augment import Augment
from .batch_feed import BatchFeed
from .batches import array_feed
from .evaluating import evaluate, predict
from .feeds import EVALUATED_AT_ONCE, Feed
from .fitting import guarded_epoch
from .history import DivergedError, History
from .loops import Steps
from .other_names import hints
from .progress import Silent
from .same_call import agree, form_of
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
    communicator : mpi4py.MPI.Comm, optional
        Such as MPI.COMM_WORLD: the processes of it, which are called ranks, train the network together; see
        the notes.
    data : {"shared", "local"}
        With a communicator, whether every rank gives the same samples, of which it reads only some, or those
        that it alone has.

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

    With a communicator, every rank makes the same calls of `fit`, `evaluate`, `predict` and `train_on_batch`,
    with a network, settings and arguments of its own that are equal to those of the others: what differs is
    refused. Parameters and moments are those of rank 0, where others begin with different ones. Each rank
    computes a part of every batch, in blocks of 16 samples (8 in float64), and all end with the bits of one
    process, whatever the number of ranks and of their threads; processors with other vector units, or another
    batch size, make other last bits. Figures, parameters and what is returned are the same on all ranks.
    Rank 0 alone shows progress, calls back, reads and writes the checkpoint; all ranks take over what a
    callback changes of the trainer and its network. In a callback the trainer works on its own: it may
    `evaluate`, `predict` or `train_on_batch`, and the other ranks wait.

    With `data="local"`, X, y, weights, validation data and batches are one rank's part, which may be empty,
    of those of one process: the parts of all ranks one below the other, that of rank 0 first. An epoch of an
    iterable ends when those of all ranks have ended. Where an error counts samples, it counts those of all.

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

    @hints(other_names.FIT, together=True)
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
        asked = Asked(
            X, y, sample_weight, epochs, batch_size, validation_data, validation_split, shuffle, callbacks,
            progress, checkpoint, resume, class_weight, augment, steps_per_epoch, verbose,
        )  # fmt: skip
        form = self._form()
        agree(self, "fit", lambda: asked.check(self, form), lambda: asked.facts(self))
        fitting = asked.fitting(self, form)
        with self._working("fit"):
            if not resume or fitting.resume():
                fitting.run()
        return fitting.history

    @hints(other_names.TRAIN_ON_BATCH, together=True)
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
        form, batch = self._form(), Samples(X, y, sample_weight)

        def check() -> None:
            if not isinstance(self.optimizer.lr, float):
                raise ValueError(f"`lr` must be a number for train_on_batch, got {self.optimizer.lr!r}")
            batch.check(self, form)

        agree(self, "train_on_batch", check, lambda: batch.facts(self))
        feed = array_feed(batch.X, batch.y, batch.weight, None, form, may_be_zeros=True)
        with self._working("train_on_batch"):
            task, steps = self._current_task(), self._single_steps
            if steps is None or not steps.still_fit(task, self.ranks):
                steps = self._single_steps = Steps(task, self.steps_taken, ranks=self.ranks)
            metrics, _ = guarded_epoch(self, steps, feed, 0, 1, Silent())
        return metrics.loss

    @hints(other_names.EVALUATE, together=True)
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
        form, samples = self._form(), Samples(X, y, sample_weight)

        def check() -> None:
            whole_number(batch_size, "batch_size")
            self.model.engines.training.check_free()
            if y is None:
                refuse(sample_weight=sample_weight is not None)
            else:
                samples.check(self, form)

        def facts() -> dict[str, Any]:
            arrays = {"y": "missing"} if y is None else samples.facts(self)
            return {"batch_size": int(batch_size), **arrays}

        agree(self, "evaluate", check, facts)
        if y is None:
            feed: Feed = BatchFeed(X, form)
        else:
            feed = array_feed(samples.X, samples.y, samples.weight, batch_size, form)
        return evaluate(self._current_task(), feed, batch_size=batch_size, ranks=self.ranks)

    @hints({}, together=True)
    def predict(self, X: Any, *, batch_size: int = EVALUATED_AT_ONCE) -> Any:
        """The outputs of the network, as `model.predict` gives them; of several ranks, each computes some.

        Parameters
        ----------
        X : ndarray, shape (N, *input_shape)
            As for `model.predict`. With `data="local"`, samples of this rank's own, of which it gets the
            outputs.
        batch_size : int
            Samples in work at a time.

        Returns
        -------
        ndarray, shape (N, *output_shape)
            On every rank; of several outputs, a list or a dict of them.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or ranks make different calls.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> fc.Trainer(fc.models.reference_cnn(), loss="bce").predict(np.zeros((3, 1, 6, 6))).shape
        (3, 1)
        """
        model, checked = self.model, []

        def check() -> None:
            checked.append(inputs_as_given(X, model.input_names, model.input_shapes))
            whole_number(batch_size, "batch_size")

        def facts() -> dict[str, Any]:
            return {"batch_size": int(batch_size), **form_of(self, "X", checked[0])}

        agree(self, "predict", check, facts)
        if self.ranks.count == 1 or self.data == "local":
            with self.ranks.busy("predicting"):
                return model.predict(X, batch_size)
        return model.as_given(predict(model, checked[0], batch_size, self.ranks))
