"""Numbers that compiled code reads by name: in code that is kept on disk, of any process."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from numba import njit

from fastconv.simd.shared_numbers import read_shared, shared_number

NUMBER = shared_number("fastconv_test_number", 3)

SCRIPT = """
import os, sys
from numba import njit
from fastconv.simd.shared_numbers import read_shared, shared_number

number = shared_number("fastconv_test_number", int(sys.argv[1]))

@njit(cache=True)
def read():
    return read_shared("fastconv_test_number")

print(read())
number.value += 1
print(read())
if hasattr(os, "fork"):
    sys.stdout.flush()
    if os.fork() == 0:
        number.value = 100
        os._exit(0 if read() == 100 else 1)
    assert os.wait()[1] == 0
print(read(), sum(read.stats.cache_hits.values()))
"""


@njit
def read():
    return read_shared("fastconv_test_number")


def test_compiled_code_reads_what_python_has_set_last():
    assert read() == 3
    NUMBER.value = -(2**40)
    assert read() == -(2**40)
    NUMBER.value = 3


def test_a_name_that_is_no_literal_is_refused():
    @njit
    def of(name):
        return read_shared(name)

    with pytest.raises(Exception, match="read_shared"):
        of("fastconv_test_number")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    (folder / "reader.py").write_text(SCRIPT)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(value):
        command = [sys.executable, str(folder / "reader.py"), str(value)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [int(word) for word in done.stdout.split()]

    return run


def test_code_of_the_cache_reads_the_number_of_its_own_process(run):
    """A child's changes are not its parent's, and nothing is compiled in the second process."""
    assert run(5) == [5, 6, 6, 0]
    assert run(7) == [7, 8, 8, 1]


def test_processes_side_by_side_have_numbers_of_their_own(run):
    with ThreadPoolExecutor(3) as threads:
        assert [line[:3] for line in threads.map(run, (11, 12, 13))] == [
            [n, n + 1, n + 1] for n in (11, 12, 13)
        ]
