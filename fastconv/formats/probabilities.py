"""The layer that makes probabilities of a network's logits, for programs that don't do it themselves."""

from typing import Any

from ..nn.activations import Sigmoid, Softmax
from ..nn.layer import Layer
from ..nn.losses import BCE, LOSSES
from ..nn.network import Network


def final_layer(network: Network) -> Layer | None:
    """A Softmax, or a Sigmoid after one output or independent ones; None if there are probabilities already.

    The loss that the network's metadata name decides, if they do.

    Raises
    ------
    ValueError
        If the network's outputs are no logits of classes.

    Examples
    --------
    >>> import fastconv as fc
    >>> final_layer(fc.models.lenet5()), final_layer(fc.models.reference_cnn())
    (Softmax(), None)
    """
    about: Any = getattr(network, "metadata", {})
    name = about.get("loss") if isinstance(about, dict) else None
    loss = LOSSES.get(name) if isinstance(name, str) else None
    if network.ends_in(Softmax) or network.ends_in(Sigmoid) or loss is BCE:
        return None
    if len(network.output_shape) != 1:
        raise ValueError(
            f"`softmax` needs a network that ends in classes, got outputs {network.output_shape}"
        )
    if loss is not None and loss.targets == "numbers":
        raise ValueError(f"`softmax` needs a classifier, got a network trained with {name!r}")
    if network.output_shape == (1,) or (loss is not None and loss.targets == "probabilities"):
        return Sigmoid()
    return Softmax()
