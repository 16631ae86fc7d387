"""Optimizers: records of how a gradient becomes a step. The compiled step does the arithmetic.

Names, defaults and formulas are PyTorch's (`torch.optim`).

Gradients that may explode are clipped within the step, before anything else is done with them, in one of two
ways (as in Keras, not both at once). `clip_norm` shortens a gradient g whose Euclidean norm |g| over all
parameters is larger: g <- g min(1, clip_norm / (|g| + 1e-6)). `clip_value` takes each number of it to the
nearest one from -clip_value to clip_value. They are PyTorch's `clip_grad_norm_` and `clip_grad_value_`.
Source: Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks".

`weight_decay` acts on all parameters, as in PyTorch, or on those that `decay` names: with decay="weights" on
the weights of layers that multiply their input by them, but not on biases, nor on the scales and shifts of
normalisations and the slopes of PReLU; a function tells for each parameter, by its name.
Source: He and others (2019), "Bag of tricks for image classification", section 3.1.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ..checks.import_path import import_path
from ..checks.settings import real_number
from ..kernels.lanes import optimizers, user_functions
from ..simd.user_functions import arguments_of, check_function, python_function
from .learning_rate import under_both_names
from .optimizer import Optimizer, record
from .schedules import Schedule

__all__ = ["SGD", "Adam", "AdamW", "ElementwiseOptimizer", "Lion", "RMSprop"]

OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop", "lion"]


@record
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    With gradient g (to which `weight_decay * w` is added) and velocity v (the first v is g):
    v <- momentum v + g, and w <- w - lr v, or w <- w - lr (g + momentum v) with `nesterov`.

    Parameters
    ----------
    lr : float or schedule
        Learning rate; `learning_rate` is understood too.
    momentum : float
        Part of the velocity that is kept, 0 <= momentum < 1.
    nesterov : bool
        Look ahead along the velocity (Sutskever et al., 2013); needs `momentum` > 0.
    weight_decay : float
        L2 penalty.
    decay : None, "weights" or function, optional
        What the decay acts on: all parameters, those of them that are weights, or those for whose names the
        function says True. See `fastconv.optimizers`.
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
    SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, clip_norm=1.0, clip_value=None, decay=None)
    """

    lr: "float | Schedule" = 0.01
    momentum: float = 0.0
    nesterov: bool = field(default=False, kw_only=True)
    weight_decay: float = field(default=0.0, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    decay: Any = field(default=None, kw_only=True)
    operation: ClassVar = optimizers.sgd
    state_vectors: ClassVar = 1

    def numbers(self) -> list[float]:
        return [self.momentum, self.weight_decay]

    def variant(self) -> int:
        return int(self.nesterov)

    def __post_init__(self) -> None:
        self._check_lr()
        self._check_clipping()
        self._check_number("momentum", high=1.0)
        self._check_decay()
        if not isinstance(self.nesterov, (bool, np.bool_)):
            raise TypeError(f"`nesterov` must be True or False, got {self.nesterov!r}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov` needs `momentum` > 0, got 0.0")


@record
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): steps scaled by running moments of the gradient.

    At step t with gradient g (to which `weight_decay * w` is added):
    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, and
    w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).

    Parameters
    ----------
    lr : float or schedule
        Learning rate; `learning_rate` is understood too.
    betas : pair of floats
        b1 and b2, each 0 <= b < 1.
    eps : float
        Keeps the denominator from zero.
    weight_decay : float
        L2 penalty.
    decay : None, "weights" or function, optional
        What the decay acts on: all parameters, those of them that are weights, or those for whose names the
        function says True. See `fastconv.optimizers`.
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
    betas: tuple[float, float] = field(default=(0.9, 0.999), kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)
    weight_decay: float = field(default=0.0, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    decay: Any = field(default=None, kw_only=True)
    operation: ClassVar = optimizers.adam
    state_vectors: ClassVar = 2

    def numbers(self) -> list[float]:
        return [*self.betas, self.eps, self.weight_decay]

    def __post_init__(self) -> None:
        self._check_lr()
        self._check_clipping()
        self._check_number("eps")
        self._check_decay()
        object.__setattr__(self, "betas", _checked_betas(self.betas))


@record
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): w <- w - lr weight_decay w comes first.

    Parameters
    ----------
    lr, betas, eps, clip_norm, clip_value
        As in `Adam`.
    weight_decay : float
        Shrinks the weights directly.
    decay : None, "weights" or function, optional
        Which of them: see `SGD`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> AdamW().weight_decay
    0.01
    >>> optimizer = AdamW(0.001, weight_decay=0.05, decay="weights")  # neither biases nor normalisations
    """

    weight_decay: float = field(default=0.01, kw_only=True)

    def variant(self) -> int:
        return 1


@record
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012): steps divided by a running root mean square of the gradient.

    With gradient g (to which `weight_decay * w` is added): s <- alpha s + (1 - alpha) g^2,
    v <- momentum v + g / (sqrt(s) + eps), and w <- w - lr v. With `centered`, a running mean m of g is kept,
    and s - m^2 stands for s (Graves, 2013).

    Parameters
    ----------
    lr : float or schedule
        Learning rate; `learning_rate` is understood too.
    alpha : float
        Share of the mean square that is kept, 0 <= alpha < 1.
    eps : float
        Keeps the denominator from zero.
    weight_decay : float
        L2 penalty.
    decay : None, "weights" or function, optional
        What the decay acts on: all parameters, those of them that are weights, or those for whose names the
        function says True. See `fastconv.optimizers`.
    momentum : float
        Part of the velocity that is kept, 0 <= momentum < 1.
    centered : bool
        Whether the mean square is taken around the mean.
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
    >>> RMSprop(lr=0.002).alpha
    0.99
    """

    lr: "float | Schedule" = 0.01
    alpha: float = field(default=0.99, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)
    weight_decay: float = field(default=0.0, kw_only=True)
    momentum: float = field(default=0.0, kw_only=True)
    centered: bool = field(default=False, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    decay: Any = field(default=None, kw_only=True)
    operation: ClassVar = optimizers.rmsprop
    state_vectors: ClassVar = 3
    state_in_one: ClassVar = True

    def numbers(self) -> list[float]:
        return [self.alpha, self.eps, self.weight_decay, self.momentum]

    def variant(self) -> int:
        return int(self.centered)

    def __post_init__(self) -> None:
        self._check_lr()
        self._check_clipping()
        self._check_number("alpha", high=1.0)
        self._check_number("momentum", high=1.0)
        self._check_number("eps")
        self._check_decay()
        if not isinstance(self.centered, (bool, np.bool_)):
            raise TypeError(f"`centered` must be True or False, got {self.centered!r}")


@record
@dataclass(frozen=True)
class Lion(Optimizer):
    """Lion (Chen and others, 2023): steps of one size, in the direction that a running mean points to.

    With gradient g and mean m: w <- w - lr (sign(b1 m + (1 - b1) g) + weight_decay w), and then
    m <- b2 m + (1 - b2) g. The decay is decoupled, as that of AdamW.

    Parameters
    ----------
    lr : float or schedule
        Learning rate; `learning_rate` is understood too. A third to a tenth of what suits Adam.
    betas : pair of floats
        b1 and b2, each 0 <= b < 1.
    weight_decay : float
        Shrinks the weights directly; three to ten times what suits AdamW.
    decay : None, "weights" or function, optional
        Which of them: see `SGD`.
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
    >>> Lion().betas
    (0.9, 0.99)
    """

    lr: "float | Schedule" = 0.0001
    betas: tuple[float, float] = field(default=(0.9, 0.99), kw_only=True)
    weight_decay: float = field(default=0.0, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    decay: Any = field(default=None, kw_only=True)
    operation: ClassVar = optimizers.lion
    state_vectors: ClassVar = 1

    def numbers(self) -> list[float]:
        return [*self.betas, self.weight_decay]

    def __post_init__(self) -> None:
        self._check_lr()
        self._check_clipping()
        self._check_decay()
        object.__setattr__(self, "betas", _checked_betas(self.betas))


def _checked_betas(betas: Any) -> tuple[float, ...]:
    """A pair of numbers from 0 up to 1."""
    if not isinstance(betas, (tuple, list)):
        raise TypeError(f"`betas` must be a pair of numbers, got {betas!r}")
    if len(betas) != 2:
        raise ValueError(f"`betas` must be a pair of numbers, got {betas!r}")
    return tuple(real_number(beta, f"betas[{i}]", high=1.0) for i, beta in enumerate(betas))


@under_both_names
class ElementwiseOptimizer(Optimizer):
    """An optimizer of your own: a function that makes a step of one parameter.

    It runs inside the compiled step, on all threads, with the same bits on any number of them.

    Parameters
    ----------
    update : function
        (parameter, gradient, state..., options) -> (parameter, state...), or the parameter alone where there
        is no state; of single numbers, best decorated with `numba.njit`. As many numbers of state as it takes
        are kept for each parameter, zeros at first. `options` has the attributes `lr`, `step` (1, 2, ...) and
        those below.
    lr : float or schedule
        Learning rate; `learning_rate` is understood too.
    clip_norm, clip_value : float, optional
        As in `SGD`.
    **options : float
        Further numbers, by name.

    Raises
    ------
    TypeError, ValueError
        If `update` is no function of at least three arguments, or an option no number.

    Examples
    --------
    >>> import fastconv as fc, numba
    >>> @numba.njit
    ... def update(w, gradient, velocity, options):
    ...     velocity = options.momentum * velocity + gradient
    ...     return w - options.lr * velocity, velocity
    >>> optimizer = fc.ElementwiseOptimizer(update, lr=0.1, momentum=0.9)
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce", optimizer=optimizer)
    """

    state_in_one: ClassVar = True

    def __init__(
        self,
        update: Any,
        lr: "float | Schedule" = 0.01,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        **options: float,
    ) -> None:
        self.update = check_function(update, "update")
        taken = arguments_of(update)
        if taken < 3:
            raise TypeError(
                f"`update` must take (parameter, gradient, state..., options), got {taken} arguments"
            )
        for name in options:
            if name == "step" or name.startswith("_"):
                raise ValueError(f"an option must not be called {name!r}")
        self.options = {name: float(value) for name, value in options.items()}
        self.lr, self.clip_norm, self.clip_value = lr, clip_norm, clip_value
        self._check_lr()
        self._check_clipping()
        self.state_vectors = taken - 3  # type: ignore[misc]

    @property
    def operation(self) -> Any:  # type: ignore[override]
        """The operation of the compiled step.

        Returns
        -------
        Operation

        Examples
        --------
        >>> ElementwiseOptimizer(lambda w, gradient, options: w - options.lr * gradient).operation.name
        '<lambda>'
        """
        return user_functions.optimizer(self.update, tuple(self.options), self.state_vectors)

    def numbers(self) -> list[float]:
        return list(self.options.values())

    def settings(self) -> dict[str, Any]:
        """Name -> value of all that it was made with, the function by its import path.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            If the function can't be imported.

        Examples
        --------
        >>> Adam().settings()["eps"]
        1e-08
        """
        clipping = {"clip_norm": self.clip_norm, "clip_value": self.clip_value}
        return {"update": import_path(self.update), "lr": self.lr, **self.options, **clipping}

    def _key(self) -> tuple[Any, ...]:
        return self.update, self.lr, tuple(self.options.items()), self.clip_norm, self.clip_value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ElementwiseOptimizer) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"ElementwiseOptimizer({python_function(self.update).__name__}, lr={self.lr!r}{options})"


BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "lion": Lion,
}


def resolve(optimizer: Any) -> Optimizer:
    """An optimizer from itself or from its name in any case ("sgd", "adam", "adamw", "rmsprop", "lion").

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
    names = ", ".join(BY_NAME)
    raise TypeError(
        f"`optimizer` must be an optimizer such as SGD(lr=0.1), or one of {names}, got {optimizer!r}"
    )
