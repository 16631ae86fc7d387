"""A finished plan as tables, and the jobs that the compiled loop takes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.lanes.operation import STATE_SIZE
from .loop import MOST_PARTS, Job, claims_size
from .tables import CALL, address_of


@dataclass(eq=False)
class Program:
    """The tables of a finished plan, and what must live as long as they do."""

    operations: np.ndarray
    chains: np.ndarray  # a row an operation
    stages: np.ndarray
    preparation: np.ndarray  # the stage that runs when a parameter has changed
    memory: np.ndarray
    geometries: list
    kept_alive: list
    plan: Any
    threads: int

    def __post_init__(self):
        count = len(self.operations)
        # For each thread: the operations with the addresses of one block, ready to call, and of each stage,
        # which block and shard that is, or -1.
        self.calls = np.zeros((self.threads, count, CALL), np.int64)
        self.held = np.full((self.threads, len(self.stages)), -1, np.int64)
        self._held_preparation = np.full(1, -1, np.int64)
        self._preparing_state = np.zeros((1, STATE_SIZE), np.int64)  # that of one thread
        self.state = np.zeros((self.threads, STATE_SIZE), np.int64)
        parts = MOST_PARTS if self.plan.divides else 1
        self.claims = np.zeros(claims_size(max(self.plan.shards * parts, self.threads)), np.int64)

    def segments(self):
        """The stages from one exchange between ranks to the next: (the first, the one after, exchange)."""
        first, found = 0, []
        for last, exchange in self.plan.exchanges:
            found.append((first, last, exchange))
            first = last
        return [*found, (first, len(self.stages), None)]

    def job(self, lanes, ranks):
        """What `run_steps` does to take steps: the samples and the steps are still to be filled in."""
        return self._job(self.stages, self.held, self.state, lanes, ranks)

    def preparing_job(self, lanes, ranks):
        """What `run_steps` does to make anew what is made of parameters."""
        samples = self.plan.batch_size
        tables = self.preparation, self._held_preparation, self._preparing_state
        return self._job(*tables, lanes, ranks, samples=samples, first_step=0, steps=1)

    def _job(self, stages, held, states, lanes, ranks, **steps):
        tables = {
            "operations": self.operations,
            "chains": self.chains,
            "stages": stages,
            "calls": self.calls,
            "held": held,
            "states": states,
            "claims": self.claims,
        }
        job = Job(
            **{name: address_of(table) if table.size else 0 for name, table in tables.items()},
            operation_count=len(self.operations),
            last_stage=len(stages),
            stage_count=len(stages),
            held_count=held.shape[-1],
            threads=len(states),
            lanes=lanes,
            rank=ranks.number,
            ranks=ranks.count,
            adds=int(not self.plan.shared),
            batch_size=self.plan.batch_size,
            **steps,
        )
        return np.array(job, np.int64)
