"""Group normalisation: kernels, compiled step, files and other libraries, against PyTorch and differences."""

import io

import numba
import numpy as np
import pytest

import fastconv as fc
from fastconv import kernels

SHAPES = [((3, 4, 5, 6), 2), ((1, 6, 1, 1), 3), ((18, 8, 3, 20), 1), ((5, 3, 7, 2), 3), ((2, 16, 9, 33), 4)]
NETWORKS = {
    "after a convolution": [fc.Conv2d(6, 3, padding=1), fc.GroupNorm(3), fc.ReLU(), fc.Conv2d(4, 3)],
    "first and last": [fc.GroupNorm(2), fc.Conv2d(4, 2, padding=1), fc.GroupNorm(4, eps=0.01)],
    "of features": [fc.Flatten(), fc.Dense(12), fc.GroupNorm(4), fc.Tanh(), fc.Dense(3)],
    "between batch norms": [
        fc.BatchNorm2d(), fc.Conv2d(4, 3), fc.GroupNorm(1), fc.BatchNorm2d(), fc.MaxPool2d(2), fc.Flatten(),
    ],
}  # fmt: skip


def arrays_for(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(3, 2, shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    return x, dy, *(rng.normal(1, 0.5, shape[1]).astype(dtype) for _ in range(2))


def model_for(name, dtype="float64"):
    model = fc.Sequential(NETWORKS[name], (2, 7, 6), dtype=dtype, seed=3)
    rng = np.random.default_rng(1)
    for array in model.parameters().values():
        array += rng.uniform(-0.1, 0.1, array.shape)
    return model


def data_for(model, count=21):
    rng = np.random.default_rng(2)
    return rng.normal(size=(count, *model.input_shape)), rng.normal(size=(count, *model.output_shape))


@pytest.mark.parametrize(("shape", "groups"), SHAPES)
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-5), ("float64", 1e-11)])
def test_the_kernels_agree_with_pytorch(shape, groups, dtype, rtol):
    torch = pytest.importorskip("torch")
    x, dy, gamma, beta = arrays_for(shape, dtype)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, gamma, beta)]
    expected = torch.nn.functional.group_norm(tensors[0], groups, *tensors[1:], eps=1e-3)
    expected.backward(torch.tensor(dy))
    y, saved = kernels.group_norm(x, groups, gamma, beta, eps=1e-3)
    assert y.dtype == saved.dtype == x.dtype
    assert saved.shape == (2, shape[0], groups)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=rtol, atol=rtol)
    for mine, tensor in zip(kernels.group_norm_grad(dy, x, gamma, saved), tensors, strict=True):
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=10 * rtol, atol=10 * rtol)


def test_numbers_worked_by_hand():
    """Group one: mean 2, variance 1; group two: mean 6, variance 4."""
    x = np.array([1.0, 3.0, 4.0, 8.0]).reshape(1, 4, 1, 1)
    y, saved = kernels.group_norm(
        x, 2, np.array([1.0, 2.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.0, 5.0]), eps=0.0
    )
    np.testing.assert_allclose(y.ravel(), [-1, 2, -1, 6])
    np.testing.assert_allclose(saved.ravel(), [2, 6, 1, 0.5])


def test_the_gradients_agree_with_differences():
    x, dy, gamma, beta = arrays_for((2, 4, 3, 3))
    _, saved = kernels.group_norm(x, 2, gamma, beta)
    found = kernels.group_norm_grad(dy, x, gamma, saved)
    for which, (array, gradient) in enumerate(zip((x, gamma, beta), found, strict=True)):
        for place in list(np.ndindex(array.shape))[::3]:
            ends = []
            for sign in (1, -1):
                given = [x, gamma, beta]
                given[which] = array.copy()
                given[which][place] += sign * 1e-6
                ends.append((kernels.group_norm(given[0], 2, *given[1:])[0] * dy).sum())
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(gradient[place], rel=1e-5, abs=1e-7)


