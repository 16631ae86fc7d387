"""What the tests of the commands share: a model's file, pictures, and what commands print."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc

MODEL = "model.npz"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fc.__file__).parents[1])}


def accuracy_in(text):
    return float(re.search(r"held-out accuracy ([\d.]+)%", text).group(1))


def strict(text):
    """JSON as strict readers take it: no NaN, nothing else around it."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def expected_chances(pixels):
    """Of the model of `pictures`, in plain NumPy."""
    z = np.stack([pixels[:, :4].sum(axis=(1, 2)), pixels[:, 4:].sum(axis=(1, 2))], axis=1) / 255 * 0.25
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def predictions(out):
    return {row["image"]: row for row in strict(out)["images"]}
