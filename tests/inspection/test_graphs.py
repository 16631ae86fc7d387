"""Networks that branch, share weights, or have several inputs and outputs, taken apart and explained."""

import io
import re

import numpy as np
import pytest

import fastconv as fc
from fastconv.inspection import activations, backward
from tests.engine.test_graphs import ALL, GRAPHS, build, data_for
from tests.inspection.test_explain import evaluated, sums

LOSSES = {"policy": "cross_entropy", "value": "bce", "class": "cross_entropy", "hidden": "mse"}
WEIGHTS = {"policy": 1.0, "value": 0.5, "class": 2.0, "hidden": 0.25}
X = {"a": [[1.0, 2.0], [0.5, -1.0]], "b": [[3.0, -1.0], [0.25, 2.0]]}
Y = {"policy": [1, 0], "value": [1, 0], "class": [0, 1], "hidden": [[0.5, 1.0], [0.0, 1.0]]}


def several(dtype="float64"):
    """Two inputs, a layer at two places, and four outputs: one read on, two that their losses absorb."""
    a, b = fc.Input((2,), name="a"), fc.Input((2,), name="b")
    shared = fc.Dense(2)
    hidden = fc.Tanh()(shared(a, name="tower") + shared(b))
    policy = fc.Dense(2, bias=False)(hidden)
    value = fc.Sigmoid()(fc.Dense(1)(policy))
    return fc.Model([a, b], {"policy": policy, "value": value, "class": fc.Softmax()(fc.Dense(2)(hidden)),
                             "hidden": hidden}, dtype=dtype)  # fmt: skip


def one(given):
    return {name: rows[0] for name, rows in given.items()}


def told_of(model, x, y, **more):
    return fc.explain(model, x, y, file=io.StringIO(), **more)


@pytest.fixture(scope="module")
def told():
    return told_of(several(), one(X), one(Y), loss=LOSSES, loss_weights=WEIGHTS)


def test_loss_and_gradients_of_several_outputs_are_those_of_the_compiled_step():
    model = several()
    loss, gradients = model.loss_and_gradients(X, Y, LOSSES, loss_weights=WEIGHTS)
    value, slopes, found = backward(model, X, Y, LOSSES, loss_weights=WEIGHTS)
    assert value == pytest.approx(loss, rel=1e-12)
    assert list(found) == list(gradients)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-10, atol=1e-14, err_msg=name)
    assert [slope.shape for slope in slopes] == [array.shape for array in activations(model, X)]


def test_the_gradient_at_each_input_is_a_finite_difference():
    model, step = several(), 1e-6
    _, slopes, _ = backward(model, X, Y, LOSSES, loss_weights=WEIGHTS)
    for number, name in enumerate(X):
        ends = []
        for sign in (1, -1):
            moved = {**X, name: np.array(X[name])}
            moved[name][1, 0] += sign * step
            ends.append(model.loss_and_gradients(moved, Y, LOSSES, loss_weights=WEIGHTS)[0])
        assert slopes[number][1, 0] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_lists_and_dicts_are_the_same():
    model = several("float32")
    first = backward(
        model, list(X.values()), list(Y.values()), list(LOSSES.values()), loss_weights=[1, 0.5, 2, 0.25]
    )
    second = backward(model, X, Y, LOSSES, loss_weights=WEIGHTS)
    assert first[0] == second[0]
    assert all(np.array_equal(a, b) for a, b in zip(first[1], second[1], strict=True))


def test_check_gradients_takes_several_inputs_and_outputs():
    assert fc.check_gradients(several(), X, Y, LOSSES, loss_weights=WEIGHTS) < 1e-6


@pytest.mark.parametrize("name", ALL)
def test_every_graph_is_explained_with_the_numbers_of_its_parts(name):
    model = build(name)
    x, y, loss = data_for(model, 1)
    told = told_of(model, x[0], y[0], loss=loss)
    value, slopes, gradients = backward(model, x, y, loss)
    assert told.loss == value
    assert len(told.activations) == len(model.nodes) + 1
    for (key, array), slope, other in zip(
        told.activations.items(), slopes, activations(model, x), strict=True
    ):
        np.testing.assert_array_equal(array, other[0])
        np.testing.assert_array_equal(told.gradients[key], slope[0])
    assert list(told.parameter_gradients) == list(gradients) == list(model.parameters())
    for node in model.nodes:
        assert f"layer {node.name}: {node.layer.call()}" in told.text


