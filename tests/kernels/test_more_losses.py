"""Smooth L1, focal and hinge losses as public kernels: worked by hand, against PyTorch, at the ends."""

import math

import numba
import numpy as np
import pytest

from fastconv import kernels
from tests.kernels.reference_losses import DTYPES, INF, NAN, REDUCTIONS, epsilon, reduced

LOG2 = math.log(2)
OF_CLASSES = {"focal": {"gamma": 1.5}, "hinge": {"margin": 0.7}}
OF_PAIRS = {
    "smooth_l1": {"beta": 0.4},
    "binary_focal": {"alpha": 0.3, "gamma": 1.5},
    "binary_hinge": {},
}


def data(name, shape=(7, 4), dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    values = (2 * rng.standard_normal(shape)).astype(dtype)
    if name in OF_CLASSES:
        return values, rng.integers(0, shape[1], shape[0])
    return values, rng.random(shape).astype(dtype)


def in_pytorch(torch, name, values, target, settings):
    """The losses one by one, by PyTorch's function, or by the definition where it has none."""
    functional = torch.nn.functional
    if name == "smooth_l1":
        return functional.smooth_l1_loss(values, target, reduction="none", **settings)
    if name == "hinge":
        return functional.multi_margin_loss(values, target, reduction="none", **settings)
    if name == "focal":
        entropy = functional.cross_entropy(values, target, reduction="none")
        return (1 - torch.exp(-entropy)) ** settings["gamma"] * entropy
    if name == "binary_hinge":
        return torch.clamp(1 - (2 * target - 1) * values, min=0)
    p = torch.sigmoid(values)  # as torchvision's sigmoid_focal_loss
    entropy = functional.binary_cross_entropy_with_logits(values, target, reduction="none")
    right = p * target + (1 - p) * (1 - target)
    losses = entropy * (1 - right) ** settings["gamma"]
    alpha = settings["alpha"]
    return losses if alpha < 0 else losses * (alpha * target + (1 - alpha) * (1 - target))


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "settings", "wanted"),
    [
        ("smooth_l1", [0.5, -3.0, 1.0], [0, 0, 0], {}, [0.125, 2.5, 0.5]),
        ("smooth_l1", [0.5, -3.0, 1.0], [0, 0, 0], {"beta": 2.0}, [0.0625, 2.0, 0.25]),
        ("focal", [[0, 0]], [1], {}, [LOG2 / 4]),
        ("focal", [[0, math.log(3)]], [1], {"gamma": 1.0}, [math.log(4 / 3) / 4]),
        ("focal", [[0, math.log(3)]], [1], {"gamma": 0.0}, [math.log(4 / 3)]),
        ("focal", [[-3.0]], [0], {}, [0]),
        ("binary_focal", [0, 0], [1, 0], {}, [0.25 * LOG2 / 4, 0.75 * LOG2 / 4]),
        ("binary_focal", [0, 0], [1, 0], {"alpha": -1.0, "gamma": 0.0}, [LOG2, LOG2]),
        ("binary_focal", [math.log(3)], [1], {"alpha": 1.0, "gamma": 1.0}, [math.log(4 / 3) / 4]),
        ("hinge", [[2, 1.5, 0, -3]], [0], {}, [0.125]),
        ("hinge", [[2, 1.5, 0, -3]], [3], {"margin": 2.0}, [(7 + 6.5 + 5) / 4]),
        ("binary_hinge", [0.25, -3, 0.25, 2], [1, 0, 0, 1], {}, [0.75, 0, 1.25, 0]),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_have_the_values_worked_by_hand(loss, prediction, target, settings, wanted, dtype):
    prediction = np.array(prediction, dtype)
    target = np.array(target, int if loss in OF_CLASSES else dtype)
    losses = getattr(kernels, loss)(prediction, target, reduction="none", **settings)
    assert losses.dtype == dtype
    eps = 8 * epsilon(dtype)
    np.testing.assert_allclose(losses, wanted, rtol=eps, atol=eps)
    for reduction in ("mean", "sum"):
        value = getattr(kernels, loss)(prediction, target, reduction=reduction, **settings)
        assert value == pytest.approx(reduced(np.array(wanted), reduction), rel=eps, abs=eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_PAIRS])
