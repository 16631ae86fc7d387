"""A network seen from inside: activations and gradients, explanations, gradient check, worst mistakes."""

from . import (  # noqa: F401 - they register their layers
    curve_formulas,
    sample_formulas,
    signal_formulas,
    upscaling_formulas,
)
from .layer_by_layer import activations, backward

__all__ = ["activations", "backward"]
