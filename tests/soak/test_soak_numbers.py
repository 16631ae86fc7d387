"""Errors against float64 over a grid of shapes, beside PyTorch's on the same inputs."""

import itertools

import numpy as np
import pytest

import fastconv as fc
from fastconv import kernels
from fastconv.engine import few_samples
from tests.engine.two_layouts import compared
from tests.kernels import reference_taps

torch = pytest.importorskip("torch")

# (n, channels, out channels, size, kernel)
SHAPES = [
    *itertools.product((2, 17), (1, 6, 32), (4, 33), ((12, 12), (9, 28)), ((3, 3), (5, 5))),
    (64, 64, 64, (16, 16), (3, 3)),
    (4, 3, 8, (128, 96), (3, 3)),
]
DRAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.random(shape),  # sums that only grow: the most is lost
}


def error(got, wanted):
    """The root of the mean square of the error, against the size of the answer."""
    difference = np.asarray(got, np.float64) - wanted
    return np.sqrt((difference**2).mean() / (wanted**2).mean())


def conv_errors(case, draw):
    """{kernel: (our error, PyTorch's)} of the three convolution kernels in float32."""
    n, c, o, size, kernel = case
    rng = np.random.default_rng(3)
    x, w = (draw(rng, s).astype(np.float32) for s in ((n, c, *size), (o, c, *kernel)))
    dy = draw(rng, (n, o, size[0] - kernel[0] + 1, size[1] - kernel[1] + 1)).astype(np.float32)
    t = {k: torch.from_numpy(v) for k, v in (("x", x), ("w", w), ("dy", dy))}
    grad = torch.nn.grad
    return {
        "conv2d": (
            error(kernels.conv2d(x, w), reference_taps.conv2d(x, w)),
            error(torch.conv2d(t["x"], t["w"]), reference_taps.conv2d(x, w)),
        ),
        "conv2d_grad_input": (
            error(
                kernels.conv2d_grad_input(dy, w, size),
                wanted := reference_taps.conv2d_grad_input(dy, w, size),
            ),
            error(grad.conv2d_input(x.shape, t["w"], t["dy"]), wanted),
        ),
        "conv2d_grad_weight": (
            error(
                kernels.conv2d_grad_weight(x, dy, kernel),
                wanted := reference_taps.conv2d_grad_weight(x, dy, kernel),
            ),
            error(grad.conv2d_weight(t["x"], w.shape, t["dy"]), wanted),
        ),
    }


def dense_errors(case, draw):
    """The same of the dense kernels; the case is (n, features, outputs)."""
    n, features, outputs = case
    rng = np.random.default_rng(4)
    x, w, dy = (draw(rng, s).astype(np.float32) for s in ((n, features), (outputs, features), (n, outputs)))
    (tx, tw, tdy), (wx, ww, wdy) = map(torch.from_numpy, (x, w, dy)), (a.astype(float) for a in (x, w, dy))
    return {
        "dense": (error(kernels.dense(x, w), wx @ ww.T), error(tx @ tw.T, wx @ ww.T)),
        "dense_grad_input": (error(kernels.dense_grad_input(dy, w), wdy @ ww), error(tdy @ tw, wdy @ ww)),
        "dense_grad_weight": (
            error(kernels.dense_grad_weight(x, dy), wdy.T @ wx),
            error(tdy.T @ tx, wdy.T @ wx),
        ),
    }


DENSE_SHAPES = [(n, i, o) for n in (17, 128) for i in (256, 784, 2048) for o in (10, 120)]
CAMPAIGNS = {"convolutions": (SHAPES, conv_errors), "dense layers": (DENSE_SHAPES, dense_errors)}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_errors_are_no_larger_than_pytorchs(campaign, name, figure):
    shapes, errors_of = CAMPAIGNS[campaign]
    errors = {}
    for case in shapes:
        for kernel, pair in errors_of(case, DRAWS[name]).items():
            errors.setdefault(kernel, []).append(np.maximum(pair, 1e-12))
    for kernel, pairs in errors.items():
        (ours, theirs), (worst, theirs_worst) = np.exp(np.log(pairs).mean(axis=0)), np.max(pairs, axis=0)
        figure(
            f"{kernel}, {name}: mean and worst error over {len(pairs)} shapes",
            f"{ours:.2e}, {worst:.2e} (PyTorch {theirs:.2e}, {theirs_worst:.2e})",
        )
    for kernel, pairs in errors.items():
        ours, theirs = np.exp(np.log(pairs).mean(axis=0))
        assert ours <= theirs, kernel


def test_the_gradients_of_a_large_image_hold_up(figure):
    rng = np.random.default_rng(0)
    X = rng.random((2, 1, 512, 512), dtype=np.float32)
    ours, exact = (gradients(X, dtype) for dtype in ("float32", "float64"))
    start = {name: torch.from_numpy(a) for name, a in network("float32").parameters().items()}
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(2, 2, 3))
    theirs.load_state_dict(start)
    outputs = theirs(torch.from_numpy(X))
    torch.nn.functional.mse_loss(outputs, torch.zeros_like(outputs)).backward()
    worst = max(np.abs(ours[n] / exact[n] - 1).max() for n in exact)
    theirs_worst = max(np.abs(p.grad.numpy() / exact[n] - 1).max() for n, p in theirs.named_parameters())
    figure(
        "gradients of two convolutions of 512x512 images, largest error",
        f"{worst:.1e} (PyTorch {theirs_worst:.1e})",
    )
    assert worst < 2e-6
    assert worst <= theirs_worst


def network(dtype):
    """Two convolutions with positive weights that float32 holds: nothing cancels in their sums."""
    model = fc.Sequential([fc.Conv2d(2, 3), fc.Conv2d(2, 3)], (1, 512, 512), dtype=dtype)
    for array in model.parameters().values():
        array[...] = np.abs(array).astype(np.float32)
    return model


def gradients(X, dtype):
    model = network(dtype)
    return model.loss_and_gradients(X, np.zeros((len(X), *model.output_shape)), loss="mse")[1]


def test_random_networks_train_alike_with_channels_or_samples_in_the_lanes(figure, monkeypatch):
    monkeypatch.setattr(few_samples, "PER_START", 1)
    count, bad = compared(range(6000))
    figure("random networks trained in two layouts", count)
    assert bad == []
