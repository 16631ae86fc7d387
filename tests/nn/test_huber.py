"""The Huber loss: kernels, records and the compiled step against PyTorch, SciPy and differences."""

import io

import numba
import numpy as np
import pytest

import fastconv as fc
from fastconv import kernels

DELTAS = [0.25, 1.0, 3.0]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(23, 5)) * 2, rng.normal(size=(23, 5))


def model_for(dtype="float64"):
    return fc.Sequential([fc.Dense(6), fc.Tanh(), fc.Dense(3)], (5,), dtype=dtype, seed=2)


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernels_agree_with_scipy(delta, dtype, data):
    special = pytest.importorskip("scipy.special")
    y, target = (array.astype(dtype) for array in data)
    expected = special.huber(delta, (y - target).astype(np.float64))
    rtol = 1e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(kernels.huber(y, target, delta, "none"), expected, rtol=rtol)
    assert kernels.huber(y, target, delta) == pytest.approx(expected.mean(), rel=rtol)
    assert kernels.huber(y, target, delta, "sum") == pytest.approx(expected.sum(), rel=rtol)
    slope = np.clip(y - target, -delta, delta)
    np.testing.assert_allclose(kernels.huber_grad(y, target, delta, "sum"), slope, rtol=rtol)
    np.testing.assert_allclose(kernels.huber_grad(y, target, delta), slope / y.size, rtol=rtol)
    assert kernels.huber_grad(y, target, delta).dtype == y.dtype


def test_numbers_worked_by_hand():
    y, target = np.array([0.5, -3.0, 1.0]), np.zeros(3)
    np.testing.assert_array_equal(kernels.huber(y, target, 1.0, "none"), [0.125, 2.5, 0.5])
    np.testing.assert_array_equal(kernels.huber(y, target, 2.0, "none"), [0.125, 4.0, 0.5])


def test_it_is_called_from_compiled_code(data):
    @numba.njit
    def both(y, target):
        return kernels.huber(y, target, 0.5, "sum"), kernels.huber_grad(y, target, delta=0.5)

    value, slope = both(*data)
    assert value == pytest.approx(kernels.huber(*data, 0.5, "sum"), rel=1e-14)
    np.testing.assert_array_equal(slope, kernels.huber_grad(*data, 0.5))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones(3), np.ones(4)), ValueError, "`target` must have the shape of `y`"),
        ((np.ones(3), np.ones(3, "f4")), TypeError, "`target`"),
        ((np.ones(3), np.ones(3), 0.0), ValueError, "`delta` must be a number > 0"),
        ((np.ones(3), np.ones(3), np.nan), ValueError, "`delta` must be a number > 0"),
        ((np.ones(3), np.ones(3), "1"), TypeError, "`delta` must be a number"),
        ((np.ones(3), np.ones(3), 1.0, "total"), ValueError, "`reduction` must be"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, error, message):
    for function in (kernels.huber, kernels.huber_grad):
        with pytest.raises(error, match=message):
            function(*arguments)


def test_nan_stays_and_an_empty_batch_has_no_mean():
    assert np.isnan(kernels.huber(np.array([np.nan, 1.0]), np.zeros(2)))
    assert np.isnan(kernels.huber(np.zeros(0), np.zeros(0)))


@pytest.mark.parametrize("delta", DELTAS)
def test_the_compiled_step_agrees_with_pytorch(delta, data):
    torch = pytest.importorskip("torch")
    X, y = data[0], data[1][:, :3]
    model = model_for()
    module = model.to_torch()
    value = torch.nn.HuberLoss(delta=delta)(module(torch.tensor(X)), torch.tensor(y))
    value.backward()
    loss, gradients = model.loss_and_gradients(X, y, fc.losses.Huber(delta))
    assert loss == pytest.approx(value.item(), rel=1e-12)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("delta", DELTAS)
def test_gradients_agree_with_differences(delta, data):
    assert fc.check_gradients(model_for(), data[0], data[1][:, :3], fc.losses.Huber(delta)) < 1e-5


def test_it_goes_by_its_name_and_trains_with_weights(data):
    X, y = data[0], data[1][:, :3]
    by_name, by_record = (
        fc.Trainer(model_for(), loss=loss).fit(
            X, y, epochs=3, sample_weight=np.arange(23.0), validation_data=(X, y)
        )
        for loss in ("huber", fc.losses.Huber())
    )
    assert by_name["loss"] == by_record["loss"]
    assert by_name["val_loss"] == by_record["val_loss"]
    assert by_name["loss"][-1] < by_name["loss"][0]
    assert "accuracy" not in by_name


def test_layer_by_layer_and_the_explanation_know_it(data):
    X, y = data[0], data[1][:, :3]
    model = model_for()
    loss, _, gradients = fc.inspection.backward(model, X, y, fc.losses.Huber(0.5))
    value, others = model.loss_and_gradients(X, y, fc.losses.Huber(0.5))
    assert loss == pytest.approx(value, rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, others[name], rtol=1e-9, atol=1e-13)
    told = fc.explain(model, X[0], y[0], loss="huber", file=io.StringIO())
    assert "delta * (|e| - delta / 2)" in told.text


def test_a_checkpoint_belongs_to_its_delta(data, tmp_path):
    X, y = data[0], data[1][:, :3]
    path = tmp_path / "run.npz"
    fc.Trainer(model_for(), loss=fc.losses.Huber(0.5)).fit(X, y, epochs=1, checkpoint=path)
    again = fc.Trainer(model_for(), loss=fc.losses.Huber(0.5))
    again.fit(X, y, epochs=2, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="another network, loss"):
        fc.Trainer(model_for(), loss="huber").fit(X, y, epochs=2, checkpoint=path, resume=True)


@pytest.mark.parametrize("delta", [0, -1, "1", np.nan])
def test_a_delta_that_is_not_positive_is_refused(delta):
    with pytest.raises((TypeError, ValueError), match="`delta` must be a number > 0"):
        fc.losses.Huber(delta)
