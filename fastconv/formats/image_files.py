"""Image files as arrays of bytes, read by Pillow (the extra `images`).

Only the formats of pictures on the web are opened, so that a file of unknown origin can't choose among the
dozens of rarer decoders that Pillow has.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 swap height and width
_GREY_MODES = ("1", "L", "LA")
MOST_PIXELS = 89_478_485  # Pillow's own limit, which a program may have lifted: 256 MB of colours
LONGEST_SIDE = 65_535  # of JPEG; scaling a side takes memory in proportion to it and the wanted size


def read_image(path: "str | os.PathLike[str]", channels: int | None = None) -> NDArray[np.uint8]:
    """The pixels of an image file (PNG, JPEG, BMP, GIF or WebP) in their full size.

    Colours become grey by their luminance (ITU-R 601-2), what is transparent lies on white, as on a page,
    16-bit levels are rounded to 8 bits, the camera's orientation (EXIF) is applied, and of an animation the
    first picture is taken.

    Parameters
    ----------
    path : str or path
        The file.
    channels : {None, 1, 3}
        1 for grey, 3 for red, green, blue, None for what the file has.

    Returns
    -------
    ndarray of uint8, shape (channels, H, W)

    Raises
    ------
    ImportError
        If Pillow is not installed.
    OSError
        If there is no such file, or it may not be read.
    ValueError
        If it is no such image, is cut off, or would take too much memory; the message names the file.

    Notes
    -----
    Limits, known before anything is decoded: 89,478,485 pixels, 65,535 on a side.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = os.path.join(tempfile.mkdtemp(), "wide.png")
    >>> Image.new("RGB", (5, 2), "red").save(path)
    >>> read_image(path).shape, read_image(path, channels=1)[0, 0, 0]
    ((3, 2, 5), np.uint8(76))
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"image files have 1 or 3 channels, the network takes {channels}")
    with _opened(path) as image:
        image = require("PIL.ImageOps", "images", "reading image files").exif_transpose(image)
        if image.mode.startswith("I"):
            grey = _eight_bits(np.asarray(image))
            return np.ascontiguousarray(np.broadcast_to(grey, (channels or 1, *grey.shape)))
        is_grey = _is_grey(image)
        if image.mode.endswith("A") or "transparency" in image.info:
            image = _on_white(image)
        image = image.convert("L" if channels == 1 or (channels is None and is_grey) else "RGB")
        pixels = np.asarray(image, dtype=np.uint8)
        return np.ascontiguousarray(np.moveaxis(np.atleast_3d(pixels), -1, 0))


def image_shape(path: "str | os.PathLike[str]") -> tuple[int, int, int]:
    """The shape of what `read_image` gives for a file, from its header alone; raises as `read_image` does.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = os.path.join(tempfile.mkdtemp(), "wide.png")
    >>> Image.new("L", (5, 2)).save(path)
    >>> image_shape(path)
    (1, 2, 5)
    """
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) >= 5:
            width, height = height, width
        return 1 if image.mode.startswith("I") or _is_grey(image) else 3, height, width


def find_images(folder: "str | os.PathLike[str]") -> Iterator[str]:
    """The paths of all image files in a folder and the folders in it, in the order of their names.

    Files are told by their suffix; hidden files and folders are left out.

    Raises
    ------
    OSError
        If a folder can't be read.

    Examples
    --------
    >>> import tempfile
    >>> list(find_images(tempfile.mkdtemp()))
    []
    """

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(place, name)
            if name.lower().endswith(SUFFIXES) and not name.startswith(".") and os.path.isfile(path):
                yield path


@contextlib.contextmanager
def _opened(path: "str | os.PathLike[str]") -> Iterator[Any]:
    """The file as a Pillow image; whatever fails while it is open is said with the file's name."""
    Image = require("PIL.Image", "images", "reading image files")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(*image.size)
                yield image
    except Image.UnidentifiedImageError:
        raise ValueError(f"{os.fspath(path)} is not a PNG, JPEG, BMP, GIF or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{os.fspath(path)} has too many pixels to be read: {error}") from None
    except Exception as error:  # decoders raise all kinds of errors on damaged files, SyntaxError included
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{os.fspath(path)} cannot be read: {str(error) or type(error).__name__}") from error


def _check_size(width: int, height: int) -> None:
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise ValueError(
            f"it has {width} x {height} pixels, expected at most {LONGEST_SIDE} on a side and {MOST_PIXELS}"
        )


def _is_grey(image: Any) -> bool:
    if image.mode == "P":
        colours = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((colours == colours[:, :1]).all())
    return image.mode in _GREY_MODES


def _on_white(image: Any) -> Any:
    image = image.convert("RGBA")
    page = require("PIL.Image", "images", "reading image files").new("RGBA", image.size, "white")
    page.alpha_composite(image)
    return page.convert("RGB")


def _eight_bits(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey levels of 16 bits as 8 bits, rounded."""
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(f"its levels go from {levels.min()} to {levels.max()}, expected 16 bits")
    return ((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
