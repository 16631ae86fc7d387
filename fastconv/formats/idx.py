"""IDX files, MNIST's format, read without trust in their headers."""

import gzip
import math
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .compressed import LARGEST_COMPRESSION, read_at_most


def read_idx(path: "str | os.PathLike[str]", ndim: int | None = None) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, gzipped or not (whatever its name says).

    The format: two zero bytes, the element type (8 is unsigned byte), the number of dimensions, each
    dimension as a big-endian 32-bit number, then the elements in C order
    (https://yann.lecun.com/exdb/mnist, "the IDX file format").

    Parameters
    ----------
    path : str or path
        The file.
    ndim : int, optional
        The number of dimensions that it must have.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is anything but one whole IDX file; the message names the file.

    Notes
    -----
    Limits: unsigned bytes only, and of a gzipped file at most 1,032 times its size. Memory is taken for what
    is there, not for what the header claims.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            limit = path.stat().st_size * (LARGEST_COMPRESSION if zipped else 1)
            return _parse_idx(gzip.GzipFile(fileobj=file) if zipped else file, limit, ndim)
    except FileNotFoundError:
        raise
    except ValueError as error:
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: {error}") from None
    except Exception as error:  # gzip raises several kinds on damaged files
        raise ValueError(f"{path} cannot be read: {str(error) or type(error).__name__}") from error


def _parse_idx(file: "BinaryIO | gzip.GzipFile", limit: int, ndim: int | None) -> NDArray[np.uint8]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != 8:
        raise ValueError(f"it starts with {magic.hex(' ') or 'nothing'}, expected 00 00 08")
    if ndim is not None and magic[3] != ndim:
        raise ValueError(f"it has {magic[3]} dimensions, expected {ndim}")
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError("it ends in its header")
    shape = tuple(int(size) for size in np.frombuffer(header, dtype=">u4"))
    size = math.prod(shape)
    if size > limit:
        raise ValueError(f"it is too short for the shape {shape} in its header")
    content = read_at_most(file, size + 1)
    if len(content) != size:
        much = "more" if len(content) > size else f"{len(content)}"
        raise ValueError(f"its header says {size} bytes of shape {shape}, found {much}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
