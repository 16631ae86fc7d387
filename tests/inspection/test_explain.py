"""`explain`: the reference network against numbers worked by hand, every layer and loss against PyTorch."""

import io
import math
import re

import numpy as np
import pytest

import fastconv as fc
from fastconv.inspection import activations, formulas
from fastconv.nn.block import Composite
from fastconv.nn.losses import LOSSES
from fastconv.nn.merge import Stack, Sum
from tests.engine.networks import NETWORKS, ROWS, build
from tests.models import test_reference_network as hand
from tests.nn.layer_kinds import LAYERS


def numbers_after(text, title, count):
    """The next `count` numbers of the printed array whose title begins so."""
    at = re.search(rf"^ *{re.escape(title)}.*shape.*\n", text, re.MULTILINE).end()
    lines = [line for line in text[at:].splitlines() if line.lstrip().startswith("[")]
    return [float(n) for n in re.findall(r"-?\d[\d.e-]*", "\n".join(lines))[:count]]


@pytest.fixture(scope="module")
def told():
    return fc.explain(hand.reference("float64"), hand.X, hand.Y, lr=hand.RATE, file=io.StringIO())


FORWARD = {
    "X ": hand.X, 'W1, "0.weight"': hand.W1, 'b1, "0.bias"': [hand.B1], "Z1 = conv2d(X, W1) + b1": hand.Z1,
    "A1 = max(Z1, 0)": hand.A1, "P1 = the largest": hand.P1, "F = P1": hand.F,
    'W2, "4.weight"': hand.W2, 'b2, "4.bias"': [hand.B2], "Z2 = W2 F + b2": [hand.Z2],
    "A2 = 1 / (1 + exp(-Z2))": [hand.A2],
}  # fmt: skip
BACKWARD = {
    "dL/dZ2 = A2 - y": [hand.DZ2], "dL/dW2 = dL/dZ2 F^T": hand.DW2, "dL/db2 = dL/dZ2": [hand.DB2],
    "dL/dF = W2^T dL/dZ2": hand.DF, "dL/dP1 = dL/dF in the shape of P1": hand.DF,
    "dL/dA1 = each dL/dP1": hand.DA1, "dL/dZ1 = dL/dA1 where Z1 > 0, else 0": hand.DZ1,
    "dL/dW1 = correlation of X with dL/dZ1": hand.DW1, "dL/db1 = sum over i, j": [hand.DB1],
    "dL/dX = full correlation of dL/dZ1 with W1 rotated by 180 degrees": hand.DX,
}  # fmt: skip


@pytest.mark.parametrize("title", [*FORWARD, *BACKWARD])
def test_the_printed_numbers_of_the_reference_network_are_those_worked_by_hand(told, title):
    expected = np.ravel({**FORWARD, **BACKWARD}[title])
    np.testing.assert_allclose(numbers_after(told.text, title, len(expected)), expected, atol=5e-7)


@pytest.mark.parametrize(
    "line",
    [
        "X -> Z1 -> A1 -> P1 -> F -> Z2 -> A2 -> L",
        "Z1[0,0,0] = 3*1 + 1*0 + 0*(-1) + 0*1 + 2*0 + 0*(-1) + 2*0 + 1*1 + 1*0 + (-1) = 3",
        "P1[0,0,0] = max(3, 0, 2, 1) = 3, won by A1[0,0,0]",
        "P1[0,0,1] = max(0, 0, 0, 0) = 0, won by A1[0,0,2]",  # the first of four equals
        "P1[0,1,0] = max(2, 2, 4, 1) = 4, won by A1[0,3,0]",
        "P1[0,1,1] = max(0, 0, 0, 2) = 2, won by A1[0,3,3]",
        "Z2[0] = 1*3 + 3*0 + (-2)*4 + 2*2 + (-0.0986123) = -1.09861",
        "A2[0] = 1 / (1 + exp(-(-1.09861))) = 0.25",
        "L = -y * log A2 - (1 - y) * log(1 - A2) = 1.38629",
        "= -1 * log 0.25 - (1 - 1) * log(1 - 0.25)",
        "dL/dW2[0,0] = (-0.75)*3 = -2.25",
        "dL/dF[0] = 1*(-0.75) = -0.75",
        # dL/dZ1 is not 0 at (0, 0), (3, 0) and (3, 3), and X is 3, 2 and 1 there.
        "dL/dW1[0,0,0,0] = (-0.75)*3 + 1.5*2 + (-1.5)*1 = -0.75   (terms of 0 left out)",
        'W1, "0.weight": shape (1, 1, 3, 3); its first number: 1 - 0.5*(-0.75) = 1.375',
        'b1, "0.bias": shape (1,); its first number: (-1) - 0.5*(-0.75) = -0.625',
        "[ 1.  3. -2.  2.]   [-2.25  0.   -3.   -1.5 ]   [ 2.125  3.    -0.5    2.75 ]",
    ],
)
def test_a_sum_of_the_reference_network_is_written_out(told, line):
    assert re.sub(r"\s+", " ", line) in re.sub(r"\s+", " ", told.text)


