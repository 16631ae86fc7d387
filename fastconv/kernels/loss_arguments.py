"""What the loss kernels ask of their arguments, and what the gradient of a mean is divided by."""

from typing import Any

from ..checks.arrays import check_indices, check_same_shape, float_array, int_array, same_dtype
from ..checks.jit import checked, public_with_text
from .reductions import reduction_code


@public_with_text
def with_target(x: Any, name: str, ndim: int, target: Any) -> tuple[Any, Any]:
    """`x` and its `target`, of one dtype and shape, as loops take them.

    Raises
    ------
    TypeError, ValueError
        If one is not an array of floats with `ndim` dimensions (-1: any), or they differ.
    """
    x, target = float_array(x, name, ndim), float_array(target, "target", ndim)
    same_dtype(target, "target", x, name)
    check_same_shape(target.shape, x.shape, "target", name)
    return x, target


@public_with_text
def with_labels(scores: Any, name: str, labels: Any) -> tuple[Any, Any]:
    """The scores (N, K) of samples, and their N labels, as loops take them.

    Raises
    ------
    TypeError, ValueError
        If types or shapes do not fit, or a label is out of range.
    """
    scores, labels = float_array(scores, name, 2), int_array(labels, "labels", 1)
    _check_rows(labels.size, scores.shape[0], name)
    check_indices(labels, scores.shape[1], "labels")
    return scores, labels


@checked
def _check_rows(got, rows, name):
    if got != rows:
        raise ValueError(f"`labels` must have {rows} entries, one for each row of `{name}`, got {got}")


@checked
def positive(value, name):
    """`value`, if it is a number above 0.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not value > 0:
        raise ValueError(f"`{name}` must be a number > 0")
    return value


@public_with_text
def slope_factor(reduction: str, count: int) -> float:
    """By what the slopes of `count` losses are multiplied: 1 / count where their mean is the loss.

    Raises
    ------
    ValueError
        If the reduction is unknown.
    """
    return 1.0 / max(count, 1) if reduction_code(reduction) == 1 else 1.0
