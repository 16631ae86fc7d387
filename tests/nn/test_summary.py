"""The table of a network: what each layer gives, holds and costs, and who reads what it gives."""

import re

import pytest

import fastconv as fc
from tests.engine.test_graphs import ALL


def same(channels):
    return fc.Conv2d(channels, 3, padding="same")


def residual():
    block = fc.Residual([same(4), fc.ReLU(), same(4)], [fc.Conv2d(4, 1)])
    return fc.Sequential([same(2), block, fc.ReLU(), fc.Flatten(), fc.Dense(3)], (1, 6, 6))


def test_a_row_of_layers_does_not_say_that_each_reads_the_one_before():
    text = repr(fc.models.lenet5())
    assert "read by" not in text
    assert "read by" not in fc.models.lenet5()._repr_html_()


def test_where_a_network_branches_it_says_who_reads_a_value():
    head, rule, *rows, totals = repr(residual()).splitlines()
    assert [" ".join(row.split()) for row in (head, *rows)] == [
        "layer output shape parameters products read by",
        "input (1, 6, 6) 0 0",
        "0 Conv2d(2, kernel_size=3, padding='same') (2, 6, 6) 20 648 1.layers.0, 1.shortcut.0",
        "1.layers.0 Conv2d(4, kernel_size=3, padding='same') (4, 6, 6) 76 2,592",
        "1.layers.1 ReLU() (4, 6, 6) 0 0",
        "1.layers.2 Conv2d(4, kernel_size=3, padding='same') (4, 6, 6) 148 5,184 1",
        "1.shortcut.0 Conv2d(4, kernel_size=1) (4, 6, 6) 12 288",
        "1 Add() (4, 6, 6) 0 0",
        "2 ReLU() (4, 6, 6) 0 0",
        "3 Flatten() (144,) 0 0",
        "4 Dense(3) (3,) 435 432",
    ]  # fmt: skip
    assert len(rule) == max(map(len, rows))
    assert {row.index("(", row.index(")  ")) for row in rows[1:]} == {head.index("output shape")}
    assert rows[1].index("1.layers.0") == rows[4].rindex("1") == head.index("read by")
    assert totals == "parameters: 691 (float32, 2,764 bytes); products of one sample: 9,144"


def test_a_notebook_shows_the_same():
    table = residual()._repr_html_()
    cells = [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", table)]
    assert cells[0] == ["layer", "output shape", "parameters", "products", "read by"]
    assert cells[2][2:] == ["20", "648", "1.layers.0, 1.shortcut.0"]
    assert {len(row) for row in cells} == {5}
    assert table.endswith("<p>parameters: 691 (float32, 2,764 bytes); products of one sample: 9,144</p>")


@pytest.mark.parametrize("name", ALL)
def test_the_columns_add_up_to_the_totals(name):
    layers, input_shape = ALL[name]
    model = fc.Sequential(layers, input_shape)
    *rows, _ = repr(model).splitlines()[2:]
    counts = [re.search(r"\)  +([\d,]+)  +([\d,]+)(?:  |$)", row).groups() for row in rows]
    parameters, products = (
        sum(int(n.replace(",", "")) for n in column) for column in zip(*counts, strict=True)
    )
    assert (parameters, products) == (model.num_parameters, model.products())
    assert [name.split()[0] for name, _, _ in model.describe()] == [node.name for node in model.nodes]


def two_heads():
    image, speed = fc.Input((1, 6, 6), name="image"), fc.Input((3,), name="speed")
    features = fc.Concatenate()([fc.Flatten()(fc.ReLU()(same(2)(image))), speed])
    outputs = {"policy": fc.Dense(4)(features), "value": fc.Tanh()(fc.Dense(1)(features))}
    return fc.Model([image, speed], outputs)


def test_several_inputs_and_outputs_are_named():
    lines = repr(two_heads()).splitlines()
    ends = {line.split()[0]: line for line in lines[2:]}
    assert ends["image"].endswith("0  0")
    assert ends["speed"].endswith("  3")
    assert ends["4"].endswith("300  output policy")
    assert ends["6"].endswith("  0  output value")


def test_a_layer_at_two_places_is_counted_once():
    left, right = fc.Input((4,)), fc.Input((4,))
    shared = fc.Dense(5)
    output = fc.Dense(1)(fc.Concatenate()([shared(left, name="tower"), shared(right, name="tower")]))
    model = fc.Model([left, right], output)
    rows = [line for line in repr(model).splitlines() if line.startswith("tower")]
    assert ["  25        20" in rows[0], "  shared        20" in rows[1]] == [True, True]
    assert sum(count for _, _, count in model.describe()) == model.num_parameters == 25 + 11
    assert model.products() == 20 + 20 + 10


def test_the_memory_of_a_step_is_that_of_its_batch_and_optimizer(capsys):
    model = residual()
    model.summary(1, optimizer="adam")
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"a training step of 1 sample takes {model.memory(1, optimizer='adam'):,} bytes"
    )
    with pytest.raises(ValueError, match="`batch_size`"):
        model.summary(0)
