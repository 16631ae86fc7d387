from itertools import pairwise

import numpy as np
import pytest

import fastconv as fc

LAYERS = [
    fc.Conv2d(4, 3, bias=False), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.1),
    fc.Dense(5), fc.Tanh(), fc.Dense(2),
]  # fmt: skip
SHAPE = (2, 8, 8)


@pytest.fixture
def model():
    return fc.Sequential(LAYERS, SHAPE)


def test_parameters_have_the_names_order_and_shapes_of_pytorch(model):
    assert [(name, array.shape) for name, array in model.parameters().items()] == [
        ("0.weight", (4, 2, 3, 3)), ("1.weight", (4,)), ("1.bias", (4,)), ("6.weight", (5, 36)),
        ("6.bias", (5,)), ("8.weight", (2, 5)), ("8.bias", (2,)),
    ]  # fmt: skip
    assert list(model.statistics()) == ["1.running_mean", "1.running_var"]
    assert list(model.state()) == [*model.parameters(), *model.statistics()]
    assert model.num_parameters == 72 + 8 + 180 + 5 + 10 + 2


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.dtype("f8")])
def test_every_array_has_the_dtype_asked_for(dtype):
    model = fc.Sequential(LAYERS, SHAPE, dtype=dtype)
    assert model.dtype == np.dtype(dtype).name
    assert {array.dtype for array in model.state().values()} == {np.dtype(dtype)}
    assert model.predict(np.zeros((1, *SHAPE))).dtype == np.dtype(dtype)


def test_the_seed_decides_the_initial_parameters():
    first, again, other = (fc.Sequential(LAYERS, SHAPE, seed=seed).flat_parameters for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_parameters_are_live(model):
    X = np.random.default_rng(0).random((3, *SHAPE))
    before = model.predict(X)
    model.parameters()["8.bias"] += [1.0, -2.0]
    np.testing.assert_allclose(model.predict(X), before + np.array([1.0, -2.0]), rtol=1e-5)
    np.testing.assert_array_equal(model.flat_parameters[-2:], model.parameters()["8.bias"])


def test_training_changes_the_arrays_that_were_handed_out(model):
    parameters, statistics = model.parameters(), model.statistics()
    before = model.state()
    X = np.random.default_rng(0).random((20, *SHAPE))
    fc.Trainer(model, optimizer=fc.SGD(0.1)).fit(X, [0, 1] * 10, epochs=1)
    for name, array in {**parameters, **statistics}.items():
        assert not np.array_equal(array, before[name]), name


def test_changing_the_dictionary_of_parameters_does_not_change_the_network(model):
    model.parameters().clear()
    model.statistics().clear()
    assert len(model.parameters()) == 7
    assert len(model.statistics()) == 2


def test_state_is_a_copy_that_load_state_puts_back(model):
    state = model.state()
    for array in (*model.parameters().values(), *model.statistics().values()):
        array[...] = 7
    assert all((array != 7).any() for array in state.values())
    model.load_state(state)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, state[name])


def test_load_state_converts_between_dtypes(model):
    exact = fc.Sequential(LAYERS, SHAPE, dtype="float64", seed=4)
    model.load_state(exact.state())
    np.testing.assert_array_equal(model.flat_parameters, exact.flat_parameters.astype(np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("6.bias"), r"missing: \['6\.bias'\], unknown: \[\]"),
        (lambda state: state.update({"9.bias": np.zeros(2)}), r"missing: \[\], unknown: \['9\.bias'\]"),
        (
            lambda state: state.update({"8.bias": np.zeros(3)}),
            r"`state\['8\.bias'\]` must have shape \(2,\), got \(3,\)",
        ),
        (
            lambda state: state.update({"0.weight": np.zeros((4, 2, 9))}),
            r"shape \(4, 2, 3, 3\), got \(4, 2, 9\)",
        ),
        (lambda state: state.update({"8.bias": np.float32(1)}), r"must have shape \(2,\), got \(\)"),
    ],
)
def test_load_state_refuses_what_does_not_fit_and_changes_nothing(model, change, message):
    before = model.state()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        model.load_state(state)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_load_state_changes_nothing_where_a_value_is_no_number(model):
    before = model.state()
    state = {name: array + 1 for name, array in before.items()} | {"8.bias": np.array(["a", "b"])}
    with pytest.raises((ValueError, TypeError)):
        model.load_state(state)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_summary_shows_every_layer_with_its_shape_and_parameters(model, capsys):
    model.summary()
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line[:1].isdigit()]
    assert [(row.split()[0], row.split()[1].split("(")[0], *row.split()[-2:]) for row in rows] == [
        ("0", "Conv2d", "72", "2,592"), ("1", "BatchNorm2d", "8", "0"), ("2", "ReLU", "0", "0"),
        ("3", "MaxPool2d", "0", "0"), ("4", "Flatten", "0", "0"), ("5", "Dropout", "0", "0"),
        ("6", "Dense", "185", "180"), ("7", "Tanh", "0", "0"), ("8", "Dense", "12", "10"),
    ]  # fmt: skip
    for row, shape in zip(
        rows, ["(4, 6, 6)"] * 3 + ["(4, 3, 3)"] + ["(36,)"] * 2 + ["(5,)"] * 2 + ["(2,)"], strict=True
    ):
        assert f" {shape} " in row
    assert lines[-2:] == [
        "parameters: 277 (float32, 1,108 bytes); products of one sample: 2,782",
        "precision: high; all convolutions are direct sums",
    ]
    assert any("(2, 8, 8)" in line for line in lines)


