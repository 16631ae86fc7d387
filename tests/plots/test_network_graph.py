"""Networks as boxes and arrows: what is drawn is read back from the artists."""

import re
from itertools import combinations, pairwise

import numpy as np
import pytest

import fastconv as fc
from fastconv.plots import placing
from tests.engine.test_graphs import ALL, same

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch  # noqa: E402


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def resnet8():
    def block(channels, stride, shortcut=()):
        ways = [fc.Conv2d(channels, 3, stride=stride, padding="same"), fc.BatchNorm2d(), fc.ReLU()]
        return [fc.Residual([*ways, same(channels), fc.BatchNorm2d()], shortcut), fc.ReLU()]

    layers = [
        same(16), fc.BatchNorm2d(), fc.ReLU(), *block(16, 1), *block(32, 2, [fc.Conv2d(32, 1, stride=2)]),
        *block(64, 2, [fc.Conv2d(64, 1, stride=2)]), fc.AvgPool2d(8), fc.Flatten(), fc.Dense(10),
    ]  # fmt: skip
    return fc.Sequential(layers, (3, 32, 32))


def inception():
    def signals(channels, size):
        return fc.Conv1d(channels, size, padding="same", bias=False)

    def module():
        sizes = fc.Concatenate(*[[signals(8, size)] for size in (40, 20, 10)])
        return [fc.Concatenate([signals(8, 1), sizes], [fc.MaxPool1d(3, 1, 1), signals(8, 1)]), fc.ReLU()]

    block = fc.Residual([*module(), *module(), *module()], [signals(32, 1), fc.BatchNorm1d()])
    return fc.Sequential([block, fc.GlobalAvgPool1d(), fc.Flatten(), fc.Dense(2)], (1, 150))


