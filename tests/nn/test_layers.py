import json

import numpy as np
import pytest

import fastconv as fc
from fastconv.models.loading import _layer as layer_of
from fastconv.nn.layer import Layer
from tests.nn.layer_kinds import LAYERS

# Layer, input shape, output shape and shapes of the parameters, as torch.nn gives them.
SHAPES = [
    (fc.Conv2d(6, 5), (1, 28, 28), (6, 24, 24), {"weight": (6, 1, 5, 5), "bias": (6,)}),
    (fc.Conv2d(4, (3, 2), bias=False), (3, 9, 9), (4, 7, 8), {"weight": (4, 3, 3, 2)}),
    (fc.Conv2d(2, 3, stride=2), (1, 7, 8), (2, 3, 3), {"weight": (2, 1, 3, 3), "bias": (2,)}),
    (fc.Conv2d(2, 3, stride=(1, 3), padding=(2, 0), bias=False), (1, 7, 8), (2, 9, 2),
     {"weight": (2, 1, 3, 3)}),
    (fc.Conv2d(2, 3, dilation=(2, 1)), (5, 7, 8), (2, 3, 6), {"weight": (2, 5, 3, 3), "bias": (2,)}),
    (fc.Conv2d(6, 3, groups=2), (4, 5, 5), (6, 3, 3), {"weight": (6, 2, 3, 3), "bias": (6,)}),
    (fc.Conv2d(8, 3, groups=4), (4, 5, 5), (8, 3, 3), {"weight": (8, 1, 3, 3), "bias": (8,)}),
    (fc.Conv2d(2, (3, 4), padding="same", dilation=2), (1, 5, 6), (2, 5, 6),
     {"weight": (2, 1, 3, 4), "bias": (2,)}),
    (fc.Conv2d(2, 3, padding="valid", stride=2), (1, 5, 6), (2, 2, 2),
     {"weight": (2, 1, 3, 3), "bias": (2,)}),
    (fc.Conv2d(2, 3, stride=2, padding="same"), (1, 5, 6), (2, 3, 3), {"weight": (2, 1, 3, 3), "bias": (2,)}),
    (fc.Conv2d(2, 3, padding=((0, 1), (2, 0)), bias=False), (1, 5, 6), (2, 4, 6), {"weight": (2, 1, 3, 3)}),
    (fc.Conv2d(2, 1, padding=((1, 0), (1, 0)), bias=False), (1, 5, 6), (2, 6, 7), {"weight": (2, 1, 1, 1)}),
    (fc.Conv1d(6, 5, stride=2, padding=1), (2, 40), (6, 19), {"weight": (6, 2, 5), "bias": (6,)}),
    (fc.Conv1d(4, 3, dilation=2, groups=2, bias=False), (4, 9), (4, 5), {"weight": (4, 2, 3)}),
    (fc.Conv1d(3, 4, padding="causal"), (1, 3), (3, 3), {"weight": (3, 1, 4), "bias": (3,)}),
    (fc.Conv1d(3, 4, padding=(2, 1), bias=False), (1, 7), (3, 7), {"weight": (3, 1, 4)}),
    (fc.Conv1d(3, 4, stride=3, padding="same_lower", bias=False), (1, 7), (3, 3), {"weight": (3, 1, 4)}),
    (fc.Dense(10), (84,), (10,), {"weight": (10, 84), "bias": (10,)}),
    (fc.Dense(1, bias=False), (4,), (1,), {"weight": (1, 4)}),
    (fc.ConvTranspose2d(6, 5), (1, 24, 20), (6, 28, 24), {"weight": (1, 6, 5, 5), "bias": (6,)}),
    (fc.ConvTranspose2d(4, (3, 2), stride=2, padding=(1, 0), output_padding=(1, 0), groups=2, bias=False),
     (6, 5, 5), (4, 10, 10), {"weight": (6, 2, 3, 2)}),
    (fc.ConvTranspose2d(2, 3, stride=2, padding="same"), (3, 5, 4), (2, 10, 8),
     {"weight": (3, 2, 3, 3), "bias": (2,)}),
    (fc.ConvTranspose2d(2, 3, padding=((0, 1), (2, 0)), dilation=2, bias=False), (3, 5, 4), (2, 8, 6),
     {"weight": (3, 2, 3, 3)}),
    (fc.ConvTranspose1d(6, 4, stride=3, padding=1, output_padding=2), (2, 9), (6, 28),
     {"weight": (2, 6, 4), "bias": (6,)}),
    (fc.ConvTranspose1d(2, 3, padding=(2, 0), groups=2, bias=False), (4, 9), (2, 9), {"weight": (4, 1, 3)}),
    (fc.Upsample(), (3, 4, 5), (3, 8, 10), {}),
    (fc.Upsample((1, 3), "bilinear", align_corners=True), (3, 4, 5), (3, 4, 15), {}),
    (fc.Upsample(4), (3, 5), (3, 20), {}),
    (fc.Upsample(3, mode="linear"), (3, 5), (3, 15), {}),
    (fc.DepthwiseConv2d(3), (4, 5, 6), (4, 3, 4), {"weight": (4, 1, 3, 3), "bias": (4,)}),
    (fc.DepthwiseConv2d((3, 2), stride=2, padding="same", depth_multiplier=3, bias=False), (2, 5, 6),
     (6, 3, 3), {"weight": (6, 1, 3, 2)}),
    (fc.DepthwiseConv1d(3, padding="causal", bias=False), (4, 9), (4, 9), {"weight": (4, 1, 3)}),
    (fc.SeparableConv2d(7, 3, padding=1, depth_multiplier=2), (3, 4, 5), (7, 4, 5),
     {"0.weight": (6, 1, 3, 3), "1.weight": (7, 6, 1, 1), "1.bias": (7,)}),
    (fc.SeparableConv1d(7, 4, padding="same", stride=2, bias=False), (3, 9), (7, 5),
     {"0.weight": (3, 1, 4), "1.weight": (7, 3, 1)}),
    (fc.MaxPool2d(2), (6, 24, 25), (6, 12, 12), {}),
    (fc.MaxPool2d(3, stride=2, padding=1), (6, 7, 8), (6, 4, 4), {}),
    (fc.MaxPool2d((2, 3), ceil_mode=True), (1, 5, 7), (1, 3, 3), {}),
    (fc.MaxPool2d(2, stride=3, padding=1, ceil_mode=True), (1, 4, 6), (1, 2, 3), {}),
    (fc.MaxPool2d(2, stride=1, dilation=(3, 1)), (2, 6, 6), (2, 3, 5), {}),
    (fc.AvgPool2d(3, stride=2, padding=1), (8, 7, 7), (8, 4, 4), {}),
    (fc.AvgPool2d(2, ceil_mode=True, count_include_pad=False), (1, 5, 4), (1, 3, 2), {}),
    (fc.AvgPool2d(2, stride=1, padding=((1, 0), (0, 1))), (1, 5, 4), (1, 5, 4), {}),
    (fc.GlobalAvgPool2d(), (64, 7, 9), (64, 1, 1), {}),
    (fc.GlobalMaxPool2d(), (64, 7, 9), (64, 1, 1), {}),
    (fc.AdaptiveAvgPool2d(3), (5, 7, 2), (5, 3, 3), {}),
    (fc.AdaptiveAvgPool2d((None, 4)), (5, 7, 2), (5, 7, 4), {}),
    (fc.AdaptiveAvgPool2d(None), (5, 7, 2), (5, 7, 2), {}),
    (fc.MaxPool1d(3, stride=2, padding=1, ceil_mode=True), (6, 8), (6, 5), {}),
    (fc.AvgPool1d(2), (6, 9), (6, 4), {}),
    (fc.GlobalAvgPool1d(), (6, 9), (6, 1), {}),
    (fc.GlobalMaxPool1d(), (6, 9), (6, 1), {}),
    (fc.AdaptiveAvgPool1d(4), (6, 9), (6, 4), {}),
    (fc.BatchNorm1d(), (6, 9), (6, 9), {"weight": (6,), "bias": (6,)}),
    (fc.BatchNorm1d(), (6,), (6,), {"weight": (6,), "bias": (6,)}),
    (fc.BatchNorm2d(), (6, 24, 20), (6, 24, 20), {"weight": (6,), "bias": (6,)}),
    (fc.GroupNorm(3), (6, 24, 20), (6, 24, 20), {"weight": (6,), "bias": (6,)}),
    (fc.GroupNorm(1), (7,), (7,), {"weight": (7,), "bias": (7,)}),
    (fc.GroupNorm(2), (6, 9), (6, 9), {"weight": (6,), "bias": (6,)}),
    (fc.InstanceNorm2d(), (6, 4, 5), (6, 4, 5), {}),
    (fc.InstanceNorm2d(affine=True), (6, 4, 5), (6, 4, 5), {"weight": (6,), "bias": (6,)}),
    (fc.InstanceNorm1d(affine=True), (6, 9), (6, 9), {"weight": (6,), "bias": (6,)}),
    (fc.LayerNorm(), (6, 4, 5), (6, 4, 5), {"weight": (6, 4, 5), "bias": (6, 4, 5)}),
    (fc.LayerNorm(eps=1e-3), (6, 9), (6, 9), {"weight": (6, 9), "bias": (6, 9)}),
    (fc.LayerNorm(), (7,), (7,), {"weight": (7,), "bias": (7,)}),
    (fc.PReLU(), (6, 4, 5), (6, 4, 5), {"weight": (1,)}),
    (fc.PReLU(True, init=-0.5), (6, 9), (6, 9), {"weight": (6,)}),
    (fc.PReLU(per_channel=True), (7,), (7,), {"weight": (7,)}),
    (fc.SpatialDropout2d(), (6, 4, 4), (6, 4, 4), {}),
    (fc.SpatialDropout1d(0.1), (6, 9), (6, 9), {}),
    (fc.Residual(fc.Conv2d(2, 3, padding=1), fc.Conv2d(2, 1, bias=False)), (1, 4, 4), (2, 4, 4),
     {"layers.0.weight": (2, 1, 3, 3), "layers.0.bias": (2,), "shortcut.0.weight": (2, 1, 1, 1)}),
    (fc.Residual([fc.Dense(3), fc.ReLU()]), (3,), (3,), {"layers.0.weight": (3, 3), "layers.0.bias": (3,)}),
    (fc.Add([fc.Dense(3, bias=False)], [], fc.ReLU()), (3,), (3,), {"0.0.weight": (3, 3)}),
    (fc.Concatenate([fc.Conv1d(2, 1, bias=False)], []), (3, 5), (5, 5), {"0.0.weight": (2, 3, 1)}),
    (fc.Dropout(), (6, 4, 4), (6, 4, 4), {}),
    (fc.Dropout(0.1), (6,), (6,), {}),
    (fc.Flatten(), (16, 4, 5), (320,), {}),
    (fc.Flatten(), (7,), (7,), {}),
    (fc.Softmax(), (10,), (10,), {}),
    *((layer, shape, shape, {})
      for layer in (fc.ReLU(), fc.LeakyReLU(0.2), fc.Sigmoid(), fc.Tanh(), fc.ReLU6(), fc.ELU(0.5), fc.SiLU(),
                    fc.GELU("tanh"), fc.Hardswish(), fc.Hardsigmoid(), fc.Softplus())
      for shape in ((3, 4, 5), (3, 8), (6,))),
]  # fmt: skip
each_shape = pytest.mark.parametrize(("layer", "input_shape", "output_shape", "parameters"), SHAPES)


