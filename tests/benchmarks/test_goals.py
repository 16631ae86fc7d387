import sys

import pytest

from fastconv.benchmarks import chart, goals
from fastconv.benchmarks.choice import Choice, works
from fastconv.benchmarks.results import Row
from fastconv.benchmarks.timing import QUICK, Timing


def row(work, threads=1, flops=0, peak=None, **seconds):
    return Row(work, flops, threads, {who: Timing(best, best, 1) for who, best in seconds.items()}, peak)


@pytest.fixture
def _no_processes(monkeypatch):
    monkeypatch.setattr(goals.processes, "first_step_seconds", {"fastconv": 0.5, "torch": 0.4}.get)
    monkeypatch.setattr(goals.processes, "cold_first_step_seconds", lambda: 21.0)
    monkeypatch.setattr(goals.processes, "peak_megabytes", {"fastconv": 200.0, "torch": 500.0}.get)


@pytest.mark.usefixtures("_no_processes")
def test_each_goal_has_its_measured_figure_and_says_whether_it_is_reached():
    rows = [
        row("LeNet-5, training step, batch 128", fastconv=1e-3, torch=5e-3, im2col=9e-3),
        row("LeNet-5, training step, batch 128", threads=2, fastconv=1e-3, torch=5e-3),
        row("LeNet-5, predict, batch 1", fastconv=1.0, onnxruntime=2.0),
        row("DS-CNN, predict, batch 8", fastconv=1.0, onnxruntime=0.5),
        row("conv2d a", fastconv=1.0, torch=4.0),
        row("conv2d_grad_weight b", fastconv=1.0, torch=0.9),
        row("lanes forward 1 -> 6, 5x5, 28x28", flops=90, peak=100.0, fastconv=1.0),
    ]
    lines = goals.markdown(goals.measure(rows, QUICK)).splitlines()
    for line in (
        "| LeNet-5, training step, batch 128, 1 thread | 6 x PyTorch | 5 x | no |",
        "| LeNet-5, training step, batch 128, 2 threads | 6 x PyTorch | 5 x | no |",
        "| LeNet-5, training step, batch 128, 1 thread | 10 x im2col | 9 x | no |",
        "| DS-CNN, training step, batch 32, 1 thread | 4 x PyTorch |  | not measured |",
        "| predict, 1 thread: the slowest | 1 x ONNX Runtime "
        "| 0.5 x (DS-CNN, predict, batch 8); 1 of 2 behind | no |",
        "| predict, 1 thread: geometric mean | 1.4 x ONNX Runtime | 1 x | no |",
        "| predict, 2 threads: geometric mean | 1.4 x ONNX Runtime |  | not measured |",
        "| lanes forward 1 -> 6, 5x5, 28x28 | 80% of peak | 90% | yes |",
        "| the same, with everything to compile | 8 s | 21.0 s | no |",
        "| peak memory of training on 60,000 uint8 images | half of PyTorch's "
        "| fastconv 200 MB, torch 500 MB | yes |",
    ):
        assert line in lines
    kernels = [line for line in lines if line.startswith("| convolutions and")]
    assert kernels[0].endswith(
        "the slowest | 1 x PyTorch | 0.9 x (conv2d_grad_weight b); 1 of 2 behind | no |"
    )
    assert kernels[1].endswith("geometric mean | 2.2 x PyTorch | 1.9 x | no |")
    assert any(line.startswith("| new process") and line.endswith("torch 0.40 s | no |") for line in lines)


def test_of_a_part_only_the_goals_that_were_measured_are_told():
    rows = [row("LeNet-5, training step, batch 32", fastconv=1.0, torch=7.0)]
    found = goals.measure(rows, QUICK, everything=False)
    assert found == [goals.Goal("LeNet-5, training step, batch 32, 1 thread", "6.5 x PyTorch", "7 x", True)]


def test_every_goal_is_about_a_work_that_is_measured():
    names = {work.name for work in works(Choice(("steps", "predict")), 1)}
    assert {goal[0] for goal in goals._RATIOS} <= names
    for title in goals.PREDICTED:
        assert f"{title}, predict, batch 64" in names


def test_the_chart_is_an_image_with_a_bar_for_each_ratio(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        row("step", fastconv=1.0, torch=4.0, im2col=9.0),
        row("alone", fastconv=1.0),
        row("step", threads=2, fastconv=1.0, torch=3.0),
    ]
    path = tmp_path / "ratios.svg"
    chart.save(path, rows, {"torch": "PyTorch", "im2col": "im2col"}, "a machine")
    assert path.read_text().startswith("<?xml")


def test_a_chart_without_matplotlib_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match='the extra "plot"'):
        chart.save(tmp_path / "ratios.png", [], {}, "")
