"""Scripts on several ranks: `mpiexec` starts them, and what each rank printed comes back under its number."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastconv.benchmarks import rank_table

ROOT = Path(__file__).parents[2]
# The networks of the tests are so small that one thread would do all their work (as in tests/conftest.py).
PRELUDE = """from fastconv.engine import builder as _builder, engine as _engine
_engine.PRODUCTS_PER_THREAD = _engine.PRODUCTS_PER_SHARE = 1
_builder.LONG = 0
"""
# Instead, for scripts that only talk: all of fastconv takes a second to load, on each rank.
ONLY_RANKS = (
    "import sys, types; _fastconv = sys.modules['fastconv'] = types.ModuleType('fastconv'); "
    f"_fastconv.__path__ = [{str(ROOT / 'fastconv')!r}]\n"
)


@dataclass
class Outcome:
    """What became of a run on ranks."""

    code: int  # of mpiexec: 0 if all is well
    outputs: list[str]  # what each rank wrote to its standard output,
    errors: list[str]  # and to its standard error
    launcher: str  # what mpiexec itself said
    seconds: float

    @property
    def all_errors(self):
        return "\n".join(self.errors)


def run_on_ranks(
    script, ranks, *, threads=1, timeout=60, arguments=(), check=True, env=None, cwd=None, prelude=PRELUDE
):
    """Run a script on so many ranks, and wait until all have ended.

    Parameters
    ----------
    script : str, Path or list of str
        The text of a Python script, its file, or what follows `python`: ["-m", "fastconv", "train"].
    ranks, threads : int
        How many ranks, and how many threads each has.
    timeout : float
        After so many seconds all ranks are ended, and the test has failed.
    arguments : sequence
        What `sys.argv[1:]` is in the script.
    check : bool
        Whether the test fails unless all ranks end without an error.
    env : dict, optional
        Environment variables beside those of `environment`.
    cwd : Path, optional
        The folder that the ranks work in.
    prelude : str
        What a script begins with.

    Returns
    -------
    Outcome
    """
    with Running(script, ranks, threads, arguments, env, cwd, prelude) as running:
        outcome = running.wait(timeout)
    if check and outcome.code != 0:
        raise AssertionError(f"exit code {outcome.code}\n{outcome.launcher}\n{outcome.all_errors}")
    return outcome


class Running:
    """Ranks at work, which are ended at the end of a `with`.

    The arguments are those of `run_on_ranks`; `before` and `options` come before and after `mpiexec` on its
    command line.
    """

    def __init__(
        self,
        script,
        ranks,
        threads=1,
        arguments=(),
        env=None,
        cwd=None,
        prelude=PRELUDE,
        options=(),
        before=(),
    ):
        self.ranks, self.mark = ranks, uuid.uuid4().hex
        launcher = mpiexec()
        self._folder = tempfile.TemporaryDirectory(prefix="ranks-")
        files = [part for kind in ("out", "err") for part in (f"-{kind}file-pattern", self._file(kind, "%r"))]
        command = [*before, launcher, *files, *options, "-n", str(ranks), sys.executable]
        self.started = time.monotonic()
        with open(self._file("said", ""), "w") as said:
            self._launcher = subprocess.Popen(
                [*command, *self._words(script, prelude), *map(str, arguments)],
                env={**environment(threads), "RANKS_MARK": self.mark, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._launcher.kill()
        self._launcher.wait()
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._folder.cleanup()

    def processes(self):
        """The numbers of all processes of the run: ranks, and what these have started."""
        return [number for number, _ in self._living()]

    def process(self, rank):
        """The number of a rank's process, or None if it has not begun, or has ended."""
        for number, words in self._living():
            if f"PMI_RANK={rank}" in words and _is_rank(number):
                return number
        return None

    def send(self, number, rank=None):
        """Send a signal to a rank, or to the launcher; whether it was there."""
        process = self._launcher.pid if rank is None else self.process(rank)
        if process is None:
            return False
        try:
            os.kill(process, number)
        except ProcessLookupError:
            return False
        return True

    def ended(self):
        """The launcher's exit code, or None while it is at work."""
        return self._launcher.poll()

    def output(self, rank):
        """What a rank has written to its standard output so far."""
        return self._read("out", rank)

    def wait_for(self, rank, text, timeout=60):
        """Wait until a rank has written a text to its standard output."""
        while text not in self.output(rank):
            assert time.monotonic() - self.started < timeout, self._read("err", rank)
            assert self._launcher.poll() is None, f"all have ended: {self._outcome()}"
            time.sleep(0.01)

    def wait(self, timeout=60):
        """Wait until all have ended, and say what became of them."""
        try:
            self._launcher.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not done after {timeout} s: {self._outcome()}") from None
        return self._outcome()

    def _outcome(self):
        texts = [[self._read(kind, rank) for rank in range(self.ranks)] for kind in ("out", "err")]
        return Outcome(self._launcher.poll(), *texts, self._read("said", ""), time.monotonic() - self.started)

    def _file(self, kind, rank):
        return str(Path(self._folder.name) / f"{kind}{rank}")

    def _read(self, kind, rank):
        path = Path(self._file(kind, rank))
        return path.read_text() if path.exists() else ""

    def _words(self, script, prelude):
        """What follows `python`."""
        if isinstance(script, list):
            return script
        path = Path(self._folder.name) / "script.py"
        path.write_text(prelude + (script.read_text() if isinstance(script, Path) else script))
        return [str(path)]

    def _living(self):
        """(number, words of the environment) of each process of this run."""
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:  # it has ended, or is another user's
                continue
            if f"RANKS_MARK={self.mark}" in words and int(path.name) != self._launcher.pid:
                yield int(path.name), words


def _is_rank(number):
    """Whether a process was started by the launcher: not by a rank, which may have left it behind."""
    try:
        is_witness = b"witness.py" in Path(f"/proc/{number}/cmdline").read_bytes()
        parent = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1]
        return not is_witness and "python" not in Path(f"/proc/{parent}/comm").read_text()
    except OSError:  # one of them has ended
        return False


def mpiexec():
    """The path of MPI's launcher; the test is skipped where there is none, or no mpi4py."""
    try:
        return rank_table.mpiexec()
    except ImportError as error:
        pytest.skip(str(error))


def environment(threads=1):
    """The environment of ranks that import this fastconv and these tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "FASTCONV_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": "1",
        "MPIR_CVAR_POLLS_BEFORE_YIELD": "1",  # MPICH: there are more ranks than processors
    }