def test_strided_read_only_and_empty_arrays_and_compiled_callers():
    x, dy, gamma, beta = arrays_for((4, 6, 5, 5))
    wide = np.zeros((4, 12, 5, 5))
    wide[:, ::2] = x
    view = wide[:, ::2]
    view.flags.writeable = False
    expected, saved = kernels.group_norm(x, 3, gamma, beta)
    np.testing.assert_array_equal(kernels.group_norm(view, 3, gamma, beta)[0], expected)
    assert kernels.group_norm(x[:0], 3, gamma, beta)[0].shape == (0, 6, 5, 5)
    empty = kernels.group_norm_grad(dy[:0], x[:0], gamma, saved[:, :0])
    assert [array.shape for array in empty] == [(0, 6, 5, 5), (6,), (6,)]

    @numba.njit
    def both(x, dy, gamma, beta):
        y, saved = kernels.group_norm(x, 3, gamma, beta)
        return y, kernels.group_norm_grad(dy, x, gamma, saved)[0]

    y, dx = both(x, dy, gamma, beta)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx, kernels.group_norm_grad(dy, x, gamma, saved)[0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_groups": 3}, ValueError, "`num_groups` must divide the 4 channels of `x`, got 3"),
        ({"num_groups": 0}, ValueError, "`num_groups` must be a positive int"),
        ({"num_groups": 2.0}, TypeError, "`num_groups` must be a positive int"),
        ({"gamma": np.ones(3)}, ValueError, "`gamma` must have 4 entries"),
        ({"beta": np.ones(5)}, ValueError, "`beta` must have 4 entries"),
        ({"gamma": np.ones(4, "f4")}, TypeError, "`gamma`"),
        ({"x": np.ones((2, 4))}, ValueError, "`x` must be a 4-D array"),
        ({"eps": "small"}, TypeError, "`eps` must be a number"),
    ],
)
def test_wrong_arguments_are_refused_by_name(change, error, message):
    arguments = {"x": np.ones((2, 4, 3, 3)), "num_groups": 2, "gamma": np.ones(4), "beta": np.ones(4)}
    with pytest.raises(error, match=message):
        kernels.group_norm(**{**arguments, **change})


