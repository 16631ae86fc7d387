"""What an optimizer is: its learning rate, how it clips gradients, and what every optimizer answers."""

import copy
from dataclasses import FrozenInstanceError, asdict
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checks.settings import real_number
from .layer import Layer
from .learning_rate import HasLearningRate, under_both_names
from .schedules import Schedule

if TYPE_CHECKING:
    from typing import Self


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
    >>> import fastconv as fc
    >>> isinstance(fc.Adam(), Optimizer)
    True
    """

    lr: "float | Schedule"
    clip_norm: float | None
    clip_value: float | None
    decay: Any = None  # which parameters weight decay acts on: see `decays`
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
        >>> import fastconv as fc
        >>> fc.SGD(momentum=0.9).numbers()
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
        >>> import fastconv as fc
        >>> fc.SGD(momentum=0.9, nesterov=True).variant()
        1
        """
        return 0

    def decays(self, name: str, layer: Layer) -> bool:
        """Whether weight decay acts on a parameter.

        Parameters
        ----------
        name : str
            As in `model.parameters()`.
        layer : layer
            Whose it is.

        Returns
        -------
        bool
            Without `weight_decay` always True, so that all parameters are treated alike.

        Examples
        --------
        >>> import fastconv as fc
        >>> optimizer = fc.AdamW(decay="weights")
        >>> optimizer.decays("0.weight", fc.Conv2d(8, 3)), optimizer.decays("0.bias", fc.Conv2d(8, 3))
        (True, False)
        >>> optimizer.decays("1.weight", fc.BatchNorm2d())
        False
        """
        if self.decay is None or not getattr(self, "weight_decay", 0.0):
            return True
        if self.decay == "weights":
            return name.rpartition(".")[2] in layer.decayed
        return bool(self.decay(name))

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
        >>> import fastconv as fc
        >>> fc.Adam().initial_state(np.ones(2))
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
        >>> import fastconv as fc
        >>> fc.SGD(lr=0.1).learning_rates(0, 2, steps_per_epoch=1, total_steps=2)
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
        >>> import fastconv as fc
        >>> fc.Adam(0.001, eps=1e-6).with_lr(0.0005).lr  # trainer.optimizer = trainer.optimizer.with_lr(...)
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
        >>> import fastconv as fc
        >>> fc.SGD(0.1).settings()["momentum"]
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

    def _check_decay(self) -> None:
        self._check_number("weight_decay")
        if self.decay is not None and self.decay != "weights" and not callable(self.decay):
            raise TypeError(
                f'`decay` must be None, "weights" or a function of a parameter\'s name, got {self.decay!r}'
            )

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


def record(kind: Kind) -> Kind:
    """A frozen dataclass that takes `learning_rate` for `lr`, and says what to do instead of assigning."""
    for name in ("__setattr__", "__delattr__"):
        if name in vars(kind):
            delattr(kind, name)
    return under_both_names(kind)
