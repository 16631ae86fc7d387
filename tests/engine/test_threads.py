"""Threads: how many, how they start and end, and how they wait for each other."""

import os
import threading
import time

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import threads

# The number of threads


def test_the_number_of_threads_is_what_was_set():
    for n in (1, 3, np.int64(2)):
        fc.set_num_threads(n)
        assert fc.get_num_threads() == n
        assert type(fc.get_num_threads()) is int


@pytest.mark.parametrize("n", [0, -1, np.int32(-7)])
def test_a_number_of_threads_below_1_is_refused_and_changes_nothing(n):
    fc.set_num_threads(5)
    with pytest.raises(ValueError, match="`n` must be a positive int, got"):
        fc.set_num_threads(n)
    assert fc.get_num_threads() == 5


@pytest.mark.parametrize("n", [1.0, "2", None, True, [1]])
def test_a_number_of_threads_that_is_no_int_is_a_type_error(n):
    with pytest.raises(TypeError, match="`n` must be a positive int, got"):
        fc.set_num_threads(n)


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("7", 7), (" 3 ", 3)])
def test_the_environment_sets_the_number_of_threads(text, count, monkeypatch):
    monkeypatch.setenv("FASTCONV_NUM_THREADS", text)
    threads._threads = None
    assert fc.get_num_threads() == count


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5", "1,2", "²"])
def test_a_wrong_number_of_threads_in_the_environment_is_refused_by_name_and_value(text, monkeypatch):
    monkeypatch.setenv("FASTCONV_NUM_THREADS", text)
    threads._threads = None
    with pytest.raises(ValueError, match="`FASTCONV_NUM_THREADS` must be a positive int, got") as caught:
        fc.get_num_threads()
    assert text in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "  "])
def test_without_a_setting_there_are_as_many_threads_as_processors_for_this_process(text, monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    if text is None:
        monkeypatch.delenv("FASTCONV_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("FASTCONV_NUM_THREADS", text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    threads._threads = None
    assert fc.get_num_threads() == 3


@pytest.mark.parametrize(("limit", "count"), [("2", 2), ("64", 3), ("", 3), ("0", 3), ("many", 3)])
def test_numbas_own_limit_which_joblib_sets_for_its_workers_is_kept(limit, count, monkeypatch):
    monkeypatch.delenv("FASTCONV_NUM_THREADS", raising=False)
    monkeypatch.setenv("NUMBA_NUM_THREADS", limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    threads._threads = None
    assert fc.get_num_threads() == count


def test_what_was_set_counts_more_than_the_environment(monkeypatch):
    monkeypatch.setenv("FASTCONV_NUM_THREADS", "7")
    fc.set_num_threads(2)
    assert fc.get_num_threads() == 2


# run_threads


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_number_runs_once_each_in_a_thread_of_its_own_the_first_in_the_callers(count):
    seen = {}
    meeting = threading.Barrier(count)

    def work(k):
        meeting.wait(10)
        seen[k] = threading.get_ident()

    threads.run_threads(count, work)
    assert sorted(seen) == list(range(count))
    assert len(set(seen.values())) == count
    assert seen[0] == threading.get_ident()


@pytest.mark.parametrize("failing", [0, 2])
def test_what_a_thread_raises_is_raised_once_all_have_ended(failing):
    ended = []

    def work(k):
        if k == failing:
            raise KeyError(f"from {k}")
        time.sleep(0.05)
        ended.append(k)

    with pytest.raises(KeyError, match=f"from {failing}"):
        threads.run_threads(3, work)
    assert len(ended) == 2


def test_an_interrupt_in_a_thread_is_an_interrupt_of_the_caller():
    def work(k):
        if k == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.run_threads(2, work)


@pytest.mark.parametrize("refusal", [RuntimeError("can't start new thread"), KeyboardInterrupt()])
def test_where_a_thread_cannot_be_started_no_other_is_left_waiting_for_it(refusal, monkeypatch):
    start, entered, release = threading.Thread.start, [], threading.Event()

    def limited(thread):
        if threading.active_count() > before + 1:
            raise refusal
        start(thread)

    def work(k):
        entered.append(k)
        release.wait(5)  # as for the other threads, which will never come

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", limited)
    try:
        with pytest.raises(type(refusal)):
            threads.run_threads(4, work)
        time.sleep(0.1)
        left = threading.active_count() - before
    finally:
        release.set()
    assert left == 0
    assert entered == []
