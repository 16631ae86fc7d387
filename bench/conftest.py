"""Benchmarks with pytest-benchmark: the contenders of one piece of work stand in one group.

    python -m pytest bench                        measure everything, minutes
    python -m pytest bench -k "conv2d and VGG"    some of it
    python -m pytest bench --benchmark-disable    only see that everything runs

Without `--threads N` everybody uses one thread.
"""

import pytest

from fastconv.benchmarks import machine
from fastconv.benchmarks.work import CONTENDERS


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="threads that every contender uses")


@pytest.fixture(scope="session", autouse=True)
def _threads(request):
    with machine.threads(request.config.getoption("--threads")):
        yield


@pytest.fixture(params=CONTENDERS)
def who(request):
    if request.param in ("torch", "onnxruntime"):
        pytest.importorskip(request.param)
    return request.param


@pytest.fixture
def smoke(request):
    """Whether this run only has to see that everything runs."""
    return request.config.getoption("--benchmark-disable")


@pytest.fixture
def measure(benchmark, who):
    """measure(work) runs `who`'s share of it."""

    def run(work):
        contender = work.contenders([who]).get(who)
        if contender is None:
            pytest.skip(f"{who} doesn't do this")
        benchmark.group = work.name
        benchmark.extra_info.update(pieces=contender.pieces, flops=work.flops * contender.pieces)
        contender.call()
        benchmark(contender.call)

    return run
