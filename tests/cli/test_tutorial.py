"""The notebook that the command writes: its form, and what its cells do."""

import json
import os
import re
import stat

import pytest

import fastconv as fc
from fastconv.cli import tutorial

CELLS = tutorial.cells()
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
TEXT = "\n\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")


def test_it_is_a_notebook_as_jupyter_defines_it(run):
    code, out, err = run("tutorial")
    assert (code, err) == (0, "")
    assert out.startswith("saved fastconv-tutorial.ipynb; ")
    with open("fastconv-tutorial.ipynb", encoding="utf-8") as file:
        notebook = json.load(file)
    assert notebook.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        more = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert cell.keys() == {"cell_type", "id", "metadata", "source", *more}
        assert cell["source"]
        assert all(line.endswith("\n") for line in cell["source"][:-1])
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[\w-]{1,64}", name) for name in names)


def test_jupyters_own_check_finds_nothing_wrong():
    pytest.importorskip("nbformat").validate(json.loads(tutorial.notebook()))


def test_it_goes_where_it_is_told(run):
    os.mkdir("lessons")
    assert run("tutorial", "lessons/first.ipynb")[0] == 0
    assert os.listdir("lessons") == ["first.ipynb"]
    assert os.listdir(".") == ["lessons"]


def test_a_notebook_that_is_there_is_replaced_only_if_told_so(run):
    with open("mine.ipynb", "w") as file:
        file.write("my answers")
    os.chmod("mine.ipynb", 0o640)
    code, out, err = run("tutorial", "mine.ipynb")
    assert (code, out) == (1, "")
    assert err == "fastconv: error: mine.ipynb: is there already (--force replaces it)\n"
    with open("mine.ipynb") as file:
        assert file.read() == "my answers"
    assert run("tutorial", "mine.ipynb", "--force")[0] == 0
    assert stat.S_IMODE(os.stat("mine.ipynb").st_mode) == 0o640
    with open("mine.ipynb") as file:
        assert json.load(file)["cells"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("lessons.txt", "PATH lessons.txt must end in .ipynb"),
        ("none/first.ipynb", "PATH none/first.ipynb: there is no folder none"),
        (".", "PATH . is a folder, expected a file name"),
    ],
)
def test_a_path_that_cant_be_written_is_one_line(run, path, message):
    assert run("tutorial", path) == (1, "", f"fastconv: error: {message}\n")


def test_its_sections_are_numbered_and_each_but_the_last_ends_in_a_question():
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert [int(section.split(".")[0]) for section in sections] == list(range(1, 11))
    for section in sections[:-1]:
        assert "?" in section.partition("**Try it.**")[2]


def test_a_heading_begins_a_cell_and_cells_are_short():
    for cell in CELLS:
        assert not any(line.startswith("## ") for line in cell["source"][1:])
    assert max(len(code.splitlines()) for code in CODE) <= 13
    assert len(CODE) > 30


def test_the_names_and_commands_in_its_text_exist(run):
    for name in re.findall(r"`(?:help\()?fc\.([\w.]+)", TEXT):
        found = fc
        for part in name.split("."):
            found = getattr(found, part)
    commands = re.findall(r"`python -m fastconv (\w+)", TEXT)
    assert set(commands) >= {"train", "predict"}
    for command in set(commands):
        assert run(command, "--help")[0] == 0


def test_all_cells_run_from_top_to_bottom_and_what_is_told_is_so(tmp_path, monkeypatch, capsys):
    for module in ("sklearn", "PIL"):
        pytest.importorskip(module)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    try:
        for number, code in enumerate(CODE):
            exec(compile(code, f"code cell {number}", "exec"), names)
    finally:
        pyplot.close("all")
    out = capsys.readouterr().out
    assert "the same numbers: True" in out
    assert "the same weights: True True" in out
    by_hand = re.findall(r"^loss (\S+) by hand (\S+)$", out, re.MULTILINE)
    assert len(by_hand) == 2
    assert all(float(a) == pytest.approx(float(b)) for a, b in by_hand)
    slope, measured = re.search(r"A2 - y (\S+) measured (\S+)", out).groups()
    assert float(slope) == pytest.approx(float(measured), rel=1e-6)
    before, after = re.search(r"loss before (\S+) and after the step (\S+)", out).groups()
    assert float(after) < float(before)
    accuracies = [float(figure) for figure in re.findall(r"'accuracy': ([\d.]+)", out)]
    assert len(accuracies) == 3
    assert min(accuracies) > 0.9
    assert float(re.search(r"^new.png: cross ([\d.]+)%", out, re.MULTILINE).group(1)) > 50


def test_a_network_that_it_says_learns_nothing_learns_nothing():
    """As the question of the section says."""
    names = {"np": __import__("numpy"), "fc": fc}
    data = next(code for code in CODE if "pattern[y]" in code)
    fit = next(code for code in CODE if "reference_cnn(seed=5)" in code)
    assert "`seed=1`" in TEXT
    exec(data + "\n" + fit.replace("seed=5", "seed=1"), names)
    assert names["history"]["accuracy"][-1] < 0.6
    assert not fc.inspection.activations(names["model"], names["X"])[2].any()
