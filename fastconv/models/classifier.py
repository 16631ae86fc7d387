"""What a network is as a classifier: the names of its classes, and the probability of each."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kernels import sigmoid, softmax
from ..nn.activations import Sigmoid, Softmax
from ..nn.losses import BCE, LOSSES, Loss
from ..nn.network import Network


class Classifier(Network):
    """A network that may be a classifier; what it must know for that lies in `metadata`, which files hold."""

    metadata: dict[str, Any]
    predict: Callable[..., NDArray[Any]]  # a subclass has it

    @property
    def classes(self) -> list[Any]:
        """The names of the classes in the order of the outputs, or their numbers where they have no names.

        They may be assigned: as many different texts or numbers as there are classes, two for a single
        output, or None for no names. They lie in `metadata["classes"]`, and so are kept by `save` and `load`.

        Returns
        -------
        list

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.reference_cnn()
        >>> model.classes
        [0, 1]
        >>> model.classes = ["no", "yes"]
        >>> model.classes
        ['no', 'yes']
        """
        names = self.metadata.get("classes") if isinstance(self.metadata, dict) else None
        count = self._num_classes()
        return list(names) if isinstance(names, list) and len(names) == count else list(range(count))

    @classes.setter
    def classes(self, names: "ArrayLike | None") -> None:
        if names is None:
            self.metadata.pop("classes", None)
            return
        count, given = self._num_classes(), np.asarray(names, dtype=object)
        if not count:
            raise ValueError(
                f"a network with several outputs ({', '.join(self.output_names)}) has no `classes`"
            )
        plain = [name.item() if isinstance(name, np.generic) else name for name in given.ravel()]
        if given.shape != (count,) or not all(isinstance(name, (str, int, float)) for name in plain):
            raise ValueError(f"`classes` must be {count} texts or numbers, one for each class, got {names!r}")
        if len(set(plain)) != count:
            raise ValueError(f"`classes` must be different from each other, got {names!r}")
        self.metadata["classes"] = plain

    def predict_proba(self, X: "ArrayLike", batch_size: int = 256) -> NDArray[np.float64]:
        """The probability of each class.

        Parameters
        ----------
        X : ndarray, shape (N, *input_shape)
            As for `predict`.
        batch_size : int
            Samples in work at a time.

        Returns
        -------
        ndarray of float64, shape (N, classes)
            In the order of `classes`; each row sums to 1, unless the outputs are several independent yes or
            no answers: then each is the probability of a yes. Of a network that was trained with classes for
            each pixel, (N, classes, H, W).

        Raises
        ------
        ValueError
            If the network is no classifier: its output is an image that was not trained with a loss that has
            classes, or it was trained with one that has none, such as "mse".

        Notes
        -----
        Outputs of a last Softmax or Sigmoid are probabilities already. Others are logits: those that a
        Trainer has last trained with "bce_with_logits" pass through a sigmoid, others through a softmax; a
        single output is the logit of the second of two classes. The name of that loss is kept in `metadata`,
        and so in files.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.lenet5().predict_proba(np.zeros((3, 1, 28, 28))).sum(axis=1).round(6)
        array([1., 1., 1.])
        """
        self._loss_of_classes()
        return self.as_probabilities(self.predict(X, batch_size))

    def as_probabilities(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """What `predict_proba` makes of the outputs of the network.

        Parameters
        ----------
        outputs : ndarray
            As `predict` gives them.

        Returns
        -------
        ndarray of float64

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.lenet5().as_probabilities(np.zeros((1, 10))).round(6).tolist()[0][:2]
        [0.1, 0.1]
        """
        loss, outputs = self._loss_of_classes(), outputs.astype(np.float64)
        ready = self.ends_in(Sigmoid) or self.ends_in(Softmax) or isinstance(loss, BCE)
        if self.output_shape[0] == 1:
            no, yes = (1 - outputs, outputs) if ready else (sigmoid(-outputs), sigmoid(outputs))
            return np.concatenate([no, yes], axis=1)
        if ready:
            return outputs
        if self.answers_apart():
            return sigmoid(outputs)
        return np.moveaxis(softmax(np.moveaxis(outputs, 1, -1)), -1, 1)

    def answers_apart(self) -> bool:
        """Whether the outputs are several yes or no answers that do not depend on each other.

        Returns
        -------
        bool

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Sequential([fc.Dense(3), fc.Sigmoid()], (4,)).answers_apart()
        True
        """
        loss = self._trained_with()
        binary = self.ends_in(Sigmoid) or (loss is not None and loss.targets == "probabilities")
        return binary and self.output_shape[0] != 1

    def note_loss(self, loss: Loss) -> None:
        """Take down the loss that the network is trained with, for `predict_proba`.

        Parameters
        ----------
        loss : Loss

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.lenet5()
        >>> model.note_loss(fc.losses.BCEWithLogits())
        >>> model.metadata
        {'loss': 'bce_with_logits'}
        """
        if isinstance(self.metadata, dict):
            self.metadata.pop("loss", None)
            if type(loss) in LOSSES.values():  # the name of a user's own says nothing
                self.metadata["loss"] = loss.name

    def _num_classes(self) -> int:
        if len(self.output_shapes) > 1:
            return 0
        by_pixel = len(self.output_shape) > 1 and self._trained_with() is not None
        return max(2, self.output_shape[0] if by_pixel else math.prod(self.output_shape))

    def _loss_of_classes(self) -> Loss | None:
        """The loss that the network was trained with, if its outputs have classes; else ValueError."""
        loss = self._trained_with()
        if len(self.output_shapes) > 1 or (len(self.output_shape) != 1 and loss is None):
            raise ValueError(f"predict_proba needs an output for each class, got shape {self.output_shape}")
        if loss is not None and loss.targets == "numbers":
            raise ValueError(f'predict_proba needs classes, got a network trained with "{loss.name}"')
        return loss

    def _trained_with(self) -> Loss | None:
        """The loss of `note_loss`, or None where nobody knows, or it is a user's own."""
        name = self.metadata.get("loss") if isinstance(self.metadata, dict) else None
        return LOSSES[name]() if isinstance(name, str) and name in LOSSES else None