def test_the_table_of_shapes_holds_every_layer():
    assert {type(layer) for layer, *_ in SHAPES} == set(LAYERS.values())


@each_shape
def test_a_layer_has_pytorchs_output_shape_and_parameters(layer, input_shape, output_shape, parameters):
    assert layer.output_shape(input_shape) == output_shape
    arrays = layer.initial_parameters(input_shape, np.random.default_rng(0))
    assert [(name, array.shape) for name, array in arrays.items()] == list(parameters.items())


@each_shape
def test_settings_survive_json_and_make_the_same_layer(layer, input_shape, output_shape, parameters):
    settings = json.loads(json.dumps(layer.settings()))
    again = type(layer).from_settings(settings, layer_of)
    assert again == layer
    assert hash(again) == hash(layer)
    assert again.settings() == layer.settings()


@each_shape
def test_a_layer_cannot_be_changed(layer, input_shape, output_shape, parameters):
    for name in [*layer.settings(), "anything"]:
        with pytest.raises(AttributeError):
            setattr(layer, name, 1)


@each_shape
def test_the_texts_of_a_layer_make_the_same_layer(layer, input_shape, output_shape, parameters):
    assert eval(repr(layer), vars(fc)) == layer
    assert eval(layer.call(), vars(fc)) == layer


