"""Networks that branch: what they compute, their gradients, and the memory that their values share."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv.inspection import activations, backward


def same(channels, size=3):
    return fc.Conv2d(channels, size, padding="same")


def signals(channels, size):
    return fc.Conv1d(channels, size, padding="same")


CLASSES = [fc.Flatten(), fc.Dense(3)]
GRAPHS = {
    "residual": ([same(4), fc.Residual([same(4), fc.ReLU(), same(4)]), fc.ReLU(), *CLASSES], (1, 6, 6)),
    "residual first": ([fc.Residual([same(2), fc.ReLU(), same(2)]), fc.ReLU(), *CLASSES], (2, 6, 6)),
    "residual last": ([same(2), fc.Residual([same(2), fc.ReLU(), same(2)])], (2, 6, 6)),
    "a value several times": ([same(2), fc.Add([], []), fc.Tanh(), fc.Add([], [], []), *CLASSES], (2, 5, 5)),
    "relu read twice": (
        [same(3), fc.ReLU(), fc.Residual([same(3), fc.ReLU()]), fc.MaxPool2d(2), *CLASSES], (2, 6, 6)
    ),
    "activations on a shared value": (
        [same(3), fc.Add([fc.ReLU(), same(3)], [fc.Tanh()], []), *CLASSES], (2, 6, 6)
    ),
    "concatenate": (
        [same(3), fc.Concatenate([fc.Conv2d(2, 1)], [same(3), fc.ReLU()],
                                 [fc.MaxPool2d(3, 1, 1), fc.Conv2d(2, 1)], []),
         fc.ReLU(), same(2), *CLASSES],
        (2, 6, 6),
    ),
    "concatenate last": ([fc.Concatenate([same(2)], [same(2), fc.ReLU()])], (1, 4, 4)),
    "a value joined to itself": ([same(2), fc.Concatenate([], []), fc.Tanh(), *CLASSES], (1, 4, 4)),
    "nested": (
        [fc.Residual([same(2), fc.Residual([fc.Concatenate([same(1)], [same(1)]), fc.Sigmoid()],
                                           [fc.LeakyReLU()]), fc.ReLU()]), *CLASSES],
        (2, 5, 5),
    ),
    "features": (
        [fc.Dense(6), fc.ReLU(), fc.Residual([fc.Dense(6), fc.ReLU(), fc.Dense(6)]), fc.ReLU(),
         fc.Concatenate([fc.Dense(3)], []), fc.Dense(2)],
        (5,),
    ),
    "flattened branches": (
        [same(2), fc.Add([fc.Flatten(), fc.Dense(4)], [fc.ReLU(), fc.Flatten(), fc.Dense(4)]), fc.ReLU(),
         fc.Dense(2)],
        (1, 4, 4),
    ),
    "pooled branches": (
        [same(2), fc.ReLU(), fc.Concatenate([fc.MaxPool2d(2)], [fc.AvgPool2d(2)]), *CLASSES], (1, 4, 4)
    ),
    "softmax of a sum": (
        [fc.Dense(4), fc.Add([fc.Dense(3)], [fc.Tanh(), fc.Dense(3)]), fc.Softmax()], (4,)
    ),
    "group norm and dropout of nothing": (
        [same(4), fc.Residual([fc.GroupNorm(2), fc.Dropout(0.0), same(4)]), *CLASSES], (1, 4, 4)
    ),
    "strided shortcut": (
        [same(4), fc.ReLU(), fc.Residual([fc.Conv2d(6, 3, stride=2, padding=1), fc.ReLU(), same(6)],
                                         [fc.Conv2d(6, 1, stride=2)]), fc.ReLU(), *CLASSES],
        (2, 7, 6),
    ),
    "sum of three": (
        [same(4), fc.ReLU(), fc.Add([same(4)], [fc.Conv2d(4, 1)], []), fc.ReLU(),
         fc.Add([same(4, 5)], [], []), *CLASSES],
        (2, 4, 6),
    ),
    "readers of all kinds": (
        [same(4), fc.ReLU(), fc.Concatenate([fc.Conv2d(4, 3, padding=1, groups=4)], [fc.Conv2d(2, 1)],
                                            [fc.Conv2d(20, 1), fc.Conv2d(3, 1)], [fc.AvgPool2d(3, 1, 1)]),
         fc.ReLU(), *CLASSES],
        (2, 5, 4),
    ),
    "signals": (
        [signals(4, 8), fc.Residual([signals(4, 5), fc.LeakyReLU()]), fc.GlobalAvgPool1d(), *CLASSES], (2, 13)
    ),
}  # fmt: skip
NORMALISED = {
    "resnet": (
        [same(3), fc.BatchNorm2d(), fc.ReLU(),
         fc.Residual([same(3), fc.BatchNorm2d(), fc.ReLU(), same(3), fc.BatchNorm2d()]), fc.ReLU(),
         fc.Residual([fc.Conv2d(5, 3, stride=2, padding=1), fc.BatchNorm2d(), fc.ReLU(), same(5),
                      fc.BatchNorm2d()], [fc.Conv2d(5, 1, stride=2)]), fc.ReLU(),
         fc.GlobalAvgPool2d(), *CLASSES],
        (2, 6, 6),
    ),
    "strided resnet": (
        [same(3), fc.BatchNorm2d(), fc.ReLU(), fc.Residual([same(3), fc.BatchNorm2d()]),
         fc.Residual([fc.Conv2d(4, 3, stride=2, padding=1), fc.BatchNorm2d(), fc.ReLU(), same(4),
                      fc.BatchNorm2d()], [fc.Conv2d(4, 1, stride=2), fc.BatchNorm2d()]), fc.ReLU(),
         fc.Residual([same(4), fc.ReLU(), same(4)], [fc.BatchNorm2d()]), fc.ReLU(), fc.GlobalAvgPool2d(),
         *CLASSES],
        (2, 7, 9),
    ),
    "normalised sum of three": (
        [same(3), fc.BatchNorm2d(),
         fc.Add([same(3), fc.BatchNorm2d()], [fc.Conv2d(3, 1), fc.BatchNorm2d()], []), fc.ReLU(),
         fc.Add([same(3), fc.BatchNorm2d(), fc.ReLU()], [fc.ReLU()], []), fc.ReLU(),
         fc.GlobalAvgPool2d(), *CLASSES],
        (2, 6, 5),
    ),
    "resnet of signals": (
        [fc.Residual([signals(8, 8), fc.BatchNorm1d(), fc.ReLU(), signals(8, 3), fc.BatchNorm1d()],
                     [signals(8, 1), fc.BatchNorm1d()]), fc.ReLU(), fc.GlobalAvgPool1d(), *CLASSES],
        (1, 20),
    ),
}  # fmt: skip
ALL = GRAPHS | NORMALISED
TOLERANCE = {"float64": 1e-12, "float32": 2e-5}

each_graph = pytest.mark.parametrize("name", ALL)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def build(name, dtype="float64"):
    layers, input_shape = ALL[name]
    return fc.Sequential(layers, input_shape, dtype=dtype, seed=1)


def data_for(model, count=21):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(count, *model.input_shape))
    if len(model.output_shape) == 1:
        return X, rng.integers(0, model.output_shape[0], count), "cross_entropy"
    return X, rng.normal(size=(count, *model.output_shape)), "mse"


@each_dtype
@each_graph
def test_predictions_are_what_the_layers_say(name, dtype):
    model = build(name, dtype)
    X, _, _ = data_for(model)
    expected = activations(model, X)[-1]
    for count in (1, 3, 21):
        np.testing.assert_allclose(model.predict(X[:count]), expected[:count], atol=TOLERANCE[dtype])


@each_dtype
@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_are_what_the_layers_say(name, dtype):
    model = build(name, dtype)
    X, y, loss = data_for(model)
    value, gradients = model.loss_and_gradients(X, y, loss)
    expected_value, _, expected = backward(model, X, y, loss)
    assert value == pytest.approx(expected_value, rel=TOLERANCE[dtype])
    for parameter, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[parameter], atol=TOLERANCE[dtype])


@each_graph
def test_gradients_equal_finite_differences(name):
    model = build(name)
    X, y, loss = data_for(model)
    _, gradients = model.loss_and_gradients(X, y, loss)
    rng, step = np.random.default_rng(1), 1e-6
    for parameter, array in model.parameters().items():
        start, direction = array.copy(), rng.normal(size=array.shape)
        ends = []
        for sign in (1, -1):
            array[...] = start + sign * step * direction
            ends.append(model.loss_and_gradients(X, y, loss)[0])
        array[...] = start
        slope = (ends[0] - ends[1]) / (2 * step)
        assert np.sum(gradients[parameter] * direction) == pytest.approx(slope, rel=1e-5, abs=1e-7), parameter


@each_dtype
@each_graph
def test_training_has_the_same_bits_on_any_number_of_threads(name, dtype):
    bits = set()
    for threads in (1, 2, 3):
        fc.set_num_threads(threads)
        model = build(name, dtype)
        X, y, loss = data_for(model, 70)
        fc.Trainer(model, loss, seed=1).fit(X, y, epochs=2, batch_size=50)
        bits.add(model.flat_parameters.tobytes() + model.predict(X).tobytes())
    assert len(bits) == 1


@each_graph
def test_files_copies_and_pickles_hold_the_graph(name, tmp_path):
    model = build(name)
    X, _, _ = data_for(model)
    model.save(tmp_path / "model.npz")
    for other in (fc.load(tmp_path / "model.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.layers == model.layers
        assert repr(other) == repr(model)
        np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_gradients_that_are_added_have_names_of_their_own_in_a_listing():
    text = build("group norm and dropout of nothing").source("gradients", kernels=False)
    assert "add_planes(x=dy0, y=dy0_2, z=dy0_2)" in text


def test_a_sum_ends_in_the_relu_behind_it():
    assert build("residual").source("gradients", kernels=False).count("add_planes_relu(") == 1


def test_a_row_of_layers_adds_nothing():
    assert "add_planes" not in fc.models.lenet5().source("train", kernels=False)


def test_branches_may_keep_nothing_in_memory_that_another_reads():
    """A ReLU may work in the memory of its input only if nobody else reads that."""
    model = fc.Sequential([fc.Add([fc.ReLU()], [])], (4,), dtype="float64")
    X = np.array([[-1.0, 2.0, -3.0, 4.0]])
    np.testing.assert_array_equal(model.predict(X), [[-1.0, 4.0, -3.0, 8.0]])
    np.testing.assert_array_equal(model.predict(np.repeat(X, 20, axis=0))[7], [-1.0, 4.0, -3.0, 8.0])
