"""The page about a training run: whole in itself, safe with any name, and right in its figures."""

import base64
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import html, main
from fastconv.cli.report import write_report
from tests.cli.scenes import photo_folder

pytest.importorskip("matplotlib")

NASTY = "<script>alert('x')</script> & \"more\""
VOID = {"meta", "img", "source", "br"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fc.__file__).parents[1])}


class Page(HTMLParser):
    """The tags and texts of a page; elements must be closed in the order in which they were opened."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def text_of(self, tag):
        return [text for name, text in self.texts if name == tag]


def answers(right, wrong):
    """A network that passes on its input, with images that it gets right and wrong."""
    model = fc.Sequential([fc.Conv2d(1, 1), fc.Flatten()], (1, 1, 2), dtype="float64")
    model.parameters()["0.weight"][:], model.parameters()["0.bias"][:] = 1, 0
    X = np.tile([[[[4.0, 0.0]]]], (right + wrong, 1, 1, 1))
    return model, X, np.repeat([0, 1], [right, wrong])


@pytest.fixture
def written(tmp_path):
    def write(*arguments, **options):
        path = tmp_path / "report.html"
        write_report(path, *arguments, **options)
        return Page(path.read_text(encoding="utf-8"))

    return write


def test_a_page_needs_no_other_file(written):
    model, X, y = answers(3, 2)
    page = written(
        model, {"loss": [1.0, 0.5], "val_loss": [1.0, 0.6]}, X, y, command="python -m fastconv train"
    )
    assert page.all("html") == [{"lang": "en"}]
    assert not page.all("script") + page.all("link") + page.all("iframe")
    for name, attributes in page.tags:
        for attribute in ("src", "href", "srcset", "action", "data", "poster"):
            if attribute in attributes:
                assert attributes[attribute].startswith("data:image/png;base64,"), name
    assert not [text for text in page.text_of("style") if "url(" in text or "@import" in text]


def test_every_image_is_a_picture_with_a_text_in_its_place(written):
    model, X, y = answers(3, 2)
    page = written(model, {"loss": [1.0, 0.5], "val_loss": [1.0, 0.6]}, X, y)
    images = page.all("img")
    assert len(images) == 1 + 1 + 2 + 1  # curve, confusions, mistakes, filters
    for image in images:
        assert len(image["alt"]) > 10
        assert int(image["width"]) > 0
        assert base64.b64decode(image["src"].partition(",")[2]).startswith(b"\x89PNG")
    assert images[0]["alt"] == "loss by epoch: training from 1 to 0.5, validation from 1 to 0.6"


def test_headings_go_down_one_level_at_a_time_and_tables_scroll_in_a_named_box(written):
    model, X, y = answers(3, 2)
    page = written(model, {"loss": [1.0]}, X, y)
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch("h[1-6]", name)]
    assert levels == [1, *[2] * (len(levels) - 1)]
    assert page.text_of("h2") == [
        "Results", "Learning curves", "Confusion matrix", "Classes", "Worst mistakes", "Filters", "Network",
        "How it was made",
    ]  # fmt: skip
    boxes = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert [a["aria-label"] for a in boxes] == ["Classes", "Network"]
    assert len(page.all("table")) == 2


def test_the_figures_are_right(written):
    model, X, y = answers(3, 2)
    page = written(model, {"loss": [1.0, 0.5], "seconds": [1.0, 1.5]}, X, y, classes=["cat", "dog"])
    results = dict(zip(page.text_of("dt"), page.text_of("dd"), strict=True))
    assert results["held-out accuracy"] == "60.00%"
    assert results["right answers"] == "3 of 5"
    assert results["held-out loss"] == f"{np.log1p(np.exp(-4)) + 2 / 5 * 4:.4f}"
    assert results["parameters"] == "2"
    assert results["epochs"] == "2"
    assert results["training time"] == "2.50 s"
    cells = page.text_of("td")
    assert cells[:10] == ["cat", "3", "60.0%", "100.0%", "75.0%", "dog", "2", "-", "0.0%", "-"]
    assert cells[10:] == [
        "input", "1 x 1 x 2", "0", "0", "0  Conv2d(1, kernel_size=1)", "1 x 1 x 2", "2", "2",
        "1  Flatten()", "2", "0", "0", "total", "2", "2",
    ]  # fmt: skip
    assert page.text_of("figcaption") == ["true dog", "said cat, 98%"] * 2


def test_the_table_of_classes_is_scikit_learns(written):
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(300, 1, 1, 4)), rng.integers(0, 4, 300)
    model = fc.Sequential([fc.Flatten()], (1, 1, 4))
    page = written(model, {"loss": [1.0]}, X, y)
    cells = np.reshape(page.text_of("td")[:20], (4, 5))
    expected = sklearn.precision_recall_fscore_support(y, X.reshape(300, 4).argmax(axis=1))
    for column, values in zip((2, 3, 4), expected, strict=False):
        assert cells[:, column].tolist() == [f"{value:.1%}" for value in values]
    assert cells[:, 1].tolist() == [str(count) for count in expected[3]]


def test_names_of_any_kind_are_shown_as_they_are(written):
    model, X, y = answers(2, 1)
    page = written(
        model, {"loss": [1.0]}, X, y, classes=["a", NASTY], title=NASTY, command=NASTY, about={NASTY: NASTY}
    )
    assert page.all("script") == []
    for tag in ("title", "h1", "code", "td", "dt", "dd"):
        assert NASTY in page.text_of(tag), tag
    assert f"true {NASTY}" in page.text_of("figcaption")
    assert any(NASTY in image["alt"] for image in page.all("img"))


def test_parts_that_a_network_does_not_have_are_left_out(written):
    model = fc.Sequential([fc.Dense(1), fc.Sigmoid()], (2,))
    page = written(model, {}, np.ones((3, 2)), [0, 1, 1])
    headings = page.text_of("h2")
    assert not {"Filters", "Worst mistakes", "Learning curves"} & set(headings)
    assert "Confusion matrix" in headings


def test_without_a_mistake_the_page_says_so(written):
    model, X, y = answers(3, 0)
    assert "None in 3 images." in written(model, {"loss": [1.0]}, X, y).text_of("p")


def test_what_does_not_fit_is_refused_and_the_old_page_stays(tmp_path):
    model, X, y = answers(2, 1)
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="`classes` must have 2 names, got 3"):
        write_report(path, model, {}, X, y, classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="`y` must have shape"):
        write_report(path, model, {}, X, [0])
    with pytest.raises(ValueError, match="`X` must hold at least one sample"):
        write_report(path, model, {}, X[:0], y[:0])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_schedule_is_a_curve_and_a_constant_rate_is_not(written):
    model, X, y = answers(3, 2)
    page = written(model, {"loss": [1.0, 0.5], "learning_rate": [0.1, 0.05]}, X, y)
    assert page.all("img")[1]["alt"] == "learning rate by epoch: from 0.1 to 0.05"
    page = written(model, {"loss": [1.0, 0.5], "learning_rate": [0.1, 0.1]}, X, y)
    assert not [image for image in page.all("img") if "learning rate" in image["alt"]]


def test_mistakes_have_the_names_of_their_files(written):
    model, X, y = answers(3, 2)
    files = [f"photos/{k}.jpg" for k in range(4)] + [f"photos/{NASTY}\x1b.jpg"]
    page = written(model, {"loss": [1.0]}, X, y, files=files)
    assert page.text_of("figcaption")[2::3] == ["photos/3.jpg", f"photos/{NASTY}\\x1b.jpg"]


# ---------------------------------------------------------------- the command line


def test_train_writes_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = [
        "train",
        "--model",
        "reference",
        "--digits",
        "0",
        "1",
        "--epochs",
        "2",
        "--report",
        "my report.html",
        "-o",
        "m.npz",
    ]
    assert main(argv) == 0
    assert "saved m.npz and my report.html" in capsys.readouterr().out
    page = Page(Path("my report.html").read_text(encoding="utf-8"))
    assert page.text_of("h1") == ["reference on digits"]
    assert page.text_of("code") == [
        "python -m fastconv train --model reference --digits 0 1 --epochs 2 "
        "--report 'my report.html' -o m.npz"
    ]
    facts = dict(zip(page.text_of("dt"), page.text_of("dd"), strict=True))
    held_out = fc.load("m.npz").metadata["held_out"]
    assert facts["held-out accuracy"] == f"{held_out['accuracy']:.2%}"
    assert facts["held-out loss"] == f"{held_out['loss']:.4f}"
    assert facts["data"] == "digits, 73 held-out images"


def test_the_report_of_a_folder_says_what_was_trained_and_how(run, tmp_path):
    photo_folder(tmp_path / "photos", 12)
    options = ["--epochs", 6, "--augment", "--flip", "--save-best", "--schedule", "step"]
    code, out, err = run("train", "--data", "photos", "-o", "m.npz", "--report", "r.html", "--json", *options)
    assert code == 0, err
    found = json.loads(out)
    text = Path("r.html").read_text(encoding="utf-8")
    page = Page(text)
    facts = dict(zip(page.text_of("dt"), page.text_of("dd"), strict=True))
    training, held_out = found["images"]["training"], found["images"]["held_out"]
    assert found["images"]["validation"] == -(-(training + found["images"]["validation"]) // 10)
    assert facts["images"] == (
        f"{training} to train on, {found['images']['validation']} to validate on, {held_out} held out"
    )
    assert facts["schedule of the learning rate"] == "step"
    assert "horizontal_flip=True" in facts["augmentation"]
    losses = found["history"]["val_loss"]
    assert facts["weights"] == f"of epoch {losses.index(min(losses)) + 1} of 6"
    assert "60 images scaled" not in facts.get("done to them", "")
    assert any(image["alt"].startswith("learning rate by epoch") for image in page.all("img"))
    assert all(re.match(r"\w+/\d+\.jpg$", name) for name in page.text_of("figcaption")[2::3])
    assert json.loads(html.data_in(text)) == found


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("page.txt", "--report page.txt must end in .html"),
        ("nowhere/page.html", "--report nowhere/page.html: there is no folder nowhere"),
        ("folder.html", "--report folder.html is a folder, expected a file name"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_training(
    tmp_path, monkeypatch, capsys, report, message
):
    monkeypatch.chdir(tmp_path)
    Path("folder.html").mkdir()
    assert main(["train", "--epochs", "1", "--report", report]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"fastconv: error: {message}\n")


def test_without_matplotlib_a_report_is_refused_before_training_in_one_line(tmp_path):
    code = "import sys; sys.modules['matplotlib'] = None; from fastconv import cli; sys.exit(cli.main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--report", "r.html"],
        capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == 'fastconv: error: --report needs matplotlib: pip install matplotlib (the extra "plot")\n'
    )
    assert os.listdir(tmp_path) == []
