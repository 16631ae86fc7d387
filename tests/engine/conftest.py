import pytest

from fastconv.engine import threads


@pytest.fixture(autouse=True)
def _own_number_of_threads():
    before = threads._threads, threads._asked_for
    yield
    threads._threads, threads._asked_for = before
