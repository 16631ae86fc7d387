import functools
import signal
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from fastconv.cli import main
from fastconv.engine import builder, engine

# Other processes may have the processors, or an example may be the first to compile something.
settings.register_profile("at any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("at any speed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts jobs in the background; tests that send an interrupt would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Of several workers (pytest-xdist), each takes the next file in the order below."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Files whose tests start processes first: they take longest, and at the end one worker would wait."""
    items.sort(key=lambda item: not _starts_processes(item.path))


@functools.cache
def _starts_processes(path):
    return "subprocess" in path.read_text(encoding="utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Reports go from process to process as plain values: a NumPy number in one would end the whole run."""
    report = yield
    report.user_properties = [
        (name, value.item() if isinstance(value, np.generic) else value)
        for name, value in report.user_properties
    ]
    return report


@pytest.fixture(autouse=True)
def _as_many_threads_as_asked_for(monkeypatch):
    """The networks of the tests are so small that one thread would do all their work."""
    monkeypatch.setattr(engine, "PRODUCTS_PER_THREAD", 1)
    monkeypatch.setattr(engine, "PRODUCTS_PER_SHARE", 1)
    monkeypatch.setattr(builder, "LONG", 0)
    monkeypatch.setattr(builder, "LONG_FOR_FEW", 0)


@pytest.fixture(autouse=True)
def _one_thread_of_pytorch():
    """Its threads spin while they wait for one another: where several processes test, 12 s become 200."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_figures_are_left():
    """What one test has drawn is no burden to the next: from 20 figures on, matplotlib warns."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run one command in a folder of its own; give back its exit code, what it printed, and its error."""
    monkeypatch.chdir(tmp_path)

    def run_one(*argv):
        code = main([str(arg) for arg in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return run_one


@pytest.fixture
def stripes(tmp_path):
    """A file with 60 images of 8x8 that any network tells apart: class 0 has lines across, class 1 down."""
    y = np.arange(60) % 2
    pattern = np.indices((8, 8)) % 2
    noise = np.random.default_rng(0).random((60, 8, 8))
    np.savez(tmp_path / "stripes.npz", X=(pattern[y] * 0.8 + noise * 0.2).astype(np.float32), y=y)
    return "stripes.npz"
