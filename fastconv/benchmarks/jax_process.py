"""JAX in a process of its own, since how many threads it uses is settled when it starts.

The parent sends a job, and then asks for one round of it after the other; both sides speak pickles over the
pipes of stdin and stdout. A round takes `ROUND` seconds at least, beside which the pipe's 50 us are little.

    python -m fastconv.benchmarks.jax_process     what runs there
"""

import os
import pickle
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from .timing import Contender

ROUND = 0.01
TRIES = 3  # rounds that tell the faster of two layouts


class Job(NamedTuple):
    """What is to be done there.

    Parameters
    ----------
    kind : {"steps", "predict", "gradients", "outputs"}
        Two to be timed, and two to be compared.
    name : str
        Of `networks.NETWORKS`.
    batch_size, batches : int
    lr : float
    dtype : {"float32", "float64"}
    """

    kind: str
    name: str
    batch_size: int
    batches: int = 1
    lr: float = 0.0
    dtype: str = "float32"


class Process:
    """A process that has been given its job."""

    def __init__(self, job: Job, threads: int) -> None:
        settings = {"NPROC": str(threads), "JAX_PLATFORMS": "cpu", "FASTCONV_NUM_THREADS": "1"}
        settings |= {"JAX_ENABLE_X64": "1"} if job.dtype == "float64" else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastconv.benchmarks.jax_process"],
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.close = weakref.finalize(self, _end, self._process)
        self.pieces: int = self.ask(job)

    def ask(self, message: Any) -> Any:
        """Its answer.

        Raises
        ------
        RuntimeError
            With the error of the process, if it fails there.
        """
        try:
            pickle.dump(message, self._process.stdin)  # type: ignore[arg-type]
            self._process.stdin.flush()  # type: ignore[union-attr]
            answer, error = pickle.load(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError) as ended:
            raise RuntimeError("JAX's process has ended") from ended
        if error:
            raise RuntimeError(error)
        return answer


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


def contender(job: Job) -> Contender:
    """JAX at a job, on as many threads as fastconv uses now."""
    import fastconv as fc

    process = Process(job, fc.get_num_threads())
    return Contender(lambda: process.ask("round"), process.pieces)


# In the process


def serve() -> None:
    """Take a job and do rounds of it until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed must not come between
    do: Callable[[], Any] | None = None
    while True:
        try:
            message = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer, error = None, ""
        try:
            if do is None:
                answer, do = _prepared(message)
            else:
                answer = do()
        except Exception as failed:
            error = f"{type(failed).__name__}: {failed}"
        pickle.dump((answer, error), answers)
        answers.flush()


def _prepared(job: Job) -> tuple[int, Callable[[], Any]]:
    """Pieces of work in a round, and what does a round."""
    rounds = [_ROUNDS[job.kind](job, channels_last) for channels_last in (False, True)]
    if job.kind in ("gradients", "outputs"):
        return 1, rounds[0]
    taken = [min(_seconds(one) for _ in range(TRIES + 1)) for one in rounds]  # the first one compiles
    best = min(taken)
    faster, repeats = rounds[taken.index(best)], max(1, round(ROUND / best))

    def several() -> None:
        for _ in range(repeats):
            faster()

    return repeats * job.batches, several


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _network(job: Job, channels_last: bool) -> tuple[Any, Any, Any]:
    """(network, X, y) of a job, with the same numbers as everybody has."""
    from .jax_nets import Network
    from .networks import batches_of, comparable_model, loss_names, made

    checked = job.kind == "gradients"
    model = comparable_model(job.name, job.dtype) if checked else made(job.name, job.dtype)
    X, y = batches_of(job.name, model, job.batches * job.batch_size)
    return Network(model, loss_names(job.name, model), channels_last), X, y


def _steps(job: Job, channels_last: bool) -> Callable[[], None]:
    import jax
    from jax import numpy as jnp

    network, X, y = _network(job, channels_last)
    parts = []
    for first in range(0, job.batches * job.batch_size, job.batch_size):
        cut = slice(first, first + job.batch_size)
        samples = [x[cut] for x in X] if isinstance(X, list) else X[cut]
        targets = [jnp.asarray(part[cut]) for part in (y if isinstance(y, list) else [y])]
        parts.append((network.placed(samples), targets))
    state = [network.trained, network.kept, network.key]

    def call() -> None:
        for samples, targets in parts:
            *state[:], _ = network.step(state[0], state[1], samples, targets, state[2], job.lr)
        jax.block_until_ready(state[0])

    return call


def _predict(job: Job, channels_last: bool) -> Callable[[], None]:
    import jax

    network, X, _ = _network(job, channels_last)
    samples = network.placed(X)
    return lambda: jax.block_until_ready(network.outputs(samples))


def _gradients(job: Job, channels_last: bool) -> Callable[[], Any]:
    import numpy as np

    network, X, y = _network(job, channels_last)

    def call() -> Any:
        loss, gradients, kept = network.gradients(X, y)
        arrays = [{key: np.asarray(a) for key, a in part.items()} for part in (gradients, kept)]
        return float(loss), *arrays

    return call


def _outputs(job: Job, channels_last: bool) -> Callable[[], Any]:
    import numpy as np

    network, X, _ = _network(job, channels_last)
    return lambda: tuple(np.asarray(output) for output in network.outputs(network.placed(X)))


_ROUNDS: dict[str, Callable[[Job, bool], Callable[[], Any]]] = {
    "steps": _steps,
    "predict": _predict,
    "gradients": _gradients,
    "outputs": _outputs,
}

if __name__ == "__main__":
    # The parent pickles jobs of this module under its whole name.
    from fastconv.benchmarks.jax_process import serve as serve_jobs

    serve_jobs()
