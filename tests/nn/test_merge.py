"""Layers where branches meet."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.graph import Graph


def test_a_layer_may_stand_for_a_list_of_one():
    assert fc.Residual(fc.Conv2d(2, 1)) == fc.Residual([fc.Conv2d(2, 1)])
    assert fc.Add(fc.ReLU(), []) == fc.Add([fc.ReLU()], [])


def test_names_say_the_branch():
    layers = [fc.Residual([fc.Dense(3)], [fc.Dense(3)]), fc.Add([fc.Dense(2)], [fc.Dense(2)])]
    model = fc.Sequential(layers, (4,))
    assert [node.name for node in model.nodes] == ["0.layers.0", "0.shortcut.0", "0", "1.0.0", "1.1.0", "1"]
    assert list(model.parameters())[::2] == [
        "0.layers.0.weight", "0.shortcut.0.weight", "1.0.0.weight", "1.1.0.weight",
    ]  # fmt: skip


def test_nodes_know_what_they_read():
    nodes = fc.Sequential([fc.Residual([fc.Dense(3), fc.ReLU()], fc.Dense(3)), fc.ReLU()], (4,)).nodes
    assert [(node.inputs, node.output) for node in nodes] == [
        ((0,), 1), ((1,), 2), ((0,), 3), ((2, 3), 4), ((4,), 5)
    ]  # fmt: skip
    assert nodes[3].input_shapes == ((3,), (3,))


@pytest.mark.parametrize(
    ("layer", "written"),
    [
        (fc.Add([fc.ReLU(), fc.Tanh()], []), "Add([ReLU(), Tanh()], [])"),
        (fc.Concatenate([], [fc.ReLU()]), "Concatenate([], [ReLU()])"),
        (fc.Residual([fc.Dense(3)]), "Residual([Dense(3)])"),
        (fc.Residual([fc.Dense(3)], fc.Dense(3)), "Residual([Dense(3)], shortcut=[Dense(3)])"),
    ],
)
def test_layers_are_written_as_one_would_write_them(layer, written):
    assert layer.call() == written


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fc.Add([fc.ReLU()]), ValueError, "Add takes two branches or more, got one"),
        (
            lambda: fc.Add([fc.ReLU], []),
            TypeError,
            "layer 0 in branch 0 of Add must be a layer, got the class",
        ),
        (lambda: fc.Concatenate([], 3), TypeError, "branch 1 of Concatenate must be a list of layers, got 3"),
        (lambda: fc.Residual(["relu"]), TypeError, "layer 0 in `layers` of Residual must be a layer"),
        (lambda: fc.Residual([], [None]), TypeError, "layer 0 in `shortcut` of Residual must be a layer"),
        (
            lambda: fc.Sequential([fc.Add()], (4,)),
            ValueError,
            r"Add\(\) has nothing to join: give it branches",
        ),
        (
            lambda: fc.Sequential([fc.Add([fc.Dense(3)], [])], (4,)),
            ValueError,
            r"layer 0: Add takes values of one shape, got \(3,\), \(4,\)",
        ),
        (
            lambda: fc.Sequential([fc.Concatenate([fc.MaxPool2d(2)], [])], (1, 4, 4)),
            ValueError,
            "layer 0: Concatenate takes values that differ in their channels only",
        ),
        (
            lambda: fc.Sequential([fc.Residual([fc.ReLU(), fc.Conv2d(4, 9)])], (1, 4, 4)),
            ValueError,
            r"layer 0.layers.1: .*the kernel is larger than the padded image",
        ),
        (
            lambda: fc.Sequential([fc.Concatenate([fc.Flatten()], [])], (1, 4, 4)),
            ValueError,
            "layer 0: Concatenate takes values that differ in their channels only",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "layer",
    [
        fc.Residual([fc.Dense(4), fc.Tanh()]),
        fc.Add([fc.Dense(3)], [fc.Tanh(), fc.Dense(3)]),
        fc.Concatenate([fc.Dense(2)], []),
    ],
    ids=str,
)
def test_a_layer_alone_computes_what_it_does_in_a_network(layer):
    model = fc.Sequential([layer], (4,), dtype="float64", seed=2)
    arrays = {name.removeprefix("0."): a for name, a in model.parameters().items()}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4))
    y = layer.forward(x, arrays)
    np.testing.assert_allclose(y, model.predict(x), atol=1e-14)
    assert layer.output_shape((4,)) == model.output_shape == y.shape[1:]
    assert layer.parameter_shapes((4,)) == {name: a.shape for name, a in arrays.items()}
    dx, gradients = layer.backward(x, y, 2 * y / y.size, arrays)
    _, expected = model.loss_and_gradients(x, np.zeros(y.shape), "mse")
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[f"0.{name}"], atol=1e-12)
    step = 1e-6 * rng.normal(size=x.shape)
    ends = [np.mean(layer.forward(x + sign * step, arrays) ** 2) for sign in (1, -1)]
    assert np.sum(dx * step) * 2 == pytest.approx(ends[0] - ends[1], rel=1e-5)


def test_a_graph_is_laid_out_layer_by_layer():
    graph = Graph([(2, 6, 6)])
    value = graph.chain([fc.Conv2d(3, 3), fc.ReLU()], 0, "a.")
    assert (value, graph.shapes) == (2, [(2, 6, 6), (3, 4, 4), (3, 4, 4)])
    assert [node.name for node in graph.nodes] == ["a.0", "a.1"]
