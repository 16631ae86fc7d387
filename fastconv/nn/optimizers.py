"""Optimizers: records of how a gradient becomes a step. The compiled step does the arithmetic.

Names, defaults and formulas are PyTorch's (`torch.optim`).

Gradients that may explode are clipped within the step, before anything else is done with them, in one of two
ways (as in Keras, not both at once). `clip_norm` shortens a gradient g whose Euclidean norm |g| over all
parameters is larger: g <- g min(1, clip_norm / (|g| + 1e-6)). `clip_value` takes each number of it to the
nearest one from -clip_value to clip_value. They are PyTorch's `clip_grad_norm_` and `clip_grad_value_`.
Source: Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks".
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.settings import real_number
from ..kernels.lanes import optimizers
from .schedules import Schedule


def optimizer_operation(optimizer):
    """(operation, its options, its flag) of an optimizer record."""
    name = type(optimizer).__name__
    if name == "SGD":
        return optimizers.sgd, [optimizer.momentum, optimizer.weight_decay], int(optimizer.nesterov)
    options = [*optimizer.betas, optimizer.eps, optimizer.weight_decay]
    return optimizers.adam, options, int(name == "AdamW")


def optimizer_state(optimizer, network):
    """The optimizer's own vectors, zeros at the start."""
    return [
        np.zeros_like(network.flat_parameters) for _ in range(1 if type(optimizer).__name__ == "SGD" else 2)
    ]


class Optimizer:
    """What every optimizer has: `lr`, a number or a schedule, and how gradients are clipped.

    Examples
    --------
    >>> isinstance(Adam(), Optimizer)
    True
    """

    lr: "float | Schedule"
    clip_norm: float | None
    clip_value: float | None

    def learning_rates(
        self, first_step: int, count: int, steps_per_epoch: int, total_steps: int
    ) -> NDArray[np.float64]:
        """The learning rates of `count` steps from `first_step` on; see `Schedule.learning_rates`.

        Parameters
        ----------
        first_step, count, steps_per_epoch, total_steps : int
            As in `Schedule.learning_rates`.

        Returns
        -------
        ndarray of float64, shape (count,)

        Examples
        --------
        >>> SGD(lr=0.1).learning_rates(0, 2, steps_per_epoch=1, total_steps=2)
        array([0.1, 0.1])
        """
        if isinstance(self.lr, float):  # to ask whether it is a `Schedule` takes 5 us, once an epoch
            return np.full(count, self.lr, dtype=np.float64)
        return self.lr.learning_rates(first_step, count, steps_per_epoch, total_steps)

    def _check_number(self, name: str, high: float = np.inf) -> None:
        object.__setattr__(self, name, real_number(getattr(self, name), name, high=high))

    def _check_lr(self) -> None:
        if isinstance(self.lr, type):
            raise TypeError(f"`lr` must be a schedule, not its class: {self.lr.__name__}(...)")
        if isinstance(self.lr, Optimizer):
            raise TypeError(f"`lr` must be a number or a schedule, got {self.lr!r}")
        if not isinstance(self.lr, Schedule):
            self._check_number("lr")

    def _check_clipping(self) -> None:
        for name in ("clip_norm", "clip_value"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, real_number(value, name, above=True))
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError(
                f"`clip_value` must be None where `clip_norm` is given, got {self.clip_value:g}: choose one"
            )


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    With gradient g (to which `weight_decay * w` is added) and velocity v (the first v is g):
    v <- momentum v + g, and w <- w - lr v, or w <- w - lr (g + momentum v) with `nesterov`.

    Parameters
    ----------
    lr : float or schedule
        Learning rate.
    momentum : float
        Part of the velocity that is kept, 0 <= momentum < 1.
    nesterov : bool
        Look ahead along the velocity (Sutskever et al., 2013); needs `momentum` > 0.
    weight_decay : float
        L2 penalty.
    clip_norm : float, optional
        The largest Euclidean norm of the gradient over all parameters; a longer one is scaled down to it.
    clip_value : float, optional
        Instead, the largest size of any one number of the gradient. See `fastconv.optimizers`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> SGD(lr=0.1, momentum=0.9, clip_norm=1.0)
    SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, clip_norm=1.0, clip_value=None)
    """

    lr: "float | Schedule" = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check_lr()
        self._check_clipping()
        self._check_number("momentum", high=1.0)
        self._check_number("weight_decay")
        if not isinstance(self.nesterov, (bool, np.bool_)):
            raise TypeError(f"`nesterov` must be True or False, got {self.nesterov!r}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov` needs `momentum` > 0, got 0.0")


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): steps scaled by running moments of the gradient.

    At step t with gradient g (to which `weight_decay * w` is added):
    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, and
    w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).

    Parameters
    ----------
    lr : float or schedule
        Learning rate.
    betas : pair of floats
        b1 and b2, each 0 <= b < 1.
    eps : float
        Keeps the denominator from zero.
    weight_decay : float
        L2 penalty.
    clip_norm : float, optional
        The largest Euclidean norm of the gradient over all parameters; a longer one is scaled down to it.
    clip_value : float, optional
        Instead, the largest size of any one number of the gradient. See `fastconv.optimizers`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> Adam(lr=0.002).betas
    (0.9, 0.999)
    """

    lr: "float | Schedule" = 0.001
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check_lr()
        self._check_clipping()
        self._check_number("eps")
        self._check_number("weight_decay")
        if not isinstance(self.betas, (tuple, list)):
            raise TypeError(f"`betas` must be a pair of numbers, got {self.betas!r}")
        if len(self.betas) != 2:
            raise ValueError(f"`betas` must be a pair of numbers, got {self.betas!r}")
        betas = tuple(real_number(beta, f"betas[{i}]", high=1.0) for i, beta in enumerate(self.betas))
        object.__setattr__(self, "betas", betas)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): w <- w - lr weight_decay w comes first.

    Parameters
    ----------
    lr, betas, eps, clip_norm, clip_value
        As in `Adam`.
    weight_decay : float
        Shrinks the weights directly.

    Examples
    --------
    >>> AdamW().weight_decay
    0.01
    """

    weight_decay: float = 0.01


BY_NAME: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def resolve(optimizer: Any) -> Optimizer:
    """An optimizer from itself or from its name in any case ("sgd", "adam", "adamw").

    Parameters
    ----------
    optimizer : optimizer or str

    Returns
    -------
    SGD, Adam or AdamW

    Raises
    ------
    TypeError, ValueError
        If it is neither.

    Examples
    --------
    >>> resolve("adam").lr
    0.001
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        if optimizer.lower() in BY_NAME:
            return BY_NAME[optimizer.lower()]()
        raise ValueError(f"`optimizer` must be one of {', '.join(BY_NAME)}, got {optimizer!r}")
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise TypeError(f"`optimizer` must be an optimizer, not its class: {optimizer.__name__}()")
    raise TypeError(f"`optimizer` must be SGD, Adam or AdamW, got {optimizer!r}")
