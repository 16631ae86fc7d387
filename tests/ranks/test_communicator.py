"""What ranks say to each other arrives as it was given, on 1 to 4 ranks; one alone has it all already."""

import numpy as np
import pytest

from fastconv.engine.ranks.communicator import ALONE, share_of
from tests.ranks.harness import ONLY_RANKS, run_on_ranks

# Groups of 1 to 4 of the ranks, one after the other, so that MPI is started once for all of them.
SCRIPT = """
import numpy as np
from mpi4py import MPI
from fastconv.engine.ranks.communicator import ALONE, Ranks

DTYPES = ["float32", "float64", "uint8", "int64", "bool", "float16", "complex64"]

def rows(rank, count, shape, dtype):
    rng = np.random.default_rng((rank, count))
    return (rng.random((count, *shape)) * 200).astype(dtype)

def check(ranks, count):
    me = ranks.number
    assert (ranks.count, ranks.leads) == (count, me == 0)
    things = [None, 3, "a word", {"list": [1, (2, 3)]}, np.arange(5), b"x" * 100_000]
    for thing in things:
        found = ranks.gather((me, thing))
        assert [pair[0] for pair in found] == list(range(count))
        assert all(np.array_equal(pair[1], thing) for pair in found)
        assert np.array_equal(ranks.broadcast(thing if me == 0 else "not this"), thing)
    assert ranks.gather("x" * (10 ** me)) == ["x" * 10 ** other for other in range(count)]
    for dtype in DTYPES:
        for shape in [(), (3,), (2, 0), (5, 7), (40, 50, 3)]:
            array = rows(me, 4, shape, dtype)
            ranks.broadcast_array(array)
            np.testing.assert_array_equal(array, rows(0, 4, shape, dtype))
            for counts in ([2] * count, list(range(count)), [0] * count, [0] * (count - 1) + [9]):
                found = ranks.all_rows(rows(me, counts[me], shape, dtype), counts)
                wanted = np.concatenate([rows(r, counts[r], shape, dtype) for r in range(count)])
                assert found.dtype == wanted.dtype
                np.testing.assert_array_equal(found, wanted)
            sent = np.array([[(2 * a + 3 * b) % 4 for b in range(count)] for a in range(count)])
            for table in (sent, np.zeros_like(sent), sent * (np.arange(count) == 0)):
                mine = rows(me, int(table[me].sum()), shape, dtype)
                found = ranks.scatter_rows(mine, table[me].tolist(), table[:, me].tolist())
                wanted = np.empty((0, *shape), dtype)
                for other in range(count):
                    theirs = rows(other, int(table[other].sum()), shape, dtype)
                    first = int(table[other, :me].sum())
                    wanted = np.concatenate([wanted, theirs[first : first + table[other, me]]])
                np.testing.assert_array_equal(found, wanted)
    one = np.array(me, np.float64)  # of no dimension
    ranks.broadcast_array(one)
    assert one == 0
    for array in (np.zeros((4, 6))[:, ::2], np.zeros((4, 6)).T, np.zeros((4, 6))[::2]):
        for call in (ranks.broadcast_array, lambda a: ranks.all_rows(a, [len(a)] * count)):
            try:
                call(array)
            except ValueError as error:
                assert "must be C-contiguous, got strides" in str(error), error
            else:
                raise AssertionError("not refused")
    first = ranks.begin_all_rows(rows(me, 2, (3,), "float32"), [2] * count)
    second = ranks.begin_scatter_rows(np.full((count, 70_000), me), [1] * count, [1] * count)
    assert ranks.gather(me) == list(range(count))  # in the meantime
    np.testing.assert_array_equal(second.finish()[:, 7], np.arange(count))
    wanted = np.concatenate([rows(r, 2, (3,), "float32") for r in range(count)])
    np.testing.assert_array_equal(first.finish(), wanted)
    wire = ranks.wire()
    assert ranks.gather(wire) == [wire] * count and ranks.wire() is wire
    assert 0 <= wire.hidden <= 1 and wire.latency >= 0 and wire.bandwidth > 1e5
    ranks.wait_for_all()
    with ranks.busy("a test"), ranks.together("a call"), ranks.together("a call within"):
        ranks.wait_for_all()
    assert ranks.seconds > 0
    covered = ranks.gather(ranks.share(11))
    assert [at for pair in covered for at in range(*pair)] == list(range(11))

world = MPI.COMM_WORLD
for count in range(1, world.size + 1):
    group = world.Split(0 if world.rank < count else MPI.UNDEFINED)
    if group != MPI.COMM_NULL:
        check(Ranks(group), count)
many = [Ranks(world) for _ in range(5000)]  # one for each trainer: MPI has some thousand communicators
assert many[-1].broadcast(world.rank) == 0 and len(many[0].hosts) == world.size
print("all is well")
"""


def test_all_that_ranks_say_arrives_as_it_was_given_on_one_to_four_ranks():
    done = run_on_ranks(SCRIPT, 4, prelude=ONLY_RANKS)
    assert done.outputs == ["all is well\n"] * 4
    assert done.all_errors.strip() == ""


def test_one_process_alone_has_all_that_would_be_said():
    rows = np.arange(6).reshape(2, 3)
    assert (ALONE.number, ALONE.count, ALONE.leads, ALONE.seconds) == (0, 1, True, 0.0)
    assert ALONE.gather("thing") == ["thing"]
    assert ALONE.broadcast("thing") == "thing"
    ALONE.broadcast_array(rows)
    np.testing.assert_array_equal(ALONE.all_rows(rows, [2]), np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(ALONE.scatter_rows(rows, [2], [2]), np.arange(6).reshape(2, 3))
    ALONE.wait_for_all()
    with ALONE.together("a call"), ALONE.busy("compiling"):
        assert ALONE.share(7) == (0, 7)


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("things", [0, 1, 2, 5, 64, 1000])
def test_shares_follow_each_other_and_differ_by_one_at_most(things, ranks):
    shares = [share_of(things, rank, ranks) for rank in range(ranks)]
    assert [at for pair in shares for at in range(*pair)] == list(range(things))
    sizes = [last - first for first, last in shares]
    assert max(sizes) - min(sizes) <= 1
