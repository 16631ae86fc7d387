import io
import json

import pytest

from fastconv.benchmarks import machine, measuring, table
from fastconv.benchmarks.choice import EVERYTHING, Choice, works
from fastconv.benchmarks.errors import Case, Errors
from fastconv.benchmarks.results import Row
from fastconv.benchmarks.timing import QUICK, Contender, Timing
from fastconv.benchmarks.work import Work


def timing(seconds):
    return Timing(seconds, seconds * 1.1, 9)


ROWS = [
    Row(
        "conv",
        3_000_000,
        1,
        {"fastconv": timing(1e-4), "im2col": timing(2e-4), "torch": timing(5e-5)},
        6e10,
    ),
    Row("pool", 0, 1, {"fastconv": timing(2e-6), "im2col": timing(5e-3)}, 6e10),
]


def test_a_row_has_time_speed_share_of_peak_and_ratios():
    text = table.markdown(ROWS, ["im2col", "torch"], {"CPU": "abacus"})
    assert text.splitlines() == [
        "CPU abacus.",
        "",
        "float32; times are the best of many, all contenders taking turns in one run.",
        "",
        "**1 thread**, measured peak of fused multiply-adds 60 GFLOP/s",
        "",
        "| work | fastconv | GFLOP/s | of peak | x im2col | x PyTorch |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| conv | 100 us | 30 | 50% | 2.00 | 0.50 |",
        "| pool | 2.00 us |  |  | 2,500 |  |",
    ]


def test_columns_of_those_who_are_not_there_are_left_out():
    rows = [row._replace(peak=None) for row in ROWS]
    heads = table.markdown(rows, ["im2col"], {}).splitlines()[6]
    assert heads == "| work | fastconv | GFLOP/s | x im2col |"


def test_so_are_those_of_contenders_who_did_nothing():
    heads = table.markdown(ROWS, ["im2col", "torch", "onnxruntime"], {}).splitlines()[6]
    assert heads.endswith("| x im2col | x PyTorch |")


def test_a_wrong_result_is_said():
    text = table.markdown([ROWS[0]._replace(right=False)], [], {})
    assert "| conv (WRONG RESULT) | 100 us |" in text


def test_each_number_of_threads_has_its_own_table():
    rows = [*ROWS, ROWS[0]._replace(threads=2, peak=12e10)]
    text = table.markdown(rows, ["im2col"], {})
    assert "**1 thread**, measured peak of fused multiply-adds 60" in text
    assert "**2 threads**, measured peak of fused multiply-adds 120" in text
    assert "| conv | 100 us | 30 | 25% | 2.00 |" in text


def only(monkeypatch, work):
    monkeypatch.setattr(measuring, "works", lambda choice, threads: [work])
    monkeypatch.setattr(table.errors, "measure", lambda told: [])


@pytest.fixture
def _one_small_work(monkeypatch):
    def make(who):
        return None if who == "im2col_inside" else Contender(lambda: 1.0)

    only(monkeypatch, Work("nothing at all", 10, make, kind="network"))
    monkeypatch.setattr(measuring, "fma_peak", lambda threads: 1e12 * threads)


