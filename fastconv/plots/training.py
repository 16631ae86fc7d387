"""Pictures of what is found out before training."""

from typing import Any

from ..training.lr_finder import RateSearch
from .panels import panel


def lr_finder(found: RateSearch, *, ax: Any = None) -> Any:
    """The loss over the learning rate, as it grew from step to step, with the suggestion.

    Parameters
    ----------
    found : RateSearch
        What `fastconv.lr_finder` returned.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        If `found` is something else.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> rates, losses = np.logspace(-4, 0, 5), np.array([0.7, 0.7, 0.5, 0.4, 0.9])
    >>> ax = fc.plots.lr_finder(fc.RateSearch(0.01, rates, losses, losses))
    >>> ax.get_xscale(), len(ax.lines)
    ('log', 3)
    """
    if not isinstance(found, RateSearch):
        raise TypeError(f"`found` must be what lr_finder returned, got {found!r}")
    axes = panel(ax, (4.8, 3.4))
    axes.plot(found.rates, found.losses, color="C0", alpha=0.3, label="loss")
    axes.plot(found.rates, found.smoothed, color="C0", label="smoothed")
    if found.suggestion is not None:
        label = f"steepest at {found.suggestion:.2g}"
        axes.axvline(found.suggestion, color="C1", linestyle="--", label=label)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_title("loss")
    axes.legend(fontsize="small", frameon=False)
    axes.grid(alpha=0.25)
    return axes
