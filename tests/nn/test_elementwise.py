"""Activations, losses and optimizers that users write: right, as those built in, on any threads, in files."""

import io
import math
import pickle

import numba
import numpy as np
import pytest

import fastconv as fc
from tests.nn import user_parts as own

LOGISTIC = fc.Elementwise(own.logistic, own.logistic_grad)
POSITIVE = fc.Elementwise(own.positive, own.positive_grad)
ELU = fc.Elementwise(own.elu, own.elu_grad)
MOMENTS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


def network(activation, dtype="float32"):
    layers = [fc.Conv2d(5, 3, padding=1), activation, fc.MaxPool2d(2), fc.Flatten(), fc.Dense(7), activation]
    return fc.Sequential([*layers, fc.Dense(3)], (2, 8, 9), dtype=dtype, seed=1)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(37, 2, 8, 9)), rng.integers(0, 3, 37)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("activation", "built_in"),
    [(LOGISTIC, fc.Sigmoid()), (POSITIVE, fc.ReLU())],
    ids=["logistic", "positive"],
)
def test_an_activation_is_as_the_same_one_built_in(activation, built_in, dtype, data):
    X, y = data
    mine, other = network(activation, dtype), network(built_in, dtype)
    for count in (1, 3, 16, 37):
        np.testing.assert_array_equal(mine.predict(X[:count]), other.predict(X[:count]))
    loss, gradients = mine.loss_and_gradients(X, y)
    expected, others = other.loss_and_gradients(X, y)
    assert loss == expected
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, others[name])


def test_gradients_are_checked_against_differences(data):
    X, y = data
    smooth = [fc.Conv2d(3, 3), LOGISTIC, fc.AvgPool2d(2), fc.Flatten(), ELU, fc.Dense(3)]
    assert fc.check_gradients(fc.Sequential(smooth, (2, 8, 9)), X, y) < 1e-6
    wrong = fc.Elementwise(own.logistic, own.elu_grad)
    assert fc.check_gradients(fc.Sequential([fc.Flatten(), fc.Dense(3), wrong], (2, 8, 9)), X, y) > 1e-3


def test_it_agrees_with_pytorch(data):
    torch = pytest.importorskip("torch")
    X, y = data
    model = fc.Sequential([fc.Flatten(), fc.Dense(9), ELU, fc.Dense(3)], (2, 8, 9), dtype="float64")
    twin = fc.Sequential([fc.Flatten(), fc.Dense(9), fc.Tanh(), fc.Dense(3)], (2, 8, 9), dtype="float64")
    twin.load_state(model.state())
    module = twin.to_torch()
    module[2] = torch.nn.ELU(own.ALPHA)
    loss = torch.nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(y))
    loss.backward()
    value, gradients = model.loss_and_gradients(X, y)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_the_public_kernels_give_what_the_engine_gives(data):
    X, y = data
    model = network(ELU, "float64")
    arrays = fc.inspection.activations(model, X)
    np.testing.assert_allclose(arrays[-1], model.predict(X), rtol=1e-12, atol=1e-13)
    _, _, gradients = fc.inspection.backward(model, X, y)
    for name, gradient in model.loss_and_gradients(X, y)[1].items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [1, 5, 17])
def test_lanes_past_the_batch_do_not_spoil_gradients(count):
    """There a function of 0 may be infinite."""
    X = np.random.default_rng(0).uniform(1, 2, (count, 4))
    layers = [fc.Elementwise(own.inverse, own.inverse_grad), fc.Dense(2, bias=False), fc.Dense(1)]
    model = fc.Sequential(layers, (4,), dtype="float64")
    _, gradients = model.loss_and_gradients(X, np.zeros((count, 1)), "mse")
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    assert fc.check_gradients(model, X, np.zeros((count, 1)), "mse") < 1e-6


def test_it_has_the_same_bits_on_any_number_of_threads(data):
    X, y = data
    optimizer = fc.ElementwiseOptimizer(own.adam, lr=0.01, **MOMENTS)
    found = []
    before = fc.get_num_threads()
    for threads in (1, 2, 3, 8):
        fc.set_num_threads(threads)
        model = network(ELU)
        fc.Trainer(model, optimizer=optimizer).fit(X, y, epochs=2, batch_size=20)
        found.append(model.flat_parameters.tobytes())
    fc.set_num_threads(before)
    assert len(set(found)) == 1


