import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import numpy as np
import reference
from test_conv import Case, check_equal, results, whole_numbers
from test_dense import results as dense_results, whole_numbers as dense_numbers

from fastconv import kernels

cases = [
    Case(n, 2 * groups, 3 * groups, (5 + k, 9 - k), (2, 3), stride, 1, 1, groups)
    for k in range(4) for n in (2, 17) for stride in (1, 2) for groups in (1, 2)
]
for case in cases:
    for dtype in (np.float32, np.float64):
        arrays = whole_numbers(case, dtype)
        check_equal(results(kernels, case, *arrays), results(reference, case, *arrays))
        arrays = dense_numbers((case.n, 19 + case.size[0], 30 + case.size[1]), dtype)
        check_equal(dense_results(kernels, *arrays), dense_results(reference, *arrays))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_no_kernel_reads_memory_that_it_has_given_back():
    overwrite_freed_memory = {"MALLOC_PERTURB_": "165", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **overwrite_freed_memory},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