def test_summary_prints_fifteen_for_the_reference_network(capsys):
    fc.models.reference_cnn().summary()
    assert "parameters: 15 (float32, 60 bytes)" in capsys.readouterr().out


def test_summary_says_the_precision_and_which_layers_go_by_winograds_products(capsys):
    def last(model):
        model.summary()
        return capsys.readouterr().out.splitlines()[-1]

    def layers(dtype):
        return fc.Sequential([fc.Conv2d(32, 3), fc.Conv2d(32, 3), fc.Conv2d(32, 1)], (2, 20, 20), dtype=dtype)

    before = fc.get_precision()
    try:
        fc.set_precision("high")
        assert last(layers("float32")) == "precision: high; by Winograd's products in steps of 32 samples: 1"
        assert last(layers("float64")).startswith("parameters: ")
        assert last(fc.Sequential([fc.Dense(2)], (3,))).startswith("parameters: ")
        fc.set_precision("highest")
        assert last(layers("float32")) == "precision: highest; all convolutions are direct sums"
    finally:
        fc.set_precision(before)


def test_the_columns_of_the_summary_are_aligned(capsys):
    fc.models.vgg_small().summary()
    header, rule, *rows, _, _ = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert set(rule) == {"-"}
    column = header.index("output shape")
    assert all(row[column] == "(" and row[column - 1] == " " for row in rows)


@pytest.mark.parametrize(
    "model",
    [fc.models.reference_cnn(), fc.models.lenet5(), fc.models.vgg_small()],
    ids=["reference", "lenet5", "vgg"],
)
def test_the_summary_fits_on_a_line_of_a_wide_terminal(model, capsys):
    model.summary()
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 120


def test_the_summary_shows_only_settings_that_differ_from_their_defaults():
    layers = [
        fc.Conv2d(4, (3, 2), stride=(1, 2), padding=1, bias=False), fc.BatchNorm2d(), fc.LeakyReLU(0.2),
        fc.MaxPool2d(2), fc.AvgPool2d(2, stride=1), fc.BatchNorm2d(eps=1e-3), fc.Flatten(), fc.Dropout(),
        fc.Dropout(0.25), fc.Dense(2, bias=False),
    ]  # fmt: skip
    assert [name for name, _, _ in fc.Sequential(layers, (2, 8, 8)).describe()] == [
        "0  Conv2d(4, kernel_size=(3, 2), stride=(1, 2), padding=1, bias=False)", "1  BatchNorm2d()",
        "2  LeakyReLU(0.2)", "3  MaxPool2d(2)", "4  AvgPool2d(2, stride=1)", "5  BatchNorm2d(eps=0.001)",
        "6  Flatten()", "7  Dropout()", "8  Dropout(0.25)", "9  Dense(2, bias=False)",
    ]  # fmt: skip


def test_the_names_in_a_summary_of_more_than_ten_layers_are_aligned():
    names = [name for name, _, _ in fc.models.vgg_small().describe()]
    assert {name[:4] for name in names} == {f"{number:<4}" for number in range(14)}


def test_describe_is_what_summary_prints(model, capsys):
    model.summary()
    text = capsys.readouterr().out
    for name, shape, count in model.describe():
        assert any(
            line.startswith(name) and str(shape) in line and line.split()[-2] == f"{count:,}"
            for line in text.splitlines()
        )
    assert sum(count for _, _, count in model.describe()) == model.num_parameters


