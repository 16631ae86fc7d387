"""The command that says what there is."""

import re

import numpy as np
import pytest

import fastconv as fc
from tests.cli.answers import strict


def test_info_says_what_there_is(run):
    code, out, _ = run("info")
    assert code == 0
    for name in (
        "fastconv",
        "python",
        "numpy",
        "numba",
        "llvmlite",
        "CPU",
        "vectors",
        "threads",
        "cache",
        "extras",
    ):
        assert re.search(rf"^{name} +\S", out, re.MULTILINE), name


def test_info_is_an_object_of_the_versions(run):
    code, out, _ = run("info", "--json")
    assert code == 0
    found = strict(out)
    assert found["numpy"] == np.__version__
    assert found["threads"] == fc.get_num_threads()
    assert found["extras"]["pytest"] == pytest.__version__
