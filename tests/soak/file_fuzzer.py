"""Damaged files: `python file_fuzzer.py FIRST LAST`, with the lines of kernel_fuzzer.py.

A file whose content is guarded by a checksum loads as it was or is refused. One without (IDX, ONNX, pictures)
may load as another valid file: then what it holds has the form that it says, in memory in proportion to its
size.
"""

import gzip
import json
import os
import resource
import struct
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

import fastconv as fc
from fastconv.formats.idx import read_idx
from fastconv.formats.npz import read_npz
from fastconv.inspection.classify import prepared
from tests.formats.onnx import exporters

REFUSALS = (ValueError, OSError, ImportError)
IMAGES = ("png", "jpg", "gif", "bmp", "webp")
GUARDED = (  # by a checksum
    "model.npz", "model.safetensors", "graph.npz", "graph.safetensors", "checkpoint.npz", "network.npz"
)  # fmt: skip
MEMORY = 256 << 20  # that a load may add


def model():
    layers = [fc.Conv2d(3, 3), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dense(4)]
    return fc.Sequential(layers, (1, 8, 8), seed=2)


def graph():
    """A network that branches, with two outputs and a layer at two places."""
    x = fc.Input((1, 8, 8))
    shared = fc.Conv2d(3, 3, padding="same")
    y = fc.Residual([shared, fc.ReLU()], [fc.Conv2d(3, 1)])(fc.ReLU()(shared(fc.Conv2d(3, 1)(x), name="a")))
    features = fc.Flatten()(y)
    return fc.Model(x, {"policy": fc.Dense(4)(features), "value": fc.Tanh()(fc.Dense(1)(features))}, seed=2)


def bits(network):
    return {name: array.tobytes() for name, array in network.state().items()}


def make_files(folder):
    """Whole files of every kind, and how each is read."""
    network = model()
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype=np.uint8)
    idx = b"\0\0\x08\x03" + struct.pack(">III", *images.shape) + images.tobytes()
    network.save(folder / "model.npz", metadata={"classes": [0, 1, 2, 3]})
    network.save(folder / "model.safetensors", metadata={"classes": [0, 1, 2, 3]})
    graph().save(folder / "graph.npz")
    graph().save(folder / "graph.safetensors")
    network.to_onnx(folder / "model.onnx")
    (folder / "images.idx").write_bytes(idx)
    (folder / "images.gz").write_bytes(gzip.compress(idx, mtime=0))
    np.savez_compressed(folder / "arrays.npz", X=images, y=np.arange(5))
    X, y = np.ones((8, 1, 8, 8)), np.zeros(8, int)
    fc.Trainer(network).fit(X, y, epochs=1, checkpoint=folder / "checkpoint.npz", progress=False)
    (folder / "network.npz").write_bytes((folder / "checkpoint.npz").read_bytes())
    network.metadata = {"classes": ["a", "b", "c", "d"], "input_scale": 1 / 255}
    network.to_onnx(folder / "classes.onnx")
    exporters.mnist_8(folder / "zoo.onnx")
    exporters.keras(folder / "keras.onnx")
    exporters.scikit_learn(folder / "scikit-learn.onnx")
    np.savez(folder / "weights.npz", **{f"net.{name}": array for name, array in network.state().items()})
    np.savez(folder / "data.npz", X=images, y=np.arange(5) % 2)
    for kind in IMAGES:
        mode = Image.fromarray(images[0].repeat(9, axis=0).repeat(9, axis=1)).convert(
            "P" if kind == "gif" else "RGB"
        )
        mode.save(folder / f"image.{kind}")
    pictures = {f"image.{kind}": lambda path: prepared(path, network) for kind in IMAGES}
    return pictures | {
        "model.npz": fc.load,
        "model.safetensors": fc.load,
        "graph.npz": fc.load,
        "graph.safetensors": fc.load,
        "model.onnx": fc.from_onnx,
        "images.idx": read_idx,
        "images.gz": read_idx,
        "arrays.npz": read_npz,
        "checkpoint.npz": resumed,
        "network.npz": fc.load,
        "classes.onnx": fc.from_onnx,
        "zoo.onnx": fc.from_onnx,
        "keras.onnx": fc.from_onnx,
        "scikit-learn.onnx": fc.from_onnx,
        "weights.npz": with_weights,
        "data.npz": fc.datasets.load_npz,
    }


def with_weights(path):
    network = model()
    network.load_weights(path)
    return network


def resumed(path):
    """The network that a checkpoint goes on with."""
    trainer = fc.Trainer(model())
    trainer.fit(
        np.ones((8, 1, 8, 8)), np.zeros(8, int), epochs=1, checkpoint=path, resume=True, progress=False
    )
    return trainer.model


def damaged(rng, content):
    """The bytes with one to three things done to them."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if not content:
            break
        # Most of what a reader trusts stands at the start and at the end.
        zone = (len(content), min(len(content), 400))[rng.integers(2)]
        at = int(rng.integers(zone))
        at = len(content) - 1 - at if rng.integers(3) == 0 else at
        kind = rng.integers(7)
        if kind == 0:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            content[at] = int(rng.integers(256))
        elif kind == 2:
            del content[at:]
        elif kind == 3:
            del content[at : at + int(rng.integers(1, 50))]
        elif kind == 4:
            content[at:at] = rng.bytes(int(rng.integers(1, 50)))
        elif kind == 5:
            content[at : at + 8] = (b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7)[rng.integers(3)]
        else:
            other = int(rng.integers(len(content)))
            content[at : at + 20] = content[other : other + 20]
    return bytes(content)


def reference(kind, loaded):
    return bits(loaded) if isinstance(loaded, fc.Model) else loaded


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if set(a) != set(b):
        return False
    return all(same(a[k], b[k]) if isinstance(a[k], np.ndarray) else a[k] == b[k] for k in a)


def run(number, files, folder):
    rng = np.random.default_rng((11, number))
    kind = list(files)[number % len(files)]
    read, whole = files[kind]
    path = folder / f"damaged {kind}"
    content = damaged(rng, (folder / kind).read_bytes())
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        loaded = read(path)
    except REFUSALS as error:
        outcome = ["refused"] if str(error) else ["wrong", f"{kind}: an error without a message"]
    except Exception as error:
        return ["wrong", f"{kind}: {type(error).__name__}: {error}"]
    else:
        free = kind not in GUARDED
        outcome = (
            ["right"]
            if free or same(reference(kind, loaded), whole)
            else ["wrong", f"{kind}: changed, and read"]
        )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return outcome if grown < MEMORY else ["wrong", f"{kind}: took {grown >> 20} MB"]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    fc.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        files = {
            kind: (read, reference(kind, read(folder / kind))) for kind, read in make_files(folder).items()
        }
        for number in range(int(sys.argv[1]), int(sys.argv[2])):
            print(number, flush=True)
            print(number, json.dumps(run(number, files, folder)), flush=True)
