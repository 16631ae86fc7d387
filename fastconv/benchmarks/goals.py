"""What fastconv wants to reach, each goal with the figure measured in the same run."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from . import lane_kernels, machine, processes, workloads
from .results import Row
from .timing import Effort, race


class Goal(NamedTuple):
    """A line of the table of goals; `reached` is None where it could not be measured."""

    work: str
    target: str
    measured: str
    reached: bool | None


# work, threads, who, how many times as fast as that
_RATIOS = (
    ("LeNet-5, training step, batch 128", 1, "torch", 4.0),
    ("LeNet-5, training step, batch 128", 2, "torch", 6.0),
    ("LeNet-5, training step, batch 32", 1, "torch", 4.0),
    ("LeNet-5, training step, batch 1", 1, "torch", 3.0),
    ("15-parameter network, training step, batch 1", 1, "torch", 500.0),
    ("15-parameter network, training step, batch 32", 1, "torch", 300.0),
    ("VGG-style net, training step, batch 64", 1, "torch", 1.25),
    ("VGG-style net, training step, batch 64", 2, "torch", 1.3),
    ("LeNet-5, training step, batch 128", 1, "im2col", 10.0),
    ("LeNet-5, predict, batch 256", 1, "onnxruntime", 1.6),
    ("LeNet-5, predict, batch 1", 1, "onnxruntime", 1.0),
)
# lane kernels, share of the measured peak
_SHARES = {label: 0.8 if label.startswith("1 ->") else 0.9 for label in lane_kernels.SHAPES}
_TITLES = {"torch": "PyTorch", "im2col": "im2col", "onnxruntime": "ONNX Runtime"}


def measure(rows: Sequence[Row], effort: Effort) -> list[Goal]:
    """All goals, from the rows of the benchmark and from what only whole processes show."""
    with_torch = any("torch" in row.timings for row in rows)
    goals = [_ratio(rows, *ratio) for ratio in _RATIOS]
    goals += _kernels(rows)
    goals += [_share(rows, label, which) for label in _SHARES for which in lane_kernels.KERNELS]
    goals.append(_denormals(effort))
    goals += [_warm_start(with_torch), _cold_start()]
    if importlib.util.find_spec("resource"):
        goals.append(_memory(with_torch))
    return goals


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _ratio(rows: Sequence[Row], work: str, threads: int, who: str, target: float) -> Goal:
    ratios = [r for row in rows if (row.work, row.threads) == (work, threads) and (r := row.ratio(who))]
    wanted = f"{target:g} x {_TITLES[who]}"
    if not ratios:
        return Goal(f"{work}, {_threads(threads)}", wanted, "", None)
    return Goal(f"{work}, {_threads(threads)}", wanted, f"{ratios[0]:.3g} x", ratios[0] >= target)


def _kernels(rows: Sequence[Row]) -> list[Goal]:
    ratios = {
        row.work: r
        for row in rows
        if row.threads == 1 and row.work.startswith("conv2d") and (r := row.ratio("torch"))
    }
    name = "conv2d, conv2d_grad_weight, conv2d_grad_input on NCHW arrays, 1 thread"
    if not ratios:
        return [Goal(name, "1 x PyTorch", "", None)]
    worst = min(ratios, key=lambda work: ratios[work])
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    return [
        Goal(f"{name}: the slowest", "1 x PyTorch", f"{ratios[worst]:.3g} x ({worst})", ratios[worst] >= 1),
        Goal(f"{name}: geometric mean", "1.5 x PyTorch", f"{mean:.3g} x", mean >= 1.5),
    ]


def _share(rows: Sequence[Row], label: str, which: str) -> Goal:
    name, target = f"lanes {which} {label}", _SHARES[label]
    shares = [row.share_of_peak for row in rows if row.work == name and row.threads == 1]
    if not shares or shares[0] is None:
        return Goal(name, f"{target:.0%} of peak", "", None)
    return Goal(name, f"{target:.0%} of peak", f"{shares[0]:.0%}", shares[0] >= target)


def _denormals(effort: Effort) -> Goal:
    """A step whose weights and inputs are denormal, against one with ordinary numbers."""
    contenders = {"normal": workloads.lenet_step(1.0), "denormal": workloads.lenet_step(1e-39)}
    with machine.threads(1):
        timings = race(contenders, effort)
    ratio = timings["denormal"].best / timings["normal"].best
    name = "LeNet-5, training step, batch 128, denormal weights and inputs"
    return Goal(name, "at most 1.1 x its normal time", f"{ratio:.2f} x", ratio <= 1.1)


def _process_goal(name: str, target: str, measured: Mapping[str, str], reached: bool) -> Goal:
    return Goal(name, target, ", ".join(f"{who} {value}" for who, value in measured.items()), reached)


def _each(of: Callable[[str], float], with_torch: bool) -> dict[str, float]:
    return {who: of(who) for who in ("fastconv", "torch")[: 1 + with_torch]}


def _warm_start(with_torch: bool) -> Goal:
    seconds = _each(processes.first_step_seconds, with_torch)
    ours = seconds["fastconv"]
    reached = ours <= 1.0 and ours <= seconds.get("torch", math.inf)
    texts = {who: f"{value:.2f} s" for who, value in seconds.items()}
    return _process_goal(
        "new process to the end of a LeNet-5 step", "1 s, and sooner than PyTorch", texts, reached
    )


def _cold_start() -> Goal:
    seconds = processes.cold_first_step_seconds()
    return Goal("the same, with everything to compile", "20 s", f"{seconds:.1f} s", seconds <= 20)


def _memory(with_torch: bool) -> Goal:
    sizes = _each(processes.peak_megabytes, with_torch)
    reached = sizes["fastconv"] <= sizes.get("torch", math.inf) / 2
    texts = {who: f"{value:.0f} MB" for who, value in sizes.items()}
    return _process_goal(
        "peak memory of training on 60,000 uint8 images", "half of PyTorch's", texts, reached
    )


def markdown(goals: Sequence[Goal]) -> str:
    """The table of goals."""
    marks = {True: "yes", False: "no", None: "not measured"}
    lines = ["| goal | target | measured | reached |", "| --- | --- | --- | --- |"]
    lines += [f"| {g.work} | {g.target} | {g.measured} | {marks[g.reached]} |" for g in goals]
    return "\n".join(lines)
