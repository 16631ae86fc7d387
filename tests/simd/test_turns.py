"""Processes that need the same code at the same moment: each function is compiled by one of them."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import fastconv as fc
from fastconv.simd import turns

fcntl = pytest.importorskip("fcntl", reason="without locks each process compiles for itself")

# Says which functions it has compiled and kept, and a digest of what they have computed.
BEGIN = """
import hashlib, json, os, sys, time
import numpy as np
from fastconv.simd import compiling, turns

kept, save = [], compiling._Cache._save_overload
def noted(cache, sig, data):
    kept.append(repr((cache._name.split(" at ")[0], sig)))
    save(cache, sig, data)
compiling._Cache._save_overload = noted
"""
TRAIN = """
import fastconv as fc
rng = np.random.default_rng(0)
model = fc.models.reference_cnn()
trainer = fc.Trainer(model, "bce", fc.Adam())
trainer.fit(rng.random((40, 1, 6, 6), dtype=np.float32), rng.integers(0, 2, 40), epochs=1)
digest = hashlib.sha256(model.flat_parameters.tobytes()).hexdigest()
print(json.dumps({"kept": kept, "digest": digest}))
"""
# One function: the process says when it begins to compile it, or to wait for another, and goes on when told.
ONE = """
from numba import types
from numba.core import event

def say(word):
    print(word, flush=True)
    sys.stdin.readline()

class Compiles(event.Listener):
    def on_start(self, happening):
        say("compiles")
    def on_end(self, happening):
        pass

sleep = time.sleep
def says_that_it_waits(seconds):
    time.sleep = sleep
    say("waits")
time.sleep = says_that_it_waits
event.register("numba:compile", Compiles())
from fastconv.engine.clock import read_often
read_often.compile((types.int64,))
print(json.dumps({"kept": kept}))
"""


def start(script, *arguments, cache):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    root = str(Path(fc.__file__).parent.parent)
    inherited["FASTCONV_NUM_THREADS"] = "1"  # no assistant, which would compile and not say what
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BEGIN + script), *map(str, arguments)],
        env={**inherited, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


def test_processes_that_start_at_once_compile_each_function_once_and_share_the_work(tmp_path):
    alone = result(start(TRAIN, cache=tmp_path / "alone"))
    assert len(alone["kept"]) == len(set(alone["kept"])) > 10
    together = [result(process) for process in [start(TRAIN, cache=tmp_path / "both") for _ in range(3)]]
    assert [found["digest"] for found in together] == [alone["digest"]] * 3
    assert sorted(name for found in together for name in found["kept"]) == sorted(alone["kept"])
    assert sum(bool(found["kept"]) for found in together) >= 2, "one has compiled, and the others waited"


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_process_that_comes_later_waits_and_reads_what_was_compiled(tmp_path):
    first = start(ONE, cache=tmp_path)
    assert first.stdout.readline() == "compiles\n"
    second = start(ONE, cache=tmp_path)
    assert second.stdout.readline() == "waits\n"
    go_on(second)
    go_on(first)
    assert len(result(first)["kept"]) == 1
    assert result(second)["kept"] == []


@pytest.mark.parametrize("end", ["killed", "hanging"])
def test_a_process_that_was_killed_or_hangs_while_it_compiles_holds_up_nobody_for_long(end, tmp_path):
    first = start(ONE, cache=tmp_path)
    try:
        assert first.stdout.readline() == "compiles\n"
        patience = "turns.SECONDS_PATIENT = 1.0\n" if end == "hanging" else ""
        second = start(patience + ONE, cache=tmp_path)
        assert second.stdout.readline() == "waits\n"
        if end == "killed":
            first.kill()
        go_on(second)
        assert second.stdout.readline() == "compiles\n"
        go_on(second)
        assert len(result(second)["kept"]) == 1
    finally:
        first.kill()
        first.communicate()


# In this process


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def free_for_others(folder, name):
    """Whether another process could lock a name now."""
    code = f"from fastconv.simd import turns; turns.SECONDS_PATIENT = 0; turns.take({folder!r}, {name!r}); "
    code += "print(len(turns._turns.held))"
    root = Path(fc.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout == "1\n"


def test_what_was_locked_is_released_when_compiling_ends_and_when_it_fails(folder):
    def compile_one(signature):
        turns.take(folder, "outer")
        turns.releasing(inner)("inner")
        assert not free_for_others(folder, "outer")
        assert free_for_others(folder, "inner")
        if signature == "failing":
            raise ValueError("it can't be compiled")
        return signature

    def inner(signature):
        turns.take(folder, signature)
        turns.take(folder, "outer")  # as a function that calls itself; it stays locked
        assert not free_for_others(folder, signature)

    assert turns.releasing(compile_one)("fine") == "fine"
    assert free_for_others(folder, "outer")
    with pytest.raises(ValueError, match="it can't be compiled"):
        turns.releasing(compile_one)("failing")
    assert free_for_others(folder, "outer")


def test_where_a_disk_has_no_locks_or_the_folder_no_room_each_compiles_for_itself(folder, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    turns.releasing(lambda _: turns.take(folder, "some"))("some")
    turns.take(folder + "/no such folder", "some")
    monkeypatch.setattr(turns, "fcntl", None)
    turns.take(folder + "/another", "some")
    assert turns._turns.held == []


def test_what_another_process_compiles_is_put_off_and_waited_for_in_the_end(folder, monkeypatch):
    order, busy = [], {"b": 2, "c": 1}

    def lock(file, place):
        name = names[place]
        order.append(f"try {name}")
        busy[name] = busy.get(name, 0) - 1
        return busy[name] < 0

    names = {turns.zlib.crc32(name.encode()): name for name in "abcd"}
    monkeypatch.setattr(turns, "_lock", lock)

    def job(name):
        def compile_one(_):
            turns.take(folder, name)
            order.append(f"compile {name}")

        return lambda: turns.releasing(compile_one)(name)

    turns.spread(map(job, "abcd"))
    assert order == [
        "try a", "compile a", "try b", "try c", "try d", "compile d",
        "try b", "try b", "compile b", "try c", "compile c",
    ]  # fmt: skip


def test_an_error_is_an_error_in_what_is_spread_and_leaves_others_waiting_as_before(folder, monkeypatch):
    def fail():
        raise TypeError("of the user's function")

    with pytest.raises(TypeError, match="of the user's function"):
        turns.spread([fail])
    monkeypatch.setattr(turns, "SECONDS_PATIENT", 0.05)
    monkeypatch.setattr(turns, "_lock", lambda *_: False)
    turns.releasing(lambda _: turns.take(folder, "some"))("some")  # waits, and gives up


def test_threads_of_one_process_compile_one_after_the_other(folder):
    inside = []

    def compile_one(name):
        turns.take(folder, "same")
        inside.append(name)
        time.sleep(0.02)
        assert inside[-1] == name
        return name

    threads = [threading.Thread(target=turns.releasing(compile_one), args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(inside) == [0, 1, 2, 3]
    assert turns._turns.held == []
