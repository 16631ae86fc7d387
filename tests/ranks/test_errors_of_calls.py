"""An error of one rank in a call of the trainer is one of all, and the next call knows nothing of it."""

from tests.ranks.harness import run_on_ranks

SCRIPT = """
import sys, time
import numpy as np
from mpi4py import MPI
import fastconv as fc

world = MPI.COMM_WORLD
second = world.rank == 1
rng = np.random.default_rng(0)
X, y = rng.random((64, 1, 6, 6)).astype(np.float32), rng.integers(0, 2, 64)

class Fails(fc.Callback):
    def __init__(self, method):
        self.method = method
        setattr(self, method, self.fail)
    def fail(self, *arguments):
        raise LookupError(f"{self.method} on rank {world.rank}")

def batches(what=None):
    for number in range(8):
        if number == 3 and second and what is not None:
            if isinstance(what, Exception):
                raise what
            yield what
        yield X[:16], y[:16]

def metric(y_true, outputs):
    raise ArithmeticError("no figure")

def save_nowhere():
    trainer().fit(X, y, checkpoint="/no such folder/run.npz", **few)

def trainer(**settings):
    settings = {"optimizer": fc.SGD(0.1), "loss": "bce", **settings}
    return fc.Trainer(fc.models.reference_cnn(), communicator=world, **settings)

few = {"epochs": 2, "progress": False}
CASES = {
    "argument": lambda: trainer().fit(X, y, epochs=0),
    "optimizer": lambda: trainer(optimizer="sgd"),
    "callback": lambda: trainer().fit(X, y, callbacks=[Fails("on_epoch_end")], **few),
    "each batch": lambda: trainer().fit(X, y, callbacks=[Fails("on_batch_end")], **few),
    "generator": lambda: trainer().fit(lambda: batches(KeyError("lost")), **few),
    "bad batch": lambda: trainer().fit(lambda: batches((X[:16, :, :3], y[:16])), **few),
    "other batch": lambda: trainer().fit(lambda: batches((X[:8], y[:8])), **few),
    "metric": lambda: trainer(metrics=(metric,)).fit(X, y, **few),
    "diverges": lambda: trainer(optimizer=fc.SGD(1e38)).fit(X, y, **few),
    "file": save_nowhere,
    "other call": lambda: trainer().fit(X, y, batch_size=8 + 8 * second, **few),
    "other data": lambda: trainer().fit(X + second, y, **few),
    "label": lambda: trainer().fit(X, y + 5 * second, **few),
    "evaluate": lambda: trainer().evaluate(X[:, :, : 6 - second], y),
    "predict": lambda: trainer().predict(X[:, :, : 6 - second]),
    "one step": lambda: trainer().train_on_batch(X[:8], y[: 8 - second]),
}
for name, call in CASES.items():
    try:
        call()
        print(name, "is fine", flush=True)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}", flush=True)
    found = trainer().fit(X, y, **few)["loss"]
    if world.allgather(found) != [found] * world.size or not np.isfinite(found).all():
        print("another loss")
"""
WANTED = {
    "argument": "ValueError: `epochs` must be an int >= 1, got 0",
    "optimizer": "TypeError: `optimizer` must be",
    "callback": "LookupError: on_epoch_end on rank 0",
    "each batch": "LookupError: on_batch_end on rank 0",
    "generator": "KeyError: ",
    "bad batch": "ValueError: `X of batch 4` must have shape (N, 1, 6, 6)",
    "other batch": "ValueError: `X` must give the same batches on all ranks",
    "metric": "ArithmeticError: no figure",
    "diverges": "DivergedError: ",
    "file": "FileNotFoundError: ",
    "other call": "ValueError: ranks must make the same call: `batch_size` is 8 on rank 0",
    "other data": "ValueError: ranks must make the same call: ",
    "label": "ValueError: ",
    "evaluate": "ValueError: ",
    "predict": "ValueError: ",
    "one step": "ValueError: ",
}


def test_an_error_in_a_call_is_raised_on_all_ranks_and_the_next_call_is_fine():
    done = run_on_ranks(SCRIPT, 3, timeout=150)
    for rank, output in enumerate(done.outputs):
        found = output.splitlines()
        assert len(found) == len(WANTED), output
        for line, (name, wanted) in zip(found, WANTED.items(), strict=True):
            assert line.startswith(f"{name}: {wanted}"), (rank, line)
    assert "fastconv: rank" not in done.all_errors
