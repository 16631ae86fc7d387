"""Image files as arrays of bytes, read by Pillow (the extra `images`).

Only the formats of pictures on the web, and the TIFF of scanners and microscopes, are opened, so that a file
of unknown origin can't choose among the dozens of rarer decoders that Pillow has.
"""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
KINDS = "PNG, JPEG, BMP, GIF, WebP or TIFF"
# What archives and file managers leave among the files; what lies in such folders are no photos.
LEFTOVER_FOLDERS = {"__macosx", "thumbs", "@eadir"}
_LEFTOVER_FILES = {"thumbs.db", "desktop.ini"}
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 swap height and width
_GREY_MODES = ("1", "L", "LA", "F")
MOST_PIXELS = 89_478_485  # Pillow's own limit, which a program may have lifted: 256 MB of colours
LONGEST_SIDE = 65_535  # of JPEG; scaling a side takes memory in proportion to it and the wanted size


def read_image(
    path: "str | os.PathLike[str]", channels: int | None = None, at_least: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """The pixels of an image file: PNG, JPEG, BMP, GIF, WebP or TIFF.

    Colours become grey by their luminance (ITU-R 601-2), what is transparent lies on white, as on a page,
    16-bit levels are rounded to 8 bits, the camera's orientation (EXIF) is applied, and of an animation the
    first picture is taken. Several threads may read at once.

    Parameters
    ----------
    path : str or path
        The file.
    channels : {None, 1, 3}
        1 for grey, 3 for red, green, blue, None for what the file has.
    at_least : pair of ints, optional
        A (height, width) of which more is not needed: JPEG files are decoded to a half, a quarter or an
        eighth of their size, as long as neither side gets shorter than that, which takes a fraction of the
        time. By default, and for other files, pixels come in their full size.

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
        if at_least is not None:
            height, width = reversed(at_least) if _is_turned(image) else at_least
            image.draft(None, (width, height))
        image = require("PIL.ImageOps", "images", "reading image files").exif_transpose(image)
        if image.mode == "F":
            raise ValueError("its pixels are floats, expected 8 or 16 bits")
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
        if _is_turned(image):
            width, height = height, width
        return 1 if image.mode.startswith("I") or _is_grey(image) else 3, height, width


def find_images(folder: "str | os.PathLike[str]") -> Iterator[str]:
    """The paths of all image files in a folder and the folders in it, in the order of their names.

    Files are told by their suffix; hidden files and folders, and what archives leave (`__MACOSX`, `._1.jpg`),
    are left out.

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
    return (path for path in _files_in(folder) if path.lower().endswith(SUFFIXES))


def find_others(folder: "str | os.PathLike[str]") -> Iterator[str]:
    """The paths of all files in a folder and the folders in it that are neither images nor hidden.

    Raises
    ------
    OSError
        If a folder can't be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("a.jpg", "b.heic", ".DS_Store"):
    ...     open(os.path.join(folder, name), "w").close()
    >>> [os.path.basename(path) for path in find_others(folder)]
    ['b.heic']
    """
    return (path for path in _files_in(folder) if not path.lower().endswith(SUFFIXES))


def _files_in(folder: "str | os.PathLike[str]") -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name.lower() not in LEFTOVER_FOLDERS
        )
        for name in sorted(files):
            path = os.path.join(place, name)
            if not name.startswith(".") and name.lower() not in _LEFTOVER_FILES and os.path.isfile(path):
                yield path


class _Quiet:
    """While this is entered, by however many threads, Pillow warns of nothing.

    `warnings.catch_warnings` changes what holds for the whole process, so that the first thread to leave it
    would end it for the others. Here the first one in changes it and the last one out changes it back; a
    pool's threads find it changed, if what started them has entered it.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._caught: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module="PIL(\\.|$)")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


quiet = _Quiet()


@contextlib.contextmanager
def _opened(path: "str | os.PathLike[str]") -> Iterator[Any]:
    """The file as a Pillow image; whatever fails while it is open is said with the file's name."""
    Image = require("PIL.Image", "images", "reading image files")
    try:
        with quiet, Image.open(path, formats=_FORMATS) as image:
            _check_size(*image.size)
            yield image
    except Image.UnidentifiedImageError:
        if os.path.getsize(path) == 0:
            raise ValueError(f"{os.fspath(path)} is empty") from None
        raise ValueError(f"{os.fspath(path)} is not a {KINDS} image") from None
    except (_TooManyPixelsError, Image.DecompressionBombError) as error:
        raise ValueError(f"{os.fspath(path)} has too many pixels to be read: {error}") from None
    except Exception as error:  # decoders raise all kinds of errors on damaged files, SyntaxError included
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{os.fspath(path)} cannot be read: {str(error) or type(error).__name__}") from error


class _TooManyPixelsError(Exception):
    """Before anything is decoded."""


def _check_size(width: int, height: int) -> None:
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise _TooManyPixelsError(
            f"it has {width} x {height} pixels, expected at most {LONGEST_SIDE} on a side and {MOST_PIXELS}"
        )


def _is_turned(image: Any) -> bool:
    """Whether the camera's orientation swaps height and width."""
    return bool(image.getexif().get(_ORIENTATION, 1) >= 5)


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
