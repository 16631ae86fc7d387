"""An error of a rank's script before there are `Ranks`, such as for data that its machine does not have.

Python would end this process, MPI would wait in it for the others, and these for it.
"""

import os
import socket
import sys
from types import TracebackType

# One of them is set by the launchers of MPICH, Open MPI and Slurm.
_LAUNCHED = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")


def end_all_with_an_error() -> None:
    """In a process that MPI's launcher has started: an error that nobody catches ends all ranks."""
    if not any(name in os.environ for name in _LAUNCHED):
        return
    process, before = os.getpid(), sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        before(kind, error, trace)
        if os.getpid() == process:
            _end_all(error)

    sys.excepthook = hook


def _end_all(error: BaseException) -> None:
    """End all ranks, unless MPI is not at work here, or `watch.py` sees to it."""
    MPI = sys.modules.get("mpi4py.MPI")
    watch = sys.modules.get(f"{__package__}.watch")
    if MPI is None or not MPI.Is_initialized() or MPI.Is_finalized() or (watch and watch.is_watching()):
        return
    world = MPI.COMM_WORLD
    if world.Get_size() > 1:
        from .heart import say, summary

        place = f"rank {world.Get_rank()} of {world.Get_size()} on host {socket.gethostname()}"
        say(f"fastconv: {place} ended with {summary(error)}")
        world.Abort(1)
