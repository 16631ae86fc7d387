"""A rank that raises, hangs, is killed or ends too soon ends all, with a line that names it and the cause."""

import os
import re
import signal
import socket
import time

import pytest

from fastconv.engine.ranks import watch
from tests.ranks.harness import ONLY_RANKS, Running, run_on_ranks

HOST = socket.gethostname()
# Ranks that talk to each other until rank 1 does something; after a while where no test sends a signal.
SCRIPT = """
import ctypes, os, signal, sys, time
from mpi4py import MPI
from fastconv.engine.ranks.agreement import by_lead
from fastconv.engine.ranks.communicator import Ranks

ranks, kind = Ranks(MPI.COMM_WORLD), sys.argv[1]
first = ranks.number == 1

def step(number):
    ranks.gather(number)
    if number == 5:
        print("begun", flush=True)
    if number < 20:
        return True
    if kind == "all raise" or (kind == "raise" and first):
        raise ValueError("no such\\nnumber")
    if kind == "all raise their own":
        raise ValueError(f"no number {ranks.number}")
    if kind == "lead":
        by_lead(ranks, lambda: {}["callback"])
    if kind == "loop" and first:
        while True:
            pass
    if kind == "exit" and first:
        sys.exit(3)
    if kind == "all exit":
        sys.exit(3)
    if kind == "crash" and first:
        ctypes.string_at(0)
    if kind == "other calls":
        ranks.wait_for_all() if first else ranks.gather("this")
    if kind == "busy" and first:
        with ranks.busy("a callback"):
            time.sleep(4)
    if kind == "outside" and first:
        time.sleep(4)
    return kind not in ("busy", "end", "script", "script ends", "all of script")

def train():
    number = 0
    while step(number):
        number += 1

def main():
    if kind == "outside":
        train_outside()
    with ranks.together("fit"), ranks.together("evaluate"):
        train()
    if kind == "all of script" or (kind == "script" and first):
        raise KeyError("script")
    if kind == "script ends" and first:
        sys.exit()
    if kind in ("script", "script ends"):
        with ranks.together("fit"):
            ranks.gather("more")

def train_outside():
    # What a script does between calls may take long on one rank.
    if first:
        time.sleep(4)
    with ranks.together("fit"):
        ranks.gather("all are here")
    print("through", flush=True)
    sys.exit()

if kind == "caught":
    for number in range(3):
        try:
            with ranks.together("fit"):
                ranks.gather(number)
                raise ValueError("for all of them")
        except ValueError:
            pass
    try:
        with ranks.together("fit"):
            if first:
                raise OSError("disk full")
            ranks.gather("all is well")
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    try:
        with ranks.together("fit"):
            pass
    except Exception as error:
        print(type(error).__name__, error, flush=True)
else:
    main()
    print("through", flush=True)
"""


def on_ranks(kind, ranks=3, check=False, **env):
    """What becomes of ranks where rank 1 does what the kind says; others wait for 2 seconds."""
    env = {"FASTCONV_RANK_TIMEOUT": "2", **env}
    return run_on_ranks(SCRIPT, ranks, arguments=[kind], check=check, env=env, timeout=40, prelude=ONLY_RANKS)


def lines(outcome):
    """The lines that say what has happened, of all ranks."""
    return [line for line in outcome.all_errors.splitlines() if line.startswith("fastconv: ")]


def named(rank, ranks=3):
    return f"fastconv: rank {rank} of {ranks} on host {HOST}"


# The launcher kills the others within a millisecond, and the kernel may be done with one of them first.
ANYBODY = "|".join(re.escape(named(rank)) for rank in range(3))


def test_ranks_that_end_as_they_should_say_nothing():
    done = on_ranks("end", check=True)
    assert done.outputs == ["begun\nthrough\n"] * 3
    assert done.all_errors.strip() == ""


@pytest.mark.parametrize("ranks", [2, 3])
def test_an_error_on_one_rank_ends_all_and_is_named(ranks):
    done = on_ranks("raise", ranks)
    assert done.code != 0
    assert lines(done) == [f"{named(1, ranks)} ended with ValueError: no such number"]
    shown = [rank for rank in range(ranks) if "Traceback" in done.errors[rank]]
    assert shown == [1]  # where it comes from; the others have been told


def test_an_error_that_all_ranks_raise_is_an_ordinary_one_and_shown_once():
    done = on_ranks("all raise")
    assert (done.code, lines(done)) == (1, [])
    assert [error.count("Traceback") for error in done.errors] == [1, 0, 0]
    assert "Abort" not in done.all_errors + done.launcher
    done = on_ranks("all raise their own")
    assert (done.code, lines(done)) == (1, [])
    assert [f"ValueError: no number {rank}\n" in done.errors[rank] for rank in range(3)] == [True] * 3


def test_an_error_in_what_rank_0_does_alone_is_raised_by_all_and_says_where_it_comes_from():
    done = on_ranks("lead")
    assert (done.code, lines(done)) == (
        1,
        [f"{named(0)} ended with KeyError: 'callback', and so did the others"],
    )
    assert [error.count("Traceback") for error in done.errors] == [1, 0, 0]
    assert "Abort" not in done.all_errors + done.launcher


