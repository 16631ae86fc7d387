"""The threads that take steps with the caller: woken, late, missing, ended, and one team for each caller."""

import _thread
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import threads, workers
from fastconv.engine.engine import Engine
from fastconv.engine.run import Run
from fastconv.kernels.lanes.operation import STATE

SAMPLES = 64
X = np.random.default_rng(0).random((SAMPLES, 1, 28, 28), dtype=np.float32)


@pytest.fixture(autouse=True)
def no_workers_before_or_after():
    workers.end_workers()
    workers._idle.clear()
    yield
    workers.end_workers()


@pytest.fixture
def model():
    return fc.models.lenet5(seed=1)


@pytest.fixture
def expected(model):
    fc.set_num_threads(1)
    return model.predict(X)


def an_engine(model, threads):
    return Engine(model, Run("predict", SAMPLES, threads))


def outputs_of(engine):
    output = np.full((SAMPLES, 10), np.nan, np.float32)
    engine.predict(X, output)
    return output


def took_part(engine, thread):
    """Whether a thread has begun the engine's steps."""
    return engine.program.state[thread, STATE.samples] == SAMPLES


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_workers_take_part_and_one_that_sleeps_is_woken(model, expected):
    engine = an_engine(model, 2)
    outputs_of(engine)
    [team] = workers._idle
    [worker] = team._workers
    for _ in range(3):
        wait_until(lambda: worker._cells[workers.ASLEEP])
        engine.program.state[1, STATE.samples] = 0
        wait_until(lambda: np.array_equal(outputs_of(engine), expected) and took_part(engine, 1))
    assert worker._at_work.locked()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_what_workers_never_begin_is_done_by_the_others(count, model, expected, monkeypatch):
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: None)
    engine = an_engine(model, count)
    np.testing.assert_array_equal(outputs_of(engine), expected)
    assert not any(took_part(engine, k) for k in range(1, count))
    for worker in workers._idle[0]._workers:  # or their ends would be waited for
        worker._cells[workers.STATUS] = workers.ENDED
        worker._at_work.release()


def test_training_where_no_thread_can_be_started_has_the_same_bits(monkeypatch):
    def trained(count):
        fc.set_num_threads(count)
        network = fc.models.lenet5(seed=2)
        fc.Trainer(network, optimizer=fc.Adam(0.01)).fit(X, np.arange(SAMPLES) % 10, epochs=3, batch_size=48)
        return network.flat_parameters.copy()

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    wanted = trained(1)
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    np.testing.assert_array_equal(trained(3), wanted)
    monkeypatch.undo()
    np.testing.assert_array_equal(trained(3), wanted)


def test_a_worker_ends_after_a_while_without_work_and_is_started_again(model, expected, monkeypatch):
    monkeypatch.setattr(workers, "SECONDS_ASLEEP", 0.01)
    engine = an_engine(model, 2)
    outputs_of(engine)
    [worker] = workers._idle[0]._workers
    for _ in range(3):
        wait_until(lambda: not worker._at_work.locked())
        np.testing.assert_array_equal(outputs_of(engine), expected)


def test_callers_at_the_same_time_have_workers_of_their_own(model, expected):
    wrong, meeting = [], threading.Barrier(3)

    def call():
        engine = an_engine(model, 3)
        meeting.wait(10)
        for _ in range(50):
            wrong.append(not np.array_equal(outputs_of(engine), expected))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(wrong) == 150
    assert not any(wrong)
    assert 1 <= len(workers._idle) <= 3


@pytest.mark.parametrize(("asked_for", "found"), [(False, [8, 4, 2, 2, 1]), (True, [8, 8, 8, 8, 8])])
def test_calls_at_the_same_time_share_the_processors_unless_a_number_was_asked_for(
    asked_for, found, monkeypatch
):
    monkeypatch.setattr(threads, "_threads", 8)
    monkeypatch.setattr(threads, "_asked_for", asked_for)
    begun, release = [], threading.Event()

    def take_time(count):
        begun.append(count)
        release.wait(10)

    monkeypatch.setattr(workers._Team, "run", lambda team, job, count: take_time(1 + count))
    monkeypatch.setattr(workers, "run_steps", lambda *_: take_time(1))
    callers = []
    for k in range(5):
        callers.append(threading.Thread(target=workers.run_job, args=(0, 8)))
        callers[-1].start()
        wait_until(lambda: len(begun) == k + 1)  # noqa: B023 - called before k changes
    release.set()
    for caller in callers:
        caller.join()
    workers.run_job(0, 8)
    assert begun == [*found, 8]


def test_a_call_that_was_interrupted_is_no_longer_counted(model, expected, monkeypatch):
    monkeypatch.setattr(threads, "_asked_for", False)

    def interrupt(*_):
        raise KeyboardInterrupt

    engine = an_engine(model, 2)
    with monkeypatch.context() as patch:
        patch.setattr(workers._Team, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            workers.run_job(0, 2)
    assert threads._calling == set()
    np.testing.assert_array_equal(outputs_of(engine), expected)


def test_more_threads_than_before_make_room_for_them(model, expected):
    for count in (2, 4, 3):
        np.testing.assert_array_equal(outputs_of(an_engine(model, count)), expected)
    [team] = workers._idle
    assert len(team._workers) == 3


def test_the_count_of_updates_is_the_same_for_all_threads():
    fc.set_num_threads(3)
    network, seen = fc.models.lenet5(seed=2), []
    trainer = fc.Trainer(network, optimizer=fc.Adam(0.01))
    for _ in range(2):
        trainer.fit(X, np.arange(SAMPLES) % 10, epochs=2, batch_size=16)
        seen.append(trainer.steps_taken)
    assert seen == [8, 16]


FORKS = """
    import os, warnings
    import numpy as np
    import fastconv as fc

    warnings.simplefilter("error")  # Python warns of a fork in a process of several threads
    fc.set_num_threads(3)
    model, X = fc.models.lenet5(), np.ones((64, 1, 28, 28), np.float32)
    expected = model.predict(X)
    for _ in range(3):
        child = os.fork()
        same = np.array_equal(model.predict(X), expected)
        if not child:
            os._exit(0 if same else 1)
        print(same, os.waitpid(child, 0)[1])
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_between_calls_leaves_both_processes_whole():
    command = [sys.executable, "-c", textwrap.dedent(FORKS)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.stdout.splitlines() == ["True 0"] * 3 + ["done"], result.stderr
