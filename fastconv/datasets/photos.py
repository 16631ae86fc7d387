"""Many image files as one array: read by several threads, in one shape, what can't be read said at once."""

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require
from ..checks.scalars import positive_pair
from ..engine.threads import get_num_threads
from ..formats import image_files
from .image_arrays import resize

# A folder's images of several sizes, or larger ones than a small network takes, are read in this size.
LARGEST_SIDE, USUAL_SIDE = 64, 32
MOST_THREADS = 8
# Images of more pixels take some hundred megabytes while they are read: one at a time.
LARGE = 25_000_000
MOST_NAMED = 10  # files that can't be read, in one message
_one_large = threading.Lock()
T = TypeVar("T")


class Reading(NamedTuple):
    """How image files become arrays: see `load_images`; `progress` is called with (files read, files)."""

    channels: int | None = None
    size: Any = None
    aspect: str = "stretch"
    skip_bad: bool = False
    progress: Callable[[int, int], None] | None = None


class UnreadableImagesError(ValueError):
    """Some image files can't be read; `problems` has a line for each.

    Examples
    --------
    >>> print(UnreadableImagesError(["a.jpg is empty", "b.png is empty"], 40))
    2 of 40 image files cannot be read: a.jpg is empty; b.png is empty (`skip_bad` leaves them out)
    """

    def __init__(self, problems: Sequence[str], count: int) -> None:
        self.problems, self.count = list(problems), count
        super().__init__(problems, count)

    def named(self) -> list[str]:
        """The first problems, and how many more there are."""
        more = len(self.problems) - MOST_NAMED
        return self.problems[:MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])

    def __str__(self) -> str:
        what = f"{len(self.problems)} of {self.count} image files cannot be read"
        return f"{what}: {'; '.join(self.named())} (`skip_bad` leaves them out)"


class Photos(NamedTuple):
    """Images of shape (N, C, H, W), the places of their files among all, and what is said about them."""

    X: NDArray[np.uint8]
    kept: list[int]
    notes: list[str]


def read_photo(
    path: str, input_shape: tuple[int, int, int], aspect: str = "stretch", whole: Any = None
) -> NDArray[np.uint8]:
    """One image file in a network's shape, by the same steps in training and later.

    Parameters
    ----------
    path : str
        The file.
    input_shape : triple of ints
        (channels, height, width).
    aspect : {"stretch", "crop", "pad"}
        What becomes of other proportions; see `image_arrays.resize`.
    whole : triple of ints, optional
        What `image_shape` gives for the file, if that is known.

    Raises
    ------
    ImportError, OSError, ValueError
        As `read_image` does.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> path = os.path.join(tempfile.mkdtemp(), "wide.jpg")
    >>> Image.new("L", (4000, 3000)).save(path)
    >>> read_photo(path, (3, 32, 32)).shape
    (3, 32, 32)
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder, expected an image file")
    _, *sides = whole or image_files.image_shape(path)
    with _one_large if sides[0] * sides[1] > LARGE else contextlib.nullcontext():
        return in_shape(path, input_shape, aspect)


def in_shape(file: Any, input_shape: tuple[int, int, int], aspect: str) -> NDArray[np.uint8]:
    """The image of a path or an open file, in a network's shape."""
    channels, height, width = input_shape
    # Twice as many pixels each way: each new one is still a mean over several.
    pixels = image_files.read_image(file, channels, (2 * height, 2 * width))
    return np.asarray(resize(pixels, (height, width), aspect))


def read_photos(paths: Sequence[str], reading: Reading) -> Photos:
    """The files' images in one array, in their common shape where none is asked for.

    Parameters
    ----------
    paths : sequence of str
        The files.
    reading : Reading
        How they are read.

    Raises
    ------
    UnreadableImagesError
        If some can't be read, unless they are to be skipped and some can.
    """
    problems: dict[int, str] = {}
    shapes = dict(_each(image_files.image_shape, dict(enumerate(paths)), problems))
    shape = _common_shape(set(shapes.values()), reading)
    X = _read(paths, shapes, shape, reading, problems)
    kept = [k for k in range(len(paths)) if k not in problems]
    if problems and not (reading.skip_bad and kept):
        raise UnreadableImagesError([problems[k] for k in sorted(problems)], len(paths))
    notes = _notes([shapes[k] for k in kept], shape, reading.aspect)
    if problems:
        names = [os.path.basename(paths[k]) for k in sorted(problems)[:3]]
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        notes.append(f"{_count(problems, 'file')} that cannot be read left out: {', '.join(names)}{more}")
    return Photos(X[kept] if problems else X, kept, notes)


