"""The networks of the benchmarks: everybody computes the same, and everybody can be timed."""

import numpy as np
import pytest

from fastconv.benchmarks import machine, networks
from fastconv.benchmarks.kernel_grid import SHAPES, works_of
from fastconv.benchmarks.networks import NETWORKS, predict_work, step_flops, step_work

SMALL = [
    "reference_cnn",
    "lenet_digits",
    "mlp",
    "vgg_bn",
    "ds_cnn",
    "atari_cnn",
    "mnist1d_cnn",
    "lite",
    "unet",
]


def others(*names):
    packages = {"torch": ["torch"], "onnxruntime": ["onnxruntime", "onnx"]}
    found = [name for name in names if all(map(machine.installed, packages[name]))]
    return found or pytest.skip("nobody to compare with")


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_those_of_pytorch_and_onnx_runtime(name):
    assert predict_work(name, 3).largest_difference(others("torch", "onnxruntime")) < 1e-4


@pytest.mark.parametrize("name", SMALL)
def test_losses_and_gradients_are_those_of_pytorch(name):
    assert step_work(name, 3).largest_difference(others("torch")) < 1e-2


def test_a_wrong_gradient_is_seen(monkeypatch):
    names = others("torch")
    work, right = step_work("mlp", 3), networks._fastconv_gradients

    def wrong(name, X, y):
        loss, *gradients = right(name, X, y)
        gradients[1][0] += 0.1 * np.abs(gradients[1]).max()
        return loss, *gradients

    monkeypatch.setattr(networks, "_fastconv_gradients", wrong)
    assert step_work("mlp", 3).largest_difference(names) > 0.05
    assert work is not None


def test_dropout_is_timed_and_does_not_disturb_the_comparison():
    model = NETWORKS["ds_cnn"][1]()
    other = networks._without_dropout(model)
    assert [node.name for node in other.nodes] == [node.name for node in model.nodes]
    assert all(np.array_equal(other.state()[key], array) for key, array in model.state().items())


def test_operations_of_a_step_are_three_times_the_products_but_for_the_first_layer():
    assert step_flops(NETWORKS["mlp"][1]()) == 2 * (3 * (784 * 256 + 256 * 128 + 128 * 10) - 784 * 256)


def test_works_that_take_too_long_or_teach_nothing_are_left_out():
    assert step_work("mobilenet_v2", 128) is None
    assert predict_work("mobilenet_v2", 256) is None
    assert step_work("autoencoder", 1) is None  # its normalisations would see one value


@pytest.mark.parametrize("name", ["mlp", "mnist1d_cnn"])
def test_every_contender_takes_its_steps(name):
    contenders = step_work(name, 2).contenders(["fastconv", *others("torch"), "im2col"])
    assert "im2col" not in contenders
    for contender in contenders.values():
        contender.call()
        assert contender.pieces >= 1


@pytest.mark.parametrize("label", SHAPES)
def test_the_kernels_of_the_grid_give_what_pytorch_gives(label):
    for work in works_of(label, 2):
        assert work.largest_difference(others("torch")) < 1e-4
