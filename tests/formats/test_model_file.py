import contextlib
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fastconv.formats.atomic import replaced
from fastconv.formats.model_file import read_arrays, read_model, write_model

DESCRIPTION = {"layers": [{"name": "Dense"}], "text": "ü", "number": 0.1}
STATE = {
    "0.weight": np.arange(6.0).reshape(2, 3),
    "0.bias": np.zeros(2, np.float32),
    "none": np.zeros((0, 3)),
}


@pytest.fixture
def path(tmp_path):
    write_model(tmp_path / "model.npz", DESCRIPTION, STATE)
    return tmp_path / "model.npz"


@pytest.fixture(params=[".npz", ".safetensors"])
def either(tmp_path, request):
    """A file of either format."""
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    write_model(tmp_path / f"model{request.param}", DESCRIPTION, STATE)
    return tmp_path / f"model{request.param}"


def rewrite(path, change):
    """Change the members of an .npz file, as somebody with NumPy would."""
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


def test_what_was_written_is_read(either):
    description, state = read_model(either)
    assert description == DESCRIPTION
    assert state.keys() == STATE.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, STATE[name])
        assert array.dtype == STATE[name].dtype
        assert array.flags.writeable


def test_strided_arrays_are_written_by_their_values(tmp_path):
    state = {"a": np.arange(24.0).reshape(4, 6)[::2, ::3], "b": np.asfortranarray(np.arange(6).reshape(2, 3))}
    write_model(tmp_path / "model.npz", {}, state)
    for name, array in read_model(tmp_path / "model.npz")[1].items():
        np.testing.assert_array_equal(array, state[name])


def test_paths_may_be_text(tmp_path):
    write_model(str(tmp_path / "model.npz"), DESCRIPTION, STATE)
    assert read_model(str(tmp_path / "model.npz"))[0] == DESCRIPTION


def test_the_format_is_seen_from_the_content_not_from_the_name(either, tmp_path):
    other = tmp_path / ("other.npz" if either.suffix == ".safetensors" else "other.safetensors")
    either.rename(other)
    assert read_model(other)[0] == DESCRIPTION


def test_arrays_are_read_without_the_description_but_not_if_they_were_changed(either):
    assert read_arrays(either).keys() == STATE.keys()
    content = bytearray(either.read_bytes())
    at = content.index(np.arange(6.0).tobytes())  # of 0.weight
    content[at + 8 * 4 + 7] ^= 1
    either.write_bytes(content)
    with pytest.raises(ValueError, match=either.name):
        read_arrays(either)


def test_the_file_needs_no_pickle(path):
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_a_file_cut_anywhere_is_refused_by_its_name(either):
    content = either.read_bytes()
    for size in [*range(0, len(content), 61), len(content) - 1]:
        either.write_bytes(content[:size])
        with pytest.raises(ValueError, match=either.name):
            read_model(either)


def test_a_file_with_any_byte_changed_is_refused_or_reads_the_same(either):
    content = either.read_bytes()
    for position in range(0, len(content), 3):
        changed = bytearray(content)
        changed[position] ^= 0x41
        either.write_bytes(changed)
        with contextlib.suppress(ValueError):  # a byte that means nothing, such as a date, may be any
            description, state = read_model(either)
            assert description == DESCRIPTION
            assert state.keys() == STATE.keys()
            assert all(np.array_equal(array, STATE[name]) for name, array in state.items())


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays["0.weight"].__setitem__((1, 2), 7.0),
        lambda arrays: arrays.update({"0.bias": arrays["0.bias"].astype(np.float64)}),
        lambda arrays: arrays.update({"0.weight": arrays["0.weight"].reshape(3, 2)}),
        lambda arrays: arrays.update({"1.bias": arrays.pop("0.bias")}),
        lambda arrays: arrays.update({"more": np.zeros(1)}),
        lambda arrays: arrays.pop("none"),
        lambda arrays: arrays.update(
            description=np.array(str(arrays["description"]).replace('"number": 0.1', '"number": 0.2'))
        ),
    ],
)
def test_a_change_after_saving_is_noticed_by_the_checksum(path, change):
    rewrite(path, change)
    with pytest.raises(ValueError, match=r"model\.npz was changed after it was saved"):
        read_model(path)


def test_a_file_rewritten_without_a_change_is_read(path):
    rewrite(path, lambda arrays: None)
    assert read_model(path)[0] == DESCRIPTION


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


FOREIGN = {
    "nothing": b"",
    "text": b"a model",
    "one array": b"\x93NUMPY\x01\x00",
    "a pickle": pickle.dumps({"weight": 1}),
    "a zip of text": zipped("readme.txt", b"hello"),
    "another npz": npz(weight=np.zeros(3)),
    "a description of numbers": npz(description=np.zeros(3)),
    "a description that is no JSON": npz(description=np.array("{")),
    "a description that is a list": npz(description=np.array("[1, 2]")),
    "a description without a checksum": npz(description=np.array('{"format": "fastconv model 1"}')),
    "pickled objects": npz(description=np.array([{"format": 1}], dtype=object)),
    "a later format": npz(description=np.array('{"format": "fastconv model 2", "checksum": ""}')),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused_by_its_name(tmp_path, kind):
    (tmp_path / "foreign.npz").write_bytes(FOREIGN[kind])
    with pytest.raises(ValueError, match=r"foreign\.npz"):
        read_model(tmp_path / "foreign.npz")


def test_a_later_format_is_named(tmp_path):
    (tmp_path / "model.npz").write_bytes(FOREIGN["a later format"])
    with pytest.raises(ValueError, match="of the format 'fastconv model 2', expected 'fastconv model 1'"):
        read_model(tmp_path / "model.npz")


def test_a_missing_file_is_a_filenotfounderror_and_a_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="folder"):
        read_model(tmp_path)


