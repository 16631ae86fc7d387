"""Ranks that are threads of one process: the engine on many ranks without MPI."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastconv.engine.ranks.communicator import Alone, Coming


class ThreadRanks(Alone):
    """One of several threads that exchange what they have as `Ranks` do."""

    def __init__(self, number, count, meeting, table):
        self.number, self.count = number, count
        self._meeting, self._table = meeting, table

    def gather(self, thing):
        self._table[self.number] = thing
        self._meeting.wait(60)
        found = list(self._table)
        self._meeting.wait(60)
        return found

    def broadcast(self, thing):
        return self.gather(thing)[0]

    def broadcast_array(self, array):
        array[...] = self.gather(array.copy())[0]

    def begin_all_rows(self, rows, counts):
        return _Promised(self, rows.copy(), lambda parts: parts, counts)

    def begin_scatter_rows(self, rows, sent, received):
        parts = np.split(rows.copy(), np.cumsum(sent)[:-1])
        return _Promised(self, parts, lambda parts: parts[self.number], received)

    def wait_for_all(self):
        self._meeting.wait(60)


class _Promised(Coming):
    """What others give when all of them finish."""

    def __init__(self, ranks, given, taken, counts):
        self._ranks, self._given, self._taken, self._counts = ranks, given, taken, counts

    def finish(self):
        found = [self._taken(one) for one in self._ranks.gather(self._given)]
        assert [len(some) for some in found] == self._counts
        return np.concatenate(found)


def on_ranks(count, work):
    """What `work(ranks)` gives on each of so many ranks."""
    meeting, table = threading.Barrier(count), [None] * count

    def run(number):
        try:
            return work(ThreadRanks(number, count, meeting, table))
        except BaseException:
            meeting.abort()
            raise

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
