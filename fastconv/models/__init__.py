"""Networks, ready-made ones, and how they are read."""

from .loading import from_onnx, from_torch, load
from .model import Model
from .sequential import Sequential
from .zoo import lenet5, lenet_digits, reference_cnn, vgg_small

__all__ = [
    "Model",
    "Sequential",
    "from_onnx",
    "from_torch",
    "lenet5",
    "lenet_digits",
    "load",
    "reference_cnn",
    "vgg_small",
]
