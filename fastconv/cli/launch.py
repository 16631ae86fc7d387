"""Commands that an MPI launcher has started several times: `mpiexec -n 4 python -m fastconv train`.

These are ranks of one command. Those that know how to divide their work do so; of the others rank 0 alone
does what there is to do. Rank 0 alone prints and writes files.
"""

import argparse
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

from ..checks import interrupts
from ..checks.extras import require
from ..engine.ranks.agreement import by_lead, given_ranks
from ..engine.ranks.communicator import ALONE, Alone
from . import output

# What launchers set: of MPICH and its kin, of Open MPI, of MVAPICH; and of Slurm's `srun --mpi=pmix`.
_PLACES = (
    ("PMI_RANK", "PMI_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
)


def place() -> tuple[int, int]:
    """The number of this process among those that were started together, and how many these are."""
    for rank, size in _PLACES:
        texts = os.environ.get(rank, ""), os.environ.get(size, "")
        if all(text.isdecimal() for text in texts) and int(texts[1]) > 1:
            return int(texts[0]), int(texts[1])
    return 0, 1


def ranks() -> Alone:
    """All processes of the command.

    Raises
    ------
    ImportError
        If there are several, and mpi4py is missing.
    RuntimeError
        If mpi4py and the launcher belong to two MPIs.
    """
    size = place()[1]
    if size == 1:
        return ALONE
    world = require("mpi4py.MPI", "mpi", f"a command on {size} ranks").COMM_WORLD
    if world.Get_size() != size:
        raise ImportError(
            f"mpi4py sees {world.Get_size()} of the {size} ranks that were started: it was built for another "
            "MPI than that of the launcher"
        )
    return given_ranks(world)


@contextlib.contextmanager
def only_rank_0_prints() -> Iterator[None]:
    """While a command runs, the other ranks are silent; what ends one of them is said all the same."""
    if not place()[0]:
        yield
        return
    interrupts.be_silent()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), output.silence():
        yield


def run(args: argparse.Namespace) -> int:
    """Run a command on all ranks together, or on rank 0 where it does not know of them."""
    number, size = place()
    if size == 1 or not getattr(args, "on_ranks", False):
        return 0 if number else int(args.run(args) or 0)
    everyone = ranks()
    with everyone.together("its command"), everyone.busy("its command, but in no training"):
        _share_processors(everyone, args)
        return int(args.run(args) or 0)


def _share_processors(everyone: Alone, args: argparse.Namespace) -> None:
    """Unless somebody says how many threads there are, ranks on the same processors share these."""
    import fastconv as fc

    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    own = socket.gethostname(), sorted(affinity(0))
    same = everyone.gather(own).count(own)
    if getattr(args, "threads", None) is None and not os.environ.get("FASTCONV_NUM_THREADS", "").strip():
        fc.set_num_threads(max(1, fc.get_num_threads() // same))


def by_rank_0(act: Callable[[], Any]) -> Any:
    """What `act`, which looks at files or writes them, returns on rank 0; what it raises, all raise."""
    return by_lead(ranks(), act)
