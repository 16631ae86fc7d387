"""The table of `python -m fastconv bench --ranks 1,2,4`: steps that ranks of this machine share."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checks.extras import require
from ..engine.threads import processors
from ..formats.atomic import write_bytes
from ..formats.json_text import to_json
from ..inspection.scaling import Link
from . import machine, pages
from .networks import NETWORKS
from .ranks import Found, Work

BEGIN, END = "<!-- ranks table begin -->", "<!-- ranks table end -->"
# Those of the table of training steps.
USUAL = (
    "lenet5", "ds_cnn", "mobilenet_v1_025", "vgg_bn", "cnn", "mlp", "atari_cnn", "resnet8", "fcn",
    "mnist1d_cnn",
)  # fmt: skip
BATCHES = {"lenet5": 512}  # a step on 128 samples takes a part of a millisecond, and so do few exchanges
BATCH = 128
SECONDS, QUICK_SECONDS = 1.0, 0.1
# Open MPI binds a rank to one processor unless told otherwise, and starts no more ranks than these.
ENVIRONMENT = {
    "FASTCONV_NUM_THREADS": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
TITLES = ("network", "ranks", "batch", "step", "exchange", "efficiency", "model", "off by", "x threads")


def run(
    ranks: Sequence[int],
    networks: Sequence[str] = USUAL,
    batches: Sequence[int] | None = None,
    seconds: float = SECONDS,
    save: str | None = None,
    json: str | None = None,
    update_readme: str | None = None,
) -> int:
    """Measure training steps on ranks of this machine, a thread each, and print the table.

    Parameters
    ----------
    ranks : sequence of int
        How many of them, one after the other.
    networks : sequence of str
        Names of `networks.NETWORKS`.
    batches : sequence of int, optional
        Batches of the whole, and again of each rank; default is 512 for LeNet-5, 128 for others.
    seconds : float
        For each contender of a work, more or less.
    save, update_readme : str, optional
        Files to write the table to: a Markdown file, and a page with the markers `BEGIN` and `END`.
    json : str, optional
        JSON file to write all figures to; "-" prints them instead of the table.

    Returns
    -------
    int
        0.

    Raises
    ------
    ImportError
        If there is no mpi4py, or no MPI.
    RuntimeError
        If ranks fail.
    ValueError
        If the file of `update_readme` lacks the markers.
    """
    launcher = mpiexec()
    if update_readme:
        pages.replaced(update_readme, BEGIN, END, "")
    facts = machine.facts(("numpy", "numba", "mpi4py"))
    links: dict[int, Link | None] = {}
    found: list[Found] = []
    for count in dict.fromkeys(ranks):
        links[count], mine = _measure(launcher, count, works(networks, batches, count), seconds)
        found += mine
    figures = to_json(_plain(found, links, facts), indent=1)
    text = markdown(found, links, facts)
    print(figures if json == "-" else text)
    if json not in (None, "-"):
        write_bytes(json, f"{figures}\n".encode())
    if save:
        write_bytes(save, f"{text}\n".encode())
    if update_readme:
        write_bytes(update_readme, pages.replaced(update_readme, BEGIN, END, text).encode())
    return 0


def works(networks: Sequence[str], batches: Sequence[int] | None, ranks: int) -> list[Work]:
    """What so many ranks are measured at: each batch as that of all, and as that of each.

    Examples
    --------
    >>> works(["resnet8"], None, 2)
    [Work(network='resnet8', batch=128, alone=128), Work(network='resnet8', batch=256, alone=128)]
    """
    found = [
        Work(name, size, batch)
        for name in networks
        for batch in batches or [BATCHES.get(name, BATCH)]
        for size in (batch, batch * ranks)
    ]
    return list(dict.fromkeys(found))


def mpiexec() -> str:
    """The path of MPI's launcher: beside this Python, where `pip install mpich` puts it, or the system's."""
    require("mpi4py", "mpi", "--ranks")
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise ImportError("--ranks needs mpiexec, a part of every MPI: pip install mpich")
    return found


def _measure(launcher: str, ranks: int, job: list[Work], seconds: float) -> tuple[Link | None, list[Found]]:
    """Start so many ranks, and read what they have found."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "found.json")
        command = [sys.executable, "-m", "fastconv.benchmarks.ranks", to_json([job, seconds]), path]
        done = subprocess.run(
            [launcher, "-n", str(ranks), *command],
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RuntimeError(f"{ranks} ranks have ended with exit code {done.returncode}: see above")
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    link = Link(*told["link"]) if told["link"] else None
    return link, [Found(Work(*work), *rest) for work, *rest in told["found"]]


# What is said of them


def efficiency(found: Found) -> float:
    """How fast a rank is, as a part of what one of them alone is.

    Examples
    --------
    >>> shared = Found(Work("mlp", 128, 128), 2, 0.6, 0.1, 1.0, None, 0.6)
    >>> apart = Found(Work("mlp", 256, 128), 2, 1.25, 0.1, 1.0, None, 1.2)
    >>> round(efficiency(shared), 3), efficiency(apart)
    (0.833, 0.8)
    """
    return found.alone / found.seconds * found.work.batch / found.work.alone / found.ranks


def markdown(found: Sequence[Found], links: Mapping[int, Link | None], facts: Mapping[str, str]) -> str:
    """The tables, for one batch on more and more ranks, and for one that grows with them."""
    blocks = [pages.caption(facts)]
    blocks.append(f"float32, 1 thread a rank, {processors()} processors.{_of_links(links)}")
    strong = [one for one in found if one.work.batch == one.work.alone]
    weak = [one for one in found if one.ranks == 1 or one.work.batch > one.work.alone]
    for title, some in (("One batch for all ranks", strong), ("A batch for each rank", weak)):
        rows = [TITLES, *map(_cells, sorted(some, key=_place))]
        blocks.append(f"**{title}**\n\n{pages.table(rows)}")
    off = [abs(_off(one)) for one in found if 1 < one.ranks <= processors()]
    if off:
        most = f"{sum(off) / len(off):.0%} in the mean and {max(off):.0%} at most"
        blocks.append(f"Where each rank has a processor, the model is off by {most}.")
    return "\n\n".join(blocks)


def _place(one: Found) -> tuple[int, int, int]:
    """Where it stands in the table."""
    return list(NETWORKS).index(one.work.network), one.work.alone, one.ranks


def _of_links(links: Mapping[int, Link | None]) -> str:
    said = [
        f"{ranks} ranks {pages.duration(link.latency)} and {link.bandwidth / 1e9:.2g} GB/s"
        for ranks, link in links.items()
        if link
    ]
    return f" Messages take, between {', '.join(said)}." if said else ""


def _off(one: Found) -> float:
    """How much longer a step takes than the model has it, as a part of that."""
    return one.seconds / one.modelled - 1


def _cells(one: Found) -> tuple[str, ...]:
    return (
        NETWORKS[one.work.network][0],
        str(one.ranks),
        f"{one.work.batch:,}",
        pages.duration(one.seconds),
        f"{one.exchange:.0%}" if one.ranks > 1 else "",
        f"{efficiency(one):.0%}",
        pages.duration(one.modelled),
        f"{_off(one):+.0%}",
        pages.ratio(one.threads / one.seconds if one.threads else None),
    )


def _plain(
    found: Sequence[Found], links: Mapping[int, Link | None], facts: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "machine": dict(facts),
        "links": [{"ranks": ranks, **link._asdict()} for ranks, link in links.items() if link],
        "rows": [{**one.work._asdict(), **one._asdict(), "efficiency": efficiency(one)} for one in found],
    }
