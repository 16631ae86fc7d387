"""Arguments that people of other libraries would take for something else are given by name only.

What has a default may be given by position only where the table says so: where PyTorch, Keras and
scikit-learn have the same in that place, or where anything else is refused for its type.
"""

import inspect

import numpy as np
import pytest

import fastconv as fc
from fastconv import kernels
from tests.test_docs import EVERYTHING, FUNCTIONS

BY_POSITION = {
    "fastconv.LeakyReLU": "negative_slope",
    "fastconv.ELU": "alpha",
    "fastconv.GELU": "approximate",
    "fastconv.PReLU": "per_channel",
    "fastconv.Residual": "shortcut",
    "fastconv.Dropout": "p",
    "fastconv.SpatialDropout1d": "p",
    "fastconv.SpatialDropout2d": "p",
    "fastconv.AvgPool1d": "stride padding ceil_mode count_include_pad",
    "fastconv.AvgPool2d": "stride padding ceil_mode count_include_pad",
    "fastconv.MaxPool1d": "stride padding dilation",
    "fastconv.MaxPool2d": "stride padding dilation",
    "fastconv.Upsample": "scale_factor mode",
    "fastconv.SGD": "lr momentum",
    "fastconv.Adam": "lr",
    "fastconv.AdamW": "lr",
    "fastconv.RMSprop": "lr",
    "fastconv.Lion": "lr",
    "fastconv.ElementwiseOptimizer": "lr",
    "fastconv.Augment": "shift",
    "fastconv.Augment.apply": "seed step dtype",
    "fastconv.EMA": "decay",
    "fastconv.EarlyStopping": "monitor",
    "fastconv.ModelCheckpoint": "monitor",
    "fastconv.OptunaPruning": "monitor",
    "fastconv.ReduceLROnPlateau": "monitor",
    "fastconv.TensorBoard": "log_dir",
    "fastconv.WandB": "project",
    "fastconv.History.best": "name",
    "fastconv.Sequential": "dtype seed",
    "fastconv.Input": "name",
    "fastconv.Model": "dtype seed",
    "fastconv.Model.memory": "batch_size purpose",
    "fastconv.Model.predict": "batch_size",
    "fastconv.Model.predict_proba": "batch_size",
    "fastconv.Model.loss_and_gradients": "loss",
    "fastconv.Model.source": "purpose",
    "fastconv.Model.summary": "batch_size",
    "fastconv.Model.save": "metadata",
    "fastconv.Model.load_weights": "names",
    "fastconv.Trainer": "loss optimizer metrics seed",
    "fastconv.Trainer.fit": "y",
    "fastconv.Trainer.train_on_batch": "sample_weight",
    "fastconv.Trainer.evaluate": "y",
    "fastconv.check_gradients": "loss",
    "fastconv.lr_finder": "y",
    "fastconv.profile": "y loss",
    "fastconv.Profile.total": "part",
    "fastconv.explain": "loss",
    "fastconv.models.reference_cnn": "dtype seed",
    "fastconv.models.lenet5": "num_classes input_shape dtype seed",
    "fastconv.models.lenet_digits": "num_classes input_shape dtype seed",
    "fastconv.models.vgg_small": "num_classes input_shape dtype seed",
    "fastconv.models.atari_cnn": "num_actions input_shape dtype seed",
    "fastconv.models.autoencoder": "input_shape dtype seed",
    "fastconv.models.fcn": "dtype seed",
    "fastconv.models.inception_time": "dtype seed",
    "fastconv.models.lite": "dtype seed",
    "fastconv.models.resnet1d": "dtype seed",
    "fastconv.models.time_cnn": "dtype seed",
    "fastconv.models.ds_cnn": "num_classes input_shape dtype seed",
    "fastconv.models.mnist1d_cnn": "num_classes input_shape dtype seed",
    "fastconv.models.mobilenet_v1_025": "num_classes input_shape dtype seed",
    "fastconv.models.mobilenet_v2": "num_classes input_shape dtype seed",
    "fastconv.models.resnet8": "num_classes input_shape dtype seed",
    "fastconv.models.unet": "num_classes input_shape dtype seed",
    "fastconv.training.metrics.confusion_matrix": "num_classes",
    "fastconv.training.metrics.precision": "average",
    "fastconv.training.metrics.recall": "average",
    "fastconv.training.metrics.f1": "average",
    "fastconv.training.metrics.top_k_accuracy": "k",
    "fastconv.inspection.layer_by_layer.backward": "loss",
    "fastconv.plots.filters": "layer",
    "fastconv.plots.gradient_maps": "loss",
    "fastconv.datasets.load": "channels size",
    "fastconv.datasets.load_images": "channels size test_fraction seed",
    "fastconv.estimators.ConvClassifier": "layers input_shape",
    "fastconv.estimators.ConvClassifier.fit": "sample_weight",
    "fastconv.estimators.ConvClassifier.partial_fit": "classes sample_weight",
    "fastconv.estimators.ConvClassifier.score": "sample_weight",
    "fastconv.estimators.ConvRegressor": "layers input_shape",
    "fastconv.estimators.ConvRegressor.fit": "sample_weight",
    "fastconv.estimators.ConvRegressor.partial_fit": "sample_weight",
}
PLOTS = {f"fastconv.plots.{name}": getattr(fc.plots, name) for name in fc.plots.__all__}
LOSSES = {f"fastconv.losses.{name}": getattr(fc.losses, name) for name in fc.losses.__all__}
LOSSES.pop("fastconv.losses.Huber")  # its only setting
CALLS = {path: EVERYTHING[path] for path in FUNCTIONS if not path.startswith("fastconv.kernels.")}