def test_losses_and_gradients_agree_with_pytorch(torch, name, reduction, dtype):
    values, target = data(name, dtype=dtype)
    settings = {**OF_CLASSES, **OF_PAIRS}[name]
    tensor = torch.tensor(values, requires_grad=True)
    wanted = in_pytorch(torch, name, tensor, torch.tensor(target), settings)
    wanted = wanted if reduction == "none" else getattr(wanted, reduction)()
    wanted.sum().backward()
    eps = 64 * epsilon(dtype)
    loss = getattr(kernels, name)(values, target, reduction=reduction, **settings)
    np.testing.assert_allclose(loss, wanted.detach().numpy(), rtol=eps, atol=eps)
    slopes = getattr(kernels, f"{name}_grad")(values, target, reduction=reduction, **settings)
    assert slopes.dtype == dtype
    np.testing.assert_allclose(slopes, tensor.grad.numpy(), rtol=eps, atol=eps)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.6])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 3.0])
def test_a_focal_loss_of_a_yes_agrees_with_pytorch_for_all_of_its_numbers(torch, alpha, gamma):
    values, target = data("binary_focal")
    target[:3] = np.round(target[:3])
    tensor = torch.tensor(values, requires_grad=True)
    settings = {"alpha": alpha, "gamma": gamma}
    wanted = in_pytorch(torch, "binary_focal", tensor, torch.tensor(target), settings).mean()
    wanted.backward()
    assert kernels.binary_focal(values, target, alpha, gamma) == pytest.approx(wanted.item(), rel=1e-12)
    slopes = kernels.binary_focal_grad(values, target, alpha, gamma)
    np.testing.assert_allclose(slopes, tensor.grad.numpy(), rtol=1e-10, atol=1e-15)


def test_without_a_focus_they_are_the_losses_that_they_come_from():
    logits, labels = data("focal")
    assert kernels.focal(logits, labels, 0.0) == pytest.approx(
        kernels.cross_entropy(logits, labels), rel=1e-14
    )
    z, target = data("binary_focal")
    plain = kernels.binary_focal(z, target, -1.0, 0.0)
    assert plain == pytest.approx(kernels.bce_with_logits(z, target), rel=1e-14)
    y, target = data("smooth_l1")
    assert kernels.smooth_l1(y, target, 0.5) == pytest.approx(2 * kernels.huber(y, target, 0.5), rel=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("logits", "loss", "slopes"),
    [
        ([1e4, -1e4, 0], 0, [0, 0, 0]),
        ([-1e4, 1e4, 0], 2e4, [-1, 1, 0]),
        ([-INF, 0, 0], INF, [-1, 0.5, 0.5]),
        ([0, -INF, -INF], 0, [0, 0, 0]),
        ([NAN, 0, 0], NAN, [NAN, NAN, NAN]),
        ([0, 0, NAN], NAN, [NAN, NAN, NAN]),
    ],
)
def test_a_focal_loss_is_right_for_extreme_logits(logits, loss, slopes, dtype):
    logits, labels = np.array([logits], dtype), np.zeros(1, int)
    np.testing.assert_allclose(kernels.focal(logits, labels), loss, rtol=1e-6)
    np.testing.assert_allclose(kernels.focal_grad(logits, labels), [slopes], rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("z", "target", "loss", "slope"),
    [
        (1e4, 1, 0, 0),
        (1e4, 0, 1e4, 1),
        (-1e4, 0, 0, 0),
        (-1e4, 1, 1e4, -1),
        (INF, 0, INF, 1),
        (-INF, 1, INF, -1),
        (INF, 1, 0, 0),
        (NAN, 1, NAN, NAN),
    ],
)
def test_a_focal_loss_of_a_yes_is_right_at_both_ends(z, target, loss, slope, dtype):
    z, target = np.array([z], dtype), np.array([target], dtype)
    np.testing.assert_allclose(kernels.binary_focal(z, target, -1.0), loss, rtol=1e-6)
    np.testing.assert_allclose(kernels.binary_focal_grad(z, target, -1.0), [slope], rtol=1e-6, atol=0)


