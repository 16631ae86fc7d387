"""What only whole processes show: the time until the first step is done, and the peak of memory."""

import os
import subprocess
import sys
import tempfile
import time

_FIRST_STEP = {
    "fastconv": """
import numpy as np
import fastconv as fc
fc.set_num_threads(1)
X, y = np.zeros((128, 1, 28, 28), np.float32), np.zeros(128, np.int64)
fc.Trainer(fc.models.lenet5()).fit(X, y, epochs=1, batch_size=128, progress=False)
""",
    "torch": """
import torch
from fastconv.benchmarks.nets import NETS
from fastconv.benchmarks.torch_nets import Network
torch.set_num_threads(1)
network = Network("lenet5", NETS["lenet5"].initial_parameters(), 0.01)
network.step(torch.zeros(128, 1, 28, 28), torch.zeros(128, dtype=torch.int64))
""",
}

# uint8 images stay uint8, and each batch is converted, which takes the least memory.
_EPOCH = {
    "fastconv": """
import numpy as np
import fastconv as fc
X = np.random.default_rng(0).integers(0, 256, (60000, 1, 28, 28), np.uint8)
y = np.arange(60000) % 10
fc.Trainer(fc.models.lenet5()).fit(X, y, epochs=1, batch_size=128, progress=False)
""",
    "torch": """
import numpy as np
import torch
from fastconv.benchmarks.nets import NETS
from fastconv.benchmarks.torch_nets import Network
X = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60000, 1, 28, 28), np.uint8))
y = torch.arange(60000) % 10
network = Network("lenet5", NETS["lenet5"].initial_parameters(), 0.01)
for batch in torch.randperm(60000).split(128):
    network.step(X[batch].float() / 255, y[batch])
""",
}

# Linux counts what the parent had when it forked in ru_maxrss, but not in VmHWM.
_TELL_MEMORY = """
import os, re, resource
if os.path.exists("/proc/self/status"):
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"a process of the benchmark failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def first_step_seconds(who: str, runs: int = 5) -> float:
    """Seconds from the start of a process to the end of its first LeNet-5 step, the best of some runs."""
    _run(_FIRST_STEP[who])
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        _run(_FIRST_STEP[who])
        times.append(time.perf_counter() - start)
    return min(times)


def cold_first_step_seconds() -> float:
    """The same for fastconv with an empty cache folder, so that everything is compiled."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        _run(_FIRST_STEP["fastconv"], NUMBA_CACHE_DIR=folder)
        return time.perf_counter() - start


def peak_megabytes(who: str) -> float:
    """The largest memory of a process that trains LeNet-5 on 60,000 uint8 images for an epoch; Unix only."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return int(_run(_EPOCH[who] + _TELL_MEMORY).split()[-1]) * unit / 1e6
