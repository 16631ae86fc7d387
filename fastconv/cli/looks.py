"""How the images look that a model was trained on, and a hint where others look otherwise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# So many images say enough, and are measured in a tenth of a second.
MOST_IMAGES = 2000
# With fewer images than that, one of them may be an odd one.
A_FEW = 5


def measured(X: NDArray[Any]) -> dict[str, list[float]]:
    """The metadata about the looks of images (N, C, H, W): mean and standard deviation of some figures.

    Brightness is the mean of an image, contrast the standard deviation in it, colour the mean difference
    between a pixel's largest and smallest channel; bytes count as parts of 255.

    Examples
    --------
    >>> measured(np.full((3, 1, 8, 8), 51, np.uint8))["brightness"]
    [0.2, 0.0]
    """
    chosen = X[:: -(-len(X) // MOST_IMAGES) or 1]
    images = chosen.astype(np.float32) / (255 if X.dtype == np.uint8 else 1)
    figures = {
        "brightness": images.mean(axis=(1, 2, 3)),
        "contrast": images.std(axis=(1, 2, 3)),
        "colour": (images.max(axis=1) - images.min(axis=1)).mean(axis=(1, 2)),
    }
    return {
        name: [round(float(each.mean()), 4), round(float(each.std()), 4)] for name, each in figures.items()
    }


def hints(about: Mapping[str, Any], X: NDArray[Any], invertible: bool = False) -> list[str]:
    """Lines about images that look otherwise than those of training; none if the model does not say.

    Parameters
    ----------
    about : mapping
        The model's metadata.
    X : ndarray, shape (N, C, H, W)
        The images.
    invertible : bool
        Whether the command has `--invert`.

    Examples
    --------
    >>> dark, bright = (np.full((9, 1, 8, 8), level, np.uint8) for level in (26, 230))
    >>> hints({"pixels": measured(dark)}, bright)
    ['the images are brighter than those of training (0.90, there 0.10): answers may be wrong']
    """
    known = about.get("pixels")
    if not len(X) or not isinstance(known, dict):
        return []
    found = measured(X)
    try:
        there = {name: (float(known[name][0]), float(known[name][1])) for name in found}
    except (KeyError, TypeError, ValueError, IndexError):
        return []
    here = {name: values[0] for name, values in found.items()}
    said = []
    level, (usual, spread) = here["brightness"], there["brightness"]
    tolerance = max(0.1, 1.5 * spread) if len(X) >= A_FEW else max(0.15, 3 * spread)
    if max(level, usual) > 20 * max(min(level, usual), 0.02) and max(level, usual) > 2:
        how = "divide them by 255" if level > usual else "multiply them by 255, or save them as uint8"
        said.append(
            f"the pixels are of another scale than in training (mean {level:.3g}, there {usual:.3g}): {how}"
        )
    elif abs(level - usual) > tolerance:
        more = "brighter" if level > usual else "darker"
        way = ""
        if invertible and abs(1 - level - usual) < abs(level - usual) / 2:
            way = "; --invert exchanges dark and light"
        figures = f"({level:.2f}, there {usual:.2f})"
        said.append(f"the images are {more} than those of training {figures}: answers may be wrong{way}")
    if here["colour"] < 0.01 < 0.05 < there["colour"][0]:
        said.append("the images are grey, those of training had colours: answers may be wrong")
    if there["colour"][0] < 0.01 < 0.05 < here["colour"]:
        said.append("the images have colours, those of training were grey: answers may be wrong")
    if here["contrast"] < 0.02 and there["contrast"][0] > 0.05:
        said.append("the images have hardly any contrast, those of training had some")
    return said
