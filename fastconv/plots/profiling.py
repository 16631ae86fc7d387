"""Pictures of where the time of a step goes."""

from typing import Any

from ..inspection.profile import Profile, ProfileRow
from .panels import literal, panel

COLOURS = {"forward": "C0", "backward": "C1"}
OTHER = "0.6"  # of the gather, the loss, the optimizer and the like


def profile(found: Profile, *, ax: Any = None) -> Any:
    """A bar for the time of each row of a profile, with its share of the peak.

    Parameters
    ----------
    found : Profile
        What `fastconv.profile` returned.
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
    >>> found = fc.profile(fc.models.reference_cnn(), np.ones((8, 1, 6, 6)), seconds=0.01)
    >>> len(fc.plots.profile(found).patches) == len(found.rows)
    True
    """
    if not isinstance(found, Profile):
        raise TypeError(f"`found` must be what profile returned, got {found!r}")
    axes = panel(ax, (7.2, 1.2 + 0.24 * len(found.rows)))
    unit, factor = ("milliseconds", 1e3) if found.seconds >= 1e-3 else ("microseconds", 1e6)
    times = [row.seconds * factor for row in found.rows]
    for place, (row, taken) in enumerate(zip(found.rows, times, strict=True)):
        axes.barh(place, taken, color=COLOURS.get(row.part, OTHER))
        axes.annotate(
            _note(found, row), (taken, place), (3, 0), textcoords="offset points", va="center", size=7
        )
    axes.set_yticks(range(len(times)), [literal(_name(row)) for row in found.rows], size=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2 * max(times))  # room for the notes
    axes.set_xlabel(f"{unit} of a step")
    work = "a training step" if found.purpose == "train" else "a prediction"
    axes.set_title(f"{work}, batch {found.batch_size:,}: {found.seconds * factor:.3g} {unit}", size=9)
    return axes


def _name(row: ProfileRow) -> str:
    """What stands beside a bar."""
    return f"{row.layer}, {row.part}" if row.part in COLOURS else row.layer


def _note(found: Profile, row: ProfileRow) -> str:
    """What stands behind it."""
    share = found.share_of_peak(row)
    return f"{row.seconds / found.seconds:.1%}" + (f", {share:.0%} of peak" if share else "")
