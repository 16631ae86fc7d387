"""A small training of which a seed decides every bit, and Python in a process of its own."""

import os
import subprocess
import sys

import numpy as np

import fastconv as fc
from fastconv.engine import engine

FASTCONV = os.path.dirname(os.path.dirname(fc.__file__))


def trained(seed, threads=None):
    """The bytes of all parameters of a small network after some training; `seed` decides everything."""
    if threads is not None:
        fc.set_num_threads(threads)
        engine.PRODUCTS_PER_THREAD = 1  # also in processes of pools, where no fixture sets it
    rng = np.random.default_rng(seed)
    X, y = rng.random((70, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 70)
    layers = [
        fc.Conv2d(4 + seed % 3, 3),
        fc.ReLU(),
        fc.MaxPool2d(2),
        fc.Flatten(),
        fc.Dropout(0.2),
        fc.Dense(3),
    ]
    model = fc.Sequential(layers, (1, 8, 8), seed=seed)
    fc.Trainer(model, optimizer=fc.Adam(0.01), seed=seed).fit(X, y, epochs=4, batch_size=24)
    return b"".join(array.tobytes() for array in model.parameters().values())


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=FASTCONV,
        capture_output=True,
        text=True,
        timeout=120,
    )
