"""Files of other programs, and objects in the place of paths."""

import io
import pickle
import zipfile

import numpy as np
import pytest

import fastconv as fc


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"...")
    return file.getvalue()


# Name of a file -> (content, what is said of it).
FILES = {
    "model.pt": (zipped("archive/data.pkl", "archive/version"), "a PyTorch file, .* safetensors"),
    "model.pth": (pickle.dumps({"weight": [1]}, protocol=2), "a pickle, .* old PyTorch file"),
    "pipeline.pkl": (pickle.dumps([1]), "a pickle, which could run any code"),
    "text.pkl": (pickle.dumps([1], protocol=0), "a pickle, which could run any code"),
    "pipeline.joblib": (b"\x78\x9c compressed", "a pickle, which could run any code"),
    "model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file, as Keras writes: .* from_onnx"),
    "model.keras": (
        zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras model: .* from_onnx"
    ),
    "model.tflite": (b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite model: .* from_onnx"),
    "photos.zip": (zipped("cats/1.JPG", "dogs/2.png"), "a zip of images: unpack it"),
    "photo.jpg": (b"\xff\xd8\xff\xe0", "an image: "),
    "photo.png": (b"\x89PNG\r\n\x1a\n", "an image: "),
    "array.npy": (b"\x93NUMPY\x01\x00", "one array of NumPy: "),
}  # fmt: skip


def readers():
    model = fc.Sequential([fc.Dense(2)], (3,))
    return {"load": fc.load, "load_weights": model.load_weights, "from_onnx": fc.from_onnx}


@pytest.mark.parametrize("reader", ["load", "load_weights", "from_onnx"])
@pytest.mark.parametrize("disguised", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_program_is_named_with_what_to_do(tmp_path, name, reader, disguised):
    if reader == "from_onnx":
        pytest.importorskip("onnx")
    content, message = FILES[name]
    if disguised:
        if name in ("pipeline.joblib", "text.pkl"):
            pytest.skip("only its suffix tells")
        name = "model.npz"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is .*{message}") as caught:
        readers()[reader](tmp_path / name)
    assert "\n" not in str(caught.value)


def test_our_formats_in_the_wrong_place_are_named(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    model = fc.models.reference_cnn()
    for suffix in (".npz", ".safetensors"):
        model.save(tmp_path / f"model{suffix}")
        with pytest.raises(ValueError, match=rf"an? {suffix} file: read a model of fastconv's with load"):
            fc.from_onnx(tmp_path / f"model{suffix}")
    model.to_onnx(tmp_path / "model.onnx")
    for read in (fc.load, model.load_weights):
        with pytest.raises(ValueError, match=r"model\.onnx is an ONNX file: read it with from_onnx"):
            read(tmp_path / "model.onnx")


@pytest.mark.parametrize("reader", ["load", "load_weights", "from_onnx"])
@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (io.BytesIO(), "got BytesIO: give the name of the file"),
        ({"weight": np.zeros(3)}, "got dict: it is no file"),
        (0, "got int$"),
        (None, "got NoneType$"),
        (b"model.npz", "got bytes$"),
    ],
)
def test_an_object_in_the_place_of_a_path_is_refused_by_name(reader, thing, message):
    if reader == "from_onnx":
        pytest.importorskip("onnx")
    with pytest.raises(TypeError, match=f"`path` must be a str or Path, {message}"):
        readers()[reader](thing)


def test_a_model_of_onnx_is_taken_where_it_belongs_and_named_elsewhere(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = fc.models.reference_cnn()
    model.to_onnx(tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    X = np.random.default_rng(0).random((3, 1, 6, 6))
    np.testing.assert_array_equal(fc.from_onnx(proto).predict(X), model.predict(X))
    with pytest.raises(TypeError, match="got ModelProto: from_onnx reads it"):
        fc.load(proto)
    del proto.graph.node[:]
    with pytest.raises(ValueError, match="the ModelProto "):
        fc.from_onnx(proto)


def test_a_module_of_pytorch_and_what_is_saved_of_one_are_named():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 2))
    for read in (fc.load, fc.Sequential([fc.Dense(2)], (3,)).load_weights):
        with pytest.raises(TypeError, match="got Sequential: from_torch reads a torch"):
            read(module)
    with pytest.raises(TypeError, match=r"got OrderedDict: a state_dict has no layers; .* load_weights"):
        fc.from_torch(module.state_dict(), (3,))
    with pytest.raises(TypeError, match=r"got str: torch\.load gives the module"):
        fc.from_torch("model.pt", (3,))
