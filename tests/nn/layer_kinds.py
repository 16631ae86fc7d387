"""The ready-made layers: name -> class. Block and Elementwise are what users make their own of."""

from fastconv import nn

LAYERS = {name: getattr(nn, name) for name in nn.__all__ if name not in ("Block", "Elementwise")}
