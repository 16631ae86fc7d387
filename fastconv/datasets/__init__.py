"""Image data sets as arrays."""

from .loaders import DataSet, load, load_digits, load_images, load_mnist, load_mnist_subset, load_npz

__all__ = ["DataSet", "load", "load_digits", "load_images", "load_mnist", "load_mnist_subset", "load_npz"]
