import pytest

from fastconv import engine


@pytest.fixture(autouse=True)
def _as_many_threads_as_asked_for(monkeypatch):
    """The networks of the tests are so small that one thread would do all their work."""
    monkeypatch.setattr(engine, "PRODUCTS_PER_THREAD", 1)
