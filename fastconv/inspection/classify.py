"""From image files to classes: one call, and the one way in which images are made ready for a network."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require
from ..checks.text import printable
from ..datasets.image_arrays import ASPECTS, as_images, fit_images
from ..datasets.photos import in_shape, read_photo
from ..formats.image_files import MOST_PIXELS, SUFFIXES, find_images
from ..models.model import Model
from .classification import class_probabilities

AT_A_TIME = 256  # images in memory
BYTE_SCALE = 1 / 255  # what a network itself does to pixels of uint8
_SHOWN = 5  # classes in a record's repr
# Modes of Pillow that a PNG file keeps as they are; the others are ways to write colours.
_PNG_MODES = ("1", "L", "LA", "P", "I", "I;16", "RGB", "RGBA", "F")


@dataclass(frozen=True, repr=False)
class Classification:
    """What a network says about an image.

    Attributes
    ----------
    image : str
        The path of its file, or "image 0", "image 1" and so on where there is none.
    label : str or int
        The most probable class.
    probability : float
        Of that class.
    probabilities : dict
        Class -> probability, the most probable first.

    Examples
    --------
    >>> Classification("a.png", "cat", 0.75, {"cat": 0.75, "dog": 0.25})
    a.png: cat 75.0%, dog 25.0%
    """

    image: str
    label: Any
    probability: float
    probabilities: dict[Any, float]

    def __repr__(self) -> str:
        shown = [f"{label} {chance:.1%}" for label, chance in list(self.probabilities.items())[:_SHOWN]]
        more = [f"and {len(self.probabilities) - _SHOWN} more"] if len(self.probabilities) > _SHOWN else []
        return printable(f"{self.image}: {', '.join(shown + more)}")


def classify(model: Model, images: Any, *, invert: bool = False) -> Any:
    """What a network says about images: classes and their probabilities.

    Parameters
    ----------
    model : Model
        A classifier of images. Its classes are called as `model.metadata["classes"]` says, or 0, 1, ...
    images : path, image or array, or an iterable of these
        Image files, folders of them, images of Pillow, or arrays of shape (H, W), (H, W, C) or (C, H, W); of
        uint8 from 0 to 255, others of the numbers that the network was trained on. An array (N, C, H, W) or
        (N, H, W, C) is N images.
    invert : bool
        Whether what is read is dark on light, and the network knows light on dark. Floats stay as they are.

    Returns
    -------
    Classification, or list of them
        A list unless `images` is one file or one image.

    Raises
    ------
    ValueError
        If the network is no classifier of images, or a file is no image; the message names the file.
    TypeError
        If an argument is of another kind.
    OSError
        If a file can't be read.
    ImportError
        If Pillow is needed and not installed.

    Notes
    -----
    Images are made ready as for training on a folder of them: grey or coloured, and scaled by area, as
    `model.input_shape` says; `model.metadata["aspect"]` tells what becomes of other proportions.
    Pixels of uint8 are divided by 255 unless `model.metadata["input_scale"]`, with which they are then
    multiplied, says otherwise.

    Limits: image files as `read_image` has them; 256 images are in memory at a time, in the network's size.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> model = fc.models.lenet_digits(num_classes=2)
    >>> model.metadata["classes"] = ["cat", "dog"]
    >>> found = fc.classify(model, np.zeros((8, 8), np.uint8))
    >>> found.label in ("cat", "dog"), sorted(found.probabilities)
    (True, ['cat', 'dog'])
    """
    if not isinstance(model, Model):
        hint = ": fc.load reads a file" if isinstance(model, (str, os.PathLike)) else ""
        raise TypeError(f"`model` must be a Sequential or a Model, got {type(model).__name__}{hint}")
    if len(model.input_shapes) != 1 or len(model.input_shape) != 3:
        raise ValueError(f"`model` takes inputs of shape {model.input_shape}, expected images")
    found: list[Classification] = []
    waiting: list[tuple[str, NDArray[Any]]] = []
    for name, image in _each(images):
        waiting.append((name, prepared(image, model, invert=invert)))
        if len(waiting) == AT_A_TIME:
            found += _records(model, waiting)
            waiting = []
    found += _records(model, waiting)
    return found[0] if _is_single(images) else found


def prepared(image: Any, model: Model, *, invert: bool = False) -> NDArray[Any]:
    """An image in the shape and scale that a network takes; parameters and errors are those of `classify`.

    Examples
    --------
    >>> import fastconv as fc
    >>> prepared(np.zeros((40, 60, 3), np.uint8), fc.models.lenet5()).shape
    (1, 28, 28)
    """
    channels, height, width = model.input_shape
    shape, aspect = (channels, height, width), aspect_of(model.metadata)
    if isinstance(image, (str, os.PathLike)):
        pixels = read_photo(os.fspath(image), shape, aspect)
    elif isinstance(image, np.ndarray):
        pixels = _of_array(image, shape, aspect)
    elif hasattr(image, "mode") and hasattr(image, "getexif"):
        pixels = _of_pillow(image, shape, aspect)
    else:
        raise TypeError(f"`images` must be paths, images of Pillow or arrays, got {type(image).__name__}")
    if pixels.dtype != np.uint8:
        return pixels
    return scaled(255 - pixels if invert else pixels, model.metadata)


def aspect_of(metadata: Any) -> str:
    """What became of images of other proportions when the network was trained: see `image_arrays.resize`.

    Examples
    --------
    >>> aspect_of({"aspect": "crop"}), aspect_of({})
    ('crop', 'stretch')
    """
    aspect = metadata.get("aspect") if isinstance(metadata, Mapping) else None
    return aspect if isinstance(aspect, str) and aspect in ASPECTS else "stretch"


def scaled(X: NDArray[Any], metadata: Any) -> NDArray[Any]:
    """Pixels of uint8 as a network takes them: as they are, or floats if it was trained on another scale.

    Examples
    --------
    >>> scaled(np.array([255], np.uint8), {"input_scale": 2.0})
    array([510.], dtype=float32)
    """
    scale = metadata.get("input_scale", BYTE_SCALE) if isinstance(metadata, Mapping) else BYTE_SCALE
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < np.inf:
        raise ValueError(f'`model.metadata["input_scale"]` must be a positive number, got {scale!r}')
    return X if X.dtype != np.uint8 or scale == BYTE_SCALE else X.astype(np.float32) * np.float32(scale)


def _of_pillow(image: Any, shape: tuple[int, int, int], aspect: str) -> NDArray[np.uint8]:
    """An image in memory is read as the file that it would be."""
    require("PIL.Image", "images", "reading images")
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(
            f"an image has {image.width} x {image.height} pixels, expected at most {MOST_PIXELS}"
        )
    if image.mode == "F":
        raise ValueError("an image has pixels of floats, expected 8 or 16 bits")
    if image.mode not in _PNG_MODES:
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, exif=image.getexif())
    file.seek(0)
    return in_shape(file, shape, aspect)


def _of_array(image: NDArray[Any], shape: tuple[int, int, int], aspect: str) -> NDArray[Any]:
    """An array in the network's shape; colours of uint8 at the end are what Pillow gives, and go its way."""
    if image.ndim == 3 and image.shape[2] == 1 and image.shape[0] != 1:
        image = image[:, :, 0]
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4) and image.shape[0] not in (1, 3)):
        if image.dtype == np.uint8 and (shape[0] == 1) != (image.ndim == 2):
            Image = require("PIL.Image", "images", "an array of another number of colours")
            return _of_pillow(Image.fromarray(np.ascontiguousarray(image)), shape, aspect)
        image = image[:, :, None] if image.ndim == 2 else image
        image = image.transpose(2, 0, 1)
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"`images` must have shape (H, W), (H, W, C) or (C, H, W), got {image.shape}")
    return fit_images(as_images(image[None], "`images`"), shape, aspect)[0]


