"""Arrays in .npy and .npz files."""

import io
import lzma
import os
import pickle
import struct
import tempfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fastconv.formats.npz import read_npy, read_npz

DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.unsigned_integer_dtypes(endianness="?"),
    arrays.floating_dtypes(endianness="?"),
    arrays.unicode_string_dtypes(max_len=5),
)


@given(
    arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)),
    st.sampled_from([np.savez, np.savez_compressed]),
    st.booleans(),
)
def test_what_numpy_saved_is_read_back(array, save, fortran):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "data.npz")
        save(path, first=np.asfortranarray(array) if fortran else array, second=np.arange(3))
        found = read_npz(path)
    assert list(found) == ["first", "second"]
    np.testing.assert_array_equal(found["first"], array)
    assert found["first"].dtype == array.dtype.newbyteorder("=")
    assert found["first"].flags.c_contiguous
    assert found["first"].flags.writeable


def npz(tmp_path, members):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npy_with_header(header):
    text = repr(header).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


HEADER = {"descr": "<f4", "fortran_order": False, "shape": (2,)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(np.array([{}, None])), "'|O', expected numbers .pickled objects are not read"),
        (pickle.dumps([1]), "does not start as an array"),
        (b"", "does not start as an array"),
        (npy(np.zeros(3))[:-1], r"has 23 bytes, its shape \(3,\) of float64 needs 24"),
        (npy(np.zeros(3)) + b"x", "has 25 bytes"),
        (npy(np.zeros(2, dtype="f4,i4")), "expected numbers"),
        (npy_with_header({**HEADER, "shape": (10**9, 10**9)}), "has 0 bytes"),
        (npy_with_header({**HEADER, "shape": (-1,)}), r"has the shape \(-1,\)"),
        (npy_with_header({**HEADER, "shape": (True,)}), "has the shape"),
        (npy_with_header({**HEADER, "shape": 3}), "header that is not NumPy's"),
        (npy_with_header({**HEADER, "descr": "<f3"}), "'<f3', expected numbers"),
        (
            npy_with_header({**HEADER, "descr": "<U99999999999"}),
            "(expected numbers|has 0 bytes)",
        ),  # NumPy 1.24 wraps
        (npy_with_header({**HEADER, "descr": ["<f4"]}), "expected numbers"),
        (npy_with_header([1, 2]), "header that is not NumPy's"),
        (npy_with_header(HEADER).replace(b"{", b"("), "header that is not NumPy's"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of 4294967295 bytes"),
    ],
)
def test_an_array_that_is_not_as_it_should_be_is_refused_by_name(tmp_path, content, message):
    path = npz(tmp_path, {"X.npy": content})
    with pytest.raises(ValueError, match=rf"data\.npz cannot be read as a NumPy \.npz file: X .*{message}"):
        read_npz(path)


def test_nothing_but_arrays_may_be_in_the_file(tmp_path):
    with pytest.raises(ValueError, match=r"'notes\.txt' in it is not an array"):
        read_npz(npz(tmp_path, {"notes.txt": b"hello"}))


@pytest.mark.parametrize("content", [b"", b"not a zip file at all", b"PK\x03\x04" + bytes(40)])
def test_what_is_no_zip_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.npz is not a whole NumPy \.npz file"):
        read_npz(path)


def test_a_folder_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="is a folder, expected a NumPy"):
        read_npz(tmp_path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_mutated_files_are_read_right_or_refused(tmp_path, save):
    path = tmp_path / "data.npz"
    arrays = {"X": np.arange(60, dtype=np.float32).reshape(3, 20), "y": np.arange(3)}
    save(path, **arrays)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for position in rng.integers(0, len(whole), rng.integers(1, 4)):
            content[position] = rng.integers(0, 256)
        if rng.random() < 0.2:
            del content[rng.integers(0, len(whole)) :]
        path.write_bytes(content)
        try:
            found = read_npz(path)
        except ValueError:
            refused += 1
            continue
        for name in found.keys() & arrays.keys():
            np.testing.assert_array_equal(found[name], arrays[name])
    assert refused > 100


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused_before_anything_is_unpacked(tmp_path, method, monkeypatch):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", npy(np.zeros(3)))
        archive.writestr("y.npy", npy(np.zeros(10**6)), method)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *arguments: pytest.fail("it was opened"))
    with pytest.raises(ValueError, match=rf"data\.npz .*'y\.npy' is compressed by method {method}, expected"):
        read_npz(path)


def test_members_that_share_bytes_or_a_name_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", npy(np.zeros(300)))
        first = archive.infolist()[0]
        for name in "abc":
            other = zipfile.ZipInfo(f"{name}.npy")
            for field in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(other, field, getattr(first, field))
            archive.filelist.append(other)
    with pytest.raises(ValueError, match=r"data\.npz .*claim more bytes than the file has"):
        read_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", npy(np.zeros(3)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("X.npy", npy(np.zeros(4)))
    with pytest.raises(ValueError, match="two arrays in it have one name"):
        read_npz(path)


@pytest.mark.parametrize(
    "error", [lzma.LZMAError("bad"), StopIteration(), ZeroDivisionError(), RecursionError(), OverflowError()]
)
def test_whatever_a_damaged_file_raises_becomes_one_valueerror_with_its_name(tmp_path, error, monkeypatch):
    path = npz(tmp_path, {"X.npy": npy(np.zeros(3))})

    def fail(*arguments):
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "open", fail)
    with pytest.raises(ValueError, match=r"data\.npz is not a whole NumPy \.npz file: \w+"):
        read_npz(path)


@pytest.mark.parametrize("dtype", ["<f4", ">i8", "u1", "?"])
def test_an_npy_file_is_read_and_any_damage_is_refused_by_name(tmp_path, dtype):
    path = tmp_path / "a.npy"
    array = np.arange(12).reshape(3, 4).astype(dtype)
    np.save(path, array)
    np.testing.assert_array_equal(read_npy(path), array)
    whole = path.read_bytes()
    for content in (
        b"",
        whole[:-1],
        whole[:20],
        whole + b"x",
        b"PK" + whole,
        whole.replace(b"(3, 4)", b"(9, 9)"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npy is not a whole NumPy \.npy file"):
            read_npy(path)
    np.save(path, np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="pickled objects are not read"):
        read_npy(path)