def read_in_shape(
    paths: Sequence[str],
    input_shape: tuple[int, int, int],
    aspect: str = "stretch",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """The files' images in a network's shape, and what is wrong with those that can't be read, by place.

    Parameters
    ----------
    paths : sequence of str
        The files.
    input_shape : triple of ints
        (channels, height, width).
    aspect : {"stretch", "crop", "pad"}
        What becomes of other proportions; see `image_arrays.resize`.
    progress : function, optional
        Called with (files read, all files).

    Examples
    --------
    >>> X, problems = read_in_shape(["none.png"], (1, 8, 8))
    >>> problems
    {0: 'none.png: No such file or directory'}
    """
    problems: dict[int, str] = {}
    reading = Reading(aspect=aspect, progress=progress)
    return _read(paths, dict.fromkeys(range(len(paths))), input_shape, reading, problems), problems


def _read(
    paths: Sequence[str],
    shapes: Mapping[int, Any],
    shape: tuple[int, int, int],
    reading: Reading,
    problems: dict[int, str],
) -> NDArray[np.uint8]:
    """The images of those files whose shapes are named, if only by None."""
    X = np.zeros((len(paths), *shape), np.uint8)

    def read(k: int) -> None:
        X[k] = read_photo(paths[k], shape, reading.aspect, shapes[k])

    _each(read, {k: k for k in shapes}, problems, reading.progress)
    return X


def _each(
    function: Callable[[Any], T],
    items: dict[int, Any],
    problems: dict[int, str],
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[int, T]]:
    """Call a function with each item, in several threads; what fails becomes a problem of its number."""
    require("PIL.Image", "images", "reading image files").init()  # its plugins, before threads ask for them
    results: list[tuple[int, T]] = []
    pool = ThreadPoolExecutor(min(MOST_THREADS, max(2, get_num_threads())), "fastconv-reader")
    try:
        with image_files.quiet:
            tasks = [(number, pool.submit(function, item)) for number, item in items.items()]
            for done, (number, task) in enumerate(tasks, 1):
                try:
                    results.append((number, task.result()))
                except OSError as error:
                    problems[number] = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
                except ValueError as error:
                    problems[number] = str(error)
                if progress is not None:
                    progress(done, len(items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return results


def _common_shape(shapes: set[tuple[int, int, int]], reading: Reading) -> tuple[int, int, int]:
    sizes = {shape[1:] for shape in shapes}
    common = len(sizes) == 1 and max(max(sizes)) <= LARGEST_SIDE
    size = reading.size or (sizes.pop() if common else USUAL_SIDE)
    channels = reading.channels or max((shape[0] for shape in shapes), default=1)
    return (channels, *positive_pair(size, "size"))


def _notes(shapes: Sequence[tuple[int, int, int]], shape: tuple[int, int, int], aspect: str) -> list[str]:
    """What happened to the images, a line for each kind of change."""
    height, width = shape[1:]
    said = []
    scaled = [one[1:] for one in shapes if one[1:] != (height, width)]
    if scaled:
        # Within a twentieth nobody sees it.
        other = [one for one in scaled if abs(one[0] * width / (one[1] * height) - 1) > 0.05]
        how = {
            "stretch": "which changes the proportions of {}",
            "crop": "with the sides of {} cut off",
            "pad": "with black at the sides of {}",
        }[aspect].format("all" if len(other) == len(shapes) else len(other))
        sizes = f"{_least_and_most(scaled)} to {height}x{width} pixels"
        said.append(f"{_count(scaled, 'image')} scaled from {sizes}{f', {how}' if other else ''}")
    grey = sum(one[0] == 1 for one in shapes)
    if shape[0] == 1 and grey < len(shapes):
        said.append(f"{_count(range(len(shapes) - grey), 'image')} in colours turned grey")
    if shape[0] == 3 and grey:
        said.append(f"{_count(range(grey), 'grey image')} read as colours")
    return said


def _least_and_most(sizes: Sequence[tuple[int, int]]) -> str:
    least, most = min(sizes, key=np.prod), max(sizes, key=np.prod)
    texts = [f"{height}x{width}" for height, width in (least, most)]
    return texts[0] if least == most else " ... ".join(texts)


def _count(things: Any, name: str) -> str:
    return f"{len(things):,} {name}{'s' * (len(things) != 1)}"
