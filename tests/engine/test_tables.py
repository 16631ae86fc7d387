"""Where the numbers of an array lie, read from the array itself."""

import numpy as np
import pytest

from fastconv.engine.tables import address_of, cell_of

BASE = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
READ_ONLY = BASE.copy()
READ_ONLY.flags.writeable = False


class Own(np.ndarray):
    """A subclass, as pandas and others have them."""


@pytest.mark.parametrize(
    "array",
    [
        BASE, BASE[1:], BASE[::-1], BASE.T, BASE[:, 1::2, ::-2], BASE[..., :0], READ_ONLY, BASE.view(Own),
        np.zeros((), np.int64), np.zeros(3, ">i2"), np.broadcast_to(np.float64(1), (5, 5)),
    ],
)  # fmt: skip
def test_the_address_is_that_of_numpys_ctypes(array):
    assert address_of(array) == array.ctypes.data


def test_the_address_of_a_mapped_file_is_that_of_numpys_ctypes(tmp_path):
    array = np.memmap(tmp_path / "numbers", np.float32, "w+", shape=(7, 3))
    assert address_of(array[2:]) == array[2:].ctypes.data


def test_a_cell_is_one_number_of_its_table():
    table = np.zeros(5, np.int64)
    cell_of(table, 3).value = -7
    assert table.tolist() == [0, 0, 0, -7, 0]
