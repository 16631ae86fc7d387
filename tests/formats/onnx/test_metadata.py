"""What a network knows about its classes and pixels travels in ONNX files too."""

import json

import numpy as np
import pytest

import fastconv as fc
from tests.formats.onnx.onnx_tools import close, onnx, runtime, samples

ABOUT = {
    "classes": ["cat", "ü", "dog"],
    "input_scale": 1 / 255,
    "loss": "cross_entropy",
    "held_out": {"a": 1.5},
}


def network(layers=(), outputs=3, shape=(1, 4, 4), **metadata):
    model = fc.Sequential([fc.Flatten(), fc.Dense(outputs), *layers], shape, seed=3)
    model.metadata = metadata
    return model


def texts(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "onnx"])
def test_metadata_come_back_from_every_file(tmp_path, suffix):
    path = tmp_path / f"model.{suffix}"
    model = network(**ABOUT)
    if suffix == "onnx":
        model.to_onnx(path)
        again = fc.from_onnx(path)
    else:
        pytest.importorskip("safetensors")
        model.save(path)
        again = fc.load(path)
    assert again.metadata == ABOUT
    image = np.zeros((4, 4), np.uint8)
    assert fc.classify(again, image).label == fc.classify(model, image).label in ABOUT["classes"]


def test_other_programs_find_the_classes_and_the_scale_of_pixels(tmp_path):
    network(**ABOUT).to_onnx(tmp_path / "model.onnx")
    found = texts(tmp_path / "model.onnx")
    assert json.loads(found["classes"]) == ABOUT["classes"]
    assert found["Image.NominalPixelRange"] == "Normalized_0_1"
    network(input_scale=1).to_onnx(tmp_path / "model.onnx")
    assert texts(tmp_path / "model.onnx")["Image.NominalPixelRange"] == "NominalRange_0_255"
    network(input_scale=0.3).to_onnx(tmp_path / "model.onnx")
    assert set(texts(tmp_path / "model.onnx")) == {"fastconv"}
    network().to_onnx(tmp_path / "model.onnx")
    assert texts(tmp_path / "model.onnx") == {}


@pytest.mark.parametrize(("name", "scale"), [("NominalRange_0_255", 1.0), ("Normalized_0_1", 1 / 255)])
def test_the_scale_of_pixels_is_read_from_files_of_others(tmp_path, name, scale):
    path = tmp_path / "model.onnx"
    network().to_onnx(path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"Image.NominalPixelRange": name, "author": "somebody"})
    onnx.save(model, path)
    assert fc.from_onnx(path).metadata == {"input_scale": scale}


@pytest.mark.parametrize("text", ["", "{", "[" * 10000, '{"a": ' * 200 + "1" + "}" * 200])
def test_damaged_metadata_are_refused_by_the_file(tmp_path, text):
    path = tmp_path / "model.onnx"
    network().to_onnx(path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"fastconv": text})
    onnx.save(model, path)
    with pytest.raises(
        ValueError, match=r"model\.onnx cannot be read as a network: its metadata are damaged"
    ):
        fc.from_onnx(path)


def test_metadata_that_json_cannot_hold_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(TypeError, match="`metadata"):
        network(thing=object()).to_onnx(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


# Probabilities instead of logits

ENDS = {  # layers, outputs, loss -> what is added
    "classes": ([], 3, None, "Softmax"),
    "one output": ([], 1, None, "Sigmoid"),
    "several answers": ([], 3, "bce_with_logits", "Sigmoid"),
    "a softmax": ([fc.Softmax()], 3, None, None),
    "a sigmoid": ([fc.Sigmoid()], 1, None, None),
    "probabilities of another kind": ([], 1, "bce", None),
}


@pytest.mark.parametrize("end", ENDS)
def test_softmax_makes_probabilities_of_logits_and_only_of_them(tmp_path, end):
    layers, outputs, loss, last = ENDS[end]
    model = network(layers, outputs, **({"loss": loss} if loss else {}))
    wanted = fc.Sequential([*model.layers, *([getattr(fc, last)()] if last else [])], model.input_shape)
    wanted.load_state(model.state())
    X = samples(model.input_shape)
    model.to_onnx(tmp_path / "model.onnx", softmax=True)
    close(runtime(tmp_path / "model.onnx", X), wanted.predict(X))
    assert fc.from_onnx(tmp_path / "model.onnx").layers == wanted.layers
    torch = pytest.importorskip("torch")
    module = model.to_torch(softmax=True)
    assert len(module) == len(wanted.layers)
    with torch.no_grad():
        close(module(torch.from_numpy(X)).numpy(), wanted.predict(X))
    assert fc.from_torch(module, model.input_shape).layers == wanted.layers


def test_softmax_after_what_is_no_logits_is_refused(tmp_path):
    regression, images = network(loss="mse"), fc.Sequential([fc.ReLU()], (1, 3, 3))
    for model in (regression, images):
        with pytest.raises(ValueError, match="`softmax` needs"):
            model.to_onnx(tmp_path / "model.onnx", softmax=True)
    assert list(tmp_path.iterdir()) == []
