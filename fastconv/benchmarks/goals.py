"""What fastconv wants to reach, each goal with the figure measured in the same run."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from . import lane_kernels, machine, processes, workloads
from .errors import PASSES, Errors, ratios
from .results import Row
from .timing import Effort, race


class Goal(NamedTuple):
    """A line of the table of goals; `reached` is None where it could not be measured."""

    work: str
    target: str
    measured: str
    reached: bool | None


# network, batch sizes of its training step, threads, how many times as fast as PyTorch
_STEPS = (
    ("LeNet-5", (1,), (1,), 8.0),
    ("LeNet-5", (32,), (1,), 6.5),
    ("LeNet-5", (128,), (1, 2), 6.0),
    ("15-parameter network", (1,), (1,), 500.0),
    ("15-parameter network", (32,), (1,), 300.0),
    ("VGG-style net", (64,), (1,), 3.0),
    ("VGG with batch norm", (32, 128), (1,), 3.0),
    ("ResNet-8", (32, 128), (1,), 3.0),
    ("DS-CNN", (32,), (1,), 4.0),
    ("DS-CNN", (128,), (1,), 3.5),
    ("MobileNetV1 0.25", (32,), (1,), 3.0),
    ("32-64 CNN", (32, 128), (1,), 4.0),
    ("MLP 784-256-128-10", (32, 128), (1,), 2.2),
    ("MLP 784-256-128-10", (32, 128), (2,), 1.8),
    ("Atari CNN", (32, 128), (1,), 2.8),
    ("FCN", (32,), (1,), 2.5),
    ("ResNet of series", (32,), (1,), 2.5),
    ("InceptionTime", (32,), (1,), 2.5),
    ("MNIST-1D CNN", (32,), (1,), 6.0),
)
# work, threads, who, how many times as fast as that
_RATIOS = (
    *(
        (f"{network}, training step, batch {batch}", threads, "torch", target)
        for network, batches, counts, target in _STEPS
        for batch in batches
        for threads in counts
    ),
    ("LeNet-5, training step, batch 128", 1, "im2col", 10.0),
)
PREDICTED = (
    "LeNet-5", "DS-CNN", "MobileNetV1 0.25", "ResNet-8", "VGG with batch norm", "32-64 CNN",
    "MLP 784-256-128-10", "Atari CNN",
)  # fmt: skip
# lane kernels, share of the measured peak
_SHARES = {label: 0.8 if label.startswith("1 ->") else 0.9 for label in lane_kernels.SHAPES}
_TITLES = {"torch": "PyTorch", "im2col": "im2col", "onnxruntime": "ONNX Runtime"}


def measure(
    rows: Sequence[Row], effort: Effort, everything: bool = True, found: Sequence[Errors] = ()
) -> list[Goal]:
    """All goals, from the rows of the benchmark and from what only whole processes show.

    Where not everything was measured, only those that the rows tell of.
    """
    goals = [_ratio(rows, *ratio) for ratio in _RATIOS]
    goals += [goal for threads in (1, 2) for goal in _predictions(rows, threads)]
    goals += _kernels(rows)
    goals += [_share(rows, label, which) for label in _SHARES for which in lane_kernels.KERNELS]
    goals.append(_errors(found))
    if not everything:
        return [goal for goal in goals if goal.reached is not None]
    with_torch = any("torch" in row.timings for row in rows)
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


def _predictions(rows: Sequence[Row], threads: int) -> list[Goal]:
    ratios = {
        row.work: r
        for row in rows
        if row.threads == threads
        and ", predict, " in row.work
        and row.work.startswith(PREDICTED)
        and (r := row.ratio("onnxruntime"))
    }
    return _least_and_mean(f"predict, {_threads(threads)}", "ONNX Runtime", 1.4, ratios)


def _kernels(rows: Sequence[Row]) -> list[Goal]:
    ratios = {
        row.work: r
        for row in rows
        if row.threads == 1 and row.work.startswith(("conv2d", "conv1d")) and (r := row.ratio("torch"))
    }
    name = "convolutions and their gradients on NCHW arrays, 1 thread"
    return _least_and_mean(name, "PyTorch", 2.2, ratios)


def _least_and_mean(name: str, who: str, wanted: float, ratios: Mapping[str, float]) -> list[Goal]:
    """That none of the ratios is below 1, and that their geometric mean is what is wanted."""
    slowest, middle = f"{name}: the slowest", f"{name}: geometric mean"
    if not ratios:
        return [Goal(slowest, f"1 x {who}", "", None), Goal(middle, f"{wanted:g} x {who}", "", None)]
    worst = min(ratios, key=lambda work: ratios[work])
    mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
    behind = sum(ratio < 1 for ratio in ratios.values())
    said = f"{ratios[worst]:.3g} x ({worst}); {behind} of {len(ratios)} behind"
    return [
        Goal(slowest, f"1 x {who}", said, ratios[worst] >= 1),
        Goal(middle, f"{wanted:g} x {who}", f"{mean:.3g} x", mean >= wanted),
    ]


def _share(rows: Sequence[Row], label: str, which: str) -> Goal:
    name, target = f"lanes {which} {label}", _SHARES[label]
    shares = [row.share_of_peak for row in rows if row.work == name and row.threads == 1]
    if not shares or shares[0] is None:
        return Goal(name, f"{target:.0%} of peak", "", None)
    return Goal(name, f"{target:.0%} of peak", f"{shares[0]:.0%}", shares[0] >= target)


def _errors(found: Sequence[Errors]) -> Goal:
    """Of the usual precision, in every layer and pass."""
    each = [ratio for number in range(len(PASSES)) for ratio in ratios(found, "high", number)]
    name, wanted = 'rounding errors at "high", the largest of all layers and passes', "5 x PyTorch's"
    if not each:
        return Goal(name, wanted, "", None)
    return Goal(name, wanted, f"{max(each):.2g} x", max(each) <= 5)


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
    reached = ours <= 0.7 and ours <= seconds.get("torch", math.inf)
    texts = {who: f"{value:.2f} s" for who, value in seconds.items()}
    return _process_goal(
        "new process to the end of a LeNet-5 step", "0.7 s, and sooner than PyTorch", texts, reached
    )


def _cold_start() -> Goal:
    seconds = processes.cold_first_step_seconds()
    return Goal("the same, with everything to compile", "8 s", f"{seconds:.1f} s", seconds <= 8)


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
