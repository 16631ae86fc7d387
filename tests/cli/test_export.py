"""The command that exports."""

import os

import numpy as np
import pytest

import fastconv as fc
from tests.cli.answers import MODEL, strict


def test_export_writes_a_copy_that_gives_the_same_answers(run):
    model = fc.models.reference_cnn(seed=3)
    model.save(MODEL, metadata={"classes": [3, 8]})
    code, out, _ = run("export", MODEL, "copy.npz", "--json")
    assert code == 0
    assert strict(out) == {
        "model": MODEL,
        "output": "copy.npz",
        "bytes": os.path.getsize("copy.npz"),
        "parameters": 15,
    }
    X = np.random.default_rng(0).random((5, 1, 6, 6))
    np.testing.assert_array_equal(fc.load("copy.npz").predict(X), model.predict(X))
    assert fc.load("copy.npz").metadata == {"classes": [3, 8]}


def test_export_to_onnx_gives_the_same_answers_elsewhere(run):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    if not hasattr(fc.Sequential, "to_onnx"):
        pytest.skip("no to_onnx yet")
    model = fc.models.reference_cnn(seed=3)
    model.save(MODEL)
    code, out, err = run("export", MODEL, "model.onnx")
    assert code == 0, err
    assert out.startswith("saved model.onnx: 15 parameters, ")
    session = runtime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    X = np.random.default_rng(0).random((5, 1, 6, 6), dtype=np.float32)
    found = session.run(None, {session.get_inputs()[0].name: X})[0]
    np.testing.assert_allclose(found.reshape(-1), model.predict(X).reshape(-1), atol=1e-6)


def test_safetensors_are_written_and_taken_by_every_command(run, stripes):
    safetensors = pytest.importorskip("safetensors.numpy")
    if not hasattr(fc.Sequential, "to_onnx"):
        pytest.skip("no safetensors yet")
    code, _, err = run("train", "--data", stripes, "--epochs", 3, "-o", "model.safetensors")
    assert code == 0, err
    arrays = safetensors.load_file("model.safetensors")
    assert sum(array.size for array in arrays.values()) == fc.load("model.safetensors").num_parameters
    for command in ("evaluate", "predict"):
        assert run(command, "model.safetensors")[0] == 0
    assert run("export", "model.safetensors", "model.npz")[0] == 0
    assert fc.load("model.npz").metadata == fc.load("model.safetensors").metadata


def test_probabilities_are_exported_where_they_are_asked_for(run):
    runtime = pytest.importorskip("onnxruntime")
    model = fc.models.lenet_digits(num_classes=3)
    model.save(MODEL, metadata={"classes": ["a", "b", "c"]})
    code, _, err = run("export", MODEL, "model.onnx", "--softmax")
    assert code == 0, err
    session = runtime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    X = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    found = session.run(None, {"input": X})[0]
    wanted = [[record.probabilities[c] for c in "abc"] for record in fc.classify(fc.load(MODEL), X)]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert fc.from_onnx("model.onnx").metadata == {"classes": ["a", "b", "c"]}
    code, _, err = run("export", MODEL, "copy.npz", "--softmax")
    assert code == 2
    assert "--softmax is for .onnx files" in err


def test_a_checkpoint_is_predicted_evaluated_and_exported_as_the_network_that_is_in_it(run, stripes):
    code, _, err = run(
        "train", "--data", stripes, "--epochs", 3, "-o", MODEL, "--checkpoint", "run.npz", "--quiet"
    )
    assert code == 0, err
    for command in ("predict", "evaluate"):
        wanted = run(command, MODEL)[1]
        code, out, err = run(command, "run.npz")
        assert (code, out.replace("run.npz", MODEL)) == (0, wanted)
        assert "note: run.npz is a checkpoint: its network after 3 epochs is taken" in err
    assert run("export", "run.npz", "copy.npz")[0] == 0
    again, whole = fc.load("copy.npz"), fc.load(MODEL)
    np.testing.assert_array_equal(again.flat_parameters, whole.flat_parameters)
    assert again.metadata["classes"] == whole.metadata["classes"]
