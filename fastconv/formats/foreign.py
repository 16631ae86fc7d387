"""Files and objects of other kinds than the one expected: what they are, and what to do with them."""

import os
import zipfile
from typing import Any

_WEIGHTS = "save its weights with safetensors.torch.save_file and read them with load_weights"
_KERAS = 'a Keras model: write it as ONNX with model.export("model.onnx", format="onnx") and use from_onnx'
_PICTURE = "an image: give it to `python -m fastconv predict`, or a folder of them to `train --data`"
_ONNX = "an ONNX file: read it with from_onnx"

# How a file begins -> what it is.
_STARTS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes: write the model as ONNX and use from_onnx",
    b"\x93NUMPY": "one array of NumPy: an .npz file (numpy.savez) has names for arrays",
    b"\x80": f"a pickle, which could run any code (joblib's, or an old PyTorch file): in PyTorch, {_WEIGHTS}",
    b"\x89PNG": _PICTURE,
    b"\xff\xd8\xff": _PICTURE,
    b"GIF8": _PICTURE,
}
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Class of an object that a user of its library might give instead of a path -> what to do.
_OBJECTS = {
    "Module": "from_torch reads a torch.nn.Sequential",
    "ModelProto": "from_onnx reads it",
    "Mapping": "it is no file; arrays by name are written with numpy.savez or safetensors",
    "IOBase": "give the name of the file, it is opened here",
}


def check_path(path: Any, name: str = "path") -> None:
    """Raise TypeError unless `path` is a path.

    Examples
    --------
    >>> check_path("model.npz")
    >>> check_path(3)
    Traceback (most recent call last):
    TypeError: `path` must be a str or Path, got int
    """
    if isinstance(path, (str, os.PathLike)):
        return
    kinds = {kind.__name__.lstrip("_") for kind in type(path).__mro__}
    if isinstance(path, dict):
        kinds.add("Mapping")
    hint = next((f": {text}" for kind, text in _OBJECTS.items() if kind in kinds), "")
    raise TypeError(f"`{name}` must be a str or Path, got {type(path).__name__}{hint}")


def kind_of(path: "str | os.PathLike[str]") -> str | None:
    """What a file of another program is, in words that go on with what to do; None if that is not known.

    Only its first bytes, the names in it if it is a zip, and its suffix are looked at.

    Raises
    ------
    OSError
        If it can't be read.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.h5")
    >>> with open(path, "wb") as file:
    ...     _ = file.write(b"\\x89HDF\\r\\n\\x1a\\n")
    >>> kind_of(path)
    'an HDF5 file, as Keras writes: write the model as ONNX and use from_onnx'
    """
    with open(path, "rb") as file:
        start = file.read(9)
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model: write the model that it was made of as ONNX and use from_onnx"
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if start[8:] == b"{":  # the header of .safetensors, whose length may begin as anything does
        return "a .safetensors file: read a model of fastconv's with load, weights with load_weights"
    if suffix == ".onnx" and start:
        return _ONNX
    if suffix in (".joblib", ".pkl", ".pickle") and start:
        return _STARTS[b"\x80"]
    return next((kind for begin, kind in _STARTS.items() if start.startswith(begin)), None)


def _kind_of_zip(path: "str | os.PathLike[str]") -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.lower() for name in archive.namelist()]
    except Exception:  # zipfile raises nearly anything on damaged files
        return None
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return f"a PyTorch file, which could run any code: in PyTorch, {_WEIGHTS}, or use from_torch there"
    if "model.weights.h5" in names:
        return _KERAS
    if any(name.endswith(_IMAGES) for name in names):
        return "a zip of images: unpack it, and give the folder to `train --data` or `predict`"
    if names and all(name.endswith(".npy") for name in names):
        return "an .npz file: read a model of fastconv's with load, weights with load_weights"
    return None