def test_a_loss_is_as_the_same_one_built_in(data):
    X, _ = data
    y = np.random.default_rng(1).normal(size=(37, 3))
    loss = fc.losses.ElementwiseLoss(own.squared_error, own.squared_error_grad)
    model = network(fc.Tanh())
    assert model.loss_and_gradients(X, y, loss)[0] == model.loss_and_gradients(X, y, "mse")[0]
    weight = np.random.default_rng(2).uniform(0, 2, 37)
    results = []
    for which in (loss, "mse"):
        model = network(fc.Tanh())
        trainer = fc.Trainer(model, loss=which)
        history = trainer.fit(X, y, epochs=2, batch_size=16, sample_weight=weight, validation_data=(X, y))
        results.append((history["loss"], history["val_loss"], model.flat_parameters.tobytes()))
    assert results[0] == results[1]
    assert fc.check_gradients(network(fc.Tanh()), X, y, loss) < 1e-4
    backward = fc.inspection.backward(network(fc.Tanh(), "float64"), X, y, loss)
    assert backward[0] == pytest.approx(
        network(fc.Tanh(), "float64").loss_and_gradients(X, y, "mse")[0], rel=1e-12
    )


@pytest.mark.parametrize(
    ("mine", "built_in", "close"),
    [
        (fc.ElementwiseOptimizer(own.descend, lr=0.1), fc.SGD(0.1), 0),
        (fc.ElementwiseOptimizer(own.momentum, lr=0.1, momentum=0.9), fc.SGD(0.1, momentum=0.9), 0),
        (
            fc.ElementwiseOptimizer(own.momentum, lr=0.1, momentum=0.9, clip_norm=0.1),
            fc.SGD(0.1, momentum=0.9, clip_norm=0.1),
            0,
        ),
        (
            fc.ElementwiseOptimizer(own.momentum, lr=fc.CosineDecay(0.1), momentum=0.9),
            fc.SGD(fc.CosineDecay(0.1), momentum=0.9),
            0,
        ),
        (fc.ElementwiseOptimizer(own.adam, lr=0.01, **MOMENTS), fc.Adam(0.01), 1e-12),
    ],
)
def test_an_optimizer_is_as_the_same_one_built_in(mine, built_in, close, data):
    X, y = data
    models = []
    for optimizer in (mine, built_in):
        models.append(network(fc.Tanh(), "float64"))
        fc.Trainer(models[-1], optimizer=optimizer).fit(X, y, epochs=3, batch_size=16)
    difference = np.abs(models[0].flat_parameters - models[1].flat_parameters).max()
    assert difference <= close


def test_an_optimizer_may_keep_three_numbers_of_state(data):
    torch = pytest.importorskip("torch")
    X, y = data
    model = network(fc.Tanh(), "float64")
    module = model.to_torch().train()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05, amsgrad=True)
    for _ in range(6):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(y)).backward()
        optimizer.step()
    trainer = fc.Trainer(model, optimizer=fc.ElementwiseOptimizer(own.amsgrad, lr=0.05, **MOMENTS))
    trainer.fit(X, y, epochs=6, batch_size=37, shuffle=False)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(model.parameters()[name], parameter.detach().numpy(), rtol=1e-6, atol=1e-9)


def test_a_run_with_own_parts_resumes_with_the_same_bits(data, tmp_path):
    X, y = data
    make = lambda: fc.Trainer(  # noqa: E731
        network(ELU), optimizer=fc.ElementwiseOptimizer(own.adam, lr=0.01, **MOMENTS)
    )
    whole, first, second = make(), make(), make()
    whole.fit(X, y, epochs=4)
    first.fit(X, y, epochs=2, checkpoint=tmp_path / "run.npz")
    second.fit(X, y, epochs=4, checkpoint=tmp_path / "run.npz", resume=True)
    assert whole.model.flat_parameters.tobytes() == second.model.flat_parameters.tobytes()
    pickled = pickle.loads(pickle.dumps(first))
    first.fit(X, y, epochs=1)
    pickled.fit(X, y, epochs=1)
    assert first.model.flat_parameters.tobytes() == pickled.model.flat_parameters.tobytes()
    other = fc.Trainer(network(ELU), optimizer=fc.ElementwiseOptimizer(own.adam, lr=0.02, **MOMENTS))
    with pytest.raises(ValueError, match="written by another"):
        other.fit(X, y, epochs=4, checkpoint=tmp_path / "run.npz", resume=True)


