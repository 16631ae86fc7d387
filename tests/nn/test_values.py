"""Networks in the functional form: what they are made of, what their layers are called, what is refused."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.values import Value


def two_headed():
    board, extra = fc.Input((2, 6, 6), name="board"), fc.Input((3,), name="extra")
    y = fc.ReLU()(fc.Conv2d(4, 3, padding="same")(board, name="stem"))
    features = fc.Concatenate()([fc.Flatten()(y), extra])
    return fc.Model([board, extra], {"policy": fc.Dense(5)(features), "value": fc.Dense(1)(features)})


def test_a_model_knows_its_inputs_and_outputs():
    model = two_headed()
    assert (model.input_names, model.output_names) == (("board", "extra"), ("policy", "value"))
    assert (model.input_shapes, model.output_shapes) == (((2, 6, 6), (3,)), ((5,), (1,)))
    assert (model.input_shape, model.output_shape) == (model.input_shapes, model.output_shapes)
    assert list(model.parameters())[:2] == ["stem.weight", "stem.bias"]


def test_layers_are_numbered_in_the_order_of_their_calls_and_only_those_that_outputs_need_are_there():
    x = fc.Input((4,))
    y = fc.Dense(3)(x)
    fc.Dense(100)(y)
    model = fc.Model(x, fc.Dense(2)(fc.ReLU()(y)))
    assert [node.name for node in model.nodes] == ["0", "1", "2"]
    assert list(model.parameters()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_row_in_the_functional_form_computes_what_the_row_does():
    x = fc.Input((1, 8, 8))
    y = fc.Dense(3)(fc.Flatten()(fc.ReLU()(fc.Conv2d(2, 3)(x))))
    row = fc.Sequential([fc.Conv2d(2, 3), fc.ReLU(), fc.Flatten(), fc.Dense(3)], (1, 8, 8))
    X = np.random.default_rng(0).random((20, 1, 8, 8))
    np.testing.assert_array_equal(fc.Model(x, y).predict(X), row.predict(X))


def test_a_layer_that_is_called_twice_has_one_set_of_weights():
    x, dense = fc.Input((4,)), fc.Dense(4)
    model = fc.Model(x, fc.Dense(2)(dense(fc.Tanh()(dense(x, name="shared")))))
    assert list(model.parameters()) == ["shared.weight", "shared.bias", "3.weight", "3.bias"]
    assert model.products() == 16 + 16 + 8


def test_a_block_that_is_called_twice_shares_the_weights_of_all_of_its_layers():
    x, block = fc.Input((2, 5, 5)), fc.Residual([fc.Conv2d(2, 3, padding="same"), fc.ReLU()])
    model = fc.Model(x, block(block(x)))
    assert list(model.parameters()) == ["0.layers.0.weight", "0.layers.0.bias"]


def test_a_sum_of_values_is_the_layer_add():
    x = fc.Input((4,))
    model = fc.Model(x, fc.Dense(4)(x) + x)
    assert model.nodes[-1].layer.call() == "Add()"


def test_models_are_copied_pickled_and_saved(tmp_path):
    model = two_headed()
    X = {"board": np.ones((3, 2, 6, 6)), "extra": np.ones((3, 3))}
    model.save(tmp_path / "model.npz")
    wanted = model.predict(X)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), fc.load(tmp_path / "model.npz")):
        assert type(other) is fc.Model
        assert other.outline == model.outline
        for name, output in other.predict(X).items():
            np.testing.assert_array_equal(output, wanted[name])


def test_a_file_of_a_row_is_a_sequential_as_ever(tmp_path):
    fc.models.reference_cnn().save(tmp_path / "row.npz")
    assert type(fc.load(tmp_path / "row.npz")) is fc.Sequential


def test_several_outputs_without_names_come_as_a_list():
    x = fc.Input((4,))
    model = fc.Model(x, [fc.Dense(2)(x), fc.Dense(3)(x)])
    assert model.output_names == ("output_0", "output_1")
    assert [output.shape for output in model.predict(np.ones((5, 4)))] == [(5, 2), (5, 3)]


X1, X2 = fc.Input((4,)), fc.Input((4,), name="other")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fc.Input(4), TypeError, "`input_shape` must be positive ints"),
        (lambda: fc.Input((4,), name=""), ValueError, "`name` must be a text"),
        (lambda: fc.Input((4,), name=3), ValueError, "`name` must be a text"),
        (lambda: fc.ReLU()(np.ones(4)), TypeError, "is called on values, which begin with fastconv.Input"),
        (lambda: fc.ReLU()([X1, X2]), TypeError, "ReLU.* is called on one value, got 2"),
        (lambda: fc.Add()(X1), ValueError, "has nothing to join"),
        (lambda: fc.Add()([X1, fc.Dense(3)(X1)]), ValueError, "takes values of one shape"),
        (lambda: fc.Conv2d(2, 3)(X1), ValueError, "takes images"),
        (lambda: fc.Model(X1, X1), ValueError, "`outputs` must be made by layers, got an Input"),
        (lambda: fc.Model(X1, fc.ReLU()(X2)), ValueError, "depend on an Input 'other' of shape .* not in"),
        (lambda: fc.Model([X1, X2], fc.ReLU()(X1)), ValueError, "got 'other' that nothing reads"),
        (lambda: fc.Model([X1, X1], fc.ReLU()(X1)), ValueError, "`inputs` must be different values"),
        (lambda: fc.Model([], fc.ReLU()(X1)), ValueError, "`inputs` must hold at least one value"),
        (lambda: fc.Model(X1, []), ValueError, "`outputs` must hold at least one value"),
        (lambda: fc.Model(X1, fc.ReLU()), TypeError, "`outputs` must be values"),
        (lambda: fc.Model(np.ones(3), fc.ReLU()(X1)), TypeError, "`inputs` must be values"),
        (lambda: fc.Model(fc.ReLU()(X1), fc.ReLU()(X1)), ValueError, "`inputs` must be made by Input"),
        (
            lambda: fc.Model(X1, fc.Dense(2)(fc.Dense(2)(X1, name="a"), name="a")),
            ValueError,
            "got 'a' for two",
        ),
        (lambda: fc.Model(X1, fc.ReLU()(X1), dtype="int8"), ValueError, "`dtype` must be"),
    ],
)
def test_what_is_no_network_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_two_names_for_a_shared_layer_are_refused():
    dense = fc.Dense(4)
    with pytest.raises(ValueError, match="shares its weights, which have one name"):
        fc.Model(X1, dense(dense(X1, name="a"), name="b"))
    relu = fc.ReLU()  # it has none
    assert fc.Model(X1, relu(relu(X1, name="a"), name="b")).output_shape == (4,)


def test_the_outline_of_a_model_cannot_be_assigned():
    model = two_headed()
    for name in ("outline", "inputs", "outputs", "input_names", "output_shapes"):
        with pytest.raises(AttributeError, match=f"`{name}` of a network can't be changed"):
            setattr(model, name, ())


def test_values_say_what_they_are():
    assert repr(fc.ReLU()(X1)) == "<Value of shape (4,), made by ReLU()>"
    assert isinstance(X1, Value)
    with pytest.raises(TypeError):
        X1 + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["calls"][0].__setitem__(1, [7]), "takes a value that is not there"),
        (lambda d: d["outputs"][0].__setitem__("value", 0), "outputs are no values of its layers"),
        (lambda d: d["layers"].pop("stem"), "does not describe a network"),
        (lambda d: d["inputs"].clear(), "does not describe a network"),
    ],
)
def test_files_of_graphs_that_do_not_fit_are_refused(change, message):
    from fastconv.formats import outlines
    from fastconv.models.loading import _layer

    description = outlines.written(two_headed().outline)
    change(description)
    with pytest.raises((ValueError, KeyError, TypeError)) as caught:
        outlines.read(description, _layer).lay_out()
    assert message in str(caught.value) or "does not describe" in message
