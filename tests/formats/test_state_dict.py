import numpy as np
import pytest

import fastconv as fc


@pytest.fixture
def model():
    layers = [fc.Conv2d(2, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dense(3), fc.Dense(5)]
    return fc.Sequential(layers, (1, 4, 4), seed=1)


def numbers(model, rename=lambda name: name):
    rng = np.random.default_rng(5)
    own = {**model.parameters(), **model.statistics()}
    return {rename(name): rng.random(array.shape, dtype=np.float32) for name, array in own.items()}


def saved(tmp_path, arrays):
    np.savez(tmp_path / "weights.npz", **arrays)
    return tmp_path / "weights.npz"


def assert_holds(model, arrays):
    for (name, array), wanted in zip(
        {**model.parameters(), **model.statistics()}.items(), arrays.values(), strict=True
    ):
        np.testing.assert_array_equal(array, wanted, err_msg=name)


def renamed(name):
    layer, _, part = name.partition(".")
    return f"{ {'0': 'conv1', '1': 'bn', '4': 'fc1', '5': 'fc2'}[layer] }.{part}"


NAMES = {0: "conv1", 1: "bn", 4: "fc1", 5: "fc2"}


def test_arrays_of_the_same_names_are_loaded_in_any_order(model, tmp_path):
    arrays = numbers(model)
    model.load_weights(saved(tmp_path, dict(reversed(arrays.items()))))
    assert_holds(model, arrays)


@pytest.mark.parametrize("prefix", ["module.", "net.features."])
def test_a_prefix_that_all_names_share_does_not_matter(model, tmp_path, prefix):
    arrays = numbers(model, lambda name: prefix + name)
    model.load_weights(saved(tmp_path, arrays))
    assert_holds(model, arrays)


def test_other_names_are_loaded_as_names_say(model, tmp_path):
    arrays = numbers(model, renamed)
    for names in (NAMES, {str(layer): name for layer, name in NAMES.items()}):
        model.load_weights(saved(tmp_path, arrays), names=names)
        assert_holds(model, arrays)


def test_names_need_to_name_only_layers_that_are_called_otherwise(model, tmp_path):
    arrays = numbers(model, lambda name: name.replace("4.", "last."))
    model.load_weights(saved(tmp_path, arrays), names={4: "last"})
    assert_holds(model, arrays)


def test_where_shapes_leave_one_possibility_the_error_says_how_to_ask_for_it(model, tmp_path):
    before = model.state()
    with pytest.raises(ValueError, match=r"weights\.npz does not fit the network") as caught:
        model.load_weights(saved(tmp_path, numbers(model, renamed)))
    assert f"by its shapes it can only be names={NAMES}: give that if it is meant" in str(caught.value)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_where_shapes_leave_more_than_one_possibility_nothing_is_proposed(tmp_path):
    model = fc.Sequential([fc.Dense(3), fc.Dense(3)], (3,))
    arrays = {"a.weight": np.eye(3), "a.bias": np.ones(3), "b.weight": np.eye(3), "b.bias": np.ones(3)}
    with pytest.raises(ValueError, match="the shapes leave several possibilities: give `names`"):
        model.load_weights(saved(tmp_path, arrays))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("4.bias"), r"missing \['4.bias'\], unknown \[\]"),
        (lambda a: a.pop("1.running_var"), r"missing \['1.running_var'\]"),
        (lambda a: a.update({"6.bias": np.zeros(1)}), r"unknown \['6.bias'\]"),
        (lambda a: a.update({"4.bias": np.zeros(4)}), r"'4.bias' must have shape \(3,\), got \(4,\)"),
        (lambda a: a.update({"0.weight": np.zeros((2, 9))}), r"'0.weight' must have shape \(2, 1, 3, 3\)"),
        (
            lambda a: a.update({"4.bias": np.array(["a", "b", "c"])}),
            "'4.bias' must hold floating-point numbers",
        ),
        (lambda a: a.clear(), "missing"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_network_stays(model, tmp_path, change, message):
    arrays, before = numbers(model), model.state()
    change(arrays)
    with pytest.raises(ValueError, match=message) as caught:
        model.load_weights(saved(tmp_path, arrays))
    assert "weights.npz" in str(caught.value)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ({2: "relu"}, ValueError, "`names` must name layers with weights, 0, 1, 4, 5, got '2'"),
        (["conv1"], TypeError, "`names` must be a dictionary"),
        ({0: 1}, TypeError, "`names` must be a dictionary"),
        ({**NAMES, 5: "fc3"}, ValueError, r"missing \['fc3.weight', 'fc3.bias'\], unknown \['fc2"),
    ],
)
def test_wrong_names_are_refused(model, tmp_path, names, error, message):
    with pytest.raises(error, match=message):
        model.load_weights(saved(tmp_path, numbers(model, renamed)), names=names)


