"""Models with metadata of any kind: `python metadata_fuzzer.py FIRST LAST`.

The lines are those of kernel_fuzzer.py. What was saved loads, with the same numbers, and its metadata are
saved and read again without a change; what can't be saved is refused before anything is written.
"""

import json
import os
import sys
import tempfile
import warnings

import numpy as np

import fastconv as fc
from tests.soak.random_settings import pick, whole

LEAVES = (
    None, True, False, 0, -1, 2**70, 0.1, 1e300, float("nan"), float("inf"), "", "a", "é", "\ud800", "\0",
    "\x1b[31m", "日本", b"bytes", np.float32(1.5), np.int64(3), np.bool_(True), np.arange(3),
    np.array("text"), 1j, object(),
)  # fmt: skip
KEYS = (*LEAVES[:16], "classes", "fastconv", "format", "checksum", 10, 2, (1, 2))


def anything(rng, depth):
    """A value as a user may put it in: leaves, lists, tuples, sets and dictionaries, nested."""
    kind = rng.integers(7)
    if depth == 0 or kind < 3:
        return pick(rng, *LEAVES)
    inner = [anything(rng, depth - 1) for _ in range(whole(rng, 0, 3))]
    if kind == 3:
        return inner
    if kind == 4:
        return tuple(inner)
    return {pick(rng, *KEYS): value for value in inner}


def plain(rng, depth):
    """What JSON can hold: all of it must load as it was."""
    kind = rng.integers(5)
    if depth == 0 or kind < 3:
        return pick(rng, None, True, 0, -3, 2**60, 0.1, 1e300, "", "a", "é", "日本", "\x1b[31m")
    inner = [plain(rng, depth - 1) for _ in range(whole(rng, 0, 4))]
    if kind == 3:
        return inner
    return {pick(rng, "10", "9", "a", "é", "", "classes"): value for value in inner}


def run(number):
    rng = np.random.default_rng((17, number))
    exact = rng.integers(2)
    made = plain if exact else anything
    metadata = {pick(rng, "classes", "a", "b"): made(rng, 4) for _ in range(whole(rng, 0, 3))}
    path = pick(rng, "model.npz", "model.safetensors")
    model = fc.models.reference_cnn(seed=number)
    for left in os.listdir():
        os.unlink(left)
    try:
        model.save(path, metadata=metadata)
    except (TypeError, ValueError) as error:
        if exact or os.listdir():
            return ["wrong", f"{metadata!r}: {error}"]
        return ["refused"] if str(error) else ["wrong", "an error without a message"]
    except Exception as error:
        return ["wrong", f"{metadata!r}: {type(error).__name__}: {error}"]
    again = fc.load(path)
    if exact and again.metadata != metadata:
        return ["wrong", f"{metadata!r} became {again.metadata!r}"]
    again.save(path)
    third = fc.load(path)
    if repr(third.metadata) != repr(again.metadata):
        return ["wrong", f"{again.metadata!r} became {third.metadata!r}"]
    same = third.flat_parameters.tobytes() == model.flat_parameters.tobytes()
    return ["right"] if same else ["wrong", "other parameters"]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        for number in range(int(sys.argv[1]), int(sys.argv[2])):
            print(number, flush=True)
            print(number, json.dumps(run(number)), flush=True)
