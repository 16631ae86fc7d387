"""Which checks of compiled code wait for the campaigns."""

import pytest

from tests.checks.valid_calls import SAME_CHECKS, from_compiled_code


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    """Leave kernels that are checked as another one is for the campaigns: a case compiles its kernel anew.

    All are called from Python, and once from compiled code, in every run.
    """
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if given.get("call") is from_compiled_code and given.get("name") in SAME_CHECKS:
            item.add_marker(pytest.mark.soak)
