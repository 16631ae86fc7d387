"""The process that compiles some of what a plan needs, while another compiles the rest."""

import importlib
import io
import json
import os
import pkgutil
import subprocess
import sys

import pytest

import fastconv as fc
from fastconv.engine import assistant
from fastconv.kernels import lanes
from fastconv.kernels.lanes import activations, conv, losses, pool
from fastconv.kernels.lanes.operation import Operation, operation_types_of
from fastconv.simd.compiling import is_compiled

OPERATIONS = [activations.relu, activations.relu_grad, pool.max_pool, losses.record]


def test_another_process_finds_every_operation_at_its_place():
    found = 0
    for module in pkgutil.iter_modules(lanes.__path__):
        for thing in vars(importlib.import_module(f"{lanes.__name__}.{module.name}")).values():
            if isinstance(thing, Operation):
                name, attribute, used = thing.place
                assert getattr(importlib.import_module(name), attribute) is thing
                assert used == ()
                found += 1
    assert found > 50


def test_an_operation_in_parts_is_found_with_its_parts():
    some = conv.contract.with_parts((True,) + (False,) * (len(conv.contract._names) - 1))
    _, name, used = some.place
    assert getattr(conv, name).with_parts(tuple(used)) is some


@pytest.fixture
def started(monkeypatch):
    """The processes that would be started if nothing were compiled."""
    found = []
    fc.set_num_threads(2)
    monkeypatch.setattr(assistant, "is_compiled", lambda *_: False)

    class Process:
        def __init__(self, command, env, stdin, **_):
            found.append(self)
            self.command, self.env, self.stdin, self.calls = command, env, io.BytesIO(), []

        def terminate(self):
            self.calls.append("terminate")

        def wait(self):
            self.calls.append("wait")

    monkeypatch.setattr(subprocess, "Popen", Process)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks that two processes share")
def test_there_is_one_where_enough_is_missing(started):
    with assistant.assisted(OPERATIONS, "float32"):
        assert len(started) == 1
        assert started[0].calls == []
    assert started[0].calls == ["terminate", "wait"]
    assert started[0].command[0] == sys.executable
    assert started[0].env["PYTHONPATH"].split(os.pathsep)[0] == sys.path[0]


def test_there_is_none_for_one_thread(started):
    fc.set_num_threads(1)
    with assistant.assisted(OPERATIONS, "float32"):
        assert not started


def test_there_is_none_for_a_few_functions(started):
    with assistant.assisted(OPERATIONS[:2], "float32"):
        assert not started


def test_there_is_none_where_all_is_compiled(started, monkeypatch):
    monkeypatch.setattr(assistant, "is_compiled", lambda *_: True)
    with assistant.assisted(OPERATIONS, "float32"):
        assert not started


@pytest.mark.parametrize("executable", ["", "/opt/viewer", "C:/app/viewer.exe"])
def test_there_is_none_in_another_program(started, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with assistant.assisted(OPERATIONS, "float32"):
        assert not started


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks that two processes share")
def test_no_process_to_be_had_is_no_error(started, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no memory")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with assistant.assisted(OPERATIONS, "float32"):
        pass


def test_it_compiles_what_it_is_told(tmp_path):
    code = "from fastconv.engine.assistant import main; main()"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    order = json.dumps([os.getpid(), "float64", [activations.relu.place]])
    subprocess.run(
        [sys.executable, "-c", code], input=order.encode(), env=environment, check=True, timeout=120
    )
    compiled = {path.name.split("-")[0] for path in tmp_path.rglob("*.nbc")}
    assert {"activations.relu", "loop.run_steps"} <= compiled


def test_it_ends_where_nobody_waits_for_it(tmp_path):
    code = "from fastconv.engine.assistant import main; main()"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    order = json.dumps([1, "float64", [pool.max_pool.place]])
    subprocess.run(
        [sys.executable, "-c", code], input=order.encode(), env=environment, check=True, timeout=120
    )
    assert not [path for path in tmp_path.rglob("*.nbc") if "max_pool" in path.name]


def test_what_has_been_compiled_is_known():
    activations.relu.address("float32")
    assert is_compiled(activations.relu.function, operation_types_of("float32"))
