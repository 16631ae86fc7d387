"""Data sets of images and signals as arrays."""

from .data_set import DataSet
from .image_folders import load_images
from .loaders import load_digits, load_mnist, load_mnist_subset, load_npz
from .signals import load_signals
from .sources import load

__all__ = [
    "DataSet",
    "load",
    "load_digits",
    "load_images",
    "load_mnist",
    "load_mnist_subset",
    "load_npz",
    "load_signals",
]
