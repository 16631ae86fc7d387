"""The learning rate has two names: `lr`, as in PyTorch, and `learning_rate`, as in Keras."""

import functools
import inspect
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type)


class HasLearningRate:
    """What has a learning rate, kept as `lr`."""

    @property
    def learning_rate(self) -> Any:
        """The same as `lr`.

        Returns
        -------
        float or schedule

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.SGD(learning_rate=0.1).lr, fc.SGD(lr=0.1).learning_rate
        (0.1, 0.1)
        """
        return self.lr  # type: ignore[attr-defined]


def under_both_names(kind: Kind) -> Kind:
    """A class whose argument `lr` may be called `learning_rate`.

    Its `__init__` then raises TypeError where both are given.
    """
    init = kind.__init__  # type: ignore[misc]
    signature = inspect.signature(init)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if "learning_rate" in kwargs:
            learning_rate = kwargs.pop("learning_rate")
            if "lr" in signature.bind_partial(self, *args, **kwargs).arguments:
                raise TypeError(
                    f"`lr` and `learning_rate` of {kind.__name__} are one: give one of them, got both"
                )
            kwargs["lr"] = learning_rate
        init(self, *args, **kwargs)

    functools.update_wrapper(__init__, init)
    del __init__.__wrapped__  # type: ignore[attr-defined]  # its source is here
    __init__.__signature__ = signature  # type: ignore[attr-defined]
    kind.__init__ = __init__  # type: ignore[misc]
    return kind
