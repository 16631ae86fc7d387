"""Networks from what has been written down of them."""

from ..nn.outline import Outline
from .model import Model
from .sequential import Sequential


def network_of(outline: Outline, dtype: str = "float32", seed: int = 0) -> Model:
    """The network of an outline: a Sequential of a row, otherwise a Model."""
    return (Sequential if outline.is_row else Model).of_outline(outline, dtype, seed)
