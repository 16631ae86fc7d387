"""How many threads there are unless told otherwise: affinity, control groups, limits of other libraries."""

import os

import pytest

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
