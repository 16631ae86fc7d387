"""How many threads there are unless told otherwise: affinity, control groups, limits of other libraries."""

import multiprocessing
import os

import pytest

import fastconv as fc
from fastconv.engine import threads


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch):
    for name in ("FASTCONV_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_group_quota", lambda: None)


@pytest.mark.parametrize(
    ("setting", "count"),
    [("3", 3), (" 2 ", 2), ("64", 8), ("4,2", 4), ("", 8), ("0", 8), ("many", 8), ("-1", 8)],
)
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS"])
def test_limits_that_others_set_are_kept(name, setting, count, monkeypatch):
    monkeypatch.setenv(name, setting)
    assert threads._default_threads() == count


def test_the_lowest_limit_counts_and_our_own_setting_counts_more(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    monkeypatch.setattr(threads, "_group_quota", lambda: 4)
    assert threads._default_threads() == 3
    monkeypatch.setenv("FASTCONV_NUM_THREADS", "6")
    assert threads._default_threads() == 6


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_control_group_is_read(files, count, tmp_path, monkeypatch):
    monkeypatch.undo()
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    assert threads._group_quota(str(tmp_path)) == count


# In other processes

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.mark.parametrize("way", [pytest.param("fork", marks=FORKS), "spawn"])
@pytest.mark.parametrize(
    ("name", "setting", "count"),
    [(None, None, 1), ("OMP_NUM_THREADS", "2", 2), ("FASTCONV_NUM_THREADS", "5", 5)],
)
def test_a_worker_of_a_pool_has_one_thread_unless_told_otherwise(way, name, setting, count, monkeypatch):
    threads._threads = None
    assert fc.get_num_threads() == 8  # which a fork inherits
    if name is not None:
        monkeypatch.setenv(name, setting)
    if way == "spawn" and name == "OMP_NUM_THREADS":
        monkeypatch.setenv(name, "1")  # there may be fewer processors than two
        count = 1
    with multiprocessing.get_context(way).Pool(1) as pool:
        assert pool.apply(fc.get_num_threads) == count


@FORKS
def test_a_process_of_ones_own_has_all_processors_and_one_that_was_forked_what_was_set():
    def number_in_a_fork():
        come, go = os.pipe()
        child = os.fork()
        if not child:
            os.write(go, bytes([fc.get_num_threads()]))
            os._exit(0)
        os.waitpid(child, 0)
        number = os.read(come, 1)[0]
        os.close(come)
        os.close(go)
        return number

    threads._threads = None
    assert fc.get_num_threads() == number_in_a_fork() == 8
    os.sched_getaffinity = lambda pid: {0, 1, 2}  # the fixture puts it back
    assert number_in_a_fork() == 3
    fc.set_num_threads(6)
    assert number_in_a_fork() == 6