@pytest.mark.parametrize(
    ("layer", "pads"),
    [
        (fc.Conv2d(1, 3), ((0, 0), (0, 0))),
        (fc.Conv2d(1, 3, padding=(1, 2)), ((1, 1), (2, 2))),
        (fc.Conv2d(1, 3, padding="valid"), ((0, 0), (0, 0))),
        (fc.Conv2d(1, 3, padding="same"), ((1, 1), (1, 1))),
        (fc.Conv2d(1, (4, 1), padding="same"), ((1, 2), (0, 0))),
        (fc.Conv2d(1, 2, padding="same", dilation=3), ((1, 2), (1, 2))),
        (fc.Conv2d(1, (3, 5), padding="same", dilation=(2, 1)), ((2, 2), (2, 2))),
    ],
)
def test_same_padding_keeps_the_size_and_puts_an_odd_zero_below_and_right(layer, pads):
    assert layer.pads((1, 9, 9)) == pads


@pytest.mark.parametrize("layer", [fc.Conv2d(6, (4, 3)), fc.Conv2d(6, (4, 3), groups=2), fc.Dense(300)])
def test_initial_parameters_are_uniform_within_one_over_the_root_of_fan_in(layer):
    input_shape = (4, 9, 9) if isinstance(layer, fc.Conv2d) else (24,)
    arrays = layer.initial_parameters(input_shape, np.random.default_rng(0))
    bound = 1 / np.sqrt(np.prod(arrays["weight"].shape[1:]))
    for array in arrays.values():
        assert np.abs(array).max() <= bound
    assert arrays["weight"].std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
    assert abs(arrays["weight"].mean()) < 0.2 * bound