@pytest.mark.parametrize("name", GRAPHS)
def test_sums_that_are_written_out_in_a_graph_come_to_the_number_beside_them(name):
    model = build(name)
    x, y, loss = data_for(model, 1)
    text = told_of(model, x[0], y[0], loss=loss).text.replace(", won by", " , won by")
    found = list(sums(text))
    for array, terms, result in found:
        assert evaluated(terms) == pytest.approx(result, abs=5e-5), array
    assert found


def test_the_gradient_of_a_value_with_several_readers_is_told_once_and_its_parts_by_name():
    layers = [fc.Dense(2), fc.Residual([fc.Dense(2), fc.ReLU()]), fc.Add([], []), fc.Dense(1)]
    text = told_of(fc.Sequential(layers, (3,)), [1, 2, 3], 0.5).text
    assert text.startswith("One sample X on its way through 17 parameters to its loss L, and back.\n"
                           "X, Z1 of X, Z2 of Z1, A2 of Z2, S2 of A2 and Z1, S2' of S2 and S2, Z3 of S2', "
                           "L of Z3\n")  # fmt: skip
    assert "  a part of dL/dZ1: dL/dS2\n" in text
    assert "dL/dZ1 = W2^T dL/dZ2 + what comes through S2   shape (2,)" in text
    assert "dL/dS2 = dL/dS2' + dL/dS2'   shape (2,)" in text
    assert "S2[0] = " in text
    assert text.count("dL/dZ1 = ") == 1


def test_stacked_values_are_channels_or_features():
    images = fc.Sequential([fc.Concatenate([fc.Conv2d(2, 1)], [])], (1, 3, 3))
    text = told_of(images, np.ones((3, 3)), np.ones((3, 3, 3))).text
    assert "C1 = the channels of Z1, X, one after the other" in text
    text = told_of(fc.Sequential([fc.Concatenate([fc.Dense(2)], [])], (3,)), [1, 2, 3], 1).text
    assert "C1 = the features of Z1, X, one after the other" in text
    assert "dL/dZ1 = its own features of dL/dC1" in text


def test_inputs_and_outputs_go_by_their_names(told):
    lines = told.text.splitlines()
    assert lines[0] == "One sample (X_a, X_b) on its way through 19 parameters to its loss L, and back."
    assert "L of Z3 and A4 and A5 and A2" in " ".join(lines[1:4])
    assert list(told.activations)[:2] == ["X_a", "X_b"]
    for name, loss in LOSSES.items():
        assert f"Loss of {name}: {loss}, with the target y_{name}" in told.text
    assert "L_policy = log(sum over k of exp(Z3[k])) - Z3[y_policy] = " in told.text
    assert "L = 1 * L_policy + 0.5 * L_value + 2 * L_class + 0.25 * L_hidden = " in told.text
    assert "(training has no use for it: nothing before X_b is learned)" in told.text


def test_the_losses_of_several_outputs_add_up(told):
    losses = {
        name: float(n) for name, n in re.findall(r"^L_(\w+) = .* = (-?[\d.e-]+)$", told.text, re.MULTILINE)
    }
    assert losses.keys() == LOSSES.keys()
    assert sum(WEIGHTS[name] * loss for name, loss in losses.items()) == pytest.approx(told.loss, rel=1e-5)
    wanted, _ = several().loss_and_gradients(
        {name: rows[:1] for name, rows in X.items()},
        {name: rows[:1] for name, rows in Y.items()}, LOSSES, loss_weights=WEIGHTS,
    )  # fmt: skip
    assert told.loss == pytest.approx(wanted, rel=1e-12)


