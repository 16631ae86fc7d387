"""A network in one file: its description as JSON and its arrays, as .npz or .safetensors. Nothing is pickled.

A file is written beside the old one, flushed and renamed, so that a crash leaves the old or the new one.
A checksum over all of it tells a changed file from a whole one.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require
from .atomic import replaced
from .foreign import check_path, kind_of
from .json_text import exact
from .npz import read_npz
from .safetensors_file import read_safetensors, write_safetensors

FORMAT = "fastconv model 1"
SUFFIXES = (".npz", ".safetensors")
_OURS = ("an .npz file", "a .safetensors file")  # of what `kind_of` says
# What the description is called: the name of an array of text in .npz, of a text in a .safetensors header.
_ARRAY, _HEADER = "description", "fastconv"


def check_target(path: str | os.PathLike[str], name: str = "path") -> None:
    """See to it that a model can be written to `path`, before there is one; `name` is the argument's.

    Raises
    ------
    ValueError
        If its suffix does not say how to write it.
    ImportError
        If the package for that is not installed.
    """
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(f"`{name}` must end in {' or '.join(SUFFIXES)}, got {os.fspath(path)!r}")
    if Path(path).suffix == ".safetensors":
        require("safetensors.numpy", "safetensors", "a .safetensors file")


def write_model(
    path: str | os.PathLike[str], description: dict[str, Any], state: Mapping[str, NDArray[Any]]
) -> None:
    """Write `description` and the arrays of `state` to `path`, .npz or .safetensors.

    The description is written as `json_text.exact` makes it. Before the new file takes the old one's place it
    is read, so that one that could not be read is never left.

    Raises as `check_target` does, and TypeError or ValueError if JSON can't hold the description exactly; the
    old file is then as it was.
    """
    check_target(path)
    path = Path(path)
    description = {name: exact(value, name) for name, value in description.items()}
    text = json.dumps({"format": FORMAT, "checksum": _checksum(description, state), **description})

    def check(written: Path) -> None:
        try:
            read_model(written)
        except ValueError as error:
            reason = str(error).replace(str(written), "the new file")
            raise ValueError(f"{path} was not written, since it could not be read again: {reason}") from None

    with replaced(path, check) as file:
        if path.suffix == ".safetensors":
            write_safetensors(file, state, {_HEADER: text})
        else:
            arrays: dict[str, Any] = {_ARRAY: np.array(text), **state}
            np.savez(file, **arrays)


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """(description, state) of a file that `write_model` wrote, of either format whatever its name.

    Raises
    ------
    ValueError
        If it is cut off, changed or of another kind; the message names the file.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the package for it is not installed.

    Notes
    -----
    Limits: those of `read_npz` and `read_safetensors`. Arrays take the memory that they have in the file, as
    it is unpacked; the description is text, nested as deeply as JSON's reader goes.
    """
    return _checked(path, *_contents(path))


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays of any .npz or .safetensors file; of a file of ours only if it is unchanged.

    Raises as `read_model` does.
    """
    text, arrays = _contents(path)
    return arrays if text is None else _checked(path, text, arrays)[1]


def _checked(
    path: str | os.PathLike[str], text: str | None, arrays: dict[str, NDArray[Any]]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """(description, arrays), if the description is ours and its checksum that of both."""
    try:
        description = json.loads(text or "")
        kind, checksum = description.pop("format"), description.pop("checksum")
        whole = checksum == _checksum(description, arrays)
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        raise ValueError(f"{path} is not a model that fastconv saved") from None
    if kind != FORMAT:
        raise ValueError(f"{path} is of the format {kind!r}, expected {FORMAT!r}")
    if not whole:
        raise ValueError(f"{path} was changed after it was saved: its checksum does not match")
    return description, arrays


def _contents(path: str | os.PathLike[str]) -> tuple[str | None, dict[str, NDArray[Any]]]:
    """(description as text, arrays) of a file; the text is None if there is none."""
    check_path(path)
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder, expected a file")
    with open(path, "rb") as file:
        start = file.read(9)
    # A zip, as .npz is, begins with its signature; .safetensors with the length of a JSON object.
    named = Path(path).suffix == ".safetensors"
    kind = kind_of(path)
    if kind is not None and not kind.startswith(_OURS):
        raise ValueError(f"{path} is {kind}")
    if not start.startswith(b"PK\x03\x04") and (named or start[8:] == b"{"):
        metadata, arrays = read_safetensors(path)
        return metadata.get(_HEADER), arrays
    arrays = read_npz(path)
    description = arrays.pop(_ARRAY, None)
    return None if description is None else str(description), arrays


def _checksum(description: dict[str, Any], state: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