def test_the_order_is_forward_then_the_loss_then_backward_then_the_update(told):
    titles = [*FORWARD, "L = ", *BACKWARD, "Update: W <- W - 0.5 dL/dW", 'W1, "0.weight": ', 'b2, "4.bias": ']
    places = [told.text.index("\n" + title if title == "L = " else title) for title in titles]
    assert places == sorted(places)


def test_the_arrays_can_be_used_in_code(told):
    np.testing.assert_allclose(told.activations["Z1"][0], hand.Z1)
    np.testing.assert_allclose(told.gradients["A1"][0], hand.DA1)
    np.testing.assert_allclose(told.loss, hand.LOSS)
    hand.check_parameters(told.parameter_gradients, hand.DW1, hand.DB1, hand.DW2, hand.DB2, "float64")
    hand.check_parameters(told.updated, hand.NEW_W1, hand.NEW_B1, hand.NEW_W2, hand.NEW_B2, "float64")
    assert repr(told) == "<Explanation: loss 1.38629, 7 activations>"


def test_it_prints_on_the_standard_output_or_into_a_file_and_leaves_the_model_alone(capsys):
    model, file = hand.reference("float32"), io.StringIO()
    before = model.state()
    told = fc.explain(model, hand.X, [hand.Y], lr=hand.RATE)
    assert capsys.readouterr().out == told.text + "\n"
    fc.explain(model, np.array(hand.X)[None, None], hand.Y, lr=hand.RATE, file=file)
    assert file.getvalue() == told.text + "\n"
    assert capsys.readouterr().out == ""
    assert all(np.array_equal(model.state()[name], before[name]) for name in before)
    told.activations["X"][:], told.updated["4.bias"][:] = 7, 7
    assert all(np.array_equal(model.state()[name], before[name]) for name in before)


# Every layer and every loss, against PyTorch


def pair(layers, input_shape, torch_layers):
    """A network of ours and the same one in PyTorch, in float64."""
    torch = pytest.importorskip("torch")
    model = fc.Sequential(layers, input_shape, dtype="float64", seed=3)
    rng = np.random.default_rng(3)
    for name, array in model.statistics().items():
        array[...] = (
            rng.uniform(0.5, 1.5, array.shape) if name.endswith("var") else rng.normal(size=array.shape)
        )
    net = torch.nn.Sequential(*torch_layers(torch.nn)).double().eval()
    state = {name: torch.tensor(array) for name, array in model.state().items()}
    net.load_state_dict(state, strict=False)
    return model, net, torch


