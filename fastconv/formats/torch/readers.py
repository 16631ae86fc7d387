"""What has a reader: by the names that functions, operators and methods have in torch.fx's calls.

Each reader takes a Site and the call's arguments, tensors as wires, and gives a wire. In PyTorch an operator,
a function and a method of one name compute the same: `x + y`, torch.add(x, y), x.add(y).
"""

from collections.abc import Callable
from typing import Any

from .wires import Constant, NoCounterpart, Site, Wire

Reader = Callable[..., Any]
READERS: dict[str, Reader] = {}
# torch.nn's class -> reader, given the Site, the module and the wire; others are in the table of layers.
MODULE_READERS: dict[str, Callable[[Site, Any, Wire], Wire]] = {}
# What has no counterpart -> what would be possible.
HINTS = {
    **dict.fromkeys(
        ("MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerEncoderLayer",
         "TransformerDecoder", "TransformerDecoderLayer", "scaled_dot_product_attention"),
        "there is no attention; layers that mix positions are convolutions",
    ),
    **dict.fromkeys(
        ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"),
        "there is no recurrence; Conv1d with dilation and causal padding sees as far back",
    ),
    **dict.fromkeys(("Embedding", "EmbeddingBag", "embedding"), "give the network the vectors themselves"),
    **dict.fromkeys(
        ("mul", "imul", "mul_", "sub", "isub", "sub_", "rsub", "div", "truediv", "itruediv", "div_", "neg"),
        "values of images and signals are scaled and shifted by constants, and added to each other; x * "
        "sigmoid(x) is SiLU",
    ),
    **dict.fromkeys(
        ("getitem", "chunk", "split", "narrow", "select", "index_select", "unbind"),
        "values are read whole; a layer for each part, or convolutions with groups, would be possible",
    ),
    **dict.fromkeys(
        ("permute", "transpose", "swapaxes", "movedim", "channel_shuffle", "ChannelShuffle", "PixelShuffle"),
        "the order of axes and channels stays as it is",
    ),
    **dict.fromkeys(
        ("Conv3d", "MaxPool3d", "AvgPool3d", "BatchNorm3d", "conv3d"),
        "there are layers for signals (C, L) and images (C, H, W)",
    ),
    **dict.fromkeys(
        ("SELU", "selu", "CELU", "celu", "Mish", "mish", "Hardshrink", "Softsign", "exp", "log", "sin", "cos",
         "abs", "pow", "sqrt", "tanhshrink", "GLU", "glu"),
        "an Elementwise layer of your own would compute it; there are ReLU, LeakyReLU, PReLU, ReLU6, ELU, "
        "SiLU, GELU, Hardswish, Hardsigmoid, Softplus, Sigmoid, Tanh",
    ),
}  # fmt: skip


def reads(*names: str) -> Callable[[Reader], Reader]:
    """Enter a reader under the names of what it reads."""

    def enter(reader: Reader) -> Reader:
        READERS.update(dict.fromkeys(names, reader))
        return reader

    return enter


def reads_module(*kinds: str) -> Callable[[Reader], Reader]:
    """Enter a reader under the classes of the modules that it reads."""

    def enter(reader: Reader) -> Reader:
        MODULE_READERS.update(dict.fromkeys(kinds, reader))
        return reader

    return enter


def weights(site: Site, **given: Any) -> Callable[[str], Any]:
    """The tensors of a call by name; their layer is called by the module that they are parameters of."""
    known = {name: constant for name, constant in given.items() if constant is not None}
    for name, constant in known.items():
        if not isinstance(constant, Constant):
            raise NoCounterpart(f"its {name} must not depend on the input; weights are numbers, not values")
    parts = {constant.target.rpartition(".") for constant in known.values()}
    if len({path for path, _, _ in parts}) == 1 and {name for _, _, name in parts} == set(known):
        site.owner = next(iter(parts))[0]
    return lambda name: known[name].tensor if name in known else None