def test_errors_can_be_caught_and_ranks_are_of_use_until_one_leaves_the_others_waiting():
    done = on_ranks("caught")
    over = "nothing more can be done on these ranks: "
    told = f"{named(1)} ended with OSError: disk full".removeprefix("fastconv: ")
    assert done.outputs[1].splitlines() == ["OSError disk full", f"RankError {over}{told}"]
    for rank in (0, 2):
        assert done.outputs[rank].splitlines() == [f"RankError {told}", f"RankError {over}{told}"]
    assert lines(done) == [f"fastconv: {told}"]
    assert done.code != 0


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("exit", "ended with SystemExit: 3"),
        ("script", "ended with KeyError: 'script'"),
        ("script ends", "has ended its script, and others wait for it"),
        ("loop", "does not go on in evaluate, and others wait for it, for 2 s"),
    ],
)
def test_a_rank_that_leaves_the_others_waiting_is_named(kind, line):
    done = on_ranks(kind)
    assert done.code != 0
    assert lines(done) == [f"{named(1)} {line}"]


def test_ranks_that_all_end_alike_are_left_alone():
    for kind, code in (("all of script", 1), ("all exit", 3)):
        done = on_ranks(kind)
        assert (done.code, lines(done)) == (code, []), kind
        assert "Abort" not in done.all_errors + done.launcher


def test_ranks_that_wait_for_each_other_are_ended():
    done = on_ranks("other calls")
    assert done.code != 0
    text = r"fastconv: all 3 ranks wait for each other, rank \d of 3 on host .* in evaluate: they have made"
    assert re.match(text, lines(done)[0])


@pytest.mark.parametrize("kind", ["busy", "outside"])
def test_a_rank_that_is_busy_or_outside_of_calls_is_waited_for_longer(kind):
    """4 seconds, twice the limit."""
    done = on_ranks(kind, check=True)
    assert [output.splitlines()[-1] for output in done.outputs] == ["through"] * 3
    assert lines(done) == []


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the cause of a death is known on Linux")
def test_a_rank_that_crashes_is_named():
    (line,) = lines(on_ranks("crash"))
    cause = "by SIGSEGV|by SIGKILL, by hand or for want of memory|, or ended all of a sudden"
    assert re.fullmatch(rf"({ANYBODY}) \(process \d+\) was killed ?({cause})", line)


def ended_by(number, rank, ranks=3, patience="2"):
    """What becomes of ranks at work where one of them, or the launcher, gets a signal; all are gone."""
    env = {"FASTCONV_RANK_TIMEOUT": patience}
    with Running(SCRIPT, ranks, arguments=["signal"], env=env, prelude=ONLY_RANKS) as running:
        running.wait_for(rank or 0, "begun")
        running.send(number, rank)
        started = time.monotonic()
        done = running.wait(30)
        while running.processes():
            assert time.monotonic() - started < 30, "processes are left"
            time.sleep(0.05)
        return done, time.monotonic() - started


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the cause of a death is known on Linux")
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_is_killed_is_named_and_ends_all(rank):
    done, seconds = ended_by(signal.SIGKILL, rank)
    assert done.code != 0
    (line,) = lines(done)
    cause = "by SIGKILL, by hand or for want of memory|, or ended all of a sudden"
    assert re.fullmatch(rf"({ANYBODY}) \(process \d+\) was killed ?({cause})", line)
    assert seconds < 10


def test_a_rank_that_is_stopped_is_named_and_ends_all_within_ten_seconds():
    """With the limit as it is without a setting."""
    done, seconds = ended_by(signal.SIGSTOP, 1, patience="8")
    assert done.code != 0
    silent = f"{named(1)} does not answer: it was stopped, or its machine is out of reach, for 8 s"
    assert lines(done) == [silent]
    assert 8 < seconds < 10


@pytest.mark.parametrize(
    ("number", "rank"), [(signal.SIGINT, None), (signal.SIGTERM, None), (signal.SIGINT, 1)]
)
def test_an_interrupt_ends_all_quickly_and_quietly(number, rank):
    done, seconds = ended_by(number, rank)
    assert done.code != 0
    assert seconds < 5
    tracebacks = sum(error.count("Traceback") for error in done.errors)
    assert tracebacks <= 1
    if number == signal.SIGINT:
        assert lines(done) == ([f"{named(1)} ended with KeyboardInterrupt"] if rank else [])


BEFORE = """
import time
from mpi4py import MPI
import fastconv as fc
from fastconv.engine.ranks.communicator import Ranks
if MPI.COMM_WORLD.rank == 1:
    raise OSError("no data here")
Ranks(MPI.COMM_WORLD)
"""


def test_an_error_before_training_ends_all_and_is_named():
    done = run_on_ranks(BEFORE, 2, check=False)
    assert done.code != 0
    assert lines(done) == [f"{named(1, 2)} ended with OSError: no data here"]
    assert "Traceback" in done.errors[1]


