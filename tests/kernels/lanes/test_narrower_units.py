"""Convolutions of float32 on narrower vector units: by products and of depthwise layers.

In float64, networks of depthwise layers are tried there by `tests/simd/test_units.py`.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.kernels.test_conv_products import CASES, arrays_of, in_float64, rms

# One process for all of a unit: it compiles for more than a minute.
SCRIPT = """
import sys
import numpy as np
from tests.kernels.lanes import test_depthwise, test_narrower_units as here
from tests.kernels.test_conv_products import CASES, arrays_of, passes
found = {"edge": test_depthwise.depthwise.EDGE}
for number in here.PRODUCTS:
    for k, result in enumerate(passes(*arrays_of(*CASES[number]))):
        found[f"{number}_{k}"] = result
for case in test_depthwise.CASES[::5]:
    test_depthwise.check_sums(case, float32=3e-6)
np.savez(sys.argv[1], **found)
"""
PRODUCTS = 1, 9, 13, 16, 18, 22, 25  # cases: of tiles and of lines, of odd sizes, with strides


@pytest.mark.parametrize(("simd", "edge"), [("avx2", 2), ("sse2", 1)])
def test_they_make_the_same_results_but_for_rounding(tmp_path, simd, edge):
    path = tmp_path / "narrow.npz"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FASTCONV_SIMD": simd}
    command = [sys.executable, "-c", SCRIPT, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    narrow = np.load(path)
    assert narrow["edge"] == edge, "the patches of depthwise convolutions are those of the unit"
    for number in PRODUCTS:
        for k, right in enumerate(in_float64(*arrays_of(*CASES[number]))):
            assert rms(narrow[f"{number}_{k}"] - right) < 1.5e-6 * rms(right)
