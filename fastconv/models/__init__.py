"""Networks, ready-made ones, and how they are read."""

from .loading import from_onnx, from_torch, load
from .model import Model
from .sequential import Sequential
from .zoo import *  # noqa: F403
from .zoo import __all__ as _ready_made

__all__ = [*_ready_made, "Model", "Sequential", "from_onnx", "from_torch", "load"]
