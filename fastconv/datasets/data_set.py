"""What loaders give: images and labels for training, the same held out, and what is known about them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .image_arrays import Array


class _Split(NamedTuple):
    """What a data set is as a tuple."""

    X_train: Array
    y_train: Array
    X_test: Array
    y_test: Array
    classes: list[Any]


class DataSet(_Split):
    """Images and labels for training, the same held out, and what the labels 0, 1, ... stand for.

    It is a tuple of the first five; the others are its attributes.

    Parameters
    ----------
    X_train, X_test : ndarray, shape (N, C, H, W)
        Of uint8, float32 or float64.
    y_train, y_test : ndarray of int64, shape (N,)
        Places in `classes`.
    classes : list
        Names or numbers.
    X_val, y_val : ndarray, optional
        Images to validate on while training, where they come with the data set, and their labels.
    files_train, files_test : sequence of str
        The path of each image that is a file of its own; empty for other data.
    notes : sequence of str
        What was done to the images: scaled, turned grey, left out; a line for each.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((2, 1, 8, 8), np.uint8)
    >>> data = DataSet(images, np.array([0, 1]), images[:0], np.array([], int), ["cat", "dog"])
    >>> X_train, y_train, X_test, y_test, classes = data
    >>> classes, data.X_val
    (['cat', 'dog'], None)
    """

    X_val: Array | None
    y_val: Array | None
    files_train: Sequence[str]
    files_test: Sequence[str]
    notes: Sequence[str]

    def __new__(
        cls,
        X_train: Array,
        y_train: Array,
        X_test: Array,
        y_test: Array,
        classes: list[Any],
        *,
        X_val: Array | None = None,
        y_val: Array | None = None,
        files_train: Sequence[str] = (),
        files_test: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> "DataSet":
        """A tuple of five, and attributes."""
        made = super().__new__(cls, X_train, y_train, X_test, y_test, classes)
        made.X_val, made.y_val, made.notes = X_val, y_val, notes
        made.files_train, made.files_test = files_train, files_test
        return made

    def replaced(self, **changes: Any) -> "DataSet":
        """A copy in which some of them are others.

        Parameters
        ----------
        **changes
            Name -> value.

        Returns
        -------
        DataSet

        Examples
        --------
        >>> import numpy as np
        >>> images = np.zeros((2, 1, 8, 8), np.uint8)
        >>> data = DataSet(images, np.array([0, 1]), images[:0], np.array([], int), ["cat", "dog"])
        >>> data.replaced(classes=["dog", "cat"]).classes
        ['dog', 'cat']
        """
        return DataSet(**{**self._asdict(), **vars(self), **changes})
