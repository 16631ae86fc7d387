import numpy as np
import pytest

import fastconv as fc
from tests.cli.answers import MODEL


@pytest.fixture
def pictures(tmp_path):
    """A model of two classes of 8x8 images, bright above and bright below, and pictures of them as files."""
    Image = pytest.importorskip("PIL.Image")
    model = fc.Sequential([fc.Flatten(), fc.Dense(2)], (1, 8, 8))
    weight = np.zeros((2, 8, 8))
    weight[0, :4] = weight[1, 4:] = 0.25
    model.parameters()["1.weight"][...] = weight.reshape(2, 64)
    model.parameters()["1.bias"][...] = 0
    model.save(tmp_path / MODEL, metadata={"classes": ["above", "below"]})
    pixels = np.random.default_rng(0).integers(0, 100, (4, 8, 8), dtype=np.uint8)
    pixels[:2, :4] += 100
    pixels[2:, 4:] += 100
    for k, name in enumerate(("above", "above", "below", "below")):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[k]).save(folder / f"{k}.png")
    np.savez(tmp_path / "pixels.npz", pixels)
    return pixels
