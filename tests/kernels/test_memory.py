import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv

SCRIPT = """
import numpy as np
import reference
import reference_taps
from test_conv import Case, check_equal, results, whole_numbers
from test_dense import results as dense_results, whole_numbers as dense_numbers

from fastconv import kernels

cases = [
    Case(n, 2 * groups, 3 * groups, (5 + k, 9 - k), (2, 3), stride, 1, 1, groups)
    for k in range(4) for n in (2, 17) for stride in (1, 2) for groups in (1, 2)
]
cases += [Case(n, 2, 3, (21, 9), (3, 2), stride, 1) for n in (1, 3) for stride in (1, 2)]  # cut in strips
for case in cases:
    for dtype in (np.float32, np.float64):
        arrays = whole_numbers(case, dtype)
        check_equal(results(kernels, case, *arrays), results(reference_taps, case, *arrays))
        arrays = dense_numbers((case.n, 19 + case.size[0], 30 + case.size[1]), dtype)
        check_equal(dense_results(kernels, *arrays), dense_results(reference, *arrays))
"""

FENCED = """
import numpy as np
import reference_taps
from fences import fenced
from test_conv import Case, check_equal, results, whole_numbers

from fastconv import kernels

for n in (1, 2, 3, 17):
    for size, channels, kernel, stride, padding, groups in (
        ((21, 9), 3, (3, 2), 1, 1, 1), ((16, 16), 4, (3, 3), 2, 1, 2), ((5, 33), 17, (2, 3), 1, 0, 1),
        ((40, 3), 1, (1, 1), 3, 2, 1), ((3, 4), 16, (3, 4), 1, 0, 1), ((7, 5), 9, (1, 1), 1, 0, 1),
        ((15, 13), 3, (1, 1), 2, 0, 3), ((6, 7), 2, (3, 3), 1, 1, 1),
    ):
        case = Case(n, channels, 2 * channels, size, kernel, stride, padding, 1, groups)
        for dtype in (np.float32, np.float64):
            arrays = whole_numbers(case, dtype)
            expected = results(reference_taps, case, *arrays)
            for at_end in (False, True):
                got = results(kernels, case, *[fenced(array, at_end) for array in arrays])
                check_equal(got, expected)
print("done")
"""


def run(script, **environment):
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(fastconv.__file__).parents[1]), **environment},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mprotect")
def test_convolutions_read_nothing_before_or_past_their_arrays():
    done = run(FENCED)
    assert done.stdout == "done\n", f"ended with {done.returncode}: {done.stderr}"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_no_kernel_reads_memory_that_it_has_given_back():
    overwrite_freed_memory = {"MALLOC_PERTURB_": "165", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    done = run(SCRIPT, **overwrite_freed_memory)
    assert done.returncode == 0, done.stderr
