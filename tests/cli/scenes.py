"""Generated pictures as hard to tell apart as photos: shapes of any place, size, colour and light."""

import numpy as np
import pytest

KINDS = ("disc", "ring", "square", "cross", "stripes")


def scene(kind, rng, size=48):
    """A picture (size, size, 3) of a kind, on blurred colours, with noise."""
    Image = pytest.importorskip("PIL.Image")
    y, x = np.indices((size, size)) / size
    ground = Image.fromarray(rng.uniform(0, 150, (4, 4, 3)).astype(np.uint8))
    pixels = np.asarray(ground.resize((size, size), Image.BICUBIC)).astype(float)
    (left, top), radius, turn = rng.uniform(0.36, 0.64, 2), rng.uniform(0.18, 0.3), rng.uniform(-0.5, 0.5)
    u = (x - left) * np.cos(turn) + (y - top) * np.sin(turn)
    v = (y - top) * np.cos(turn) - (x - left) * np.sin(turn)
    far = np.hypot(u, v)
    bars = [np.maximum(abs(a) / 0.25, abs(b) / 1.2) < radius for a, b in ((u, v), (v, u))]
    shape = {
        "disc": far < radius,
        "ring": (far < radius) & (far > 0.6 * radius),
        "square": np.maximum(abs(u), abs(v)) < 0.8 * radius,
        "cross": bars[0] | bars[1],
        "stripes": (far < 1.2 * radius) & (np.sin(9 * u / radius) > 0),
    }[kind]
    pixels = np.where(shape[..., None], rng.uniform(100, 255, 3), pixels)
    pixels = pixels * rng.uniform(0.6, 1.1) + rng.normal(0, 12, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def photo_folder(path, count, seed=0):
    """A folder with a folder of `count` JPEG files for each kind."""
    Image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(seed)
    for kind in KINDS:
        (path / kind).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(scene(kind, rng)).save(path / kind / f"{k}.jpg", quality=90)
    return path
