"""A reader of NumPy's .npz files that trusts nothing it reads.

A header is believed only as far as the file's size allows, so that a damaged or hostile file is refused
with a message that names it: it runs no code, and takes no memory for data that is not there.
"""

import ast
import math
import os
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from .compressed import LARGEST_COMPRESSION, read_at_most


def read_npz(path: "str | os.PathLike[str]") -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file, by name. Unlike np.load it believes no header that the file's size refutes.

    Parameters
    ----------
    path : str or path
        The file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a whole .npz file of plain arrays; the message names the file.

    Notes
    -----
    Limits: members are stored or deflated, as NumPy writes them, no two share bytes of the file or a name,
    and none is larger than 1,032 times its compressed size; a header has up to 10,000 bytes and 32 axes.
    """
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder, expected a NumPy .npz file")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, os.path.getsize(path))
            return dict(_members(archive))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a NumPy .npz file: {error}") from error
    except Exception as error:  # zipfile and zlib raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} is not a whole NumPy .npz file: {reason}") from error


def read_npy(path: "str | os.PathLike[str]") -> NDArray[Any]:
    """The array of an .npy file, with no more trust in its header than `read_npz` has.

    Parameters
    ----------
    path : str or path
        The file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a whole .npy file of plain numbers; the message names the file.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "three.npy")
    >>> np.save(path, np.arange(3))
    >>> read_npy(path)
    array([0, 1, 2])
    """
    with open(path, "rb") as file:
        try:
            return _read_npy(file, "it", os.path.getsize(path))
        except ValueError as error:
            raise ValueError(f"{path} is not a whole NumPy .npy file: {error}") from error


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse, before anything is unpacked, what could take much more memory than the file's size allows.

    Other compressions than DEFLATE, which NumPy never uses, shrink data up to a million times.
    """
    members = archive.infolist()
    for info in members:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(
                f"{info.filename!r} is compressed by method {info.compress_type}, expected DEFLATE"
            )
    if len({info.filename for info in members}) < len(members):
        raise ValueError("two arrays in it have one name")
    if sum(info.compress_size for info in members) > size:
        raise ValueError("its arrays claim more bytes than the file has")


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, NDArray[Any]]]:
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            raise ValueError(f"{info.filename!r} in it is not an array")
        name = info.filename.removesuffix(".npy")
        if info.file_size > info.compress_size * LARGEST_COMPRESSION + 64:
            raise ValueError(f"{name} claims {info.file_size} bytes in {info.compress_size}")
        with archive.open(info) as file:
            yield name, _read_npy(cast(BinaryIO, file), name, info.file_size)


def _read_npy(file: BinaryIO, name: str, size: int) -> NDArray[Any]:
    """One array of the NPY format, versions 1 to 3 (numpy.lib.format)."""
    magic = file.read(8)
    if len(magic) < 8 or magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise ValueError(f"{name} does not start as an array does")
    length_bytes = 2 if magic[6] == 1 else 4
    length = int.from_bytes(file.read(length_bytes), "little")
    if length > 10_000:
        raise ValueError(f"{name} has a header of {length} bytes")
    descr, fortran, shape = _parse_npy_header(file.read(length), name)
    expected = math.prod(shape) * descr.itemsize
    found = size - 8 - length_bytes - length
    if expected != found:
        raise ValueError(f"{name} has {found} bytes, its shape {shape} of {descr} needs {expected}")
    content = read_at_most(file, expected)
    if len(content) != expected or file.read(1):
        raise ValueError(f"{name} has not the {expected} bytes of its shape {shape}")
    array: NDArray[Any] = np.frombuffer(content, dtype=descr).reshape(shape, order="F" if fortran else "C")
    return array.astype(descr.newbyteorder("="), order="C", copy=False)


def _parse_npy_header(header: bytes, name: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    try:
        record = ast.literal_eval(header.decode("utf-8").strip())
        descr, fortran, shape = record["descr"], record["fortran_order"], record["shape"]
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name} has a header that is not NumPy's") from error
    if not isinstance(fortran, bool) or not isinstance(shape, tuple) or len(shape) > 32:
        raise ValueError(f"{name} has a header that is not NumPy's")
    if not all(type(size) is int and 0 <= size < 2**62 for size in shape):
        raise ValueError(f"{name} has the shape {shape}")
    # One letter of kind and a size: numbers, booleans and strings, never objects or records.
    if not isinstance(descr, str) or len(descr) < 3 or descr[0] not in "<>|=" or descr[1] not in "biufUS":
        raise ValueError(f"{name} is of type {descr!r}, expected numbers (pickled objects are not read)")
    try:
        return np.dtype(descr), fortran, shape
    except TypeError as error:
        raise ValueError(f"{name} is of type {descr!r}, expected numbers") from error
