import io
import json
import struct
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.safetensors_file import DTYPES, read_safetensors, write_safetensors

safetensors = pytest.importorskip("safetensors")
numpy_files = pytest.importorskip("safetensors.numpy")


def raw(header, data=b"", length=None):
    """A file put together by hand, as the format's page says: length, header as JSON, data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_a_file_put_together_by_hand_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    header = {"__metadata__": {"x": "y"}, "b": entry(shape=(1, 2)), "n": entry("F64", (), 8, 16)}
    path.write_bytes(raw(header, struct.pack("<ffd", 1.5, -2.0, 3.0)))
    metadata, arrays = read_safetensors(path)
    assert metadata == {"x": "y"}
    assert arrays["b"].tolist() == [[1.5, -2.0]]
    assert (arrays["n"].shape, float(arrays["n"])) == ((), 3.0)
    assert arrays["b"].flags.writeable


def test_another_reader_reads_what_is_written_whatever_its_strides():
    arrays = {"a": np.arange(12.0).reshape(3, 4)[:, ::2], "b": np.float32(7), "c": np.zeros((0, 3))}
    file = io.BytesIO()
    write_safetensors(file, arrays, {"x": "y"})
    found = numpy_files.load(file.getvalue())
    assert found.keys() == arrays.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.shape == np.shape(arrays[name])


@pytest.mark.parametrize("kind", DTYPES)
def test_every_type_that_numpy_has_is_read(tmp_path, kind):
    array = np.array([0, 1, 1, 0]).astype(DTYPES[kind])
    numpy_files.save_file({"a": array}, tmp_path / "a.safetensors")
    found = read_safetensors(tmp_path / "a.safetensors")[1]["a"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_bfloat16_becomes_float32_of_the_same_value(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw({"a": entry("BF16", (3,), 0, 6)}, bytes.fromhex("803f00c04940")))
    assert read_safetensors(path)[1]["a"].tolist() == [1.0, -2.0, 3.140625]  # 0x3f80, 0xc000, 0x4049


DAMAGED = {
    "nothing": b"",
    "no header": raw({})[:7],
    "a header of gigabytes": raw({"a": entry()}, bytes(8), length=2**40),
    "an array of gigabytes": raw({"a": entry(shape=(2**40,), end=2**42)}, bytes(8)),
    "a shape that overflows": raw({"a": entry(shape=(2**62, 2**62), end=8)}, bytes(8)),
    "a shape of another size": raw({"a": entry(shape=(3,))}, bytes(8)),
    "too little data": raw({"a": entry()}, bytes(7)),
    "too much data": raw({"a": entry()}, bytes(9)),
    "arrays on top of each other": raw({"a": entry(), "b": entry()}, bytes(8)),
    "no JSON": raw(b"{" * 40),
    "nested JSON": raw(b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "a list": raw([1, 2]),
    "metadata that is no text": raw({"__metadata__": {"x": 1}}),
    "a type that NumPy lacks": raw({"a": entry("F8_E4M3", (8,))}, bytes(8)),
    "a type of nobody's": raw({"a": entry("F33")}, bytes(8)),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_refused_by_its_name(tmp_path, kind):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(DAMAGED[kind])
    for read in (read_safetensors, fc.load):
        with pytest.raises(ValueError, match=r"bad\.safetensors") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_whole_file_that_is_not_ours_is_no_model(tmp_path):
    numpy_files.save_file({"0.weight": np.zeros((1, 2))}, tmp_path / "theirs.safetensors")
    with pytest.raises(ValueError, match=r"theirs\.safetensors is not a model that fastconv saved"):
        fc.load(tmp_path / "theirs.safetensors")


def test_a_header_whose_length_looks_like_the_beginning_of_a_zip_is_read(tmp_path):
    header = {"__metadata__": {"x": ""}, "0.bias": entry()}
    header["__metadata__"]["x"] = "y" * (int.from_bytes(b"PK", "little") - len(json.dumps(header)))
    content = raw(header, bytes(8))
    assert content.startswith(b"PK")
    (tmp_path / "a.npz").write_bytes(content)
    model = fc.Sequential([fc.Dense(2)], (1,))
    with pytest.raises(ValueError, match=r"missing \['0.weight'\]"):
        model.load_weights(tmp_path / "a.npz")


# Networks


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saved_network_is_loaded_as_it_was(tmp_path, dtype):
    layers = [fc.Conv2d(3, 3, padding="same"), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dense(2)]
    model = fc.Sequential(layers, (1, 5, 5), dtype, seed=3)
    model.statistics()["1.running_mean"][:] = [1, 2, 3]
    path = tmp_path / "model.safetensors"
    model.save(path, metadata={"classes": ["a", "ü"]})
    again = fc.load(path)
    assert (again.layers, again.dtype, again.seed) == (model.layers, dtype, 3)
    assert again.metadata == {"classes": ["a", "ü"]}
    stored = numpy_files.load_file(path)
    assert stored.keys() == model.state().keys()
    for name, array in again.state().items():
        np.testing.assert_array_equal(array, stored[name])
        np.testing.assert_array_equal(array, model.state()[name])


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path):
    X = np.random.default_rng(0).random((20, 1, 6, 6))
    y = np.arange(20) % 2

    def trainer():
        return fc.Trainer(fc.models.reference_cnn(), loss="bce", optimizer=fc.Adam(lr=0.01))

    path = tmp_path / "run.safetensors"
    first, second, whole = trainer(), trainer(), trainer()
    first.fit(X, y, epochs=2, checkpoint=path)
    second.fit(X, y, epochs=4, checkpoint=path, resume=True)
    whole.fit(X, y, epochs=4)
    np.testing.assert_array_equal(second.model.flat_parameters, whole.model.flat_parameters)


def test_a_wrong_suffix_is_refused_before_training_begins():
    trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    before = trainer.model.flat_parameters.copy()
    with pytest.raises(ValueError, match=r"`checkpoint` must end in \.npz or \.safetensors, got 'run.pt'"):
        trainer.fit(np.zeros((2, 1, 6, 6)), [0, 1], epochs=1, checkpoint="run.pt")
    np.testing.assert_array_equal(trainer.model.flat_parameters, before)
    with pytest.raises(ValueError, match=r"`path` must end in \.npz or \.safetensors"):
        fc.ModelCheckpoint("best-{epoch}.h5")


def test_without_the_package_the_error_names_the_extra_and_the_old_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    fc.models.reference_cnn().save(path)
    content = path.read_bytes()
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    message = r'^a \.safetensors file needs safetensors: pip install safetensors \(the extra "safetensors"\)$'
    for attempt in (
        lambda: fc.load(path),
        lambda: fc.models.reference_cnn().save(path),
        lambda: fc.ModelCheckpoint(path),
    ):
        with pytest.raises(ImportError, match=message):
            attempt()
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