def test_a_gradient_of_other_shapes_is_refused():
    x, _, gamma, beta = arrays_for((2, 4, 3, 3))
    _, saved = kernels.group_norm(x, 2, gamma, beta)
    for wrong in (saved[:, :1], saved[:1], np.ones((2, 2, 3))):
        with pytest.raises(ValueError, match=r"`saved`|`num_groups`"):
            kernels.group_norm_grad(x, x, gamma, wrong)
    with pytest.raises(ValueError, match="`dy` must have the shape of `x`"):
        kernels.group_norm_grad(x[:1], x, gamma, saved)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_agree_with_pytorch_and_with_differences(name):
    torch = pytest.importorskip("torch")
    model = model_for(name)
    X, y = data_for(model)
    module = model.to_torch().train()
    value = torch.nn.functional.mse_loss(module(torch.tensor(X)), torch.tensor(y))
    value.backward()
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    assert loss == pytest.approx(value.item(), rel=1e-12)
    for key, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[key], parameter.grad.numpy(), rtol=1e-8, atol=1e-11)
    assert fc.check_gradients(model, X, y, "mse") < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_has_the_same_bits_on_any_threads_and_in_any_batch(name, dtype):
    before, found = fc.get_num_threads(), []
    for threads in (1, 2, 3, 8):
        fc.set_num_threads(threads)
        model = model_for(name, dtype)
        X, y = data_for(model, 53)
        fc.Trainer(model, loss="mse", optimizer=fc.Adam(0.01)).fit(X, y, epochs=2, batch_size=40)
        found.append(model.flat_parameters.tobytes() + model.predict(X).tobytes())
    fc.set_num_threads(before)
    assert len(set(found)) == 1
    whole = model.predict(X)
    for count in (1, 3, 17):
        np.testing.assert_array_equal(model.predict(X[:count]), whole[:count])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_sample_does_not_depend_on_the_others(name):
    if "batch" in name:
        pytest.skip("batch normalisation does")
    model = model_for(name)
    X, y = data_for(model)
    alone = [model.loss_and_gradients(X[k : k + 1], y[k : k + 1], "mse")[0] for k in range(len(X))]
    assert model.loss_and_gradients(X, y, "mse")[0] == pytest.approx(np.mean(alone), rel=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_layer_by_layer_gives_the_same(name):
    if "batch" in name:
        pytest.skip("there the running figures stand for the batch's")
    model = model_for(name)
    X, y = data_for(model)
    np.testing.assert_allclose(
        fc.inspection.activations(model, X)[-1], model.predict(X), rtol=1e-10, atol=1e-12
    )
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    value, _, others = fc.inspection.backward(model, X, y, "mse")
    assert value == pytest.approx(loss, rel=1e-12)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(others[key], gradient, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx_holds_it_both_ways(name, dtype, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model, path = model_for(name, dtype), tmp_path / "model.onnx"
    X, _ = data_for(model)
    model.to_onnx(path)
    again = fc.from_onnx(path)
    assert again.layers == model.layers
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"input": X.astype(dtype)})[0]
    np.testing.assert_allclose(
        outputs, model.predict(X), rtol=1e-4, atol=2e-5 if dtype == "float32" else 1e-12
    )


def test_onnxs_own_operator_is_read(tmp_path):
    onnx = pytest.importorskip("onnx")
    torch = pytest.importorskip("torch")
    scale, bias = np.arange(1, 5, dtype=np.float32), np.arange(4, dtype=np.float32)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2, epsilon=1e-3)],
        "g",
        [helper.make_tensor_value_info("x", kind, ["N", 4, 3, 3])],
        [helper.make_tensor_value_info("y", kind, ["N", 4, 3, 3])],
        [onnx.numpy_helper.from_array(scale, "s"), onnx.numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    read = fc.from_onnx(tmp_path / "model.onnx")
    assert read.layers == (fc.GroupNorm(2, eps=0.001),)
    X = np.random.default_rng(0).normal(size=(5, 4, 3, 3)).astype(np.float32)
    expected = torch.nn.functional.group_norm(torch.tensor(X), 2, *map(torch.tensor, (scale, bias)), eps=1e-3)
    np.testing.assert_allclose(read.predict(X), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_pytorch_gives_it_back_with_its_settings():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 6, 3), torch.nn.GroupNorm(3, 6, eps=1e-3))
    assert fc.from_torch(module, (2, 7, 7)).layers[1] == fc.GroupNorm(3, eps=1e-3)
    with pytest.raises(ValueError, match="`affine` must be True"):
        fc.from_torch(torch.nn.Sequential(torch.nn.GroupNorm(3, 6, affine=False)), (6, 7, 7))


@pytest.mark.parametrize("name", NETWORKS)
def test_files_keep_it(name, tmp_path):
    model = model_for(name)
    model.save(tmp_path / "model.npz")
    again = fc.load(tmp_path / "model.npz")
    assert again.layers == model.layers
    X, _ = data_for(model)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_the_explanation_works_one_number_out():
    model = fc.Sequential([fc.GroupNorm(1)], (2, 1, 1), dtype="float64")
    told = fc.explain(model, [[[1.0]], [[3.0]]], [[[0.0]], [[0.0]]], loss="mse", file=io.StringIO())
    assert "N0[0,0,0] = 1 * (1 - 2) / sqrt(1 + 1e-05) + 0 = -0.999995" in " ".join(told.text.split())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fc.GroupNorm(0), "`num_groups`"),
        (lambda: fc.GroupNorm(2, eps=0), "`eps`"),
        (lambda: fc.GroupNorm(2, 8), "by position"),
        (lambda: fc.Sequential([fc.GroupNorm(4)], (6, 3, 3)), "multiple of num_groups"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
