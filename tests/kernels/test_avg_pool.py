"""Average pool and its gradient."""

import numpy as np
import pytest

from fastconv.kernels import avg_pool2d, avg_pool2d_grad
from tests.kernels import reference_pool as reference
from tests.kernels.pool_cases import DTYPES, GEOMETRIES, TOLERANCE, outputs, random


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "ceil"), GEOMETRIES)
def test_avg_pool2d_and_its_gradient_agree_with_the_reference(
    size, kernel, stride, padding, ceil, count, dtype
):
    x = random(2, 3, *size, dtype=dtype)
    y = avg_pool2d(x, kernel, stride, padding, ceil, count)
    wanted = reference.avg_pool2d(x, kernel, stride, padding, ceil, count)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, wanted, rtol=0, atol=TOLERANCE[dtype])
    dy = outputs(size, kernel, stride, padding, ceil, dtype)
    dx = avg_pool2d_grad(dy, size, kernel, stride, padding, ceil, count)
    wanted = reference.avg_pool2d_grad(dy, size, kernel, stride, padding, ceil, count)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, wanted, rtol=0, atol=8 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "ceil"), GEOMETRIES)
def test_avg_pool2d_and_its_gradient_agree_with_pytorch(
    torch, size, kernel, stride, padding, ceil, count, dtype
):
    x = random(2, 3, *size, dtype=dtype)
    tensor = torch.tensor(x, requires_grad=True)
    wanted = torch.nn.functional.avg_pool2d(tensor, kernel, stride, padding, ceil, count)
    y = avg_pool2d(x, kernel, stride, padding, ceil, count)
    np.testing.assert_allclose(y, wanted.detach().numpy(), rtol=0, atol=TOLERANCE[dtype])
    dy = outputs(size, kernel, stride, padding, ceil, dtype)
    wanted.backward(torch.tensor(dy))
    dx = avg_pool2d_grad(dy, size, kernel, stride, padding, ceil, count)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=0, atol=8 * TOLERANCE[dtype])


def test_the_zeros_of_the_padding_count_in_a_mean_unless_told_otherwise():
    x = np.full((1, 1, 2, 2), 36.0)
    assert avg_pool2d(x, 3, 1, 1)[0, 0].tolist() == [[16, 16], [16, 16]]
    assert avg_pool2d(x, 3, 1, 1, count_include_pad=False)[0, 0].tolist() == [[36, 36], [36, 36]]


def test_what_hangs_over_the_padding_in_ceil_mode_never_counts_in_a_mean():
    x = np.full((1, 1, 1, 5), 12.0)
    y = avg_pool2d(x, (1, 4), (1, 3), (0, 1), ceil_mode=True)
    assert y[0, 0].tolist() == [[9, 9]]  # -1..2 and 2..5: three elements and one zero each
    y = avg_pool2d(np.full((1, 1, 1, 6), 12.0), (1, 4), (1, 4), (0, 1), ceil_mode=True)
    assert y[0, 0].tolist() == [[9, 9]]  # -1..2, and 3..6 with its zero at 6
    y = avg_pool2d(np.full((1, 1, 1, 5), 12.0), (1, 4), (1, 4), (0, 1), ceil_mode=True)
    assert y[0, 0].tolist() == [[9, 8]]  # 3..5 with its zero at 5: position 6 is past the padding