@pytest.mark.usefixtures("_one_small_work")
def test_run_prints_saves_and_updates_the_readme(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    code = table.run(
        ("im2col", "im2col_inside"),
        quick=True,
        save=str(tmp_path / "table.md"),
        json=str(tmp_path / "table.json"),
        threads=(1, 2),
        update_readme=str(readme),
    )
    assert code == 0
    printed = capsys.readouterr().out
    assert printed.count("| nothing at all |") == 2
    assert (tmp_path / "table.md").read_text() == printed
    page = readme.read_text()
    assert page == f"before\n{table.BEGIN}\n{printed}{table.END}\nafter\n"
    data = json.loads((tmp_path / "table.json").read_text())
    assert [row["threads"] for row in data["rows"]] == [1, 2]
    assert set(data["rows"][0]["seconds"]) == {"fastconv", "im2col"}
    assert data["rows"][0]["seconds"]["fastconv"]["best"] > 0


@pytest.mark.usefixtures("_one_small_work")
def test_without_pytorch_its_column_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(machine, "installed", lambda module: module != "torch")
    table.run(quick=True)
    captured = capsys.readouterr()
    assert "x im2col |" in captured.out
    assert "PyTorch" not in captured.out
    assert "PyTorch is left out: pip install torch" in captured.err


def test_a_contender_that_does_not_exist_is_named():
    names = "im2col, im2col_inside, torch, torch_compile, onnxruntime, jax"
    with pytest.raises(ValueError, match=f"`compare` must be some of {names}, got 'keras'"):
        table.run(["keras"])


def test_a_readme_without_markers_is_refused_before_anything_is_measured(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("no table here")
    with pytest.raises(ValueError, match="benchmark table begin"):
        table.run(update_readme=str(page))
    assert page.read_text() == "no table here"


@pytest.mark.usefixtures("_one_small_work")
def test_progress_goes_to_the_report_only(capsys):
    report = io.StringIO()
    table.measure(["im2col"], [1, 2], QUICK, report, EVERYTHING)
    assert report.getvalue().splitlines() == [
        "1/2 nothing at all",
        "2/2 nothing at all, less than a minute left",
    ]
    assert capsys.readouterr().out == ""


def test_a_wrong_result_makes_the_exit_code_1(monkeypatch, capsys):
    only(monkeypatch, Work("a sum", 0, lambda who: Contender(lambda: 5.0 if who == "fastconv" else 4.0)))
    assert table.run(["im2col"], quick=True) == 1
    assert "a sum (WRONG RESULT)" in capsys.readouterr().out


def failing(who, calls_before):
    """A work that this contender fails at, after some calls."""
    calls = []

    def call(name):
        calls.append(name)
        if name == who and calls.count(who) > calls_before:
            raise MemoryError("no room")
        return 1.0

    return Work("a sum", 5, lambda name: Contender(lambda: call(name)), kind="network")


@pytest.mark.parametrize("calls_before", [0, 1, 4])
def test_a_contender_who_fails_is_named_and_everybody_else_is_measured(monkeypatch, capsys, calls_before):
    only(monkeypatch, failing("torch", calls_before))
    monkeypatch.setattr(machine, "installed", lambda module: True)
    assert table.run(["im2col", "torch"], quick=True) == 0
    out, err = capsys.readouterr()
    assert "a sum: torch failed: MemoryError: no room" in err
    row = next(line for line in out.splitlines() if line.startswith("| a sum |"))
    assert row.endswith("| failed |")
    assert row.split(" | ")[-2] not in ("", "failed")


@pytest.mark.parametrize("calls_before", [0, 1, 4])
def test_where_fastconv_fails_the_rest_is_measured_and_the_exit_code_is_1(monkeypatch, capsys, calls_before):
    broken = failing("fastconv", calls_before)
    sound = Work("a product", 5, lambda who: Contender(lambda: 1.0))
    monkeypatch.setattr(measuring, "works", lambda choice, threads: [broken, sound])
    assert table.run(["im2col"], quick=True, with_goals=True, choice=Choice(("steps",))) == 1
    out, err = capsys.readouterr()
    assert "a sum: fastconv failed: MemoryError: no room" in err
    assert "| a sum (FAILED) |" in out
    assert "| a product | " in out


def test_a_run_that_is_stopped_keeps_what_it_has_measured(monkeypatch, tmp_path):
    def stop():
        raise KeyboardInterrupt

    first = Work("a sum", 5, lambda who: Contender(lambda: 1.0))
    second = Work("a product", 0, lambda who: Contender(stop))
    only(monkeypatch, first)
    monkeypatch.setattr(measuring, "works", lambda choice, threads: [first, second])
    path = tmp_path / "kept.json"
    with pytest.raises(KeyboardInterrupt):
        table.run(["im2col"], quick=True, json=str(path))
    rows = json.loads(path.read_text())["rows"]
    assert [(row["work"], row["right"], row["failed"]) for row in rows] == [("a sum", True, {})]


@pytest.mark.usefixtures("_one_small_work")
def test_rounding_errors_stand_below_the_times(monkeypatch, capsys, tmp_path):
    one = Errors(Case(3, (8, 8), 4, 3), "random", {"high": (4e-7, 2e-7, 1e-7)})
    monkeypatch.setattr(table.errors, "measure", lambda told: [one])
    table.run(["im2col"], quick=True, json=str(tmp_path / "kept.json"))
    assert "| 3x3, 3 -> 4, 8x8 | random | 4 | 2 | 1 |" in capsys.readouterr().out
    kept = json.loads((tmp_path / "kept.json").read_text())["errors"]
    assert kept[0]["of"] == {"high": [4e-7, 2e-7, 1e-7]}


@pytest.mark.usefixtures("_one_small_work")
def test_rounding_errors_that_fail_do_not_cost_the_times(monkeypatch, capsys):
    def fail(told):
        raise MemoryError("no room")

    monkeypatch.setattr(table.errors, "measure", fail)
    assert table.run(["im2col"], quick=True) == 0
    out, err = capsys.readouterr()
    assert "errors failed: MemoryError: no room" in err
    assert "| nothing at all |" in out


def test_every_work_has_a_name_of_its_own():
    names = [work.name for work in works(EVERYTHING, 1)]
    assert len(names) == len(set(names))
    assert len(names) > 250


def test_a_choice_measures_a_part():
    chosen = works(Choice(("steps", "predict"), ("lenet5", "resnet8"), (4, 32)), 1)
    assert [work.name for work in chosen] == [
        f"{title}, {kind}, batch {batch}"
        for kind in ("training step", "predict")
        for title in ("LeNet-5", "ResNet-8")
        for batch in (4, 32)
    ]
    assert works(Choice(("lanes",)), 2) == []


def test_results_are_compared_before_anything_is_timed(monkeypatch):
    calls = []

    def make(who):
        return Contender(lambda: calls.append(who) or 1.0)

    only(monkeypatch, Work("nothing", 0, make))
    monkeypatch.setattr(measuring, "fma_peak", lambda threads: 1e12)
    table.measure(["torch"], [1], QUICK, io.StringIO(), EVERYTHING)
    assert calls[:2] == ["fastconv", "torch"]
    assert len(calls) > 10


def test_without_a_compiler_torch_compile_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(table.shutil, "which", lambda name: None)
    assert table._known(["im2col", "torch_compile"]) == ["im2col"]
    assert "left out" in capsys.readouterr().err


def test_works_by_hand_have_everybodys_contenders_and_checks():
    (work,) = works(Choice(("steps",), ("lenet5",), (128,)), 1)
    assert [check.what for check in work.checks] == [
        "parameters after a step",
        "losses, gradients and statistics in float64",
        "losses in float32",
        "gradients and statistics in float32",
    ]
    assert set(work.contenders(["fastconv", "im2col"])) == {"fastconv", "im2col"}


def test_threads_are_as_they_were_afterwards():
    import fastconv as fc

    before = fc.get_num_threads()
    with machine.threads(before + 1):
        assert fc.get_num_threads() == before + 1
    assert fc.get_num_threads() == before
