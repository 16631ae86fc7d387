"""Settings of every layer, optimizer and helper, good and bad, at random."""

import numpy as np

import fastconv as fc
from fastconv.training import metrics
from tests.soak import mutations

IMAGE, SIGNAL, FEATURES = (2, 7, 6), (2, 13), (11,)


def pick(rng, *values):
    return values[rng.integers(len(values))]


def whole(rng, low, high):
    return int(rng.integers(low, high + 1))


LAYERS = {
    fc.Conv2d: lambda rng: {
        "out_channels": 2 * whole(rng, 1, 9),
        "kernel_size": (whole(rng, 1, 3), whole(rng, 1, 3)),
        "stride": whole(rng, 1, 2),
        "padding": pick(rng, 0, 1, (1, 0), ((0, 1), (2, 0)), "same", "same_lower", "valid"),
        "dilation": whole(rng, 1, 2),
        "groups": pick(rng, 1, 1, 2),
        "bias": bool(rng.integers(2)),
    },
    fc.ConvTranspose2d: lambda rng: {
        "out_channels": 2 * whole(rng, 1, 9),
        "kernel_size": (whole(rng, 1, 3), whole(rng, 1, 3)),
        "stride": whole(rng, 1, 3),
        "padding": pick(rng, 0, 0, 1, (1, 0), "same", "valid"),
        "output_padding": pick(rng, 0, 0, 1),
        "dilation": whole(rng, 1, 2),
        "groups": pick(rng, 1, 1, 2),
        "bias": bool(rng.integers(2)),
    },
    fc.DepthwiseConv2d: lambda rng: {
        "kernel_size": (whole(rng, 1, 3), whole(rng, 1, 3)),
        "stride": whole(rng, 1, 2),
        "padding": pick(rng, 0, 1, "same"),
        "depth_multiplier": whole(rng, 1, 3),
        "bias": bool(rng.integers(2)),
        "dilation": whole(rng, 1, 2),
    },
    fc.Upsample: lambda rng: {
        "scale_factor": pick(rng, 1, 2, (1, 3)),
        "mode": pick(rng, "nearest", "bilinear"),
    },
    fc.MaxPool2d: lambda rng: {
        "kernel_size": whole(rng, 1, 3),
        "stride": pick(rng, None, 1, 2),
        "padding": 0,
        "dilation": 1,
        "ceil_mode": bool(rng.integers(2)),
    },
    fc.AvgPool2d: lambda rng: {
        "kernel_size": whole(rng, 2, 3),
        "stride": pick(rng, None, 1, 2),
        "padding": whole(rng, 0, 1),
        "ceil_mode": bool(rng.integers(2)),
        "count_include_pad": bool(rng.integers(2)),
    },
    fc.GlobalAvgPool2d: lambda rng: {},
    fc.BatchNorm2d: lambda rng: {"eps": 1e-5, "momentum": 0.1},
    fc.GroupNorm: lambda rng: {"num_groups": whole(rng, 1, 2), "eps": 1e-5},
    fc.Dropout: lambda rng: {"p": float(rng.random() * 0.9)},
    fc.ReLU: lambda rng: {},
    fc.LeakyReLU: lambda rng: {"negative_slope": float(rng.random())},
    fc.Sigmoid: lambda rng: {},
    fc.Tanh: lambda rng: {},
    fc.Flatten: lambda rng: {},
    fc.Dense: lambda rng: {"out_features": whole(rng, 1, 20), "bias": bool(rng.integers(2))},
    fc.Softmax: lambda rng: {},
    fc.GlobalMaxPool2d: lambda rng: {},
    fc.AdaptiveAvgPool2d: lambda rng: {"output_size": pick(rng, 1, 3, (2, 5))},
    fc.InstanceNorm2d: lambda rng: {"eps": 1e-5, "affine": bool(rng.integers(2))},
    fc.LayerNorm: lambda rng: {"eps": 1e-5},
    fc.SpatialDropout2d: lambda rng: {"p": float(rng.random() * 0.9)},
    fc.PReLU: lambda rng: {"per_channel": bool(rng.integers(2)), "init": float(rng.random())},
    fc.ReLU6: lambda rng: {},
    fc.ELU: lambda rng: {"alpha": float(rng.random() + 0.1)},
    fc.SiLU: lambda rng: {},
    fc.GELU: lambda rng: {"approximate": pick(rng, "none", "tanh")},
    fc.Hardsigmoid: lambda rng: {},
    fc.Hardswish: lambda rng: {},
    fc.Softplus: lambda rng: {},
    fc.SeparableConv2d: lambda rng: {
        "out_channels": 2 * whole(rng, 1, 4),
        "kernel_size": (whole(rng, 1, 3), whole(rng, 1, 3)),
        "stride": whole(rng, 1, 2),
        "padding": pick(rng, 0, 1, "same"),
        "depth_multiplier": whole(rng, 1, 2),
        "bias": bool(rng.integers(2)),
    },
}
LAYERS |= {
    fc.Conv1d: lambda rng: {
        "out_channels": 2 * whole(rng, 1, 5),
        "kernel_size": whole(rng, 1, 6),
        "stride": whole(rng, 1, 2),
        "padding": pick(rng, 0, 1, (2, 0), "same", "same_lower", "valid", "causal"),
        "dilation": whole(rng, 1, 2),
        "groups": pick(rng, 1, 1, 2),
        "bias": bool(rng.integers(2)),
    },
    fc.ConvTranspose1d: lambda rng: {
        "out_channels": 2 * whole(rng, 1, 5),
        "kernel_size": whole(rng, 1, 4),
        "stride": whole(rng, 1, 3),
        "padding": pick(rng, 0, 0, 1, "same"),
        "output_padding": pick(rng, 0, 0, 1),
        "bias": bool(rng.integers(2)),
    },
    fc.DepthwiseConv1d: lambda rng: {
        "kernel_size": whole(rng, 1, 4),
        "stride": whole(rng, 1, 2),
        "padding": pick(rng, 0, 1, "same", "causal"),
        "depth_multiplier": whole(rng, 1, 2),
    },
    fc.SeparableConv1d: lambda rng: {
        "out_channels": whole(rng, 1, 6),
        "kernel_size": whole(rng, 1, 4),
        "padding": pick(rng, 0, 1, "same", "causal"),
    },
    fc.MaxPool1d: lambda rng: {
        "kernel_size": whole(rng, 1, 4),
        "stride": pick(rng, None, 1, 2),
        "padding": pick(rng, 0, "same"),
        "ceil_mode": bool(rng.integers(2)),
    },
    fc.AvgPool1d: lambda rng: {
        "kernel_size": whole(rng, 2, 4),
        "stride": pick(rng, None, 1, 2),
        "padding": pick(rng, 0, 1, (1, 0), "same"),
        "ceil_mode": bool(rng.integers(2)),
        "count_include_pad": bool(rng.integers(2)),
    },
    fc.GlobalAvgPool1d: lambda rng: {},
    fc.GlobalMaxPool1d: lambda rng: {},
    fc.AdaptiveAvgPool1d: lambda rng: {"output_size": whole(rng, 1, 5)},
    fc.BatchNorm1d: lambda rng: {"eps": 1e-5, "momentum": 0.1},
    fc.InstanceNorm1d: lambda rng: {"eps": 1e-5, "affine": bool(rng.integers(2))},
    fc.SpatialDropout1d: lambda rng: {"p": float(rng.random() * 0.9)},
}
OTHERS = {
    fc.SGD: {
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "clip_value": None,
    },
    fc.Adam: {
        "lr": 0.1,
        "betas": (0.9, 0.99),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "clip_norm": None,
        "clip_value": 0.5,
    },
    fc.AdamW: {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1},
    fc.Lion: {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1, "clip_norm": 1.0, "clip_value": None},
    fc.StepDecay: {"lr": 0.1, "factor": 0.5, "every": 3},
    fc.CosineDecay: {"lr": 0.1},
    fc.OneCycle: {"lr": 0.1},
    fc.EarlyStopping: {
        "monitor": "loss",
        "patience": 2,
        "min_delta": 0.0,
        "mode": "auto",
        "restore_best_weights": True,
    },
    fc.ModelCheckpoint: {"path": "model.npz", "monitor": "loss", "save_best_only": True, "mode": "min"},
    fc.CSVLogger: {"path": "log.csv", "append": False},
    fc.Augment: {"shift": 1, "horizontal_flip": True, "rotation": 5.0, "noise": 0.1, "fill": 0.0},
    metrics.confusion_matrix: {
        "y_true": np.array([0, 1, 2]),
        "y_pred": np.array([0, 2, 2]),
        "num_classes": 3,
    },
    metrics.accuracy: {"predictions": np.eye(3), "y": np.array([0, 1, 1]), "loss": "cross_entropy"},
    fc.set_num_threads: {"n": 2},
}


def mutated(rng, given):
    """The arguments with one of them changed."""
    given = dict(given)
    if given:
        name = list(given)[rng.integers(len(given))]
        value = given[name]
        if isinstance(value, np.ndarray):
            given[name] = mutations.array(rng, value)
        else:
            given[name] = (
                mutations.flag(rng, value) if isinstance(value, bool) else mutations.number(rng, value)
            )
    return given
