"""How each layer becomes operations of a plan, one file a layer family; importing them registers them."""

from . import (  # noqa: F401 - they register their layers
    activations,
    conv,
    conv_transpose,
    curves,
    dense,
    elementwise,
    merge,
    norm,
    pool,
    prelu,
    resize,
    shape,
)
from .base import LOWERINGS, lowering_of

__all__ = ["LOWERINGS", "lowering_of"]
