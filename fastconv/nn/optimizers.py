"""Optimizers: records of how a gradient becomes a step. The compiled step does the arithmetic.

Names, defaults and formulas are PyTorch's (`torch.optim`).

Gradients that may explode are clipped within the step, before anything else is done with them, in one of two
ways (as in Keras, not both at once). `clip_norm` shortens a gradient g whose Euclidean norm |g| over all
parameters is larger: g <- g min(1, clip_norm / (|g| + 1e-6)). `clip_value` takes each number of it to the
nearest one from -clip_value to clip_value. They are PyTorch's `clip_grad_norm_` and `clip_grad_value_`.
Source: Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks".
"""

import copy
from dataclasses import FrozenInstanceError, asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checks.import_path import import_path
from ..checks.settings import real_number
from ..kernels.lanes import optimizers, user_functions
from ..simd.user_functions import arguments_of, check_function, python_function
from .learning_rate import HasLearningRate, under_both_names
from .schedules import Schedule

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SGD", "Adam", "AdamW", "ElementwiseOptimizer", "RMSprop"]

OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop"]


class Optimizer(HasLearningRate):
    """What every optimizer has: `lr`, a number or a schedule, and how gradients are clipped.

    An optimizer of your own is an `ElementwiseOptimizer`. A subclass of SGD, Adam, ... takes the same steps.
    `lr` may be given as `learning_rate`, too. Optimizers are records, which do not change: see `with_lr`.

    Attributes
    ----------
    operation : Operation
        Of the compiled step: (parameters, gradient, state..., numbers, rates).
    state_vectors : int
        How many vectors as long as the parameters it keeps.

    Examples
    --------
    >>> isinstance(Adam(), Optimizer)
    True
    """

    lr: "float | Schedule"
    clip_norm: float | None
    clip_value: float | None
    operation: ClassVar[Any]
    state_vectors: ClassVar[int]
    state_in_one: ClassVar[bool] = False  # the operation finds each vector behind the one before

    def numbers(self) -> list[float]:
        """Settings that the operation reads, in its order.

        Returns
        -------
        list of float

        Examples
        --------
        >>> SGD(momentum=0.9).numbers()
        [0.9, 0.0]
        """
        return []

    def variant(self) -> int:
        """1 for the second of the two ways that an operation can work, else 0.

        Returns
        -------
        int

        Examples
        --------
        >>> SGD(momentum=0.9, nesterov=True).variant()
        1
        """
        return 0

    def initial_state(self, parameters: NDArray[Any]) -> list[NDArray[Any]]:
        """The optimizer's own vectors before the first step.

        Parameters
        ----------
        parameters : ndarray, shape (n,)
            Those of the network, in one vector.

        Returns
        -------
        list of ndarrays
            Zeros of the parameters' shape and dtype, the rows of one array.

        Examples
        --------
        >>> Adam().initial_state(np.ones(2))
        [array([0., 0.]), array([0., 0.])]
        """
        return list(np.zeros((self.state_vectors, parameters.size), parameters.dtype))

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

    def with_lr(self, lr: "float | Schedule") -> "Self":
        """The same optimizer with another learning rate.

        Parameters
        ----------
        lr : float or schedule

        Returns
        -------
        optimizer
            Of the same class.

        Examples
        --------
        >>> Adam(0.001, eps=1e-6).with_lr(0.0005).lr  # trainer.optimizer = trainer.optimizer.with_lr(...)
        0.0005
        """
        other = copy.copy(self)
        object.__setattr__(other, "lr", lr)
        other._check_lr()
        return other

    def settings(self) -> dict[str, Any]:
        """Name -> value of all that it was made with.

        Returns
        -------
        dict

        Examples
        --------
        >>> SGD(0.1).settings()["momentum"]
        0.0
        """
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    def __setattr__(self, name: str, value: Any) -> None:
        """Trainers compare optimizers and keep their vectors: one that changed would go unseen."""
        settings = getattr(self, "__dataclass_fields__", vars(self))
        if name == "learning_rate" or (name in settings and name in vars(self)):
            raise FrozenInstanceError(
                f"`{name}` of an optimizer can't be assigned: give the trainer another one, such as "
                "trainer.optimizer = trainer.optimizer.with_lr(0.01)"
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"`{name}` of an optimizer can't be deleted")

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


Kind = TypeVar("Kind", bound=type[Optimizer])


def _record(kind: Kind) -> Kind:
    """A frozen dataclass that takes `learning_rate` for `lr`, and says what to do instead of assigning."""
    for name in ("__setattr__", "__delattr__"):
        if name in vars(kind):
            delattr(kind, name)
    return under_both_names(kind)


@_record
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
    nesterov: bool = field(default=False, kw_only=True)
    weight_decay: float = field(default=0.0, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
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
        self._check_number("weight_decay")
        if not isinstance(self.nesterov, (bool, np.bool_)):
            raise TypeError(f"`nesterov` must be True or False, got {self.nesterov!r}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov` needs `momentum` > 0, got 0.0")


@_record
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
    operation: ClassVar = optimizers.adam
    state_vectors: ClassVar = 2

    def numbers(self) -> list[float]:
        return [*self.betas, self.eps, self.weight_decay]

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


@_record
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): w <- w - lr weight_decay w comes first.

    Parameters
    ----------
    lr, betas, eps, clip_norm, clip_value
        As in `Adam`.
    weight_decay : float
        Shrinks the weights directly.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> AdamW().weight_decay
    0.01
    """

    weight_decay: float = field(default=0.01, kw_only=True)

    def variant(self) -> int:
        return 1


@_record
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
        self._check_number("weight_decay")
        if not isinstance(self.centered, (bool, np.bool_)):
            raise TypeError(f"`centered` must be True or False, got {self.centered!r}")


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


BY_NAME: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}


def resolve(optimizer: Any) -> Optimizer:
    """An optimizer from itself or from its name in any case ("sgd", "adam", "adamw", "rmsprop").

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
