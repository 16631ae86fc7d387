"""`Sequential`: layers in a row."""

from collections.abc import Iterable

from ..nn.block import checked_layers
from ..nn.layer import Layer, Shape
from ..nn.outline import Outline, checked_shape
from .model import Model


class Sequential(Model):
    """Layers in a row.

    Parameters
    ----------
    layers : iterable of layers
        Each takes what the one before it gives; Residual, Add and Concatenate have branches within. A layer
        that stands at two places has weights of its own at each.
    input_shape : tuple
        (C, H, W) of an image, (C, L) of a signal, or (features,).
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters, drawn as PyTorch draws them: uniform within 1 / sqrt(fan_in).

    Raises
    ------
    ValueError, TypeError
        If a layer can't take its input; the message names the layer.

    Examples
    --------
    >>> import fastconv as fc
    >>> model = fc.Sequential([fc.Conv2d(6, 5), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dense(10)],
    ...                       input_shape=(1, 28, 28))
    >>> model.output_shape
    (10,)
    >>> model.num_parameters
    8806
    """

    def __init__(
        self, layers: Iterable[Layer], input_shape: Shape, dtype: str = "float32", seed: int = 0
    ) -> None:
        checked = checked_layers(layers, "`layers`")
        self._build(Outline.of_row(checked, checked_shape(input_shape)), dtype, seed)
