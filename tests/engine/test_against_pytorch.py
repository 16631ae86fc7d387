"""Whole networks: losses, gradients and training against PyTorch."""

import numpy as np
import pytest

import fastconv as fc
from tests.engine.networks import build, data_for, each_case, images_and_labels, loss_of, smooth_lenet5
from tests.engine.torch_networks import torch_loss, torch_twin

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@each_case
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
def test_losses_gradients_and_predictions_are_pytorchs(name, loss, dtype, tolerance):
    torch = pytest.importorskip("torch")
    model = build(name, dtype)
    X, y = data_for(model, loss)
    twin = torch_twin(torch, model)
    value = torch_loss(torch, twin, X, y, loss)
    value.backward()
    ours, gradients = model.loss_and_gradients(X, y, loss)
    assert ours == pytest.approx(value.item(), rel=tolerance)
    for parameter, tensor in twin.named_parameters():
        expected = tensor.grad.numpy()
        scale = max(np.abs(expected).max(), 1e-3)
        assert np.abs(gradients[parameter] - expected).max() <= tolerance * scale, parameter
    twin = torch_twin(torch, model).eval()
    with torch.no_grad():
        expected = twin(torch.tensor(X, dtype=getattr(torch, dtype))).numpy()
    np.testing.assert_allclose(model.predict(X), expected, rtol=tolerance, atol=tolerance)


def test_a_max_pool_window_that_holds_no_element_is_minus_infinity_as_in_pytorch():
    # Both taps of a window dilated by 2 fall beside an image of one element.
    model = fc.Sequential([fc.MaxPool2d(2, stride=1, padding=1, dilation=2)], (1, 1, 1))
    np.testing.assert_array_equal(model.predict(np.ones((2, 1, 1, 1))), np.full((2, 1, 1, 1), -np.inf))


OPTIMIZERS = {
    "sgd": (fc.SGD(0.01), {"lr": 0.01}),
    "momentum": (
        fc.SGD(0.003, momentum=0.9, weight_decay=0.01), {"lr": 0.003, "momentum": 0.9, "weight_decay": 0.01}
    ),
    "nesterov": (
        fc.SGD(0.003, momentum=0.8, nesterov=True), {"lr": 0.003, "momentum": 0.8, "nesterov": True}
    ),
    "adam": (fc.Adam(2e-4, eps=1e-5), {"lr": 2e-4, "eps": 1e-5}),
    "adam with decay": (
        fc.Adam(2e-4, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.02),
        {"lr": 2e-4, "betas": (0.8, 0.99), "eps": 1e-5, "weight_decay": 0.02},
    ),
    "adamw": (fc.AdamW(2e-4, eps=1e-5, weight_decay=0.1), {"lr": 2e-4, "eps": 1e-5, "weight_decay": 0.1}),
}  # fmt: skip


def distance(ours, others, start):
    """(largest, root mean square) difference of parameters, and the largest way from `start`."""
    errors = np.concatenate([(ours[name] - others[name]).ravel() for name in ours])
    moves = np.concatenate([(ours[name] - start[name]).ravel() for name in ours])
    return np.abs(errors).max(), np.sqrt(np.mean(errors**2)), np.abs(moves).max()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "loss", "classes", "batch_size", "count"),
    [
        (fc.models.lenet5, "cross_entropy", 10, 21, 96),
        (smooth_lenet5, "cross_entropy", 10, 21, 96),
        (fc.models.reference_cnn, "bce", 2, 7, 31),
    ],
    ids=["lenet5", "smooth_lenet5", "reference_cnn"],
)
def test_a_hundred_steps_are_pytorchs(make, loss, classes, batch_size, count, dtype, optimizer):
    torch = pytest.importorskip("torch")
    model = make(dtype=dtype, seed=1)
    X, y = images_and_labels(count, model.input_shape, classes)
    record, options = OPTIMIZERS[optimizer]
    twin = torch_twin(torch, model)
    torch_optimizer = getattr(torch.optim, type(record).__name__)(twin.parameters(), **options)
    start = model.state()
    fc.Trainer(model, loss=loss, optimizer=record).fit(X, y, epochs=20, batch_size=batch_size, shuffle=False)
    for _ in range(20):
        for first in range(0, count, batch_size):
            torch_optimizer.zero_grad()
            batch = slice(first, first + batch_size)
            torch_loss(torch, twin, X[batch], y[batch], loss).backward()
            torch_optimizer.step()
    others = {name: tensor.detach().numpy() for name, tensor in twin.named_parameters()}
    largest, typical, moved = distance(model.parameters(), others, start)
    if dtype == "float64":
        assert largest < 1e-10
    elif make is fc.models.lenet5:  # a ReLU or argmax that rounding turns over moves a few parameters more
        assert typical < 1e-4
    else:
        assert largest < 1e-4
    assert moved > 20 * 1e-4


def test_running_statistics_of_batch_norm_are_pytorchs_after_training():
    torch = pytest.importorskip("torch")
    model = build("batch norm", "float32")
    X, y = data_for(model, "cross_entropy", count=53)
    twin = torch_twin(torch, model)
    torch_optimizer = torch.optim.SGD(twin.parameters(), lr=0.05)
    fc.Trainer(model, optimizer=fc.SGD(0.05)).fit(X, y, epochs=4, batch_size=20, shuffle=False)
    for _ in range(4):
        for first in range(0, 53, 20):
            torch_optimizer.zero_grad()
            torch_loss(torch, twin, X[first : first + 20], y[first : first + 20], "cross_entropy").backward()
            torch_optimizer.step()
    expected = twin.state_dict()
    for name, array in model.state().items():
        np.testing.assert_allclose(array, expected[name].numpy(), rtol=1e-4, atol=1e-4, err_msg=name)
    with torch.no_grad():
        output = twin.eval()(torch.tensor(X, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(model.predict(X), output, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("logit", [np.inf, -np.inf, np.nan])
def test_the_loss_of_a_logit_that_is_not_finite_is_pytorchs(logit, target):
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor([logit]), torch.tensor([target])
    )
    got = loss_of("bce_with_logits", logit, target, "float32")
    np.testing.assert_equal(got, expected.item())