def with_defaults_by_position(function):
    """Arguments with a default that may be given by position; None where there is no signature."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except ValueError:  # of a class in C, such as an exception
        return []
    return [p.name for p in arguments if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty]


@pytest.mark.parametrize("path", [*CALLS, *PLOTS, *LOSSES])
def test_what_has_a_default_is_given_by_name_unless_the_table_has_it(path):
    function = {**CALLS, **PLOTS, **LOSSES}[path]
    assert with_defaults_by_position(function) == BY_POSITION.get(path, "").split()


# Numba has no arguments by name only: kernels have the order of PyTorch's functions instead.
IN_PYTORCH = {
    "conv2d": "conv2d",
    "conv_transpose1d": "conv_transpose1d",
    "conv_transpose2d": "conv_transpose2d",
    "max_pool2d": "max_pool2d",
    "avg_pool2d": "avg_pool2d",
    "dense": "linear",
    "leaky_relu": "leaky_relu",
    "group_norm": "group_norm",
    "conv1d": "conv1d",
    "max_pool1d": "max_pool1d",
    "avg_pool1d": "avg_pool1d",
    "adaptive_avg_pool1d": "adaptive_avg_pool1d",
    "adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "prelu": "prelu",
    "relu6": "relu6",
    "elu": "elu",
    "silu": "silu",
    "gelu": "gelu",
    "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid",
    "softplus": "softplus",
}
SAME = {"gamma": "weight", "beta": "bias", "x": "input"}
ORDERS = {  # those written in C have no signature
    "conv2d": "input weight bias stride padding dilation groups",
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d"),
        "input weight bias stride padding output_padding groups dilation",
    ),
    "max_pool2d": "input kernel_size stride padding dilation ceil_mode",
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad",
    "linear": "input weight bias",
    "conv1d": "input weight bias stride padding dilation groups",
    "max_pool1d": "input kernel_size stride padding dilation ceil_mode",
    "avg_pool1d": "input kernel_size stride padding ceil_mode count_include_pad",
    "adaptive_avg_pool1d": "input output_size",
    "prelu": "input weight",
    "gelu": "input approximate",
    "softplus": "input beta threshold",
}


@pytest.mark.parametrize("name", IN_PYTORCH)
def test_kernels_have_the_order_of_pytorchs_functions(name):
    functional = pytest.importorskip("torch").nn.functional
    theirs = ORDERS.get(IN_PYTORCH[name], "").split()
    if not theirs:
        theirs = list(inspect.signature(getattr(functional, IN_PYTORCH[name])).parameters)
    ours = [SAME.get(p, p) for p in inspect.signature(getattr(kernels, name)).parameters]
    assert ours == theirs[: len(ours)]


X, Y = np.zeros((4, 3)), np.zeros(4, int)
MODEL = fc.Sequential([fc.Dense(2)], (3,))
OF_OTHERS = {
    "Keras's fit(x, y, batch_size, epochs)": lambda: fc.Trainer(MODEL).fit(X, Y, 32, 10),
    "Keras's evaluate(x, y, batch_size)": lambda: fc.Trainer(MODEL).evaluate(X, Y, 32),
    "Keras's RMSprop(lr, rho, momentum)": lambda: fc.RMSprop(0.001, 0.9, 0.9),
    "Keras's Adam(lr, beta_1, beta_2)": lambda: fc.Adam(0.001, 0.9, 0.999),
    "Keras's AdamW(lr, weight_decay)": lambda: fc.AdamW(0.001, 0.01),
    "PyTorch's SGD(..., lr, momentum, dampening)": lambda: fc.SGD(0.1, 0.9, 0),
    "Keras's EarlyStopping(monitor, min_delta)": lambda: fc.EarlyStopping("val_loss", 1, 5),
    "Keras's ModelCheckpoint(path, monitor, verbose)": lambda: fc.ModelCheckpoint("m.npz", "val_loss", 1),
    "Keras's CSVLogger(file, separator)": lambda: fc.CSVLogger("log.csv", ","),
    "Keras's CosineDecay(lr, decay_steps)": lambda: fc.CosineDecay(0.1, 1000),
    "PyTorch's OneCycleLR(lr, total_steps)": lambda: fc.OneCycle(0.1, 0.5),
    "torchvision's RandomAffine(degrees, translate)": lambda: fc.Augment(10, 0.1),
    "scikit-learn's load_digits(n_class)": lambda: fc.datasets.load_digits(0.5),
    "PyTorch's CrossEntropyLoss(weight)": lambda: fc.losses.CrossEntropy(0.1),
    "scikit-learn's MLPClassifier(sizes, activation, solver)": lambda: fc.estimators.ConvClassifier(
        None, None, 30
    ),
    "scikit-learn's confusion_matrix(y, p, labels)": lambda: fc.plots.confusion_matrix([0], [0], [0]),
}


@pytest.mark.parametrize("call", OF_OTHERS)
def test_calls_as_other_libraries_have_them_are_refused_at_once(call):
    if "scikit-learn's MLP" in call:
        pytest.importorskip("sklearn")
    with pytest.raises(TypeError, match="positional argument"):
        OF_OTHERS[call]()
