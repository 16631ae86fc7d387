"""The networks of the benchmarks: everybody computes the same, and everybody can be timed."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.benchmarks import jax_process, machine, networks
from fastconv.benchmarks.kernel_grid import SHAPES, works_of
from fastconv.benchmarks.network_works import predict_work, step_work
from fastconv.benchmarks.networks import NETWORKS, step_flops

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
    packages = {"torch": ["torch"], "onnxruntime": ["onnxruntime", "onnx"], "jax": ["jax"]}
    found = [name for name in names if all(map(machine.installed, packages[name]))]
    return found or pytest.skip("nobody to compare with")


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_those_of_pytorch_and_onnx_runtime(name):
    found = predict_work(name, 3).compare(others("torch", "onnxruntime"))
    assert (found.wrong, found.failed) == ([], {})


@pytest.mark.parametrize("name", SMALL)
def test_losses_gradients_and_statistics_are_those_of_pytorch(name):
    found = step_work(name, 3).compare(others("torch"))
    assert (found.wrong, found.failed) == ([], {})


@pytest.mark.parametrize("name", ["ds_cnn", "unet", "atari_cnn", "inception_time", "lite"])
def test_jax_trains_and_predicts_the_same(name):
    for work in (step_work(name, 4), predict_work(name, 4)):
        found = work.compare(others("jax"))
        assert (found.wrong, found.failed) == ([], {})


def test_an_operation_left_out_is_seen_in_float64_and_in_float32(monkeypatch):
    """The step of fit is what is compared: one that trains a layer less is wrong in either dtype."""
    fit = fc.Trainer.fit

    def lazy(trainer, *args, **settings):
        before = trainer.model.parameters()["1.weight"].copy()
        history = fit(trainer, *args, **settings)
        trainer.model.parameters()["1.weight"][:] = before
        return history

    names = others("torch")
    monkeypatch.setattr(fc.Trainer, "fit", lazy)
    wrong = step_work("mlp", 3).compare(names).wrong
    assert [line.split(":")[0] for line in wrong] == [
        "losses, gradients and statistics in float64",
        "gradients and statistics in float32",
    ]


def test_a_loss_that_is_off_is_seen(monkeypatch):
    fit = fc.Trainer.fit

    def off(trainer, *args, **settings):
        history = fit(trainer, *args, **settings)
        history["loss"][0] *= 1.001
        return history

    names = others("torch")
    monkeypatch.setattr(fc.Trainer, "fit", off)
    wrong = step_work("mlp", 3).compare(names).wrong
    assert [line.split(":")[0] for line in wrong] == [
        "losses, gradients and statistics in float64",
        "losses in float32",
    ]


def test_dropout_is_timed_and_does_not_disturb_the_comparison():
    model = NETWORKS["ds_cnn"][1]()
    other = networks.comparable_model("ds_cnn", "float32")
    assert [node.name for node in other.nodes] == [node.name for node in model.nodes]
    assert all(np.array_equal(other.state()[key], array) for key, array in model.state().items())


def test_operations_of_a_step_are_three_times_the_products_but_for_the_first_layer():
    assert step_flops(NETWORKS["mlp"][1]()) == 2 * (3 * (784 * 256 + 256 * 128 + 128 * 10) - 784 * 256)


def test_jax_is_timed_in_a_process_of_its_own():
    names = others("jax")
    for work in (step_work("mlp", 2), predict_work("mlp", 2)):
        jax = work.contenders(names)["jax"]
        jax.call()
        assert jax.pieces >= 1


def test_an_error_in_jaxs_process_is_told(monkeypatch):
    others("jax")
    with pytest.raises(RuntimeError, match="KeyError: 'no such network'"):
        jax_process.contender(jax_process.Job("predict", "no such network", 1))
    monkeypatch.setattr(jax_process.sys, "executable", "/bin/true")
    with pytest.raises(RuntimeError, match="JAX's process has ended"):
        jax_process.contender(jax_process.Job("predict", "mlp", 1))


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
