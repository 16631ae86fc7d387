"""Networks that are saved and loaded."""

import copy
import json
import warnings

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.model_file import read_model, write_model
from tests.models.every_layer import EVERY_LAYER, EVERY_NETWORK, EVERY_SIGNAL_LAYER, SHAPE, kinds_in
from tests.nn.layer_kinds import LAYERS


def test_the_network_to_be_saved_holds_every_layer():
    assert kinds_in([*EVERY_LAYER, *EVERY_SIGNAL_LAYER]) == set(LAYERS)


@pytest.mark.parametrize("name", EVERY_NETWORK)
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saved_network_is_loaded_as_it_was(tmp_path, dtype, suffix, name):
    layers, shape = EVERY_NETWORK[name]
    model = fc.Sequential(layers, shape, dtype=dtype, seed=9)
    for array in model.statistics().values():
        array[...] = np.random.default_rng(0).random(array.shape)
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    again = fc.load(path)
    assert (again.layers, again.input_shape, again.dtype, again.seed) == (model.layers, shape, dtype, 9)
    for name, array in again.state().items():
        np.testing.assert_array_equal(array, model.state()[name])
        assert array.dtype == dtype
    X = np.random.default_rng(1).random((3, *shape))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_saved_network_goes_on_training_as_the_first_would(tmp_path, model, images):
    model.save(str(tmp_path / "model.npz"))
    again = fc.load(str(tmp_path / "model.npz"))
    for network in (model, again):
        fc.Trainer(network).fit(images, np.arange(37) % 4, epochs=2)
    np.testing.assert_array_equal(again.flat_parameters, model.flat_parameters)


def test_metadata_are_kept(tmp_path, model):
    path = tmp_path / "model.npz"
    model.save(path, metadata={"classes": ["a", "ü"], "score": 0.5})
    again = fc.load(path)
    assert again.metadata == {"classes": ["a", "ü"], "score": 0.5}
    again.save(path)
    assert fc.load(path).metadata == again.metadata
    model.save(path)
    assert fc.load(path).metadata == {}


def test_a_seed_of_numpy_is_saved_too(tmp_path):
    fc.Sequential([fc.Dense(2)], (3,), seed=np.int64(4)).save(tmp_path / "model.npz")
    assert fc.load(tmp_path / "model.npz").seed == 4


def test_the_file_has_exactly_the_name_asked_for(tmp_path, model):
    model.save(tmp_path / "network.of.mine.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["network.of.mine.npz"]
    assert fc.load(tmp_path / "network.of.mine.npz").num_parameters == model.num_parameters


@pytest.mark.parametrize("name", ["model", "model.pt", "model.NPZ", "npz", "model.npz.bak"])
def test_a_suffix_of_another_format_is_refused_before_anything_is_written(tmp_path, model, name):
    with pytest.raises(ValueError, match=r"`path` must end in \.npz or \.safetensors, got '.*" + name):
        model.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda d, s: d["layers"].append({"name": "Exec"}),
        lambda d, s: d["layers"].append({"name": "Block"}),
        lambda d, s: d["layers"][0].update(name="__class__"),
        lambda d, s: d["layers"][0].update(kernel_size=0),
        lambda d, s: d["layers"][0].update(unknown=1),
        lambda d, s: d["layers"].pop(),
        lambda d, s: d.update(layers=3),
        lambda d, s: d.update(layers=[3]),
        lambda d, s: d.pop("dtype"),
        lambda d, s: d.update(dtype="float16"),
        lambda d, s: d.update(input_shape=[1, 2, 2]),
        lambda d, s: d.update(input_shape="large"),
        lambda d, s: d.pop("metadata"),
        lambda d, s: s.pop("0.bias"),
        lambda d, s: s.update({"0.bias": np.zeros(9)}),
        lambda d, s: s.update({"0.bias": np.array(["a", "b", "c"])}),
    ],
)
def test_a_file_that_describes_no_network_is_refused_by_its_name(tmp_path, model, change):
    path = tmp_path / "model.npz"
    model.save(path)
    description, state = read_model(path)
    change(description, state)
    write_model(path, description, state)
    with pytest.raises(ValueError, match=r"model\.npz does not describe a network"):
        fc.load(path)


def test_a_file_cannot_ask_for_more_memory_than_it_has_numbers(tmp_path, model):
    path = tmp_path / "model.npz"
    model.save(path)
    description, state = read_model(path)
    description["layers"][-1]["out_features"] = 2**44
    write_model(path, description, state)
    with pytest.raises(ValueError, match=r"model\.npz"):
        fc.load(path)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_of_a_checkpoint_is_loaded_and_said(tmp_path, images, suffix, dtype):
    path = tmp_path / f"run.{suffix}"
    model = fc.Sequential(EVERY_LAYER, SHAPE, dtype, seed=5)
    model.metadata = {"classes": ["a", "b"], "loss": "mse"}
    X = np.random.default_rng(0).random((8, *SHAPE))
    y = np.zeros((8, *model.output_shape))
    fc.Trainer(model, loss="mse", seed=8).fit(X, y, epochs=2, checkpoint=path, progress=False)
    with pytest.warns(
        UserWarning, match=rf"run\.{suffix} is a checkpoint: its network after 2 epochs is taken"
    ):
        again = fc.load(path)
    assert (again.layers, again.input_shape, again.dtype, again.seed) == (model.layers, SHAPE, dtype, 5)
    assert again.metadata == model.metadata
    for name, array in again.state().items():
        np.testing.assert_array_equal(array, model.state()[name])


