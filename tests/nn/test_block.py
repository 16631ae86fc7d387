"""Layers of a user's own that are made of existing ones, and subclasses of records."""

import pickle

import numpy as np
import pytest

import fastconv as fc
from tests.nn import user_parts as own

FLAT = [
    fc.Conv2d(4, 3, padding="same"), fc.BatchNorm2d(), fc.Elementwise(own.elu, own.elu_grad), fc.MaxPool2d(2),
    fc.Conv2d(6, 3, padding="same"), fc.BatchNorm2d(), fc.Elementwise(own.elu, own.elu_grad),
    fc.Conv2d(6, 1, padding="same"), fc.BatchNorm2d(), fc.Elementwise(own.elu, own.elu_grad),
    fc.Flatten(), fc.Dense(3),
]  # fmt: skip
NESTED = [own.ConvBlock(4), fc.MaxPool2d(2), own.Twice(6), fc.Flatten(), fc.Dense(3)]


def build(layers, dtype="float32"):
    return fc.Sequential(layers, (2, 8, 8), dtype=dtype, seed=4)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(21, 2, 8, 8)), rng.integers(0, 3, 21)


def test_blocks_compute_what_their_parts_compute_to_the_last_bit(data):
    X, y = data
    flat, nested = build(FLAT), build(NESTED)
    assert flat.flat_parameters.tobytes() == nested.flat_parameters.tobytes()
    for model in (flat, nested):
        fc.Trainer(model, optimizer=fc.Adam(0.01)).fit(X, y, epochs=2, batch_size=8)
    assert flat.flat_parameters.tobytes() == nested.flat_parameters.tobytes()
    np.testing.assert_array_equal(flat.predict(X), nested.predict(X))
    np.testing.assert_array_equal(flat.predict(X[:1]), nested.predict(X[:1]))


def test_parameters_have_the_names_of_nested_modules(data):
    torch = pytest.importorskip("torch")
    model = build(NESTED[:1] + NESTED[1:2] + [Plain(), fc.Flatten(), fc.Dense(3)])
    assert list(model.parameters())[:4] == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"]
    nested = build([Plain(), fc.Flatten(), fc.Dense(3)], "float64")
    module = nested.to_torch()
    names = {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}
    assert names == {*nested.parameters(), *nested.statistics()}
    np.testing.assert_allclose(
        module(torch.tensor(data[0])).detach().numpy(), nested.predict(data[0]), atol=1e-12
    )


class Plain(fc.Block):
    def layers(self):
        return [fc.Conv2d(3, 3), fc.ReLU(), Inner()]


class Inner(fc.Block):
    def layers(self):
        return [fc.BatchNorm2d(), fc.MaxPool2d(2)]


def test_onnx_writes_the_parts(data, tmp_path):
    pytest.importorskip("onnx")
    model = build([Plain(), fc.Flatten(), fc.Dense(3)])
    model.to_onnx(tmp_path / "model.onnx")
    again = fc.from_onnx(tmp_path / "model.onnx")
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))
    with pytest.raises(ValueError, match=r"layer 0\.2: Elementwise\(elu\) has no counterpart in ONNX"):
        build(NESTED).to_onnx(tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_pytorch_has_no_counterpart_of_a_users_function():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"layer 0\.2: Elementwise\(elu\) has no counterpart in PyTorch"):
        build(NESTED).to_torch()


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_hold_blocks_by_their_import_path(suffix, data, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    model = build(NESTED)
    model.save(tmp_path / f"model{suffix}")
    again = fc.load(tmp_path / f"model{suffix}")
    assert again.layers[0] == own.ConvBlock(4)
    assert isinstance(again.layers[2], own.Twice)
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))
    pickled = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(pickled.predict(data[0]), model.predict(data[0]))


def test_a_class_that_cannot_be_imported_is_not_saved(tmp_path):
    class Local(fc.ReLU):
        pass

    with pytest.raises(ValueError, match="can't be found again by another process"):
        fc.Sequential([Local()], (3,)).save(tmp_path / "model.npz")


def test_a_block_is_a_layer_by_itself(data):
    X, _ = data
    block, rng = own.ConvBlock(4), np.random.default_rng(0)
    arrays = {**block.initial_parameters((2, 8, 8), rng), **block.initial_statistics((2, 8, 8))}
    assert {name: array.shape for name, array in arrays.items() if "running" not in name} == (
        block.parameter_shapes((2, 8, 8))
    )
    assert block.output_shape((2, 8, 8)) == (4, 8, 8)
    y = block.forward(X, arrays)
    dx, gradients = block.backward(X, y, np.ones_like(y), arrays)
    assert dx.shape == X.shape
    assert gradients.keys() == block.parameter_shapes((2, 8, 8)).keys()
    place, step = (0, 1, 2, 3), 1e-6
    ends = []
    for sign in (1, -1):
        moved = X.copy()
        moved[place] += sign * step
        ends.append(block.forward(moved, arrays))
    assert (ends[0] - ends[1]).sum() / (2 * step) == pytest.approx(dx[place], rel=1e-6)


def test_the_summary_and_the_explanation_name_the_parts(capsys, data):
    model = build(NESTED)
    model.summary()
    text = capsys.readouterr().out
    assert "2.1.0  Conv2d(6, kernel_size=1, padding='same')" in text
    told = fc.explain(model, data[0][0], 1)
    assert "layer 2.0.1: BatchNorm2d()" in told.text
    assert '"2.1.0.weight"' in told.text


def test_an_error_names_the_part():
    with pytest.raises(ValueError, match=r"layer 1\.0: .*takes images"):
        fc.Sequential([fc.Flatten(), own.ConvBlock(3)], (1, 4, 4))


def test_a_block_that_says_nothing_is_told_what_to_do():
    class Empty(fc.Block):
        pass

    with pytest.raises(NotImplementedError, match="Empty must have a method `layers"):
        fc.Sequential([Empty()], (3,))


def test_a_layer_that_is_made_of_nothing_known_is_refused():
    class Odd(fc.nn.layer.Layer):
        pass

    with pytest.raises(TypeError, match=r"Odd has no compiled form: .*Block.*Elementwise"):
        fc.Sequential([Odd()], (3,))


def test_subclasses_of_records_are_what_they_are(data):
    X, y = data
    for mine, built_in in ((own.Decoupled(0.05), fc.AdamW(0.05)), (own.Descent(0.1, 0.9), fc.SGD(0.1, 0.9))):
        weights = []
        for optimizer in (mine, built_in):
            model = fc.Sequential([fc.Flatten(), fc.Dense(3)], (2, 8, 8))
            fc.Trainer(model, optimizer=optimizer).fit(X, y, epochs=3)
            weights.append(model.flat_parameters.tobytes())
        assert weights[0] == weights[1]
    layers = [[fc.Conv2d(3, 3), relu, fc.Flatten(), fc.Dense(3)] for relu in (own.Rectifier(), fc.ReLU())]
    first, second = (fc.Sequential(each, (2, 8, 8)) for each in layers)
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    assert "Rectifier" in first.describe()[1][0]
