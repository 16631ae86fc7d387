"""What is asked of Numba before anything is compiled."""

import os
import subprocess
import sys
from pathlib import Path

import fastconv as fc


def test_without_a_compiler_the_import_says_so_in_one_line():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(fc.__file__).parents[1])}
    command = [sys.executable, "-c", "import fastconv"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "ImportError: fastconv can't work with NUMBA_DISABLE_JIT=1"
    )
