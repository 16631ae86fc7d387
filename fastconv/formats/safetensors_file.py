"""Arrays by name in a .safetensors file, by Hugging Face's package; its header holds text beside them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require

# The format's names of element types that NumPy has; they are stored as little-endian numbers.
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip


def write_safetensors(
    file: BinaryIO, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write `arrays`, and in the header `metadata`, to a file that is open.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    """
    package = require("safetensors.numpy", "safetensors", "a .safetensors file")
    file.write(package.save({name: np.asarray(a, order="C") for name, a in arrays.items()}, dict(metadata)))


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """(metadata, arrays) of a file; bfloat16, which NumPy lacks, becomes float32.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not one whole .safetensors file, or holds numbers of a type that NumPy lacks; the message
        names the file.

    Notes
    -----
    Limits: the file is read whole, and takes up to three times its size in memory (five with bfloat16).
    """
    package = require("safetensors", "safetensors", "a .safetensors file")
    content = Path(path).read_bytes()
    try:
        return _parsed(package, content)
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} is not a whole .safetensors file of numbers: {reason}") from None


def _parsed(package: Any, content: bytes) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    entries = package.deserialize(content)  # checks that the header and the file's size agree
    arrays = {}
    for name, entry in entries:
        data, shape, dtype = entry["data"], entry["shape"], entry["dtype"]
        if dtype == "BF16":  # the upper half of a float32
            array = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif dtype in DTYPES:
            array = np.frombuffer(data, DTYPES[dtype])
        else:
            raise ValueError(f"{name} is of type {dtype}, expected one of {', '.join(DTYPES)}, BF16")
        arrays[name] = array.astype(array.dtype.newbyteorder("=")).reshape(shape)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header.get("__metadata__") or {}, arrays
