"""The network that plays Atari games from their pictures."""

from ...nn.activations import ReLU
from ...nn.conv import Conv2d
from ...nn.dense import Dense
from ...nn.layer import Shape
from ...nn.shape import Flatten
from ...nn.values import Input
from ..model import Model


def atari_cnn(
    num_actions: int = 18, input_shape: Shape = (4, 84, 84), dtype: str = "float32", seed: int = 0
) -> Model:
    """The network of agents that play Atari games: three convolutions, and heads for policy and value.

    Source: the layers are those of Mnih et al. (2015), "Human-level control through deep reinforcement
    learning"; the two heads those of actor and critic in Mnih et al. (2016), on layers that they share.

    Parameters
    ----------
    num_actions : int
        Logits of the policy; 18 is all that a joystick of Atari's can do.
    input_shape : tuple
        (C, H, W): the last C grey pictures of the screen.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.

    Returns
    -------
    Model
        Its outputs are called "policy", logits, and "value", one number.

    Examples
    --------
    >>> import fastconv as fc
    >>> model = fc.models.atari_cnn(num_actions=4)
    >>> model.output_names, model.output_shapes
    (('policy', 'value'), ((4,), (1,)))
    >>> trainer = fc.Trainer(model, {"policy": "cross_entropy", "value": "mse"})
    """
    pictures = x = Input(input_shape)
    for number, (channels, size, stride) in enumerate(((32, 8, 4), (64, 4, 2), (64, 3, 1)), 1):
        x = ReLU()(Conv2d(channels, size, stride=stride)(x, name=f"conv{number}"))
    x = ReLU()(Dense(512)(Flatten()(x), name="dense"))
    heads = {"policy": Dense(num_actions)(x, name="policy"), "value": Dense(1)(x, name="value")}
    return Model(pictures, heads, dtype, seed)
