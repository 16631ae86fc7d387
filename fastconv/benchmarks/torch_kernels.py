"""PyTorch's kernels under the names and with the arguments of `fastconv.kernels`, on tensors."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_convolution_backward = torch.ops.aten.convolution_backward


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution."""
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _conv_gradient(
    x: Tensor, weight: Tensor, dy: Tensor, stride: Any, padding: Any, dilation: Any, groups: int, which: int
) -> Tensor:
    mask = [which == 0, which == 1, False]
    geometry = (_pair(stride), _pair(padding), _pair(dilation), False, [0, 0], groups)
    gradient: Tensor = _convolution_backward(dy, x, weight, None, *geometry, mask)[which]
    return gradient


def conv2d_grad_weight(
    x: Tensor,
    dy: Tensor,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of the loss with respect to the weight."""
    weight = x.new_empty(dy.shape[1], x.shape[1] // groups, *_pair(kernel_size))
    return _conv_gradient(x, weight, dy, stride, padding, dilation, groups, 1)


def conv2d_grad_input(
    dy: Tensor,
    weight: Tensor,
    input_size: tuple[int, int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of the loss with respect to the input."""
    x = dy.new_empty(dy.shape[0], weight.shape[1] * groups, *input_size)
    return _conv_gradient(x, weight, dy, stride, padding, dilation, groups, 0)


def conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0
) -> Tensor:
    """Convolution of signals."""
    return F.conv1d(x, weight, bias, stride, padding)


def conv1d_grad_weight(x: Tensor, dy: Tensor, kernel_size: int, stride: int = 1, padding: int = 0) -> Tensor:
    """Gradient of the loss with respect to the weight."""
    weight = x.new_empty(dy.shape[1], x.shape[1], kernel_size)
    return _signal_gradient(x, weight, dy, stride, padding, 1)


def conv1d_grad_input(dy: Tensor, weight: Tensor, length: int, stride: int = 1, padding: int = 0) -> Tensor:
    """Gradient of the loss with respect to the input."""
    x = dy.new_empty(dy.shape[0], weight.shape[1], length)
    return _signal_gradient(x, weight, dy, stride, padding, 0)


def _signal_gradient(x: Tensor, weight: Tensor, dy: Tensor, stride: int, padding: int, which: int) -> Tensor:
    mask = [which == 0, which == 1, False]
    gradient: Tensor = _convolution_backward(
        dy, x, weight, None, [stride], [padding], [1], False, [0], 1, mask
    )[which]
    return gradient


def max_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> tuple[Tensor, Tensor]:
    """Maxima of windows and their flat indices."""
    y, argmax = F.max_pool2d(x, kernel_size, stride, padding, dilation, return_indices=True)
    return y, argmax


def avg_pool2d(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """Means of windows."""
    return F.avg_pool2d(x, kernel_size, stride, padding)


def dense(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias."""
    return F.linear(x, weight, bias)


def dense_grad_input(dy: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the loss with respect to the input."""
    return dy @ weight


def dense_grad_weight(x: Tensor, dy: Tensor) -> Tensor:
    """Gradient of the loss with respect to the weight."""
    return dy.T @ x


relu = torch.relu
sigmoid = torch.sigmoid


def softmax(x: Tensor) -> Tensor:
    """Along the last axis."""
    return torch.softmax(x, -1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[label]."""
    return F.cross_entropy(logits, labels)


def batch_norm2d(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation."""
    return F.batch_norm(x, running_mean, running_var, gamma, beta, training, momentum, eps)
