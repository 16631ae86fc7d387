"""What commands print and write."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..checks.text import printable
from ..formats.image_files import SUFFIXES

_silent = [False]


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Errors and notes in this block are for another process to print."""
    _silent[0] = True
    try:
        yield
    finally:
        _silent[0] = False


def complain(message: str, kind: str = "error: ") -> None:
    """One line on standard error."""
    _print_error(f"fastconv: {kind}{printable(' '.join(message.split()))}")


def _print_error(line: str) -> None:
    if not is_silent():
        print(line, file=sys.stderr)


def is_silent() -> bool:
    """Whether another process prints what there is to say."""
    return _silent[0]


def say(line: str = "") -> None:
    """One line on standard output, with names of files and classes as a terminal may show them."""
    print(printable(line))


def note(message: str) -> None:
    """One line on standard error that is no error."""
    _print_error(f"note: {printable(' '.join(message.split()))}")


def describe(error: BaseException) -> str:
    """What an exception says, with the file that it is about.

    Examples
    --------
    >>> describe(FileNotFoundError(2, "No such file or directory", "a.png"))
    'a.png: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


def check_output(path: str, option: str, *suffixes: str) -> None:
    """Refuse, before the work and not after it, a file that cannot be written."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise ValueError(f"{option} {path} is a folder, expected a file name")
    if suffixes and not path.endswith(suffixes):
        raise ValueError(f"{option} {path} must end in {' or '.join(suffixes)}")
    if not os.path.isdir(folder):
        raise ValueError(f"{option} {path}: there is no folder {folder}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ValueError(f"{option} {path} cannot be written")


def check_distinct(written: Mapping[str, str | None], read: Mapping[str, str | None]) -> None:
    """Refuse options that name one file, in whatever way, if the command would write to it.

    Parameters
    ----------
    written, read : mapping of str to str or None
        Option -> the path that it names, if it does; folders that are read stand for what lies in them.
        What the command prints is written too, if it goes to a file.

    Raises
    ------
    ValueError
        If a file would be overwritten that the command reads, or writes by another option.
    """
    taken: list[tuple[str, str]] = []
    for option, path in read.items():
        if path is not None and os.path.isfile(path):
            taken.append((option, path))
    for option, path in written.items():
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue  # a device, such as /dev/null, may be named twice
        for other, other_path in taken:
            if _is_one_file(path, other_path):
                raise ValueError(f"{option} {path} is the file of {other}, which would be overwritten")
        if _is_standard_output(path):
            raise ValueError(f"{option} {path} is the file that standard output goes to")
        for other, folder in read.items():
            if folder is not None and _is_data_in(path, folder):
                raise ValueError(f"{option} {path} is an image or label file of {other} {folder}")
        taken.append((option, path))


def _is_one_file(first: str, second: str) -> bool:
    """Whether two paths lead to one file, which need not be there yet, through links and `..` too."""
    if os.path.exists(first) and os.path.exists(second):
        return os.path.samefile(first, second)
    return os.path.realpath(first) == os.path.realpath(second)


def _is_standard_output(path: str) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):  # not there yet; no real file; no standard output
        return False


def _is_data_in(path: str, folder: str) -> bool:
    """Whether a file is there, in a folder of images, and may be one of them or of their labels."""
    if not (os.path.isfile(path) and os.path.isdir(folder)):
        return False
    inside = os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))
    name = path.lower()
    return inside and (name.endswith(SUFFIXES) or "ubyte" in name)


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Errors of the system in this block, a full disk for one, name the file."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise


def words(values: Sequence[Any]) -> str:
    """The values in a line, the middle left out where there are many.

    Examples
    --------
    >>> words(["cat", 3])
    'cat 3'
    """
    texts = [str(value) for value in values]
    return " ".join(texts if len(texts) <= 20 else [*texts[:18], "...", texts[-1]])


def shape_text(image_shape: Sequence[int]) -> str:
    """A shape as people write it.

    Examples
    --------
    >>> shape_text((1, 28, 28))
    '1x28x28'
    """
    return "x".join(str(size) for size in image_shape)


def percent(value: float) -> str:
    """A part of 1 in percent, six characters wide or more.

    Examples
    --------
    >>> percent(0.5), percent(float("nan"))
    (' 50.0%', '     -')
    """
    return f"{value:6.1%}" if math.isfinite(value) else "     -"


def held_out_line(result: Mapping[str, float], count: int) -> str:
    """The figures of `count` held-out images."""
    return f"held-out {result_line(result, count)}"


def result_line(result: Mapping[str, float], count: int) -> str:
    """The figures of `count` images.

    Examples
    --------
    >>> result_line({"accuracy": 0.75, "loss": 0.5}, 4)
    'accuracy 75.00% (3 of 4), loss 0.5000'
    """
    right = round(result["accuracy"] * count)
    return f"accuracy {result['accuracy']:.2%} ({right} of {count}), loss {result['loss']:.4f}"
