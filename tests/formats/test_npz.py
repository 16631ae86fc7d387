import gzip
import io
import os
import pickle
import struct
import tempfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fastconv.formats.idx import read_idx
from fastconv.formats.npz import read_npz


def idx(array, kind=8):
    header = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
    return header + array.tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_idx_file_is_read_whether_gzipped_or_not_whatever_its_name(tmp_path, pack):
    for name in ("images", "images.gz"):
        path = tmp_path / name
        path.write_bytes(pack(idx(IMAGES)))
        np.testing.assert_array_equal(read_idx(path, ndim=3), IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing"),
        (b"\0\0\x08", "starts with 00 00 08"),
        (b"PNG!" + bytes(20), "starts with 50 4e 47 21"),
        (idx(IMAGES, kind=0x0D), "starts with 00 00 0d 03, expected 00 00 08"),
        (idx(IMAGES)[:7], "ends in its header"),
        (idx(IMAGES)[:-1], "header says 24 bytes of shape .2, 3, 4., found 23"),
        (idx(IMAGES) + b"x", "header says 24 bytes of shape .2, 3, 4., found more"),
        (idx(IMAGES[0]), "has 2 dimensions, expected 3"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "too short for the shape"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, content, message, pack):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(pack(content))
    with pytest.raises(ValueError, match=f"train-images-idx3-ubyte is not an IDX file.*{message}"):
        read_idx(path, ndim=3)


def test_a_cut_or_damaged_gzip_file_is_refused_by_name(tmp_path):
    path = tmp_path / "images.gz"
    whole = gzip.compress(idx(IMAGES))
    damaged = bytearray(whole)
    damaged[-6] ^= 1
    for content in (whole[:-9], whole[:12], bytes(damaged)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"images\.gz cannot be read"):
            read_idx(path)


def test_a_header_that_promises_gigabytes_takes_no_memory(tmp_path):
    path = tmp_path / "images.gz"
    content = gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 1000, 1000, 1000) + bytes(2_000_000))
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"header says|too short"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")


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