def test_a_checkpoint_of_an_earlier_version_says_what_to_do(tmp_path, model, images):
    path = tmp_path / "run.npz"
    fc.Trainer(model).fit(images, np.arange(37) % 4, epochs=1, checkpoint=path)
    description, state = read_model(path)
    del description["network"]
    write_model(path, description, state)
    with pytest.raises(ValueError, match=r"run\.npz does not describe a network: .*resume=True"):
        fc.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d, s: d.update(network=3),
        lambda d, s: d["network"].pop("input_shape"),
        lambda d, s: d["network"].update(input_shape=[1]),
        lambda d, s: d.update(run=None),
        lambda d, s: d["run"].pop("layers"),
        lambda d, s: d.update(epochs_done="many"),
        lambda d, s: s.clear(),
    ],
)
def test_a_checkpoint_that_describes_no_network_is_refused_by_its_name(tmp_path, model, images, change):
    path = tmp_path / "run.npz"
    fc.Trainer(model).fit(images, np.arange(37) % 4, epochs=1, checkpoint=path)
    description, state = read_model(path)
    change(description, state)
    write_model(path, description, state)
    with pytest.raises(ValueError, match=r"run\.npz does not describe a network"):
        fc.load(path)


def test_a_missing_file_is_an_oserror(tmp_path, model):
    with pytest.raises(FileNotFoundError):
        fc.load(tmp_path / "none.npz")
    with pytest.raises(OSError, match="none"):
        model.save(tmp_path / "none" / "model.npz")


def test_metadata_that_json_cannot_hold_are_refused_and_the_old_file_stays(tmp_path, model):
    path = tmp_path / "model.npz"
    model.save(path, metadata={"old": 1})
    with pytest.raises(TypeError):
        model.save(path, metadata={"new": object()})
    assert fc.load(path).metadata == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


def test_the_description_in_the_file_is_plain_json(tmp_path, model):
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        description = json.loads(str(file["description"]))
        assert sorted(file.files) == sorted(["description", *model.state()])
    assert description["layers"][0]["name"] == "Conv2d"
    assert description["layers"][0]["kernel_size"] == [3, 3]


# Whatever stands in a file

ODD = [
    None, True, 0, -1, 1, 2**31, 2**70, 1.5, float("nan"), float("inf"), "", "x", "mse", "__class__",
    "os:system", "fastconv:load", [], [1], [0, 0], [-1, 5], [2**40, 2**40], [1.5, "a"], [[1]], {}, {"a": 1},
    {"name": "ReLU"},
]  # fmt: skip


def places(value, before=()):
    """The paths to everything in a description."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*before, key)
        yield from places(inner, (*before, key))


def put(value, place, new):
    for key in place[:-1]:
        value = value[key]
    value[place[-1]] = new


def graph():
    """A network with two inputs, two outputs, branches, and a layer that is called twice."""
    image, speed = fc.Input((2, 6, 6), name="image"), fc.Input((3,), name="speed")
    y = fc.ReLU()(fc.Conv2d(2, 3, padding="same")(image, name="stem"))
    y = fc.Residual([fc.Conv2d(2, 1)])(y) + image
    dense = fc.Dense(3)
    features = fc.Concatenate()([fc.Flatten()(y), dense(dense(speed))])
    return fc.Model([image, speed], {"policy": fc.Dense(5)(features), "value": fc.Dense(1)(features)})


@pytest.mark.parametrize("kind", ["model", "graph", "checkpoint", "resumed"])
def test_a_file_that_describes_anything_is_read_or_refused_by_its_name(tmp_path, kind):
    path = tmp_path / "whole.npz"
    model = fc.Sequential(EVERY_LAYER, SHAPE, seed=9)
    X, y = np.ones((4, *SHAPE)), np.zeros((4, *model.output_shape))
    model = graph() if kind == "graph" else model
    options = {"epochs": 1, "progress": False}

    def trainer():
        return fc.Trainer(fc.Sequential(EVERY_LAYER, SHAPE), loss="mse", optimizer=fc.Adam(0.01))

    if kind in ("model", "graph"):
        model.save(path, metadata={"classes": ["a"]})
    else:
        trainer().fit(X, y, checkpoint=path, **options)
    description, state = read_model(path)
    rng, refused = np.random.default_rng(len(kind)), 0
    for place in places(description):
        changed = copy.deepcopy(description)
        put(changed, place, ODD[rng.integers(len(ODD))])
        write_model(tmp_path / "odd.npz", changed, state)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if kind == "resumed":
                    trainer().fit(X, y, checkpoint=tmp_path / "odd.npz", resume=True, **options)
                else:
                    fc.load(tmp_path / "odd.npz")
        except ValueError as error:
            refused += "odd.npz" in str(error)
        except ImportError:
            refused += 1  # a module that there is not
        else:
            continue
    assert refused > 20
