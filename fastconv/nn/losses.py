"""Losses."""

from ..kernels.lanes import losses
from .layer import Shape

# Loss -> its operation, and its operation on the input of a final layer that it absorbs.
LOSSES = {
    "bce": (losses.bce, {"Sigmoid": losses.bce_with_logits}),
    "bce_with_logits": (losses.bce_with_logits, {}),
    "cross_entropy": (losses.cross_entropy, {"Softmax": losses.cross_entropy}),
    "mse": (losses.mse, {}),
}


def default_loss(network):
    """The name of the loss that suits a network's output.

    "bce" after a Sigmoid and "cross_entropy" after a Softmax, which they absorb; otherwise "cross_entropy"
    for two features or more, and "mse" for a single number or an image.
    """
    last = type(network.layers[-1]).__name__
    for name, (_, absorbed) in LOSSES.items():
        if last in absorbed:
            return name
    shape = network.output_shape
    return "cross_entropy" if len(shape) == 1 and shape[0] > 1 else "mse"


def check_loss(loss: str, output_shape: Shape) -> None:
    """Raise ValueError unless `loss` is known and fits the output."""
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be one of {', '.join(map(repr, LOSSES))}, got {loss!r}")
    if loss == "cross_entropy" and (len(output_shape) != 1 or output_shape[0] < 2):
        raise ValueError(f'`loss` "cross_entropy" needs an output of at least 2 features, got {output_shape}')
