"""How each layer becomes operations of a plan, one file a layer family; importing them registers them."""

from . import activations, conv, dense, norm, pool, shape  # noqa: F401 - they register their layers
from .base import LOWERINGS

__all__ = ["LOWERINGS"]
