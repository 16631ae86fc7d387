"""Public kernels: plain functions of NumPy arrays, callable from Python and from `@njit` code.

Images are NCHW, convolution weights (O, C // groups, KH, KW), dense weights (out, in). `dy` is the gradient
of a loss with respect to an operation's output y; `dx`, `dweight` likewise. Convolution is cross-correlation.
"""

from .activations import (
    leaky_relu,
    leaky_relu_grad,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    tanh,
    tanh_grad,
)
from .conv import conv2d, conv2d_grad_bias, conv2d_grad_input, conv2d_grad_weight
from .dense import dense, dense_grad_bias, dense_grad_input, dense_grad_weight
from .losses import (
    bce,
    bce_grad,
    bce_with_logits,
    bce_with_logits_grad,
    cross_entropy,
    cross_entropy_grad,
    mse,
    mse_grad,
)
from .norm import batch_norm2d, batch_norm2d_grad
from .pool import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad

__all__ = [
    "avg_pool2d",
    "avg_pool2d_grad",
    "batch_norm2d",
    "batch_norm2d_grad",
    "bce",
    "bce_grad",
    "bce_with_logits",
    "bce_with_logits_grad",
    "conv2d",
    "conv2d_grad_bias",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "cross_entropy",
    "cross_entropy_grad",
    "dense",
    "dense_grad_bias",
    "dense_grad_input",
    "dense_grad_weight",
    "leaky_relu",
    "leaky_relu_grad",
    "max_pool2d",
    "max_pool2d_grad",
    "mse",
    "mse_grad",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "tanh",
    "tanh_grad",
]