CASES = {
    "convolutions": (
        [
            fc.Conv2d(4, 3, padding="same", groups=2, bias=False), fc.BatchNorm2d(), fc.LeakyReLU(0.1),
            fc.AvgPool2d(3, stride=2, padding=1),
            fc.Conv2d(6, (2, 3), stride=(2, 1), padding=2, dilation=(1, 2)), fc.Tanh(),
            fc.Dropout(0.3), fc.MaxPool2d(2, stride=1), fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(3),
        ],
        (2, 7, 6),
        lambda nn: [
            nn.Conv2d(2, 4, 3, padding="same", groups=2, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.1),
            nn.AvgPool2d(3, 2, 1), nn.Conv2d(4, 6, (2, 3), (2, 1), 2, (1, 2)), nn.Tanh(),
            nn.Dropout(0.3), nn.MaxPool2d(2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
        ],
        "cross_entropy", 2,
    ),
    "softmax and its loss": (
        [fc.Dense(3), fc.Softmax()], (5,), lambda nn: [nn.Linear(5, 3), nn.Softmax(-1)], "log softmax", 1,
    ),
    "softmax": (
        [fc.Dense(4, bias=False), fc.ReLU(), fc.Dense(3), fc.Softmax()], (5,),
        lambda nn: [nn.Linear(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(-1)],
        "mse", [0.2, 0.5, 0.1],
    ),
    "several sigmoids": (
        [fc.Dense(3), fc.Sigmoid()], (5,), lambda nn: [nn.Linear(5, 3), nn.Sigmoid()], "bce", [1, 0, 0.25],
    ),
    "sigmoid inside": (
        [fc.Dense(3), fc.Sigmoid(), fc.Dense(1)], (5,),
        lambda nn: [nn.Linear(5, 3), nn.Sigmoid(), nn.Linear(3, 1)], "bce_with_logits", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_array_forward_and_backward_is_that_of_pytorch(case):
    layers, input_shape, torch_layers, loss, y = CASES[case]
    model, net, torch = pair(layers, input_shape, torch_layers)
    x = np.random.default_rng(1).normal(size=input_shape)
    name = "cross_entropy" if loss == "log softmax" else loss
    told = fc.explain(model, x, y, loss=name, lr=0.25, file=io.StringIO())

    arrays = [torch.tensor(x[None], requires_grad=True)]
    for part in net:
        arrays.append(part(arrays[-1]))
        arrays[-1].retain_grad()
    target = torch.tensor(np.array([y]) if name == "cross_entropy" else np.reshape(y, (1, -1)).astype(float))
    functions = torch.nn.functional
    torch_loss = {
        "mse": functions.mse_loss,
        "bce": functions.binary_cross_entropy,
        "bce_with_logits": functions.binary_cross_entropy_with_logits,
        "cross_entropy": functions.cross_entropy,
        "log softmax": lambda p, label: functions.nll_loss(p.log(), label),
    }[loss](arrays[-1], target)
    torch_loss.backward()

    assert len(told.activations) == len(arrays)
    for name, array in zip(told.activations, arrays, strict=True):
        np.testing.assert_allclose(told.activations[name], array.detach()[0], atol=1e-12, err_msg=name)
        np.testing.assert_allclose(told.gradients[name], array.grad[0], atol=1e-12, err_msg=name)
    np.testing.assert_allclose(told.loss, torch_loss.item())
    for name, parameter in net.named_parameters():
        np.testing.assert_allclose(told.parameter_gradients[name], parameter.grad, atol=1e-12)
        np.testing.assert_allclose(
            told.updated[name], (parameter - 0.25 * parameter.grad).detach(), atol=1e-12
        )


def sums(text):
    """(array, its written-out sum, the result) of every number that is worked out."""
    flat = re.sub(r"\n {8}(?=\S)", " ", text)  # long lines go on, further in
    for name, terms, result in re.findall(
        r"^    (\S+\[[0,]+\]) = (.*) = (-?[\d.e-]+)(?: |$)", flat, re.MULTILINE
    ):
        if "more)" not in terms and "..." not in terms:
            yield name, terms, float(result)


def evaluated(terms):
    terms = terms.replace("sum of (", "np.sum([").replace(") /", "]) /") if "sum of" in terms else terms
    terms = re.sub(r"tanh (\S+)", r"np.tanh(\1)", terms)
    known = {"exp": np.exp, "sqrt": np.sqrt, "log": np.log, "tanh": np.tanh, "erf": math.erf, "pi": np.pi}
    return eval(terms, {"np": np, "max": lambda *values: max(values), **known})


def test_a_sum_that_is_written_out_comes_to_the_number_beside_it():
    layers = [
        fc.Conv2d(4, 3, padding=1, stride=2), fc.BatchNorm2d(), fc.Tanh(), fc.AvgPool2d(2, padding=1),
        fc.AvgPool2d(2, stride=1, padding=1, count_include_pad=False), fc.Conv2d(1, 2, dilation=2),
        fc.Sigmoid(), fc.MaxPool2d(1), fc.Flatten(), fc.Dense(3), fc.Dense(2, bias=False),
    ]  # fmt: skip
    model = fc.Sequential(layers, (1, 8, 8), dtype="float64", seed=5)
    text = fc.explain(model, np.random.default_rng(2).normal(size=(8, 8)), 1, file=io.StringIO()).text
    found = {}
    for name, terms, result in sums(text.replace(", won by", " , won by")):
        found[name] = abs(evaluated(terms) - result)
    wanted = {"Z1[0,0,0]", "N1[0,0,0]", "A1[0,0,0]", "P1[0,0,0]", "P1'[0,0,0]", "A2[0,0,0]", "P2[0,0,0]"}
    assert wanted | {"Z3[0]", "dL/dW2[0,0,0,0]", "dL/dW3[0,0]", "dL/dZ3[0]"} <= set(found)
    assert max(found.values()) < 5e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_the_sums_of_every_layer_come_to_the_numbers_beside_them(name):
    model = build(name)
    for statistic, array in model.statistics().items():
        array += 0.5 * statistic.endswith("var")
    x = np.random.default_rng(2).normal(size=model.input_shape)
    told = fc.explain(model, x, np.zeros(model.output_shape), loss="mse", file=io.StringIO())
    for what, terms, result in sums(told.text.replace(", won by", " , won by")):
        if name in ROWS or not what.startswith("dL/d"):  # else a gradient may be the sum of several ways
            assert evaluated(terms) == pytest.approx(result, rel=2e-3, abs=2e-4), what
    outputs = activations(model, x[None])
    for mine, expected in zip(told.activations.values(), outputs, strict=True):
        np.testing.assert_array_equal(mine, expected[0])


LINES = {
    "Z1 = conv1d(X, W1) + b1": fc.Conv1d(2, 3),
    "Z1[o,j] = b1[o] + sum over c, kw of W1[o,c,kw] * X[c,2j+kw-1]": fc.Conv1d(2, 3, stride=2, padding=1),
    "dL/dX = full correlation of dL/dZ1 with W1 reversed": fc.Conv1d(2, 3),
    "P0[c,j] = max over X[c,2j+kw], kw = 0..1": fc.MaxPool1d(2),
    "P0[c,j] = mean of X[c,2j+kw-1], kw = 0..1": fc.AvgPool1d(2, padding="same_lower"),
    "G0 = the mean of each channel of X, 7 numbers": fc.GlobalAvgPool1d(),
    "G0 = the largest of each channel of X, 7 numbers": fc.GlobalMaxPool1d(),
    "G0[0,0] = 6, won by X[0,6]": fc.GlobalMaxPool1d(),
    "P0 = the mean of each of 3 windows of X": fc.AdaptiveAvgPool1d(3),
    "window [j]: positions floor(j*7/3) to before ceil((j+1)*7/3)": fc.AdaptiveAvgPool1d(3),
    "P0[0,0] = sum of (0, 1, 2) / 3 = 1": fc.AdaptiveAvgPool1d(3),
    "dL/dbeta0 = sum over j of dL/dN0": fc.BatchNorm1d(),
    "N0 = (X - mean) / sqrt(var + 1e-05)": fc.InstanceNorm1d(),
    "dL/dbeta0 = dL/dN0": fc.LayerNorm(),
    "A0[0,0] = 0.25 * 0 = 0": fc.PReLU(),
    "A0 = X where X > 0, else a0[c] * X": fc.PReLU(True),
}


@pytest.mark.parametrize("line", LINES)
def test_layers_over_signals_are_told_without_rows(line):
    x = np.stack([np.arange(7.0), -np.arange(7.0)])
    model = fc.Sequential([LINES[line]], x.shape, dtype="float64")
    told = fc.explain(model, x, np.zeros(model.output_shape), loss="mse", file=io.StringIO())
    assert line in " ".join(told.text.split())


def test_batch_norm_of_features_is_told_without_positions():
    model = fc.Sequential([fc.BatchNorm1d(), fc.Dense(1)], (2,))
    text = fc.explain(model, [1, 2], 0.5, file=io.StringIO()).text
    assert "N0[0] = 1 * (1 - 0) / sqrt(1 + 1e-05) + 0 = 0.999995" in text
    assert "dL/dbeta0 = dL/dN0 " in text


@pytest.mark.parametrize(
    "layer",
    [fc.MaxPool2d(2, padding="same"), fc.AvgPool2d(2, padding=((1, 0), (0, 1))),
     fc.AvgPool2d(3, 2, "same_lower", count_include_pad=False), fc.Conv2d(1, 2, padding=((1, 0), (0, 1)))],
    ids=str,
)  # fmt: skip
def test_padding_of_unequal_sides_is_told(layer):
    model = fc.Sequential([layer], (1, 5, 5), dtype="float64")
    x = np.random.default_rng(0).normal(size=(5, 5))
    told = fc.explain(model, x, np.zeros(model.output_shape), loss="mse", file=io.StringIO())
    found = list(sums(told.text.replace(", won by", " , won by")))
    assert found
    for what, terms, result in found:
        assert evaluated(terms) == pytest.approx(result, abs=1e-5), what


# Sizes, names and errors


def test_a_large_network_is_abbreviated():
    text = fc.explain(
        fc.models.vgg_small(), np.random.default_rng(0).random((3, 32, 32)), 3, file=io.StringIO()
    ).text
    assert len(text.splitlines()) < 800
    assert max(map(len, text.splitlines())) < 160
    assert "Z1 = conv2d(X, W1) + b1   shape (32, 32, 32), from " in text


def test_a_deep_network_has_its_shapes_and_ranges_printed():
    layers = [layer for _ in range(40) for layer in (fc.Conv2d(4, 3, padding=1), fc.ReLU())]
    text = fc.explain(
        fc.Sequential([*layers, fc.Flatten()], (1, 8, 8)), np.ones((8, 8)), 3, file=io.StringIO()
    ).text
    assert len(text.splitlines()) < 1000
    assert "[[" not in text


@pytest.mark.parametrize(
    ("layers", "y", "loss"),
    [
        ([fc.Dense(1), fc.Sigmoid()], 1, "bce"),
        ([fc.Dense(3), fc.Softmax()], 2, "cross_entropy"),
        ([fc.Dense(3)], 2, "cross_entropy"),
        ([fc.Dense(1)], 0.5, "mse"),
    ],
)
def test_the_loss_is_chosen_from_the_output(layers, y, loss):
    model = fc.Sequential(layers, (2,))
    assert f"Loss: {loss}," in fc.explain(model, [1, 2], y, file=io.StringIO()).text


def test_bytes_are_divided_by_255():
    told = fc.explain(fc.models.reference_cnn(), np.full((6, 6), 51, np.uint8), 0, file=io.StringIO())
    np.testing.assert_allclose(told.activations["X"], 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": 3}, TypeError, "`model` must be a Sequential or a Model, got 3"),
        ({"x": np.zeros((2, 1, 6, 6))}, ValueError, "`x` must be one sample of shape (1, 6, 6), got (2,"),
        ({"x": np.zeros((5, 5))}, ValueError, "(N, 1, 6, 6)"),
        ({"y": [0, 1]}, ValueError, "`y` must have shape (1, 1), got (2,)"),
        ({"loss": "l1"}, ValueError, "`loss` must be one of"),
        ({"lr": -1}, ValueError, "`lr` must be a number >= 0, got -1"),
    ],
)  # fmt: skip
def test_an_argument_that_does_not_fit_is_named(changes, error, message):
    arguments = {"model": fc.models.reference_cnn(), "x": hand.X, "y": 1, **changes}
    with pytest.raises(error, match=re.escape(message)):
        fc.explain(**arguments)


def test_every_layer_and_every_loss_has_its_formula():
    single = {kind for kind in LAYERS.values() if not issubclass(kind, Composite)}
    assert single | {Sum, Stack} <= set(formulas.FORMULAS)
    assert all(len(loss.formula) == 2 for loss in LOSSES.values())
    absorbed = {
        (name, layer.__name__): how for name, loss in LOSSES.items() for layer, how in loss.absorbs.items()
    }
    assert set(absorbed) == {("bce", "Sigmoid"), ("cross_entropy", "Softmax")}
    assert all(len(how.formula) == 3 for how in absorbed.values())