def long_row(count=45):
    return fc.Sequential([layer for _ in range(count // 3) for layer in (same(4), fc.ReLU(), fc.Tanh())],
                         (1, 6, 6))  # fmt: skip


NETWORKS = {name: (lambda name=name: fc.Sequential(*ALL[name])) for name in ALL} | {
    "resnet8": resnet8, "inception": inception, "a long row": long_row,
    "a row": fc.models.lenet5, "one layer": lambda: fc.Sequential([fc.ReLU()], (3,)),
}  # fmt: skip
each_network = pytest.mark.parametrize("name", NETWORKS)


def boxes(ax):
    """(left, top, right, bottom) of each box: the input, the layers, the output."""
    found = [p for p in ax.patches if isinstance(p, FancyBboxPatch)]
    return [(p.get_x(), p.get_y(), p.get_x() + p.get_width(), p.get_y() + p.get_height()) for p in found]


def arrows(ax):
    """The points along each arrow."""
    for patch in ax.patches:
        if isinstance(patch, FancyArrowPatch):
            (line,) = patch._path_original.interpolated(1).to_polygons(closed_only=False)
            yield np.concatenate([np.linspace(a, b, 20) for a, b in pairwise(line)])


def holds(box, point, slack=0.02):
    left, top, right, bottom = box
    return left - slack <= point[0] <= right + slack and top - slack <= point[1] <= bottom + slack


@each_network
def test_each_layer_has_a_box_and_each_value_that_it_reads_an_arrow(name):
    model = NETWORKS[name]()
    ax = fc.plots.graph(model)
    found = boxes(ax)
    assert len(found) == len(model.nodes) + 2
    texts = [text.get_text() for text in ax.texts]
    assert (texts[0], texts[len(found) - 1]) == ("input", "output")
    for node, text in zip(model.nodes, texts[1:], strict=False):
        assert node.layer.call().partition("(")[0] in text
        assert node.name in text or text.startswith("...")
    ends = []
    for points in arrows(ax):
        source, target = (next(k for k, box in enumerate(found) if holds(box, points[at])) for at in (0, -1))
        ends.append((source, target))
    wanted = [(value, k) for k, node in enumerate(model.nodes, 1) for value in node.inputs]
    assert sorted(ends) == sorted([*wanted, (len(model.nodes), len(model.nodes) + 1)])


@each_network
def test_boxes_lie_apart_and_no_arrow_runs_through_one(name):
    ax = fc.plots.graph(NETWORKS[name]())
    found = boxes(ax)
    for (l1, t1, r1, b1), (l2, t2, r2, b2) in combinations(found, 2):
        assert r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1
    for points in arrows(ax):
        for box in found:
            inside = [point for point in points[2:-2] if holds(box, point, -0.01)]
            assert inside == []
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert all(left <= l and r <= right and top <= t and b <= bottom for l, t, r, b in found)  # noqa: E741
    for points in arrows(ax):
        assert points.min(axis=0)[0] >= left
        assert points.max(axis=0)[1] <= bottom


@each_network
def test_the_shape_of_each_value_stands_below_the_box_that_makes_it(name):
    model = NETWORKS[name]()
    ax = fc.plots.graph(model)
    found = boxes(ax)
    shapes = [model.input_shape, *(node.output_shape for node in model.nodes)]
    for box, shape, text in zip(found, shapes, ax.texts[len(found) :], strict=False):
        assert text.get_text() == " x ".join(map(str, shape))
        (x, y), (left, _, right, bottom) = text.get_position(), box
        assert left < x < right
        assert bottom < y < bottom + 0.3


def test_arrows_go_down_or_into_the_next_column():
    ax = fc.plots.graph(resnet8())
    up = [points for points in arrows(ax) if points[-1][1] < points[0][1]]
    assert 1 <= len(up) <= 3
    assert all(points[-1][0] > points[0][0] + 1 for points in up)


def test_what_is_added_to_lies_in_one_line_with_its_branch():
    ax = fc.plots.graph(fc.Sequential([fc.Residual([same(2), fc.ReLU(), same(2)]), fc.Tanh()], (2, 6, 6)))
    assert len({round(left + right, 6) for left, _, right, _ in boxes(ax)}) == 1


def test_a_value_lies_in_the_middle_of_the_branches_that_are_stacked():
    layers = [same(2), fc.Concatenate([fc.ReLU(), same(2)], [fc.Tanh(), same(2)]), fc.Flatten()]
    middles = [
        (left + right) / 2 for left, _, right, _ in boxes(fc.plots.graph(fc.Sequential(layers, (1, 4, 4))))
    ]
    _, conv, first, _, second, _, joint, *_ = middles
    assert conv == pytest.approx((first + second) / 2)
    assert joint == pytest.approx(conv)


def test_a_long_network_goes_on_in_further_columns_and_a_short_one_does_not():
    columns = {name: len({round(left) for left, _, _, _ in boxes(fc.plots.graph(model))})
               for name, model in (("long", long_row()), ("short", long_row(6)))}  # fmt: skip
    assert columns["long"] >= 3
    assert columns["short"] == 1
    width, height = fc.plots.graph(long_row(300)).figure.get_size_inches()
    assert 0.5 < width / height < 3


def test_settings_are_written_in_short_and_long_names_lose_their_beginning():
    inner = fc.Residual([fc.Concatenate([fc.Conv2d(1, (3, 1), stride=(2, 1), padding="same", bias=False)],
                                        [fc.AvgPool2d(2, stride=(2, 1), padding="same")])],
                        [fc.Conv2d(3, 1, stride=(2, 1))])  # fmt: skip
    model = fc.Sequential([fc.Residual([inner], [fc.Conv2d(3, 1, stride=(2, 1))])], (2, 8, 8))
    texts = [text.get_text() for text in fc.plots.graph(model).texts]
    assert "...0.layers.0.0.0  Conv2d\n1, (3, 1), stride (2, 1), s..." in texts
    assert max(len(line) for text in texts for line in text.split("\n")) <= 36


def test_it_draws_where_it_is_told_to_with_letters_that_fit():
    ax = Figure(figsize=(3, 3)).subplots()
    assert fc.plots.graph(resnet8(), ax=ax) is ax
    sizes = {text.get_fontsize() for text in ax.texts}
    assert max(sizes) < 4
    assert not plt.get_fignums()


def test_texts_fit_into_their_boxes():
    ax = fc.plots.graph(inception())
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    patches = [p for p in ax.patches if isinstance(p, FancyBboxPatch)]
    for patch, text in zip(patches, ax.texts, strict=False):
        outer, inner = patch.get_window_extent(renderer), text.get_window_extent(renderer)
        assert outer.x0 <= inner.x0
        assert inner.x1 <= outer.x1
        assert outer.y0 <= inner.y0
        assert inner.y1 <= outer.y1


def test_layers_of_users_are_drawn_as_they_are_written(tmp_path):
    class Odd(fc.ReLU):
        def call(self):
            return "$x_$(\n3)"

    ax = fc.plots.graph(fc.Sequential([Odd()], (3,)))
    ax.figure.savefig(tmp_path / "graph.png")
    assert "$" not in re.sub(r"\\\$", "", ax.texts[1].get_text())


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="`model` must be a network, got list"):
        fc.plots.graph([fc.ReLU()])


def test_edges_over_several_levels_have_a_place_in_each():
    placed = placing.place(4, [(0, 1), (1, 2), (2, 3), (0, 3)], [True, True, True, False], 0.3)
    (*_, way) = placed.ways
    assert [y for _, y in way] == [1.5, 2.5]
    assert len({x for x, _ in way}) == 1
    assert way[0][0] > placed.boxes[1][0] + placing.BOX


def test_lines_that_would_have_to_cross_are_still_placed():
    edges = [(0, 2), (1, 3), (2, 5), (3, 4), (0, 3), (1, 2), (4, 6), (5, 6), (2, 4), (3, 5)]
    straight = [False, True, True, True, True, True, True, False, False, False]
    placed = placing.place(7, edges, straight, 1.0)
    at = {}
    for x, y in placed.boxes:
        at.setdefault(y, []).append(x)
    for places in at.values():
        assert all(abs(a - b) >= 1 for a, b in combinations(places, 2))


# Several inputs and outputs, and layers that are called twice


def two_headed():
    image, speed = fc.Input((2, 6, 6), name="image"), fc.Input((3,), name="speed")
    shared = same(4)
    y = fc.ReLU()(same(4)(image, name="stem"))
    y = fc.ReLU()(shared(y, name="shared") + y)
    y = fc.ReLU()(shared(y) + y)
    features = fc.Concatenate()([fc.Flatten()(y), fc.ReLU()(fc.Dense(5)(speed))])
    policy = fc.Dense(4)(fc.ReLU()(fc.Dense(16)(features)), name="policy")
    return fc.Model([image, speed], {"policy": policy, "value": fc.Tanh()(fc.Dense(1)(features))})


def test_several_inputs_and_outputs_have_ends_of_their_names():
    model = two_headed()
    ax = fc.plots.graph(model)
    texts = [text.get_text() for text in ax.texts]
    count = len(boxes(ax))
    assert count == len(model.nodes) + 4
    assert texts[:2] == ["image", "speed"]
    assert texts[count - 2 : count] == ["policy", "value"]
    for (l1, t1, r1, b1), (l2, t2, r2, b2) in combinations(boxes(ax), 2):
        assert r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1
    arrived = sorted(next(k for k, box in enumerate(boxes(ax)) if holds(box, p[-1])) for p in arrows(ax))
    assert arrived == sorted(
        [*(k for k, node in enumerate(model.nodes, 2) for _ in node.inputs), count - 2, count - 1]
    )


def test_a_layer_that_is_called_twice_says_so():
    texts = [text.get_text() for text in fc.plots.graph(two_headed()).texts]
    assert [text for text in texts if text.startswith("shared")] == [
        "shared  Conv2d\n4, 3, same", "shared  Conv2d\n4, 3, same (shared)",
    ]  # fmt: skip


def test_an_input_stands_right_above_what_reads_it():
    image, speed = fc.Input((1, 4, 4)), fc.Input((3,))
    joined = fc.Concatenate()([fc.Flatten()(fc.ReLU()(same(2)(image))), speed])
    (_, first, *_), (_, second, *_), *others = boxes(
        fc.plots.graph(fc.Model([image, speed], fc.Dense(2)(joined)))
    )
    assert (first, second) == pytest.approx((others[0][1] - 1, others[3][1] - 1))
