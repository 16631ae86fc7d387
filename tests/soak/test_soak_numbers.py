"""Errors against float64 over a grid of shapes, beside PyTorch's on the same inputs."""

import itertools

import numpy as np
import pytest
import reference_taps

from fastconv import kernels

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


@pytest.mark.parametrize("name", DRAWS)
def test_errors_of_convolutions_are_no_larger_than_pytorchs(name, figure):
    errors = {}
    for case in SHAPES:
        for kernel, pair in conv_errors(case, DRAWS[name]).items():
            errors.setdefault(kernel, []).append(pair)
    for kernel, pairs in errors.items():
        (ours, theirs), (worst, theirs_worst) = np.exp(np.log(pairs).mean(axis=0)), np.max(pairs, axis=0)
        figure(
            f"{kernel}, {name}: mean and worst error over {len(pairs)} shapes",
            f"{ours:.2e}, {worst:.2e} (PyTorch {theirs:.2e}, {theirs_worst:.2e})",
        )
    for kernel, pairs in errors.items():
        ours, theirs = np.exp(np.log(pairs).mean(axis=0))
        assert ours <= theirs, kernel