def test_a_file_holds_the_import_path(tmp_path, data):
    path = tmp_path / "model.npz"
    model = network(ELU)
    model.save(path)
    again = fc.load(path)
    assert again.layers[1] == ELU
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))
    assert ELU.settings() == {
        "function": "tests.nn.user_parts:elu", "derivative": "tests.nn.user_parts:elu_grad"
    }  # fmt: skip
    assert (
        fc.losses.ElementwiseLoss(own.squared_error, own.squared_error_grad).record()["name"]
        == "ElementwiseLoss"
    )


def test_what_no_other_process_can_import_is_refused_in_one_line(tmp_path):
    layer = fc.Elementwise(lambda x: x, lambda x: 1.0)
    model = fc.Sequential([layer], (3,))
    with pytest.raises(ValueError, match="can't be found again by another process") as caught:
        model.save(tmp_path / "model.npz")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    optimizer = fc.ElementwiseOptimizer(lambda w, gradient, options: w, lr=0.1)
    trainer = fc.Trainer(fc.Sequential([fc.Dense(2)], (3,)), optimizer=optimizer)
    with pytest.raises(ValueError, match="can't be found again"):
        trainer.fit(np.ones((4, 3)), [0, 1, 0, 1], checkpoint=tmp_path / "run.npz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fc.Elementwise(3, own.elu_grad), "`function` must be a function"),
        (
            lambda: fc.Elementwise(own.elu, own.momentum),
            "`derivative` must take 1 or 2 arguments, got momentum",
        ),
        (lambda: fc.Elementwise(math.exp, own.elu_grad), "`function` must be a function"),
        (lambda: fc.losses.ElementwiseLoss(own.elu, own.elu_grad), "`function` must take 2 arguments"),
        (lambda: fc.ElementwiseOptimizer(own.elu), "`update` must take"),
        (lambda: fc.ElementwiseOptimizer(own.momentum, lr="fast"), "`lr` must be"),
    ],
)
def test_what_is_no_such_function_is_refused_by_name(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_what_numba_cannot_compile_is_one_line_that_names_the_function():
    @numba.njit
    def nonsense(x):
        return x.no_such_thing

    model = fc.Sequential([fc.Elementwise(nonsense, own.elu_grad)], (3,))
    with pytest.raises(TypeError, match="Numba can't compile nonsense: ") as caught:
        model.predict(np.ones((2, 3)))
    assert "\n" not in str(caught.value)


def test_functions_without_njit_are_taken_too(data):
    X, _y = data
    plain = fc.Elementwise(own.elu.py_func, own.elu_grad.py_func)
    np.testing.assert_array_equal(network(plain).predict(X), network(ELU).predict(X))


def test_what_a_function_refers_to_is_part_of_what_it_is(data):
    def scaled(factor):
        @numba.njit
        def scale(x):
            return factor * x

        @numba.njit
        def scale_grad(x):
            return factor

        return fc.Elementwise(scale, scale_grad)

    X = np.ones((2, 3), np.float32)
    for factor in (2.0, 3.0):
        model = fc.Sequential([scaled(factor)], (3,))
        np.testing.assert_array_equal(model.predict(X), factor * X)


def test_it_is_explained(data):
    X, y = data
    model = fc.Sequential([fc.Flatten(), fc.Dense(2), ELU, fc.Dense(3)], (2, 8, 9))
    told = fc.explain(model, X[0], int(y[0]), file=io.StringIO())
    assert "= elu(Z1)" in told.text
    assert "elu_grad(Z1)" in told.text
