"""IDX files, gzipped or not."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

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