# Replacing a file


def test_a_new_file_replaces_the_old_one_and_leaves_nothing_beside_it(path):
    write_model(path, {"new": True}, {})
    assert read_model(path) == ({"new": True}, {})
    assert os.listdir(path.parent) == ["model.npz"]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt(), MemoryError()])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_beside_it(path, monkeypatch, failure):
    def failing(file, **arrays):
        file.write(b"half")
        raise failure

    monkeypatch.setattr(np, "savez", failing)
    with pytest.raises(type(failure)):
        write_model(path, {"new": True}, {})
    monkeypatch.undo()
    assert read_model(path)[0] == DESCRIPTION
    assert os.listdir(path.parent) == ["model.npz"]


def test_the_old_file_is_whole_until_the_new_one_is(path):
    with replaced(path) as file:
        file.write(b"half")
        file.flush()
        assert read_model(path)[0] == DESCRIPTION
    assert path.read_bytes() == b"half"


def test_the_content_is_on_the_disk_before_the_file_is_renamed(path, monkeypatch):
    events = []
    monkeypatch.setattr(os, "fsync", lambda handle: events.append("fsync"))
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: events.append("replace") or rename(*names))
    write_model(path, {}, {})
    assert events == ["fsync", "replace", *["fsync"] * (os.name == "posix")], "then the folder's new entry"


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_the_file_has_the_permissions_of_any_new_file(path):
    other = path.parent / "other"
    other.write_text("")
    assert path.stat().st_mode == other.stat().st_mode


KEYS = st.one_of(
    st.text(st.characters(), max_size=5),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(),
    st.sampled_from([np.int8(3), np.bool_(True), np.str_("a"), np.float32(0.1), (1, 2), b"a"]),
)
LEAVES = st.one_of(
    KEYS,
    st.sampled_from([np.arange(3), np.array("a"), np.float16(0.1), np.longdouble(2), {1}, 1j, 10**4100]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)


def refusal(path, metadata):
    """Why a model can't be written, or None if it has been."""
    try:
        write_model(path, {"metadata": metadata}, {})
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@given(value=VALUES)
@example(value={"classes": {0: "zero", 10: "ten", 2: "two"}})
@example(value={True: 1, False: 2, None: 3, 0.5: 4})
@example(value={1: "number", "1": "text"})
@example(value=float("nan"))
@example(value="\ud800 and \ud83d\ude00 and \x00")
@example(value=nested(50))
@example(value=nested(150))
@example(value={"é": ("ü", np.float32(0.1))})
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_what_is_saved_loads_and_what_could_not_load_is_not_saved(suffix, value, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"any{suffix}"
    write_model(path, DESCRIPTION, {})
    reason = refusal(path, value)
    if reason is not None:
        assert "\n" not in reason
        assert len(reason) < 400
        assert read_model(path)[0] == DESCRIPTION, "nothing was written"
    else:
        found = read_model(path)[0]
        write_model(path, found, {})
        assert repr(read_model(path)[0]) == repr(found), "what was read once is read again"
    assert os.listdir(tmp_path) == [path.name]


def test_keys_that_are_numbers_become_texts(tmp_path):
    classes = {0: "a", 10: "b", 2: "c", np.int64(3): "d"}
    write_model(tmp_path / "model.npz", {"metadata": {"classes": classes}}, {})
    found = read_model(tmp_path / "model.npz")[0]["metadata"]["classes"]
    assert found == {"0": "a", "10": "b", "2": "c", "3": "d"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {2}]}, r"`metadata\['a'\]\[1\]` must be a value that JSON has .*, got set"),
        ({"a": b"x"}, r"`metadata\['a'\]` must be a value that JSON has .*, got bytes"),
        ({(1, 2): 1}, "`a key of metadata` must be a value that JSON has .*, got tuple"),
        ({1: 1, "1": 2}, "`metadata` has two keys that are '1' as texts"),
        (nested(3000), "is nested more than 100 levels deep"),
        ([10**5000], r"`metadata\[0\]` has an int of more than 4000 digits"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_place(tmp_path, value, message):
    with pytest.raises((TypeError, ValueError), match=message):
        write_model(tmp_path / "model.npz", {"metadata": value}, {})
    assert os.listdir(tmp_path) == []


def test_arrays_that_would_not_be_read_are_not_written(path):
    with pytest.raises(ValueError, match=r"model\.npz was not written, since it could not be read again: "):
        write_model(path, {}, {"a": np.zeros(3, complex)})
    assert read_model(path)[0] == DESCRIPTION
    assert os.listdir(path.parent) == ["model.npz"]


def test_a_description_that_is_no_json_writes_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_model(tmp_path / "model.npz", {"value": {1, 2}}, {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("depth", [100, *range(960, 1000), 5000, 100_000])
def test_a_description_of_any_depth_is_read_or_refused(tmp_path, depth):
    text = '{"format": "fastconv model 1", "checksum": "", "z": ' + "[" * depth + "]" * depth + "}"
    np.savez(tmp_path / "deep.npz", description=np.array(text))
    with pytest.raises(ValueError, match=r"deep\.npz (is not a model that fastconv saved|was changed after)"):
        read_model(tmp_path / "deep.npz")