def test_batch_norm_starts_as_the_identity():
    layer = fc.BatchNorm2d()
    parameters = layer.initial_parameters((3, 2, 2), np.random.default_rng(0))
    statistics = layer.initial_statistics((3, 2, 2))
    assert {name: array.tolist() for name, array in {**parameters, **statistics}.items()} == {
        "weight": [1, 1, 1], "bias": [0, 0, 0], "running_mean": [0, 0, 0], "running_var": [1, 1, 1],
    }  # fmt: skip


def test_only_batch_norm_keeps_statistics():
    for layer, input_shape, *_ in SHAPES:
        kept = isinstance(layer, (fc.BatchNorm1d, fc.BatchNorm2d))
        assert bool(layer.initial_statistics(input_shape)) == kept


@pytest.mark.parametrize(
    ("layer", "shape"), [(fc.InstanceNorm1d(affine=True), (3, 4)), (fc.LayerNorm(), (2, 3))]
)
def test_other_norms_start_with_scale_one_and_shift_zero(layer, shape):
    parameters = layer.initial_parameters(shape, np.random.default_rng(0))
    assert (parameters["weight"] == 1).all()
    assert (parameters["bias"] == 0).all()


def test_the_slopes_of_prelu_start_where_they_are_told_to():
    assert fc.PReLU(True, init=-0.5).initial_parameters((2, 3), None)["weight"].tolist() == [-0.5, -0.5]
    assert fc.PReLU().initial_parameters((2, 3), None)["weight"].tolist() == [0.25]