def test_a_sure_answer_keeps_the_digits_of_its_small_loss():
    for lead in (5.0, 20.0, 50.0, 300.0):
        small = np.exp(-np.longdouble(lead))
        miss, entropy = small / (1 + small), np.log1p(small)
        value = kernels.focal(np.array([[lead, 0.0]]), np.array([0]), 1.5)
        assert value == pytest.approx(float(miss**1.5 * entropy), rel=1e-13)
        value = kernels.binary_focal(np.array([lead]), np.array([1.0]), -1.0, 1.5)
        assert value == pytest.approx(float(miss**1.5 * entropy), rel=1e-13)


@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_PAIRS])
def test_nan_stays_and_an_empty_batch_has_no_mean(name):
    values, target = data(name)
    values[3, 1] = NAN
    loss, gradient = getattr(kernels, name), getattr(kernels, f"{name}_grad")
    bad = np.isnan(loss(values, target, reduction="none"))
    assert np.flatnonzero(bad.any(axis=1) if bad.ndim == 2 else bad).tolist() == [3]
    empty = values[:0], target[:0]
    assert np.isnan(loss(*empty))
    assert loss(*empty, reduction="sum") == 0
    assert gradient(*empty).shape == (0, 4)


def test_they_are_called_from_compiled_code():
    @numba.njit
    def of_classes(z, labels):
        return (
            kernels.focal(z, labels, 1.5, "sum"),
            kernels.hinge(z, labels),
            kernels.focal_grad(z, labels),
            kernels.hinge_grad(z, labels, margin=0.5),
        )

    @numba.njit
    def of_pairs(z, y):
        return (
            kernels.smooth_l1(z, y, 0.5),
            kernels.binary_focal(z, y),
            kernels.binary_hinge(z, y),
            kernels.smooth_l1_grad(z, y, beta=0.5),
            kernels.binary_focal_grad(z, y, -1.0),
            kernels.binary_hinge_grad(z, y, "none"),
        )

    for function, name in ((of_classes, "focal"), (of_pairs, "smooth_l1")):
        given = data(name)
        for got, wanted in zip(function(*given), function.py_func(*given), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("smooth_l1", {"beta": 0.0}, ValueError, "`beta` must be a number > 0"),
        ("smooth_l1", {"beta": NAN}, ValueError, "`beta` must be a number > 0"),
        ("smooth_l1", {"beta": "1"}, TypeError, "`beta` must be a number"),
        ("focal", {"gamma": -0.5}, ValueError, "`gamma` must be a number >= 0"),
        ("focal", {"gamma": NAN}, ValueError, "`gamma` must be a number >= 0"),
        ("binary_focal", {"gamma": -0.5}, ValueError, "`gamma` must be a number >= 0"),
        ("binary_focal", {"alpha": 1.5}, ValueError, "`alpha` must be a number from 0 to 1"),
        ("binary_focal", {"alpha": NAN}, ValueError, "`alpha` must be a number from 0 to 1"),
        ("hinge", {"margin": 0.0}, ValueError, "`margin` must be a number > 0"),
        ("hinge", {"reduction": "total"}, ValueError, "`reduction` must be"),
    ],
)
def test_wrong_numbers_are_refused_by_name(name, settings, error, message):
    for function in (getattr(kernels, name), getattr(kernels, f"{name}_grad")):
        with pytest.raises(error, match=message):
            function(*data(name), **settings)