def _each(images: Any) -> Iterator[tuple[str, Any]]:
    """(name, image) of every image, those of folders in the order of their names."""
    numbered = enumerate([images] if _is_one(images) else images)
    for number, image in numbered:
        if not isinstance(image, (str, os.PathLike)):
            yield f"image {number}", image
        elif os.path.isdir(image):
            files = list(find_images(image))
            if not files:
                raise ValueError(f"{os.fspath(image)} has no images ({', '.join(SUFFIXES)})")
            yield from ((file, file) for file in files)
        else:
            yield os.fspath(image), image


def _is_one(images: Any) -> bool:
    """Whether this is one image, or one path, and no collection of them."""
    if isinstance(images, np.ndarray):
        return images.ndim != 4
    return not isinstance(images, Iterable) or isinstance(images, (str, os.PathLike))


def _is_single(images: Any) -> bool:
    """Whether the answer is one record."""
    return _is_one(images) and not (isinstance(images, (str, os.PathLike)) and os.path.isdir(images))


def _records(model: Model, images: list[tuple[str, NDArray[Any]]]) -> Iterator[Classification]:
    if not images:
        return
    names = model.classes
    if len({image.dtype for _, image in images}) > 1:  # uint8 and floats, which are scaled apart
        for one in images:
            yield from _records(model, [one])
        return
    chances = class_probabilities(model, np.stack([image for _, image in images]))
    for (name, _), row in zip(images, chances, strict=True):
        order = np.argsort(-row, kind="stable")
        likely = {names[k]: float(row[k]) for k in order}
        yield Classification(name, names[order[0]], float(row[order[0]]), likely)
