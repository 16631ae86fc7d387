"""Ranks that are threads of one process: the engine on many ranks without MPI."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastconv.engine.ranks.communicator import Alone


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

    def all_rows(self, rows, counts):
        found = self.gather(rows.copy())
        assert [len(some) for some in found] == counts
        return np.concatenate(found)

    def scatter_rows(self, rows, sent, received):
        ends = np.cumsum(sent)[:-1]
        found = [parts[self.number] for parts in self.gather(np.split(rows.copy(), ends))]
        assert [len(some) for some in found] == received
        return np.concatenate(found)

    def wait_for_all(self):
        self._meeting.wait(60)


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