def test_a_shared_layer_has_one_name_for_its_weights_and_one_gradient(told):
    assert told.text.count('W1, "tower.weight"   shape') == 1
    assert "Z2 = W1 X_b + b1" in told.text
    assert "  a part of dL/dW1: dL/dZ2 X_b^T" in told.text
    assert "dL/dW1 = dL/dZ1 X_a^T + what comes through Z2   shape (2, 2)" in told.text
    assert told.text.count('W1, "tower.weight": shape') == 1


def test_an_output_that_others_read_gets_a_part_of_its_gradient_from_the_loss(told):
    assert "  a part of dL/dZ3: softmax(Z3), minus 1 at k = y_policy\n" in told.text
    assert "dL/dZ3 = W4^T dL/dZ4 + what comes from the loss   shape (2,)" in told.text
    assert "dL/dZ4 = A4 - y_value, times 0.5   shape (1,)" in told.text
    assert "dL/dZ5 = A5, minus 1 at k = y_class, times 2   shape (2,)" in told.text


def test_losses_are_chosen_for_each_output():
    told = told_of(several(), list(one(X).values()), [1, 1, 0, 1])
    assert re.findall(r"^Loss of (\w+): (\w+),", told.text, re.MULTILINE) == [
        ("policy", "cross_entropy"), ("value", "bce"),
        ("class", "cross_entropy"), ("hidden", "cross_entropy"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("x", "y", "more", "message"),
    [
        ({"a": [1, 2]}, one(Y), {}, "`X` must have the inputs' names, a, b, got a"),
        ([[1, 2]], one(Y), {}, "`X` must be a list of 2 arrays"),
        (one(X), [1, 1], {}, "`y` must be a list of 4 arrays"),
        (one(X), one(Y), {"loss": ["mse"]}, "`loss` must be a list of 4"),
        (one(X), one(Y), {"loss_weights": {"policy": 1}}, "`loss_weights` must have the outputs' names"),
        (X, one(Y), {}, r"`x` must be one sample of shape \(2,\), got \(2, 2\)"),
    ],
)
def test_what_does_not_fit_several_inputs_or_outputs_is_named(x, y, more, message):
    with pytest.raises(ValueError, match=message):
        told_of(several(), x, y, **more)


def test_an_output_need_not_be_the_last_layer():
    x = fc.Input((3,))
    hidden = fc.Dense(2)(x)
    first = fc.Dense(2)(hidden)
    model = fc.Model(x, [first, fc.Sigmoid()(fc.Dense(1)(hidden))], dtype="float64")
    loss, gradients = model.loss_and_gradients([[1, 2, 3]], [[0], [1]], ["cross_entropy", "bce"])
    told = told_of(model, [1, 2, 3], [0, 1])
    assert told.loss == pytest.approx(loss)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(told.parameter_gradients[name], gradient, atol=1e-14)


def test_signals_are_explained():
    layers = [fc.Conv1d(2, 3, padding="causal"), fc.ReLU(), fc.MaxPool1d(2), fc.Flatten(), fc.Dense(2)]
    model = fc.Sequential(layers, (1, 6), dtype="float64")
    told = told_of(model, np.arange(6.0), 1)
    _, gradients = model.loss_and_gradients(np.arange(6.0).reshape(1, 1, 6), [1])
    for name, gradient in gradients.items():
        np.testing.assert_allclose(told.parameter_gradients[name], gradient, atol=1e-14)


def test_classify_refuses_several_inputs():
    images = [fc.Input((1, 4, 4)) for _ in range(3)]
    joined = fc.Concatenate()([fc.Flatten()(image) for image in images])
    with pytest.raises(ValueError, match="expected images"):
        fc.classify(fc.Model(images, fc.Dense(2)(joined)), np.zeros((4, 4), np.uint8))


def test_a_shared_layer_over_signals_has_one_name_for_its_weights():
    x, conv = fc.Input((2, 5)), fc.Conv1d(2, 3, padding="same")
    y = conv(fc.ReLU()(conv(x)))
    text = told_of(fc.Model(x, fc.Dense(1)(fc.Flatten()(y))), np.ones((2, 5)), 1.0).text
    assert "Z2 = conv1d(A1, W1) + b1" in text
    assert "W2" not in text
