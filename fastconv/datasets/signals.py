"""Data sets of signals: time series, sounds, measurements along a line."""

import os

import numpy as np

from .data_set import DataSet
from .image_arrays import Array
from .loaders import npz_data_set


def load_signals(path: "str | os.PathLike[str]", *, test_fraction: float = 0.2, seed: int = 0) -> DataSet:
    """Signals and labels from a NumPy .npz file (nothing pickled is read).

    Parameters
    ----------
    path : str or path
        Holds X_train, y_train, X_test and y_test, or X and y, under the names that `load_npz` knows. Signals
        have shape (N, L) or (N, C, L); they are taken as they are, but that those of uint8 are divided by 255
        in training. Labels are ints from 0.
    test_fraction : float
        Part of each class that is held out when the file holds X and y.
    seed : int
        Decides which signals those are.

    Returns
    -------
    DataSet
        Signals of shape (N, C, L).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a whole .npz file of such arrays; the message names the file.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "noise.npz")
    >>> np.savez(path, X=np.random.default_rng(0).random((10, 40)), y=np.arange(10) % 2)
    >>> load_signals(path).X_train.shape
    (8, 1, 40)
    """
    return npz_data_set(path, test_fraction, seed, as_samples=as_signals, about=lambda X: [])


def as_signals(X: Array, name: str = "X") -> Array:
    """Signals as an array (N, C, L) of uint8, float32 or float64, or a ValueError that starts with `name`.

    Parameters
    ----------
    X : ndarray
        Shape (N, L) or (N, C, L).
    name : str
        What to call it in messages.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> as_signals(np.zeros((3, 40), np.int16)).dtype
    dtype('float32')
    """
    if X.ndim == 2:
        X = X[:, None]
    if X.ndim != 3 or X.size == 0:
        raise ValueError(f"{name} must be signals of shape (N, L) or (N, C, L), got {X.shape}")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers, got {X.dtype}")
    if X.dtype.kind == "f" and not np.isfinite(X).all():
        raise ValueError(f"{name} holds NaN or infinity")
    kept = X.dtype in (np.uint8, np.float64)
    return np.ascontiguousarray(X, dtype=X.dtype if kept else np.float32)
