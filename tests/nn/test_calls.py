"""Calls of layers as PyTorch and Keras have them: never taken for something else, and told what to write."""

import copy
import pickle

import pytest

import fastconv as fc


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: fc.Conv2d(1, 6, 5),
            "only `out_channels`, `kernel_size` by position.*from the input",
        ),
        (
            lambda: fc.ConvTranspose2d(16, 6, 2),
            "ConvTranspose2d takes only `out_channels`, `kernel_size` by position.*from the input",
        ),
        (lambda: fc.DepthwiseConv2d(8, 3), "DepthwiseConv2d takes only `kernel_size` by position"),
        (lambda: fc.SeparableConv2d(8, 3, 2), "takes only `out_channels`, `kernel_size` by position"),
        (lambda: fc.Upsample(size=28), "`size` of Upsample is given as `scale_factor`: how many times"),
        (lambda: fc.Upsample(2, interpolation="bilinear"), "`interpolation` of Upsample is called `mode`"),
        (lambda: fc.Dense(84, 10), "takes only `out_features` by position.*follows from the input"),
        (lambda: fc.GroupNorm(2, 8), "takes only `num_groups` by position.*follows from the input"),
        (lambda: fc.BatchNorm2d(1), "`momentum`.*number of channels is left out"),
        (lambda: fc.BatchNorm2d(64, 1e-5), "`momentum`.*number of channels is left out"),
        (lambda: fc.MaxPool2d(2, 2, 0, 1, False), r"by position.*ceil_mode=\.\.\."),
        (lambda: fc.LayerNorm(64), "takes nothing by position.*eps=.*features is left out"),
        (lambda: fc.LayerNorm(normalized_shape=64), "`normalized_shape` of LayerNorm is left out"),
        (lambda: fc.InstanceNorm2d(6), "takes nothing by position.*affine=.*channels or features is left"),
        (lambda: fc.InstanceNorm1d(6, affine=True), "takes nothing by position"),
        (lambda: fc.BatchNorm1d(6), "`momentum`.*number of channels is left out"),
        (lambda: fc.Conv1d(1, 6, 5), "only `out_channels`, `kernel_size` by position.*from the input"),
        (lambda: fc.PReLU(6), "`per_channel` must be True or False, got 6.*left out"),
        (lambda: fc.PReLU(num_parameters=6), "`num_parameters` of PReLU is called `per_channel`"),
        (lambda: fc.GlobalMaxPool2d(1), "takes nothing by position"),
        (lambda: fc.Flatten(1), "takes nothing by position"),
        (lambda: fc.Softmax(1), "takes nothing by position"),
        (lambda: fc.ReLU(True), "takes nothing by position"),
        (lambda: fc.GlobalAvgPool2d(1), "takes nothing by position"),
        (
            lambda: fc.Conv2d(in_channels=1, out_channels=6, kernel_size=5),
            "`in_channels` of Conv2d is left out",
        ),
        (lambda: fc.Dense(in_features=3, out_features=2), "`in_features` of Dense is left out"),
        (lambda: fc.BatchNorm2d(num_features=6), "`num_features` of BatchNorm2d is left out"),
        (lambda: fc.Conv2d(filters=6, kernel_size=5), "`filters` of Conv2d is called `out_channels`"),
        (lambda: fc.Conv2d(6, 5, strides=2), "`strides` of Conv2d is called `stride`"),
        (lambda: fc.Conv2d(6, 5, dilation_rate=2), "`dilation_rate` of Conv2d is called `dilation`"),
        (lambda: fc.Conv2d(6, 5, use_bias=False), "`use_bias` of Conv2d is called `bias`"),
        (lambda: fc.Conv2d(6, 5, activation="relu"), "`activation` of Conv2d is a layer of its own"),
        (lambda: fc.Dense(units=3), "`units` of Dense is called `out_features`"),
        (lambda: fc.MaxPool2d(pool_size=2), "`pool_size` of MaxPool2d is called `kernel_size`"),
        (lambda: fc.Dropout(rate=0.5), "`rate` of Dropout is called `p`"),
        (lambda: fc.LeakyReLU(alpha=0.1), "`alpha` of LeakyReLU is called `negative_slope`"),
        (lambda: fc.BatchNorm2d(epsilon=1e-3), "`epsilon` of BatchNorm2d is called `eps`"),
        (lambda: fc.ReLU(inplace=True), "`inplace` of ReLU is left out"),
        (
            lambda: fc.Conv2d(6, 5, colour="red"),
            "`colour` of Conv2d is none of its arguments: out",
        ),
    ],
)
def test_a_call_of_another_library_is_told_what_to_write(make, message):
    with pytest.raises(TypeError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [
        fc.Conv2d(6, 5, stride=2, padding=(1, 0), bias=False),
        fc.Dense(3, bias=False),
        fc.MaxPool2d(3, 2, 1, 1, ceil_mode=True),
        fc.AvgPool2d(3, 2, 1, True, False),
        fc.BatchNorm2d(0.3, 1e-3),
        fc.BatchNorm2d(momentum=1),
        fc.GroupNorm(2, eps=1e-3),
        fc.Dropout(0.1),
        fc.Conv2d(2, 3, padding=((1, 0), (1, 0))),
        fc.Conv1d(2, 3, padding=(1, 0)),
        fc.AdaptiveAvgPool2d((None, 3)),
        fc.InstanceNorm2d(eps=1e-3, affine=True),
        fc.LayerNorm(eps=1e-3),
        fc.PReLU(True, init=0.1),
        fc.SpatialDropout2d(0.1),
        fc.Residual([fc.Dense(3), fc.ReLU()], [fc.ReLU()]),
        fc.Add([fc.Dense(3)], []),
        fc.Concatenate([fc.Dense(3)], fc.ReLU()),
        fc.LeakyReLU(0.2),
        fc.ReLU(),
    ],
    ids=str,
)
def test_layers_are_copied_and_pickled(layer):
    assert pickle.loads(pickle.dumps(layer)) == layer == copy.deepcopy(layer)
    assert eval(layer.call(), vars(fc)) == layer
