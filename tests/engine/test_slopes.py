"""Gradients that are sums, and 0 where a ReLU was: who makes them, and in which pass over memory."""

import re

import numpy as np
import pytest

import fastconv as fc
from tests.engine.networks import assert_first_weights_gradient_is_right

HEAD = [fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(3)]


def same(channels):
    """A convolution of direct sums, where there are few channels."""
    return fc.Conv2d(channels, 3, padding=1)


def block(channels, stride=1, shortcut=()):
    """A residual block as ResNets have it."""
    body = [fc.Conv2d(channels, 3, stride=stride, padding=1), fc.BatchNorm2d(), fc.ReLU()]
    return [fc.Residual([*body, same(channels), fc.BatchNorm2d()], list(shortcut)), fc.ReLU()]


def resnet(*blocks, channels=4, dtype="float64"):
    layers = [same(channels), fc.BatchNorm2d(), fc.ReLU(), *(layer for one in blocks for layer in one), *HEAD]
    return fc.Sequential(layers, (2, 8, 8), dtype=dtype, seed=1)


def backward_of(model):
    text = model.source(loss="cross_entropy", kernels=False, batch_size=64)
    return text.partition(" cross_entropy(")[2]


def calls(text, name):
    return re.findall(rf"^ +{name}\((.*)\)$", text, re.MULTILINE)


STRIDED = block(6, 2, [fc.Conv2d(6, 1, stride=2)])
PROJECTED = block(6, 1, [fc.Conv2d(6, 1), fc.BatchNorm2d()])


@pytest.mark.parametrize(
    "blocks", [[block(4), STRIDED], [block(4), block(4)], [STRIDED, block(6), PROJECTED]]
)
def test_neither_a_sum_of_gradients_nor_the_relu_behind_it_is_a_pass_of_its_own(blocks):
    text = backward_of(resnet(*blocks))
    assert not re.search(r"relu_grad\(|add_planes", text)
    assert calls(text, "batch_norm_grad_finish"), "the ReLU behind a sum"


def test_a_normalisation_adds_up_the_gradients_of_two_readers_that_add_to_nothing():
    """Winograd's tiles overlap."""
    text = backward_of(resnet(block(32), block(32), channels=32, dtype="float32"))
    assert not re.search(r"relu_grad\(|add_planes", text)
    for name in ("batch_norm_grad_sums", "batch_norm_grad_finish"):
        assert sum("more=" in call for call in calls(text, name)) == 1, name


def test_a_strided_shortcut_adds_to_what_is_there_and_writes_no_zeros():
    strided = fc.Sequential([same(4), fc.ReLU(), *STRIDED, *HEAD], (2, 8, 8))
    text = backward_of(strided)
    alone = backward_of(fc.Sequential([same(4), fc.Tanh(), fc.Conv2d(6, 1, stride=2), *HEAD], (2, 8, 8)))
    assert len([call for call in calls(alone, "contract") if "y=dy" in call]) == 4
    made = [call for call in calls(text, "contract") if "y=dy1" in call]
    assert ["shortcut" in call for call in made] == [False] * 4 + [True], "of stride 2, dx is made in 4 parts"


def test_a_sum_of_three_gradients_of_what_a_relu_gave_takes_two_passes():
    layers = [same(3), fc.ReLU(), fc.Concatenate([fc.Tanh()], [fc.Sigmoid()], [fc.MaxPool2d(3, 1, 1)])]
    text = backward_of(fc.Sequential([*layers, *HEAD], (2, 8, 8)))
    assert len(calls(text, "add_planes")) == len(calls(text, "add_planes_gated")) == 1
    assert "relu_grad(" not in text


@pytest.mark.parametrize(
    "frozen", [["1"], ["3.layers.4"], ["3.layers.1", "3.layers.4"], ["5.layers.4", "5.shortcut"]]
)
def test_gradients_are_finite_differences_where_layers_are_frozen(frozen):
    model = resnet(block(4), STRIDED)
    model.freeze(*frozen)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(37, 2, 8, 8)), rng.integers(0, 3, 37)
    _, gradients = model.loss_and_gradients(X, y)
    for name in gradients:
        if name.startswith(tuple(frozen)):
            assert not gradients[name].any()
            continue
        array = model.parameters()[name]
        start, direction = array.copy(), rng.normal(size=array.shape)
        ends = []
        for sign in (1, -1):
            array[...] = start + sign * 1e-6 * direction
            ends.append(model.loss_and_gradients(X, y)[0])
        array[...] = start
        slope = (ends[0] - ends[1]) / 2e-6
        assert np.sum(gradients[name] * direction) == pytest.approx(slope, rel=1e-5, abs=1e-7), name


def twice(v, branch):
    return fc.Add()([v, v, branch])


def short_and_long_way(v, branch):
    return fc.Add()([fc.Add()([branch, v]), v])


@pytest.mark.parametrize("join", [twice, short_and_long_way])
@pytest.mark.parametrize("norm", [fc.LayerNorm, fc.BatchNorm2d])
def test_a_value_may_come_to_a_sum_by_two_ways_beside_a_branch(join, norm):
    """Its gradient is that of the sum twice, in one memory, and what the branch's convolution gives."""
    image = fc.Input((2, 5, 4))
    v = fc.Tanh()(fc.Conv2d(3, 1)(image))
    model = fc.Model(image, join(v, norm()(same(3)(v))), dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 2, 5, 4)), rng.normal(size=(20, 3, 5, 4))
    assert_first_weights_gradient_is_right(model, X, y)
