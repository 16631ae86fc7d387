"""The error that ranks raise for one of them."""

__all__ = ["RankError"]


class RankError(RuntimeError):
    """Another rank has ended with an error, or has ended altogether; training together is over.

    Examples
    --------
    >>> issubclass(RankError, RuntimeError)
    True
    """