# Layer, input shape, samples, and how many numbers each mean of a training step is taken over.
MEANS = [
    (fc.BatchNorm2d(), (3, 4, 5), 2, 40), (fc.BatchNorm1d(), (3, 4), 2, 8), (fc.BatchNorm1d(), (3,), 2, 2),
    (fc.GroupNorm(3), (6, 4, 5), 2, 40), (fc.InstanceNorm2d(), (6, 4, 5), 2, 20),
    (fc.InstanceNorm1d(), (6, 4), 2, 4), (fc.LayerNorm(), (6, 4, 5), 2, 120), (fc.LayerNorm(), (7,), 2, 7),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape", "samples", "count"), MEANS)
def test_a_norm_knows_how_many_numbers_a_mean_has(layer, shape, samples, count):
    assert layer.values_per_mean(shape, samples) == count


@pytest.mark.parametrize(
    ("layer", "shape", "samples"),
    [(fc.BatchNorm1d(), (3,), 1), (fc.BatchNorm1d(), (3, 1), 1), (fc.InstanceNorm2d(), (3, 1, 1), 8),
     (fc.InstanceNorm1d(), (3, 1), 8), (fc.LayerNorm(), (1,), 8)],
)  # fmt: skip
def test_a_step_that_would_normalise_single_values_is_refused(layer, shape, samples):
    model = fc.Sequential([layer, fc.Flatten(), fc.Dense(2)], shape)
    with pytest.raises(ValueError, match="must get more than one value for each mean in training"):
        model.loss_and_gradients(np.ones((samples, *shape)), np.zeros(samples, int))


def test_a_pool_steps_by_its_own_size_unless_told_otherwise():
    assert fc.MaxPool2d((2, 3)).stride == (2, 3)
    assert fc.AvgPool2d(4).stride == (4, 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fc.Conv2d(0, 3), ValueError, r"`out_channels` must be an int >= 1, got 0"),
        (lambda: fc.Conv2d(2.0, 3), TypeError, r"`out_channels` must be an int >= 1, got 2\.0"),
        (lambda: fc.Conv2d(True, 3), TypeError, r"`out_channels`"),
        (lambda: fc.Conv2d(1, 0), ValueError, r"`kernel_size` .*got 0"),
        (lambda: fc.Conv2d(1, (3, 0)), ValueError, r"`kernel_size` .*got \(3, 0\)"),
        (lambda: fc.Conv2d(1, (3, 3, 3)), (ValueError, TypeError), r"`kernel_size` .*got \(3, 3, 3\)"),
        (lambda: fc.Conv2d(1, 2.5), TypeError, r"`kernel_size` .*got 2\.5"),
        (lambda: fc.Conv2d(1, "3"), TypeError, r"`kernel_size` .*got '3'"),
        (lambda: fc.Conv2d(1, None), TypeError, r"`kernel_size` .*got None"),
        (lambda: fc.Conv2d(1, 3, stride=0), ValueError, r"`stride` .*got 0"),
        (lambda: fc.Conv2d(1, 3, stride=None), TypeError, r"`stride` .*got None"),
        (lambda: fc.Conv2d(1, 3, dilation=(1, -1)), ValueError, r"`dilation` .*got \(1, -1\)"),
        (lambda: fc.Conv2d(1, 3, padding=-1), ValueError, r"`padding` .*got -1"),
        (
            lambda: fc.Conv2d(1, 3, padding="full"),
            ValueError,
            r'`padding` must be .*"same", "same_lower" or "valid", got \'full\'',
        ),
        (lambda: fc.Conv2d(1, 3, padding=((0, 1), (2, -1))), ValueError, r"`padding` .*got \(\(0, 1\)"),
        (lambda: fc.Conv2d(1, 3, padding=((0, 1), 2)), ValueError, r"`padding` .*got \(\(0, 1\), 2\)"),
        (lambda: fc.Conv2d(1, 3, padding="causal"), ValueError, r"`padding` .*got 'causal'"),
        (lambda: fc.Conv1d(1, 0), ValueError, r"`kernel_size` must be an int >= 1, got 0"),
        (lambda: fc.Conv1d(1, (3, 3)), TypeError, r"`kernel_size` must be an int >= 1, got \(3, 3\)"),
        (lambda: fc.Conv1d(1, 3, padding=(1, -1)), ValueError, r"`padding` .*got \(1, -1\)"),
        (lambda: fc.MaxPool1d(2, padding="causal"), ValueError, r'`padding` of a pool must not be "causal"'),
        (lambda: fc.AdaptiveAvgPool2d(0), ValueError, r"`output_size` must be a positive int or a pair"),
        (lambda: fc.AdaptiveAvgPool2d((None, 0)), ValueError, r"`output_size` must be a positive int"),
        (lambda: fc.AdaptiveAvgPool2d(1.5), TypeError, r"`output_size` must be a positive int or a pair"),
        (lambda: fc.AdaptiveAvgPool1d(0), ValueError, r"`output_size` must be an int >= 1, got 0"),
        (lambda: fc.InstanceNorm2d(eps=0), ValueError, r"`eps` must be a number > 0, got 0"),
        (lambda: fc.InstanceNorm1d(eps=-1), ValueError, r"`eps` must be a number > 0, got -1"),
        (lambda: fc.LayerNorm(eps="a"), TypeError, r"`eps` must be a number > 0, got 'a'"),
        (lambda: fc.PReLU(init=float("nan")), ValueError, r"`init` must be a number, got nan"),
        (lambda: fc.PReLU(init="a"), TypeError, r"`init` must be a number, got 'a'"),
        (lambda: fc.PReLU(16), TypeError, r"`per_channel` must be True or False, got 16; the number of chan"),
        (lambda: fc.SpatialDropout2d(1.0), ValueError, r"`p` must be a number >= 0 and < 1, got 1\.0"),
        (lambda: fc.SpatialDropout1d(-1), ValueError, r"`p` must be a number >= 0 and < 1, got -1"),
        (
            lambda: fc.Conv2d(3, 3, groups=2),
            ValueError,
            r"`out_channels` must be a multiple of groups = 2, got 3",
        ),
        (lambda: fc.Conv2d(3, 3, groups=0), ValueError, r"`groups` must be an int >= 1, got 0"),
        (lambda: fc.Dense(0), ValueError, r"`out_features` must be an int >= 1, got 0"),
        (lambda: fc.Dense("10"), TypeError, r"`out_features` must be an int >= 1, got '10'"),
        (lambda: fc.MaxPool2d(0), ValueError, r"`kernel_size` .*got 0"),
        (lambda: fc.MaxPool2d(2, stride=0), ValueError, r"`stride` .*got 0"),
        (lambda: fc.MaxPool2d(2, padding=2), ValueError, r"`padding` must be at most half of kernel_size"),
        (
            lambda: fc.MaxPool2d(3, padding=(1, 2)),
            ValueError,
            r"`padding` must be at most half .*got \(1, 2\)",
        ),
        (lambda: fc.MaxPool2d(2, dilation=0), ValueError, r"`dilation` .*got 0"),
        (lambda: fc.AvgPool2d(2, padding=-1), ValueError, r"`padding` .*got -1"),
        (lambda: fc.AvgPool2d(2, padding="full"), ValueError, r"`padding` .*got 'full'"),
        (
            lambda: fc.BatchNorm2d(momentum=1.5),
            ValueError,
            r"`momentum` must be a number from 0 to 1, got 1\.5",
        ),
        (lambda: fc.BatchNorm2d(momentum=-0.1), ValueError, r"`momentum` must be a number"),
        (lambda: fc.BatchNorm2d(eps=0), ValueError, r"`eps` must be a number > 0, got 0"),
        (lambda: fc.BatchNorm2d(eps="a"), TypeError, r"`eps` must be a number > 0, got 'a'"),
        (lambda: fc.Dropout(1.0), ValueError, r"`p` must be a number >= 0 and < 1, got 1\.0"),
        (lambda: fc.Dropout(-0.1), ValueError, r"`p` must be a number >= 0 and < 1, got -0\.1"),
        (lambda: fc.Dropout(float("nan")), ValueError, r"`p` must be"),
        (lambda: fc.LeakyReLU(-0.5), ValueError, r"`negative_slope` must be a number >= 0, got -0\.5"),
        (lambda: fc.LeakyReLU(None), TypeError, r"`negative_slope` must be a number >= 0, got None"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "input_shape", "message"),
    [
        (fc.Conv2d(1, 3), (9,), r"Conv2d.* takes images \(C, H, W\), got samples of shape \(9,\)"),
        (fc.Conv2d(1, 3), (1, 2, 9), r"kernel is larger than the padded image \(2, 9\)"),
        (
            fc.Conv2d(1, 3, padding=1, dilation=4),
            (1, 6, 9),
            r"kernel is larger than the padded image \(6, 9\)",
        ),
        (fc.Conv2d(2, 3, groups=2), (3, 9, 9), r"input channels that are a multiple of groups, got 3"),
        (fc.MaxPool2d(2), (9,), r"MaxPool2d.* takes images"),
        (fc.MaxPool2d(3), (1, 2, 3), r"window is larger than the padded image \(2, 3\)"),
        (fc.AvgPool2d(2), (4,), r"AvgPool2d.* takes images"),
        (fc.GlobalAvgPool2d(), (4,), r"GlobalAvgPool2d.* takes images"),
        (fc.BatchNorm2d(), (4,), r"BatchNorm2d.* takes images"),
        *(
            (layer, (4, 9), rf"{type(layer).__name__}.* takes images .*: for signals")
            for layer in (
                fc.GlobalMaxPool2d(),
                fc.AdaptiveAvgPool2d(2),
                fc.InstanceNorm2d(),
                fc.SpatialDropout2d(),
            )
        ),
        *(
            (layer, (4, 9, 9), rf"{type(layer).__name__}.* takes signals \(C, L\), got .*\(4, 9, 9\)")
            for layer in (
                fc.Conv1d(1, 3),
                fc.MaxPool1d(2),
                fc.AvgPool1d(2),
                fc.GlobalAvgPool1d(),
                fc.GlobalMaxPool1d(),
                fc.AdaptiveAvgPool1d(2),
                fc.InstanceNorm1d(),
                fc.SpatialDropout1d(),
                fc.BatchNorm1d(),
            )
        ),
        (fc.InstanceNorm1d(), (4,), r"InstanceNorm1d.* takes signals"),
        (fc.GroupNorm(2), (3, 9), r"multiple of num_groups, got samples of shape \(3, 9\)"),
        (fc.Residual(fc.Dense(3)), (4,), r"Add takes values of one shape, got \(3,\), \(4,\)"),
        (
            fc.Dense(2),
            (1, 6, 6),
            r"Dense.* takes samples of shape \(features,\), got \(1, 6, 6\): put a Flatten\(\)",
        ),
        (fc.Softmax(), (1, 6, 6), r"Softmax.* takes samples of shape \(features,\)"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_with_its_shape(layer, input_shape, message):
    with pytest.raises(ValueError, match=message):
        layer.output_shape(input_shape)


def test_numbers_of_numpy_are_settings_too():
    layer = fc.Conv2d(np.int64(4), (np.int32(3), np.int8(2)), stride=np.uint8(1))
    assert layer == fc.Conv2d(4, (3, 2))
    assert json.loads(json.dumps(layer.settings())) == fc.Conv2d(4, (3, 2)).settings()
    assert fc.Dropout(np.float32(0.5)) == fc.Dropout(0.5)


def test_a_layer_of_ones_own_needs_only_what_differs():
    assert Layer().output_shape((3, 4)) == (3, 4)
    assert Layer().initial_parameters((3,), np.random.default_rng(0)) == {}
    assert Layer().initial_statistics((3,)) == {}