def test_shapes_go_from_the_input_to_the_output(model):
    assert [node.layer for node in model.nodes] == LAYERS
    assert model.nodes[0].input_shape == model.input_shape == SHAPE
    assert model.nodes[-1].output_shape == model.output_shape == (2,)
    for before, after in pairwise(model.nodes):
        assert before.output_shape == after.input_shape


def test_a_network_without_parameters_is_a_network():
    model = fc.Sequential([fc.MaxPool2d(2), fc.Flatten()], (1, 4, 4))
    assert (model.num_parameters, model.parameters(), model.state()) == (0, {}, {})
    model.load_state({})
    np.testing.assert_array_equal(model.predict(np.arange(16.0).reshape(1, 1, 4, 4)), [[5, 7, 13, 15]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], (4,)), ValueError, "`layers` must hold at least one layer, got none"),
        (([fc.ReLU], (4,)), TypeError, r"`layers\[0\]` must be a layer, got the class: write ReLU\(\.\.\.\)"),
        (([fc.ReLU(), 3], (4,)), TypeError, r"`layers\[1\]` must be a layer, got 3"),
        (([fc.Flatten(), "relu"], (4,)), TypeError, r"`layers\[1\]` must be a layer, got 'relu'"),
        (([fc.Dense(2)], (1, 6, 6)), ValueError, r"layer 0: Dense.*\(1, 6, 6\): put a Flatten\(\) before it"),
        (([fc.ReLU(), fc.Conv2d(1, 9)], (1, 6, 6)), ValueError, "layer 1: .*larger than the padded image"),
        (([fc.ReLU()], 4), TypeError, r"`input_shape` must be positive ints.*got 4"),
        (([fc.ReLU()], (4.0,)), TypeError, r"`input_shape` must be positive ints.*got \(4\.0,\)"),
        (
            ([fc.ReLU()], (4, 4, 4, 4)),
            ValueError,
            r"`input_shape` must be positive ints: \(C, H, W\) of images.*got \(4, 4, 4, 4\)",
        ),
        (([fc.ReLU()], ()), ValueError, r"`input_shape`"),
        (([fc.ReLU()], (0,)), ValueError, r"`input_shape` .*got \(0,\)"),
        (([fc.ReLU()], (1, -6, 6)), ValueError, r"`input_shape` .*got \(1, -6, 6\)"),
        (
            ([fc.ReLU()], (4,), "float16"),
            ValueError,
            '`dtype` must be "float32" or "float64", got \'float16\'',
        ),
        (([fc.ReLU()], (4,), "nonsense"), ValueError, "`dtype` must be .*got 'nonsense'"),
        (([fc.ReLU()], (4,), np.int32), ValueError, "`dtype` must be"),
        ((None, (4,)), TypeError, "`layers`"),
        (([fc.Dense(2)], (4,), "float32", "one"), (TypeError, ValueError), "`seed`"),
        (([fc.Dense(2)], (4,), "float32", -1), ValueError, "`seed`"),
        (([fc.Dense(2)], (4,), "float32", 1.5), TypeError, "`seed`"),
    ],
)
def test_a_network_that_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        fc.Sequential(*arguments)


def test_layers_may_come_from_any_iterable_and_be_used_twice():
    dense = fc.Dense(3)
    model = fc.Sequential(iter([dense, fc.ReLU(), dense]), [3])
    assert list(model.parameters()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert not np.array_equal(model.parameters()["0.weight"], model.parameters()["2.weight"])
    assert model.input_shape == (3,)


def test_it_is_shown_as_its_summary_in_a_terminal_and_as_a_table_in_a_notebook(capsys):
    model = fc.models.reference_cnn()
    model.summary()
    assert repr(model) == str(model)
    assert capsys.readouterr().out.startswith(f"{model}\nprecision: ")
    assert repr(model).splitlines()[-1] == "parameters: 15 (float32, 60 bytes); products of one sample: 148"
    table = model._repr_html_()
    assert table.count("<tr>") == 2 + len(model.nodes)
    assert "<td>0  Conv2d(1, kernel_size=3)</td><td>(1, 4, 4)</td><td>10</td><td>144</td>" in table


def test_names_of_users_layers_are_no_markup():
    class Odd(fc.ReLU):
        def call(self):
            return "<script>"

    assert "<script>" not in fc.Sequential([Odd()], (3,))._repr_html_()
