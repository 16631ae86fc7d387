"""Networks that hold every layer, with other settings than their defaults: of images, and of signals."""

import fastconv as fc

EVERY_LAYER = [
    fc.Conv2d(4, (3, 2), stride=(1, 2), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
    fc.BatchNorm2d(0.2, 1e-4), fc.LeakyReLU(0.05), fc.GroupNorm(2, eps=1e-3),
    fc.MaxPool2d((2, 3), stride=1, padding=1, dilation=(2, 1), ceil_mode=True), fc.Tanh(),
    fc.InstanceNorm2d(eps=1e-3, affine=True), fc.Conv2d(3, 3, padding="same"), fc.ReLU(),
    fc.Residual([fc.Conv2d(5, 3, stride=2, padding="same"), fc.ReLU6()], fc.Conv2d(5, 1, stride=2)),
    fc.Add([fc.Conv2d(3, 1, padding="valid")], [fc.PReLU(True, init=0.1), fc.Conv2d(3, 1)]),
    fc.Concatenate(fc.AdaptiveAvgPool2d((4, None)), [fc.Conv2d(2, 2, padding=((0, 0), (1, 0))), fc.SiLU()]),
    fc.ConvTranspose2d(4, (2, 3), stride=(2, 1), padding=((1, 0), (0, 1)), output_padding=(1, 0)),
    fc.DepthwiseConv2d((2, 1), depth_multiplier=2, bias=False),
    fc.Upsample((1, 2), "bilinear", align_corners=True),
    fc.SeparableConv2d(4, 3, stride=2, padding="same", depth_multiplier=2),
    fc.AvgPool2d(2, stride=1, padding=1, ceil_mode=True, count_include_pad=False), fc.SpatialDropout2d(0.1),
    fc.Hardswish(), fc.Concatenate(fc.GlobalAvgPool2d(), fc.GlobalMaxPool2d()), fc.Sigmoid(), fc.Flatten(),
    fc.LayerNorm(eps=1e-3), fc.Dropout(0.25), fc.Dense(5), fc.ELU(0.5), fc.GELU("tanh"), fc.Hardsigmoid(),
    fc.Softplus(), fc.Dense(4, bias=False), fc.Softmax(),
]  # fmt: skip
SHAPE = (2, 9, 10)
EVERY_SIGNAL_LAYER = [
    fc.Conv1d(4, 3, stride=2, padding="causal", dilation=2, groups=2, bias=False), fc.BatchNorm1d(0.2, 1e-4),
    fc.MaxPool1d(3, stride=1, padding=1, dilation=2, ceil_mode=True),
    fc.InstanceNorm1d(eps=1e-3, affine=True), fc.Conv1d(3, 4, padding=(2, 0)),
    fc.AvgPool1d(2, 1, 1, ceil_mode=True, count_include_pad=False),
    fc.ConvTranspose1d(4, 3, stride=2, padding=(1, 0), output_padding=1, groups=1, dilation=2),
    fc.DepthwiseConv1d(3, padding="causal", bias=False), fc.SeparableConv1d(3, 2, stride=2),
    fc.Upsample(2, "linear"),
    fc.SpatialDropout1d(0.1), fc.AdaptiveAvgPool1d(4), fc.PReLU(init=-0.1),
    fc.Concatenate(fc.GlobalAvgPool1d(), fc.GlobalMaxPool1d()), fc.Flatten(), fc.Dense(4), fc.BatchNorm1d(),
]  # fmt: skip
SIGNAL_SHAPE = (2, 21)
EVERY_NETWORK = {"image": (EVERY_LAYER, SHAPE), "signal": (EVERY_SIGNAL_LAYER, SIGNAL_SHAPE)}


def kinds_in(layers):
    """The names of the kinds of layers, those inside others too."""
    found = set()
    for layer in layers:
        found.add(type(layer).__name__)
        for inner in (
            *getattr(layer, "branches", ()),
            layer.layers() if isinstance(layer, fc.Block) else getattr(layer, "layers", ()),
            getattr(layer, "shortcut", ()),
        ):
            found |= kinds_in(inner)
    return found
