"""A network seen from inside: activations and gradients, explanations, gradient check, worst mistakes."""

from .layer_by_layer import activations, backward

__all__ = ["activations", "backward"]
