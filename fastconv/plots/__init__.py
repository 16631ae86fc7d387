"""Pictures: learning curves, the network as a graph, filters, what layers make of an image, mistakes.

Each function draws on the Axes that it is given, or in a new figure, and returns the Axes; none shows or
saves anything. In pictures of positive and negative numbers, zero is white, red above and blue below.
Matplotlib is imported as a function is called: pip install ".[plot]".
"""

from .network import feature_maps, filters, gradient_maps
from .network_graph import graph
from .profiling import profile
from .results import confusion_matrix, history, worst_mistakes
from .training import lr_finder

__all__ = [
    "confusion_matrix",
    "feature_maps",
    "filters",
    "gradient_maps",
    "graph",
    "history",
    "lr_finder",
    "profile",
    "worst_mistakes",
]
