import numpy as np
import pytest

import fastconv as fc
from fastconv.engine.lowering.activations import TanhLowering
from fastconv.kernels.lanes import activations, conv_grad_weight
from fastconv.kernels.lanes.operation import operation

RNG = np.random.default_rng(0)
SMOOTH = [fc.Conv2d(3, 2), fc.Tanh(), fc.AvgPool2d(2), fc.Flatten(), fc.Dense(3)]
CASES = [
    ("cross_entropy", RNG.integers(0, 3, 5)),
    ("mse", RNG.random((5, 3))),
    ("bce_with_logits", RNG.integers(0, 2, (5, 3))),
]


@pytest.fixture
def images():
    return np.random.default_rng(1).random((5, 1, 6, 6))


@pytest.mark.parametrize(("loss", "y"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_gradients_have_a_tiny_error(images, loss, y, dtype):
    assert fc.check_gradients(fc.Sequential(SMOOTH, (1, 6, 6), dtype=dtype), images, y, loss) < 1e-6


def test_cross_entropy_is_the_default_loss(images):
    model = fc.Sequential(SMOOTH, (1, 6, 6))
    y = CASES[0][1]
    assert fc.check_gradients(model, images, y) == fc.check_gradients(model, images, y, "cross_entropy")


def test_sums_over_a_large_image_are_those_of_all_its_parts():
    size = (1, 4 * conv_grad_weight.POSITIONS_AT_ONCE // 50, 52)  # four parts and a bit
    model = fc.Sequential([fc.Conv2d(2, 3), fc.Tanh(), fc.GlobalAvgPool2d(), fc.Flatten()], size, seed=1)
    X = np.random.default_rng(0).random((2, *size))
    assert fc.check_gradients(model, X, np.ones((2, 2)), "mse") < 1e-6


@pytest.mark.parametrize("name", ["0.weight", "0.bias", "4.weight", "4.bias"])
def test_a_wrong_gradient_of_any_parameter_has_a_large_error(monkeypatch, images, name):
    right = fc.Sequential.loss_and_gradients

    def wrong(self, *arguments):
        loss, gradients = right(self, *arguments)
        gradients[name] = gradients[name] * 1.1
        return loss, gradients

    monkeypatch.setattr(fc.Sequential, "loss_and_gradients", wrong)
    assert fc.check_gradients(fc.Sequential(SMOOTH, (1, 6, 6)), images, CASES[0][1]) > 0.05


def test_one_wrong_entry_is_found(monkeypatch, images):
    right = fc.Sequential.loss_and_gradients

    def wrong(self, *arguments):
        loss, gradients = right(self, *arguments)
        gradients["0.weight"][2, 0, 1, 1] += 0.5 * np.abs(gradients["0.weight"]).max()
        return loss, gradients

    monkeypatch.setattr(fc.Sequential, "loss_and_gradients", wrong)
    assert fc.check_gradients(fc.Sequential(SMOOTH, (1, 6, 6)), images, CASES[0][1]) > 0.2


@operation
def zeros_for_sums(_, _a, dweight, _b, _c, _d, g, s):
    """In place of `contract_grad_weight`: no gradient for the weights of a convolution."""
    for k in range(g[conv_grad_weight.GRAD_WEIGHT.outputs] * g[conv_grad_weight.GRAD_WEIGHT.taps]):
        dweight[k] = 0.0


@pytest.mark.parametrize(
    ("module", "kernel", "other"),
    [
        (activations, "hyperbolic_tangent_grad", activations.sigmoid_grad),
        (conv_grad_weight, "contract_grad_weight", zeros_for_sums),
    ],
)
def test_a_wrong_kernel_in_the_engine_has_a_large_error(monkeypatch, images, module, kernel, other):
    monkeypatch.setattr(module, kernel, other)
    monkeypatch.setattr(TanhLowering, "gradient", activations.hyperbolic_tangent_grad)
    assert fc.check_gradients(fc.Sequential(SMOOTH, (1, 6, 6)), images, CASES[0][1]) > 0.01


def test_the_model_is_left_as_it_was(images):
    model = fc.Sequential([fc.BatchNorm2d(), *SMOOTH], (1, 6, 6))
    before = model.state()
    fc.check_gradients(model, images, CASES[0][1])
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])
    assert model.dtype == "float32"


def test_the_weights_of_the_model_are_the_ones_checked(monkeypatch, images):
    model = fc.Sequential(SMOOTH, (1, 6, 6))
    for array in model.parameters().values():
        array[...] = 0.25
    seen = []
    right = fc.Sequential.loss_and_gradients
    monkeypatch.setattr(
        fc.Sequential, "loss_and_gradients", lambda self, *a: seen.append(self.state()) or right(self, *a)
    )
    fc.check_gradients(model, images, CASES[0][1])
    assert all((array == 0.25).all() for array in seen[0].values())


def test_at_most_so_many_entries_of_a_parameter_are_checked(monkeypatch, images):
    calls = []
    right = fc.Sequential.loss_and_gradients
    monkeypatch.setattr(
        fc.Sequential, "loss_and_gradients", lambda self, *a: calls.append(1) or right(self, *a)
    )
    fc.check_gradients(fc.Sequential(SMOOTH, (1, 6, 6)), images, CASES[0][1], samples=4)
    assert len(calls) == 1 + 2 * (4 + 3 + 4 + 3)


def test_wrong_data_are_refused_as_by_the_model(images):
    with pytest.raises(ValueError, match="`y` must be labels 0 to 2"):
        fc.check_gradients(fc.Sequential(SMOOTH, (1, 6, 6)), images, [0, 1, 2, 3, 0])
    with pytest.raises(ValueError, match="`loss` must be one of"):
        fc.check_gradients(fc.Sequential(SMOOTH, (1, 6, 6)), images, CASES[0][1], "l1")
