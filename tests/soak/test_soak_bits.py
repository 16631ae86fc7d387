"""The same bits for one seed, whatever else differs: threads, calls, companions of fit, processes."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine
from tests.engine.networks import NETWORKS
from tests.soak.children import environment


def case(name, dtype):
    """A network, data for it and a loss."""
    layers, shape = NETWORKS[name]
    model = fc.Sequential(layers, shape, dtype=dtype, seed=4)
    rng = np.random.default_rng(2)
    X, output = rng.standard_normal((150, *shape)), model.output_shape
    if len(output) == 1 and output[0] > 1:
        return model, X, rng.integers(0, output[0], 150), "cross_entropy"
    return model, X, rng.random((150, *output)), "mse"


def digest(name, dtype="float32", threads=1, seconds=0.1, **fit):
    """What training and predicting came to, as text."""
    before = engine.SECONDS_PER_CALL
    engine.SECONDS_PER_CALL = seconds
    fc.set_num_threads(threads)
    try:
        model, X, y, loss = case(name, dtype)
        trainer = fc.Trainer(model, loss=loss, optimizer=fc.Adam(0.01), seed=8)
        history = trainer.fit(X, y, epochs=3, batch_size=48, **{"progress": False, **fit})
        content = [array.tobytes() for array in model.state().values()] + [model.predict(X).tobytes()]
        content.append(np.array(history["loss"]).tobytes())
    finally:
        engine.SECONDS_PER_CALL = before
    return hashlib.sha256(b"".join(content)).hexdigest()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_but_the_seed_decides_the_bits(dtype, tmp_path, figure):
    compared = 0
    for name in NETWORKS:
        expected = digest(name, dtype)
        _, X, y, _ = case(name, dtype)
        ways = [{"threads": t, "seconds": s} for t, s in itertools.product((1, 2, 3, 4, 5, 8), (0, 1e-4, 10))]
        ways += [
            {"validation_data": (X[:20], y[:20])},
            {"checkpoint": tmp_path / "run.npz"},
            {"progress": Counting()},
            {"callbacks": [Nothing()]},
            {"threads": 4, "seconds": 0, "validation_data": (X, y), "checkpoint": tmp_path / "run.npz"},
        ]
        for way in ways:
            assert digest(name, dtype, **way) == expected, (name, way)
        compared += len(ways)
    figure(f"runs of equal bits over threads, calls and companions, {dtype}", compared)


class Nothing:
    def on_epoch_end(self, trainer, logs):
        pass


class Counting:
    """A display that shows nothing."""

    def __getattr__(self, name):
        return lambda *arguments: None


def test_two_processes_have_the_same_bits(figure):
    script = f"import test_soak_bits as t; print([t.digest(n) for n in {list(NETWORKS)!r}])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], env=environment(), capture_output=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert outputs == {f"{[digest(name) for name in NETWORKS]}\n".encode()}
    figure("networks of equal bits in three processes", len(NETWORKS))