AT_THE_END = """
import atexit, os, signal

def stop():
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)

atexit.register(stop)  # it comes after ours
from mpi4py import MPI
from fastconv.engine.ranks.communicator import Ranks
world = MPI.COMM_WORLD
Ranks(world).wait_for_all()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="who is stopped is known on Linux")
def test_a_rank_that_is_stopped_as_it_ends_is_named_and_ended():
    done = run_on_ranks(AT_THE_END, 2, check=False, env={"FASTCONV_RANK_TIMEOUT": "2"}, prelude=ONLY_RANKS)
    assert done.code != 0
    (line,) = lines(done)
    assert re.fullmatch(
        rf"{re.escape(named(1, 2))} \(process \d+\) does not end: it was stopped, for 2 s", line
    )


BEFORE_ITS_WITNESS_KNOWS = """
import os, signal
from mpi4py import MPI
from fastconv.engine.ranks import watch
from fastconv.engine.ranks.communicator import Ranks

def stop(witness):
    os.kill(os.getpid(), signal.SIGSTOP)
    farewell(witness)

farewell = watch.Witness.farewell
if MPI.COMM_WORLD.rank == 1:
    watch.Witness.farewell = stop
Ranks(MPI.COMM_WORLD).wait_for_all()
"""


def test_a_rank_that_is_stopped_between_its_end_and_that_of_all_is_named():
    env = {"FASTCONV_RANK_TIMEOUT": "2"}
    done = run_on_ranks(BEFORE_ITS_WITNESS_KNOWS, 3, check=False, env=env, prelude=ONLY_RANKS, timeout=20)
    assert done.code != 0
    (line,) = lines(done)
    assert line == f"{named(1)} does not answer: it was stopped, or its machine is out of reach, for 2 s"


STRUCK_AT_ITS_END = """
import signal
from mpi4py import MPI
from fastconv.engine.ranks import watch
from fastconv.engine.ranks.communicator import Ranks

def strike(*_):
    raise RuntimeError("struck")

def farewell(witness):
    farewell_to_all(witness)
    signal.raise_signal(signal.SIGUSR1)

signal.signal(signal.SIGUSR1, strike)
farewell_to_all = watch.Witness.farewell
if MPI.COMM_WORLD.rank == 1:
    watch.Witness.farewell = farewell
Ranks(MPI.COMM_WORLD).wait_for_all()
"""


def test_an_error_of_a_signal_at_the_very_end_of_a_rank_leaves_nobody_waiting():
    done = run_on_ranks(STRUCK_AT_ITS_END, 3, check=False, prelude=ONLY_RANKS, timeout=20)
    assert done.code != 0
    assert lines(done) == [f"{named(1)} ended with RuntimeError: struck"]


def test_ranks_of_a_launcher_that_was_killed_end():
    ended_by(signal.SIGKILL, None)


PARTS_OF_A_LIFE = """
import multiprocessing, sys, time
from mpi4py import MPI
from fastconv.engine.ranks.communicator import Ranks

world = MPI.COMM_WORLD
pairs = Ranks(world.Split(world.rank // 2))
with pairs.together("fit"):
    assert pairs.gather(world.rank) == [world.rank // 2 * 2, world.rank // 2 * 2 + 1]
ranks = Ranks(world)
child = multiprocessing.get_context("fork").Process(target=print)  # as some loaders of data have them
child.start()
child.join()
assert child.exitcode == 0
with ranks.together("fit"):
    assert ranks.gather(world.rank) == [0, 1, 2, 3]
if world.rank == 2 and sys.argv[1] == "exit":
    time.sleep(3)
if sys.argv[1] == "finalize":
    MPI.Finalize()
print("through")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork")
@pytest.mark.parametrize("end", ["finalize", "exit"])
def test_groups_of_ranks_forks_and_an_end_by_hand_are_fine(end):
    env = {"FASTCONV_RANK_TIMEOUT": "2"}
    done = run_on_ranks(PARTS_OF_A_LIFE, 4, arguments=[end], env=env, prelude=ONLY_RANKS)
    assert done.outputs == ["\nthrough\n"] * 4
    assert done.all_errors.strip() == ""


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan", ""])
def test_a_limit_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv("FASTCONV_RANK_TIMEOUT", text)
    with pytest.raises(
        ValueError, match=f"`FASTCONV_RANK_TIMEOUT` must be a number of seconds > 0, got '{text}'"
    ):
        watch.time_limit()


def test_an_mpi_for_one_thread_is_refused():
    script = """
import mpi4py
mpi4py.rc.thread_level = "funneled"
from mpi4py import MPI
from fastconv.engine.ranks.communicator import Ranks
Ranks(MPI.COMM_WORLD)
"""
    done = run_on_ranks(script, 2, check=False, prelude=ONLY_RANKS)
    assert (
        "RuntimeError: `communicator` must be of an MPI for several threads: MPI.THREAD_MULTIPLE"
        in done.errors[0]
    )
