"""A network in one file: its description as JSON and its arrays, in NumPy's .npz. Nothing is pickled.

A file is written beside the old one, flushed and renamed, so that a crash leaves the old or the new one.
A checksum over all of it tells a changed file from a whole one.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .files import read_npz

FORMAT = "fastconv model 1"
_DESCRIPTION = "description"


def write_model(
    path: str | os.PathLike[str], description: dict[str, Any], state: Mapping[str, NDArray[Any]]
) -> None:
    """Write `description` (JSON values) and the arrays of `state` to the .npz file `path`."""
    path = Path(path)
    text = json.dumps({"format": FORMAT, "checksum": _checksum(description, state), **description})
    with replaced(path) as file:
        arrays: dict[str, Any] = {_DESCRIPTION: np.array(text), **state}
        np.savez(file, **arrays)


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """(description, state) of a file that `write_model` wrote.

    Raises
    ------
    ValueError
        If it is cut off, changed or of another kind; the message names the file.
    FileNotFoundError
        If there is no such file.
    """
    arrays = read_npz(path)
    try:
        description = json.loads(str(arrays.pop(_DESCRIPTION)[()]))
        kind, checksum = description.pop("format"), description.pop("checksum")
    except (KeyError, ValueError, AttributeError, TypeError):
        raise ValueError(f"{path} is not a model that fastconv saved") from None
    if kind != FORMAT:
        raise ValueError(f"{path} is of the format {kind!r}, expected {FORMAT!r}")
    if checksum != _checksum(description, arrays):
        raise ValueError(f"{path} was changed after it was saved: its checksum does not match")
    return description, arrays


def _checksum(description: dict[str, Any], state: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write; it takes the place of `path` when the block ends without an error."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
