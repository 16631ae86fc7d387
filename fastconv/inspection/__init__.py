"""A network seen from inside: activations and gradients, explanations, gradient check, worst mistakes."""

from . import curve_formulas, sample_formulas, signal_formulas  # noqa: F401 - they register their layers
from .layer_by_layer import activations, backward

__all__ = ["activations", "backward"]