def test_a_file_of_save_is_taken_too_unless_it_was_changed(model, tmp_path):
    other = fc.Sequential(model.layers, (1, 4, 4), seed=2)
    other.save(tmp_path / "other.npz")
    model.load_weights(tmp_path / "other.npz")
    np.testing.assert_array_equal(model.flat_parameters, other.flat_parameters)
    with np.load(tmp_path / "other.npz") as file:
        arrays = {**file, "4.bias": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match="changed after it was saved"):
        model.load_weights(saved(tmp_path, arrays))


def test_numbers_are_converted_to_the_networks_dtype(tmp_path):
    model = fc.Sequential([fc.Dense(1)], (2,), dtype="float64")
    arrays = {"0.weight": np.array([[0.1, 1]], np.float16), "0.bias": np.array([3])}
    model.load_weights(saved(tmp_path, arrays))
    assert model.predict([[1.0, 1.0]]).tolist() == [[float(np.float16(0.1)) + 4]]


# PyTorch


def test_a_state_dict_of_pytorch_is_loaded_by_name(tmp_path):
    torch, files = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    )
    module(torch.randn(8, 1, 8, 8))  # moves the running statistics
    assert "1.num_batches_tracked" in module.state_dict()
    files.save_file(module.state_dict(), tmp_path / "weights.safetensors")
    layers = [fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dense(3)]
    model = fc.Sequential(layers, (1, 8, 8))
    model.load_weights(tmp_path / "weights.safetensors")
    X = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-5, atol=1e-6)


def test_a_state_dict_in_bfloat16_is_loaded(tmp_path):
    torch, files = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    linear = torch.nn.Linear(3, 2).to(torch.bfloat16)
    files.save_file(
        {f"0.{k}": v.detach() for k, v in linear.state_dict().items()}, tmp_path / "w.safetensors"
    )
    model = fc.Sequential([fc.Dense(2)], (3,))
    model.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(model.parameters()["0.weight"], linear.weight.detach().float().numpy())


def test_a_file_of_torch_save_is_refused_by_its_name(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"0.weight": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"weights\.pt"):
        fc.models.reference_cnn().load_weights(tmp_path / "weights.pt")


# What wrappers of PyTorch make of names and weights


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"_orig_mod.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: name.replace(".", "._orig_mod.", 1),
        lambda name: "net." + (name.replace(".", "._orig_mod.", 1) if name[0] in "04" else name),
        lambda name: f"_fsdp_wrapped_module._checkpoint_wrapped_module.{name}",
    ],
)
def test_wrappers_in_names_do_not_matter(model, tmp_path, rename):
    arrays = numbers(model, rename)
    model.load_weights(saved(tmp_path, arrays))
    assert_holds(model, arrays)


def test_the_counter_of_averaged_weights_is_passed_over(model, tmp_path):
    arrays = numbers(model, lambda name: f"module.{name}")
    model.load_weights(saved(tmp_path, {"n_averaged": np.array(3), **arrays}))
    assert_holds(model, arrays)


@pytest.mark.parametrize(
    ("parts", "remedy"),
    [
        (
            ["parametrizations.weight.original0", "parametrizations.weight.original1"],
            "remove_parametrizations",
        ),
        (["weight_g", "weight_v"], "remove_weight_norm"),
        (["weight_orig", "weight_u", "weight_v"], "remove_spectral_norm"),
        (["weight_orig", "weight_mask"], r"prune\.remove"),
    ],
)
def test_weights_in_parts_are_refused_with_what_makes_them_whole(model, tmp_path, parts, remedy):
    arrays = numbers(model)
    whole = arrays.pop("0.weight")
    arrays |= {f"0.{part}": whole for part in parts}
    with pytest.raises(
        ValueError, match=rf"missing \['0\.weight'\].*are worked out by .*{remedy} makes plain"
    ):
        model.load_weights(saved(tmp_path, arrays))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, bool, "U5", "S5"])
def test_what_is_no_number_or_quantised_is_refused_and_nothing_changes(model, tmp_path, kind):
    arrays, before = numbers(model), model.state()
    arrays["5.weight"] = np.ones(arrays["5.weight"].shape).astype(kind)
    with pytest.raises(ValueError, match=r"'5\.weight' must hold floating-point numbers, got "):
        model.load_weights(saved(tmp_path, arrays))
    assert_holds(model, before)


def test_numbers_that_the_network_s_precision_has_not_are_refused(model, tmp_path):
    arrays = {name: array.astype(np.float64) for name, array in numbers(model).items()}
    arrays["5.weight"][0, 0] = 1e39
    with pytest.raises(ValueError, match=r"'5\.weight' holds numbers that are too large for float32"):
        model.load_weights(saved(tmp_path, arrays))
    double = fc.Sequential(model.layers, model.input_shape, "float64")
    double.load_weights(saved(tmp_path, arrays))
    arrays["5.weight"][0, 0] = np.inf  # as it stands in the file
    model.load_weights(saved(tmp_path, arrays))
    assert np.isinf(model.parameters()["5.weight"][0, 0])
