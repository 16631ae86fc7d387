"""Networks in the functional form: what they are made of, what their layers are called, what is refused."""

import copy
import pickle
from dataclasses import dataclass

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
        (lambda: fc.ReLU()(X1, name="a\nb"), ValueError, "`name` must be a text"),
        (lambda: fc.ReLU()(X1, name="\ud800"), ValueError, "`name` must be a text"),
        (lambda: fc.ReLU()(np.ones(4)), TypeError, "is called on values, which begin with fastconv.Input"),
        (lambda: fc.ReLU()([X1, X2]), TypeError, "ReLU.* is called on one value, got 2"),
        (lambda: fc.Add()(X1), ValueError, "has nothing to join"),
        (lambda: fc.Add()([X1, fc.Dense(3)(X1)]), ValueError, "takes values of one shape"),
        (lambda: fc.Add()([]), ValueError, r"Add\(\) takes two values or more, got none"),
        (lambda: fc.Concatenate()([]), ValueError, r"Concatenate\(\) takes two values or more, got none"),
        (lambda: fc.Concatenate([], [])([X1, X2]), ValueError, "with branches takes one value, .* got 2"),
        (lambda: fc.Conv2d(2, 3)(X1), ValueError, "takes images"),
        (lambda: fc.Input((True,)), TypeError, "`input_shape` must be positive ints"),
        (lambda: fc.Model({None: X1}, fc.ReLU()(X1)), ValueError, "`name` must be a text"),
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


def test_a_name_inside_a_block_is_no_name_for_another_layer():
    inner = fc.Residual([fc.Dense(4)])(X1, name="block")  # its Dense is "block.layers.0"
    for features in (4, 3):
        with pytest.raises(ValueError, match=r"own, got 'block\.layers\.0' for two"):
            fc.Model(X1, fc.Dense(features)(inner, name="block.layers.0"))
    assert len(fc.Model(X1, fc.Dense(4)(inner, name="block.weight")).parameters()) == 4


def test_a_layer_shares_its_weights_only_where_they_have_one_shape():
    dense = fc.Dense(4)
    with pytest.raises(
        ValueError, match=r"layer 0: Dense\(4\) is called on samples of shape \(3,\) and \(4,\)"
    ):
        fc.Model(three := fc.Input((3,)), dense(dense(three)))
    block = fc.Residual([fc.LayerNorm()])
    wide, narrow = fc.Input((2, 6, 6)), fc.Input((2, 5, 5))
    with pytest.raises(ValueError, match=r"layer 0.layers.0: LayerNorm\(\) is called on samples of shape"):
        fc.Model([wide, narrow], [block(wide), block(narrow)])
    conv = fc.Conv2d(2, 3)  # whose weights do not depend on the size
    assert fc.Model([wide, narrow], [conv(wide), conv(narrow)]).num_parameters == 38


@dataclass(frozen=True)
class Nothing(fc.Block):
    def layers(self):
        return []


def test_a_block_without_layers_passes_its_input_on_but_makes_no_output_of_it():
    assert fc.Model(X1, fc.Dense(2)(Nothing()(X1))).output_shape == (2,)
    with pytest.raises(ValueError, match="`outputs` must be made by layers that compute something"):
        fc.Model(X1, [Nothing()(X1), fc.Dense(2)(X1)])


def test_a_value_that_is_an_output_twice_has_two_targets():
    hidden = fc.Dense(3)(X1)
    model = fc.Model(X1, [hidden, hidden, fc.ReLU()(hidden)], dtype="float64")
    X, y = np.random.default_rng(0).normal(size=(5, 4)), [np.full((5, 3), k) for k in range(3)]
    first, second, third = model.predict(X)
    assert (first == second).all()
    assert (third == first.clip(0)).all()
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    slopes = 2 * ((first - y[0]) + (second - y[1]) + (third - y[2]) * (first > 0)) / first.size
    assert loss == pytest.approx(sum(((a - b) ** 2).mean() for a, b in zip(model.predict(X), y, strict=True)))
    np.testing.assert_allclose(gradients["0.weight"], slopes.T @ X, rtol=1e-10)


def test_a_layer_that_makes_too_much_is_named_before_any_memory_is_taken():
    y = fc.Input((1, 1, 1))
    for _ in range(31):
        y = fc.Concatenate()([y, y]) if y.shape[0] < 2**30 else y
    with pytest.raises(ValueError, match=r"Concatenate\(\) gives samples of shape .*, which are too large"):
        fc.Concatenate()([y, y])
    with pytest.raises(ValueError, match=r"layer 1: Upsample\(32768\) gives samples of shape .* too large"):
        fc.Sequential([fc.Upsample(32768), fc.Upsample(32768)], (1, 1, 1))


def test_layers_that_are_nested_too_deep_for_a_file_are_refused_in_one_line(tmp_path):
    for depth in (150, 400):
        layer = fc.Dense(4)
        for _ in range(depth):
            layer = fc.Residual([layer])
        with pytest.raises(ValueError, match="nested"):
            fc.Sequential([layer], (4,)).save(tmp_path / "deep.npz")


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
        (
            lambda d: d["inputs"][0].__setitem__("name", "extra"),
            "must have names of their own, got extra, extra",
        ),
        (
            lambda d: d["inputs"][0].__setitem__("name", 3),
            "names of inputs, outputs and layers must be texts, got 3",
        ),
        (lambda d: d["inputs"][0].__setitem__("name", "a\0b"), "must be texts, got 'a\\x00b'"),
        (lambda d: d["outputs"][0].__setitem__("name", "value"), "must have names of their own"),
        (lambda d: d["outputs"][0].__setitem__("value", True), "outputs are no values of its layers"),
        (lambda d: d["calls"][0].__setitem__(1, [False]), "takes a value that is not there"),
        (lambda d: d["calls"][0].__setitem__(1, [0, 0]), "takes one value, got 2"),
        (lambda d: d["calls"][2].__setitem__(1, [0]), "nothing reads"),
        (lambda d: d["layers"].__setitem__("more", {"name": "ReLU"}), "layer more is called nowhere"),
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
