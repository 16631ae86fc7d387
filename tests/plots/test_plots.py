"""Pictures: what is drawn is read back from the artists."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

HISTORY = {
    "loss": [2.0, 1.0, 0.5],
    "accuracy": [0.3, 0.5, 0.75],
    "val_loss": [1.5, 0.7, 0.9],
    "val_accuracy": [0.4, 0.8, 0.6],
    "learning_rate": [0.1, 0.1, 0.1],
    "seconds": [1.0, 1.0, 1.0],
}
RNG = np.random.default_rng(0)
ROOT = Path(fc.__file__).parents[1]


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def axes(rows=1, columns=1):
    return Figure().subplots(rows, columns)


def drawn(ax):
    """The picture of an Axes, NaN where it shows nothing."""
    return np.ma.filled(ax.images[0].get_array().astype(float), np.nan)


def colour(network=()):
    layers = [
        fc.Conv2d(64, 3, padding="same"),
        fc.ReLU(),
        fc.MaxPool2d(2),
        *network,
        fc.Flatten(),
        fc.Dense(3),
    ]
    return fc.Sequential(layers, (3, 6, 6), dtype="float64")


# ---------------------------------------------------------------- history


def test_history_draws_a_panel_for_the_loss_and_for_each_metric_with_validation():
    panels = fc.plots.history(HISTORY)
    assert [ax.get_title() for ax in panels] == ["loss", "accuracy"]
    for ax, name in zip(panels, ("loss", "accuracy"), strict=True):
        training, validation = ax.lines[:2]
        np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(training.get_ydata(), HISTORY[name])
        np.testing.assert_array_equal(validation.get_ydata(), HISTORY[f"val_{name}"])


def test_history_marks_the_lowest_loss_and_the_highest_accuracy():
    loss, accuracy = fc.plots.history(HISTORY)
    assert loss.lines[2].get_xydata().tolist() == [[2, 0.7]]
    assert accuracy.lines[2].get_xydata().tolist() == [[2, 0.8]]


def test_history_without_validation_draws_one_curve():
    (ax,) = fc.plots.history({"loss": [1.0]})
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1.0]]


def test_history_draws_where_it_is_told_to():
    given = axes()
    assert fc.plots.history(HISTORY, ax=given) is given
    assert given.get_title() == "loss"
    assert fc.plots.history(HISTORY, names="accuracy", ax=given) is given
    row = axes(1, 2)
    assert list(fc.plots.history(HISTORY, ax=row, names=["accuracy", "learning_rate"])) == list(row)
    assert plt.get_fignums() == []


def test_history_takes_what_fit_returns():
    trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    history = trainer.fit(np.ones((8, 1, 6, 6)), np.ones(8), epochs=2, progress=False)
    panels = fc.plots.history(history)
    assert panels[0].lines[0].get_ydata().tolist() == history["loss"]


def test_history_names_what_is_not_there():
    with pytest.raises(ValueError, match=r"`names` must be among loss, .*, got 'auc'"):
        fc.plots.history(HISTORY, names="auc")
    with pytest.raises(ValueError, match="`ax` must hold 2 Axes, one for each panel, got 1"):
        fc.plots.history(HISTORY, names=["loss", "accuracy"], ax=[axes()])


# ---------------------------------------------------------------- filters


def planes_of(mosaic, height, width, columns, gap):
    """Cut a mosaic of rows of `columns` planes into its planes again."""
    rows = (mosaic.shape[0] + gap) // (height + gap)
    return [
        mosaic[r * (height + gap) :][:height, c * (width + gap) :][:, :width]
        for r in range(rows)
        for c in range(columns)
    ]


def test_filters_are_the_weights_with_zero_in_the_middle_of_the_scale():
    model = fc.Sequential([fc.Conv2d(6, (2, 3)), fc.Flatten(), fc.Dense(2)], (1, 5, 5))
    weight = model.parameters()["0.weight"]
    weight[0, 0, 0, 0] = -3
    ax = fc.plots.filters(model)
    assert isinstance(ax, Axes)
    mosaic = drawn(ax)
    columns = (mosaic.shape[1] + 1) // 4
    planes = planes_of(mosaic, 2, 3, columns, 1)
    np.testing.assert_array_equal(planes[:6], weight[:, 0])
    assert np.isnan(mosaic).any()
    assert ax.images[0].get_clim() == (-3, 3)
    red, green, blue, _ = ax.images[0].cmap(0.5)
    assert min(red, green, blue) > 0.95


def test_filters_of_several_channels_lie_side_by_side():
    model = colour([fc.Conv2d(2, 2)])
    mosaic, weight = drawn(fc.plots.filters(model)), model.parameters()["0.weight"]
    strip = mosaic[:3, :11]
    np.testing.assert_array_equal([strip[:, 4 * c : 4 * c + 3] for c in range(3)], weight[0])
    assert np.isnan(mosaic[:3, 11:13]).all()
    np.testing.assert_array_equal(mosaic[:3, 13:16], weight[1, 0])
    assert np.isfinite(mosaic).sum() == weight.size
    later = fc.plots.filters(model, layer=3, count=1)
    assert "the first 1" in later.get_title()
    assert "64 input channels side by side, the first 32" in later.get_title()
    assert np.isfinite(drawn(later)).sum() == 32 * 4


def test_the_weights_of_the_reference_network_are_written_out():
    model = fc.models.reference_cnn()
    model.parameters()["0.weight"][...] = np.reshape([-1, 0.25, 0, 0, 0, -0.001, 0, 2, 0], (1, 1, 3, 3))
    given = axes()
    assert fc.plots.filters(model, ax=given) is given
    assert [t.get_text() for t in given.texts] == ["-1.0", "0.2", "0", "0", "0", "0.0", "0", "2.0", "0"]


@pytest.mark.parametrize(
    ("model", "layer", "message"),
    [
        (fc.Sequential([fc.Dense(2)], (3,)), None, "`model` must have a Conv2d layer"),
        (fc.models.lenet5(), 1, r"`layer` must be the number of a Conv2d, one of 0, 3, got 1"),
    ],
)
def test_filters_names_what_is_no_convolution(model, layer, message):
    with pytest.raises(ValueError, match=message):
        fc.plots.filters(model, layer)


# ---------------------------------------------------------------- feature and gradient maps


def test_feature_maps_show_the_input_and_every_layers_output():
    torch = pytest.importorskip("torch")
    model = colour()
    x = RNG.normal(size=(3, 6, 6))
    panels = fc.plots.feature_maps(model, x)
    assert len(panels) == 6
    weight, bias = (torch.tensor(model.parameters()[f"0.{n}"]) for n in ("weight", "bias"))
    y = torch.nn.functional.conv2d(torch.tensor(x[None]), weight, bias, padding=1)[0].numpy()
    mosaic = drawn(panels[1])
    np.testing.assert_allclose(np.stack(planes_of(mosaic, 6, 6, 8, 1)), y, atol=1e-12)
    np.testing.assert_allclose(
        np.stack(planes_of(drawn(panels[2]), 6, 6, 8, 1)), np.maximum(y, 0), atol=1e-12
    )
    heights = [bar.get_height() for bar in panels[5].patches]
    np.testing.assert_allclose(heights, model.predict(x[None])[0])
    assert panels[5].get_title().startswith("4 Dense: 3\n")


def test_gradient_maps_show_the_gradient_at_every_layer():
    torch = pytest.importorskip("torch")
    model = fc.models.reference_cnn("float64", seed=2)
    x = RNG.random((1, 6, 6))
    panels = fc.plots.gradient_maps(model, x, 1, loss="bce")
    p = {name: torch.tensor(array) for name, array in model.parameters().items()}
    image = torch.tensor(x[None], requires_grad=True)
    z = torch.nn.functional.conv2d(image, p["0.weight"], p["0.bias"])
    z.retain_grad()
    pooled = torch.nn.functional.max_pool2d(torch.relu(z), 2).flatten(1)
    logit = pooled @ p["4.weight"].T + p["4.bias"]
    torch.nn.functional.binary_cross_entropy_with_logits(logit, torch.ones(1, 1, dtype=float)).backward()
    np.testing.assert_allclose(drawn(panels[0]), image.grad[0, 0], atol=1e-12)
    np.testing.assert_allclose(drawn(panels[1]), z.grad[0, 0], atol=1e-12)
    assert panels[5].patches[0].get_height() == pytest.approx(torch.sigmoid(logit).item() - 1)


def test_maps_of_chosen_layers_are_drawn_where_they_are_told_to():
    model, given = fc.models.reference_cnn(), axes(1, 2)
    assert list(fc.plots.feature_maps(model, np.ones((6, 6)), layers=[0, 6], ax=given)) == list(given)
    assert [ax.get_title().split(":")[0] for ax in given] == ["input", "5 Sigmoid"]
    assert list(fc.plots.gradient_maps(model, np.ones((6, 6)), 0, "bce", layers=[0, 6], ax=axes(2, 1)))
    assert plt.get_fignums() == []


def test_maps_take_one_sample_in_any_of_its_shapes():
    model = fc.models.reference_cnn()
    for x in (np.ones((6, 6)), np.ones((1, 6, 6)), np.ones((1, 1, 6, 6)), np.full((6, 6), 255, np.uint8)):
        np.testing.assert_array_equal(drawn(fc.plots.feature_maps(model, x, layers=[0])[0]), np.ones((6, 6)))
    with pytest.raises(ValueError, match="`x` must be one sample, got 2"):
        fc.plots.feature_maps(model, np.ones((2, 6, 6)))
    with pytest.raises(ValueError, match="`layers` must be numbers from 0 to 6"):
        fc.plots.feature_maps(model, np.ones((6, 6)), layers=[7])


def test_maps_of_a_network_that_has_overflowed_are_still_drawn():
    model = fc.models.reference_cnn()
    model.parameters()["0.weight"][...] = np.nan
    assert len(fc.plots.feature_maps(model, np.ones((6, 6)))) == 7


# ---------------------------------------------------------------- confusion matrix


@pytest.mark.parametrize("normalize", [False, True])
def test_the_confusion_matrix_is_scikit_learns(normalize):
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, said = RNG.integers(0, 5, 200), RNG.integers(0, 5, 200)
    expected = sklearn.confusion_matrix(truth, said, normalize="true" if normalize else None)
    given = axes()
    assert fc.plots.confusion_matrix(truth, said, normalize=normalize, ax=given) is given
    np.testing.assert_allclose(drawn(given), expected)
    written = np.array([float(text.get_text()) for text in given.texts]).reshape(5, 5)
    np.testing.assert_allclose(written, expected, atol=0.0051)


def test_the_confusion_matrix_takes_labels_of_any_kind_and_names_for_numbers():
    ax = fc.plots.confusion_matrix(["b", "a", "a"], ["b", "b", "a"])
    assert drawn(ax).tolist() == [[1, 1], [0, 1]]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    ax = fc.plots.confusion_matrix(["b", "a", "a"], ["b", "b", "a"], classes=["b", "a", "c"])
    assert drawn(ax).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    ax = fc.plots.confusion_matrix([0, 1], [0, 0], classes=["cat", "a name of thirty characters too"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["cat", "a name of thirt…"]
    with pytest.raises(ValueError, match="`classes` must hold every label, 'c' is missing"):
        fc.plots.confusion_matrix(["c"], ["a"], classes=["a", "b"])


def test_a_confusion_matrix_of_many_classes_has_few_ticks_and_no_numbers():
    ax = fc.plots.confusion_matrix(np.arange(100), np.arange(100))
    assert len(ax.get_xticks()) <= 20
    assert len(ax.texts) == 0


# ---------------------------------------------------------------- worst mistakes


def passing_on(size):
    """A network whose logits are its input."""
    return fc.Sequential([fc.Flatten()], (1, 1, size), dtype="float64")


def test_the_worst_mistakes_are_those_of_the_highest_loss():
    logits = np.array([[0.0, 5.0], [3.0, 0.0], [0.0, 1.0], [9.0, 0.0]])
    labels = [0, 0, 0, 1]  # wrong are 0 and 2 and, most of all, 3
    panels = fc.plots.worst_mistakes(passing_on(2), logits[:, None, None], labels, classes=["cat", "dog"])
    assert [ax.get_title() for ax in panels] == [
        "true dog\nsaid cat, 100%", "true cat\nsaid dog, 99%", "true cat\nsaid dog, 73%",
    ]  # fmt: skip
    np.testing.assert_array_equal(drawn(panels[0]), [[1, 0]])
    given = axes(1, 2)
    panels = fc.plots.worst_mistakes(passing_on(2), logits[:, None, None], labels, count=2, ax=given)
    assert list(panels) == list(given)


def test_without_a_mistake_a_panel_says_so():
    (ax,) = fc.plots.worst_mistakes(passing_on(2), np.eye(2)[:, None, None], [0, 1])
    assert ax.texts[0].get_text() == "no mistakes\nin 2 images"


def test_colour_images_are_shown_in_colour():
    X = RNG.integers(0, 256, (40, 3, 6, 6), dtype=np.uint8)
    model = colour()
    panels = fc.plots.worst_mistakes(model, X, RNG.integers(0, 3, 40), count=3)
    assert drawn(panels[0]).shape == (6, 6, 3)
    pictures = X.transpose(0, 2, 3, 1) / 255
    assert any(np.allclose(drawn(panels[0]), one) for one in pictures)


def test_a_network_that_is_no_classifier_of_images_is_refused():
    with pytest.raises(ValueError, match="`X` must be images"):
        fc.plots.worst_mistakes(fc.Sequential([fc.Dense(2)], (3,)), np.ones((2, 3)), [0, 1])
    image = fc.Sequential([fc.Conv2d(2, 1)], (1, 2, 2))
    with pytest.raises(ValueError, match="`model` must end in one output or one for each class"):
        fc.plots.worst_mistakes(image, np.ones((2, 1, 2, 2)), [0, 1])


# ---------------------------------------------------------------- the package


@pytest.mark.parametrize("call", ["history({'loss': [1.0]})", "confusion_matrix([0], [0])"])
def test_without_matplotlib_a_picture_says_in_one_line_what_to_install(call):
    code = f"import sys; sys.modules['matplotlib'] = None\nimport fastconv as fc\nfc.plots.{call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == (
        'ImportError: fastconv.plots needs matplotlib: pip install matplotlib (the extra "plot")'
    )


@pytest.mark.parametrize("name", ["$x_$", "$\\frac{$", "a$b$c", "\x1b[2Ja", "a\nb", "\udcff", "\0"])
def test_names_of_any_origin_are_drawn_as_they_are(name, tmp_path):
    X, y = fc.datasets.load_digits()[:2]
    drawing = Figure()
    panel, *others = drawing.subplots(1, 4)
    names = [name, *(f"{k}{name}" for k in range(1, 10))]
    fc.plots.confusion_matrix(y[:50], y[:50][::-1], classes=names, ax=panel)
    fc.plots.worst_mistakes(fc.models.lenet_digits(), X, y, count=2, classes=names, ax=others[:2])
    fc.plots.history({name: [1.0, 2.0]}, names=name, ax=others[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing.savefig(tmp_path / "a.png")
    texts = [panel.get_xticklabels()[0].get_text(), others[0].get_title()]
    assert all(set(text) <= {"\n"} | {c for c in text if c.isprintable()} for text in texts)


# ---------------------------------------------------------------- signals, and several inputs and outputs


def signals():
    layers = [fc.Conv1d(3, 5, padding="same"), fc.ReLU(), fc.MaxPool1d(2), fc.Flatten(), fc.Dense(2)]
    return fc.Sequential(layers, (2, 8))


def test_the_filters_of_signals_are_lines():
    model = signals()
    ax = fc.plots.filters(model)
    lines = planes_of(drawn(ax), 1, 5 + 1 + 5, 1, 2)
    for line, weight in zip(lines, model.parameters()["0.weight"], strict=True):
        np.testing.assert_array_equal(line, np.r_[weight[0], np.nan, weight[1]][None])
    assert "3 filters of 5" in ax.get_title()


def test_the_maps_of_a_signal_have_a_line_for_each_channel():
    model, x = signals(), RNG.normal(size=(2, 8))
    panels = fc.plots.feature_maps(model, x)
    np.testing.assert_allclose(drawn(panels[0]), x, rtol=1e-6)
    assert drawn(panels[1]).shape == (3, 8)
    assert [ax.get_title().split(chr(10))[0] for ax in panels[:2]] == ["input: 2 x 8", "0 Conv1d: 3 x 8"]
    assert len(fc.plots.gradient_maps(model, x, 1)) == len(panels)


def two_headed():
    image, speed = fc.Input((1, 4, 4), name="image"), fc.Input((3,), name="speed")
    features = fc.Concatenate()([fc.Flatten()(fc.Conv2d(2, 3)(image, name="stem")), speed])
    outputs = {"policy": fc.Dense(4)(features), "value": fc.Tanh()(fc.Dense(1)(features))}
    return fc.Model([image, speed], outputs)


def test_maps_of_several_inputs_and_outputs_go_by_their_names():
    model, x = two_headed(), {"image": np.ones((4, 4)), "speed": [1, 2, 3]}
    panels = fc.plots.feature_maps(model, x)
    titles = [ax.get_title().split(":")[0] for ax in panels]
    assert titles[:4] == ["image", "speed", "stem Conv2d", "1 Flatten"]
    loss, y = {"policy": "cross_entropy", "value": "mse"}, {"policy": 2, "value": [0.5]}
    assert len(fc.plots.gradient_maps(model, x, y, loss, loss_weights=[1, 0.5])) == len(panels)
    assert fc.plots.filters(model, "stem").get_title().startswith("Layer stem: 2 filters")


def test_worst_mistakes_refuses_several_inputs():
    with pytest.raises(ValueError, match="`model` must take images alone, it takes image, speed"):
        fc.plots.worst_mistakes(two_headed(), [np.ones((2, 1, 4, 4)), np.ones((2, 3))], [0, 1])
