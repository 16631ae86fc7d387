"""A network's plan as text: the steps that run, in order, and below them the code that Numba compiles.

Everything is read from the plan that the engine would run and from the kernels in it.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from ..kernels.lanes.operation import Operation
from ..kernels.precision import get_precision
from ..nn.conv import Conv2d
from ..nn.joint_loss import default_for
from ..nn.losses import Loss
from ..nn.network import Network
from ..nn.optimizers import SGD, Optimizer
from ..nn.signal import Conv1d
from . import loop
from .builder import Builder
from .engine import useful_threads
from .few_samples import few_in_training, samples_at_once
from .memory import Planes
from .run import Run
from .threads import get_num_threads

PURPOSES = {
    "train": "one training step",
    "gradients": "the loss and its gradients",
    "evaluate": "the loss",
    "predict": "a prediction",
}
HERE = ("fastconv.engine.", "fastconv.kernels.lanes.")  # the modules whose functions are shown
CONVOLUTIONS = (Conv2d, Conv1d)
COPIES = {
    "thread": "each thread",
    "scratch": "each thread",
    "block": "each block",
    "shard": "each shard of blocks",
    "all": "all",
}


def source(
    network: Network, purpose: str, loss: Loss | None, optimizer: Optimizer, batch_size: int, kernels: bool
) -> str:
    """The text of `Model.source`; its arguments have been checked."""
    run = _run(network, purpose, loss, optimizer, batch_size, 1)
    loss = run.loss
    builder = Builder(network, run, optimizer.initial_state(network.live_arrays()[0].flat))
    plan = builder.plan
    plan.settle()
    lines = [
        f"# What runs for {PURPOSES[purpose]}: {network.num_parameters:,} parameters, {network.dtype}, "
        f"batches of {batch_size:,}.",
        f"# A vector has {plan.lanes} lanes: {_lanes(builder.few, plan.lanes)}.",
        *(() if loss is None else (f"# Loss: {loss}.",)),
        *(() if purpose != "train" else (f"# Optimizer: {optimizer}.",)),
        f"# Precision: {run.precision}.",
        "#",
        *_memory(plan),
        "",
        *_steps(plan),
    ]
    if kernels:
        lines += _code(plan)
    return "\n".join(lines) + "\n"


def memory(network: Network, purpose: str, loss: Loss | None, optimizer: Optimizer, batch_size: int) -> int:
    """The bytes of `Model.memory`; its arguments have been checked."""
    run = _run(
        network, purpose, loss, optimizer, batch_size, useful_threads(network, batch_size, get_num_threads())
    )
    state = optimizer.initial_state(network.live_arrays()[0].flat) if purpose == "train" else []
    plan = Builder(network, run, state).plan
    own = [network.live_arrays()[0].flat, network.live_arrays()[1].flat, *state]
    if run.training:
        own.append(network.live_arrays()[0].flat)  # the gradient is as long
    return plan.lay_out() + sum(array.nbytes for array in own)


def precision(network: Network, batch_size: int) -> Iterator[str]:
    """A line that says how the convolutions of a training step are summed up, if there are any in float32."""
    if network.dtype != "float32" or not any(isinstance(node.layer, CONVOLUTIONS) for node in network.nodes):
        return
    names = _winograd_layers(network, batch_size)
    if names:
        steps = f"in steps of {batch_size:,} sample{'s' * (batch_size != 1)}"
        yield f"precision: {get_precision()}; by Winograd's products {steps}: {', '.join(names)}"
    else:
        yield f"precision: {get_precision()}; all convolutions are direct sums"


def _winograd_layers(network: Network, batch_size: int) -> list[str]:
    """The names of the layers that a training step computes by Winograd's products, all passes or some."""
    optimizer = SGD()
    run = _run(network, "train", None, optimizer, batch_size, 1)
    plan = Builder(network, run, optimizer.initial_state(network.live_arrays()[0].flat)).plan
    operations = [one for _, operations in plan.stages for one in operations]
    places = {k for one in operations if one[0].name.startswith("winograd") for k in one.owner.layers}
    return list(dict.fromkeys(network.nodes[place].name for place in sorted(places)))


def _run(
    network: Network, purpose: str, loss: Loss | None, optimizer: Optimizer, batch_size: int, threads: int
) -> Run:
    """What the step is planned for."""
    if purpose == "predict":
        loss = None
    elif loss is None:
        loss = default_for(network.last_layers(), network.output_names, network.output_shapes)
    training = optimizer if purpose == "train" else None
    precision = get_precision()
    if purpose == "predict":
        few = samples_at_once(network, batch_size, precision=precision)
    else:
        few = few_in_training(network, batch_size, precision) if purpose in ("train", "gradients") else 0
    return Run(
        purpose, batch_size, threads, loss, training, frozen=network.frozen, precision=precision, few=few
    )


def _lanes(few: int, lanes: int) -> str:
    if few:
        return "so many channels of a sample, or positions of the first layer"
    return f"a batch is cut in blocks of {lanes} samples, one in each lane"


def _operations(plan: Any) -> Iterator[tuple[Operation, list[Any]]]:
    for operations in (plan.preparation, *(operations for _, operations in plan.stages)):
        for operation, operands, _ in operations:
            yield operation, operands


# The memory


def _memory(plan: Any) -> list[str]:
    """A comment for each array, in the order in which the operations use them."""
    rows = [("array", "shape", "of", "one for")]
    first_names: dict[Any, str] = {}
    for label, operand in _arrays(plan).items():
        storage = operand.storage
        owner = first_names.setdefault(storage, label)
        copies = COPIES[storage.kept] if owner == label else f"(the memory of {owner})"
        rows.append((label, *_size(operand, plan.dtype.itemsize), copies))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    return ["# " + "  ".join(map(str.ljust, row, [*widths, 0])) for row in rows]


def _arrays(plan: Any) -> dict[str, Any]:
    """Label -> operand, without the constants, whose labels are their values."""
    arrays: dict[str, Any] = {}
    for _, operands in _operations(plan):
        for operand in operands:
            if operand is not None and not operand.label.startswith("["):
                arrays.setdefault(operand.label, operand)
    return arrays


def _size(operand: Any, itemsize: int) -> tuple[str, str]:
    """(shape, what its elements are)."""
    if isinstance(operand, Planes):
        unit = "numbers" if operand.element_bytes == itemsize else "vectors"
        shape = operand.sizes if operand.sizes[1:] != (1, 1) else operand.sizes[:1]
        padded = f", padded by {'/'.join(map(str, operand.halo))}" if any(operand.halo) else ""
        return str(shape), unit + padded
    count = operand.count or operand.storage.size
    return str((count // operand.length, operand.length) if operand.length else (count,)), "numbers"


# The steps


def _steps(plan: Any) -> list[str]:
    lines: list[str] = []
    explained: set[Operation] = set()
    if plan.preparation:
        lines += ["# Before the first step, and again when a parameter has changed:"]
        lines += [*_calls(plan.preparation, "", explained), ""]
    lines += [f"for step in range(steps):  # samples: {plan.batch_size:,}, blocks: {plan.blocks:,}"]
    first = 0  # operation of a stage
    for number, (kind, operations) in enumerate(plan.stages, 1):
        indent = " " * 4
        if kind == "block":
            lines += [f"{indent}# Stage {number}: each thread takes its own blocks through all of it."]
            lines += [f"{indent}for block in my_blocks:"]
            indent *= 2
        elif kind == "divided":
            lines += [f"{indent}# Stage {number}: several threads share the work on each block."]
            lines += [f"{indent}for block in blocks:"]
            indent *= 2
        else:
            lines += [f"{indent}# Stage {number}: once for the whole batch, shared out among the threads."]
        for chain, some in _in_chains(plan, operations, first):
            if chain:
                lines += [f"{indent}for channel in range({chain.channels}):  # of all these operations"]
            lines += _calls(some, indent + " " * 4 * bool(chain), explained)
        lines += ["    wait_for_all_threads()", ""]
        first += len(operations)
    return lines


def _in_chains(plan: Any, operations: list[Any], first: int) -> Iterator[tuple[Any, list[Any]]]:
    """The operations of a stage, the first of which is number `first`: (their chain or None, operations)."""
    at, end = first, first + len(operations)
    for chain in (one for one in plan.chains if first <= one.first < end):
        yield None, operations[at - first : chain.first - first]
        yield chain, operations[chain.first - first : chain.last - first]
        at = chain.last
    yield None, operations[at - first :]


def _calls(operations: Any, indent: str, explained: set[Operation]) -> Iterator[str]:
    """The calls of operations, each below its first sentence where it has not been explained before."""
    for operation, operands, _ in operations:
        if operation not in explained:
            explained.add(operation)
            yield f"{indent}# {inspect.cleandoc(operation.__doc__ or '').splitlines()[0]}"
        yield indent + _call(operation, operands)


def _call(operation: Operation, operands: list[Any]) -> str:
    """The operation as a call, with the kernel's own names of its arguments."""
    names = inspect.signature(operation.kernel).parameters
    pairs = zip(names, operands, strict=False)  # the rest of a kernel's six arguments is not used
    given = [f"{name}={operand.label}" for name, operand in pairs if operand is not None]
    return f"{operation.name}({', '.join(given)})"


# The code


def _code(plan: Any) -> list[str]:
    """The compiled loop, the kernels of the plan and their helpers, file by file."""
    lines = ["", "# The loop above as it is compiled, then the kernels that it calls, and their helpers."]
    lines += ["# Beyond that they use vectors and register tiles (fastconv/simd/)."]
    found = _functions([_python(loop.run_steps), *(operation.kernel for operation, _ in _operations(plan))])
    modules: dict[str, list[FunctionType]] = {}
    for function in found:
        modules.setdefault(function.__module__, []).append(function)
    for name, functions in modules.items():
        lines += ["", "", f"# {name.replace('.', '/')}.py", "", f'"""{sys.modules[name].__doc__}"""']
        for function in sorted(functions, key=lambda f: f.__code__.co_firstlineno):
            lines += ["", "", inspect.getsource(function).rstrip()]
    return lines


def _functions(wanted: Iterable[FunctionType]) -> list[FunctionType]:
    """The functions, and those of the engine and of the lane kernels that they call."""
    found: list[FunctionType] = []
    waiting = list(wanted)
    while waiting:
        function = waiting.pop(0)
        if function in found:
            continue
        found.append(function)
        called = (_python(function.__globals__.get(name)) for name in function.__code__.co_names)
        waiting += [f for f in called if f and f.__module__.startswith(HERE)]
    return found


def _python(function: Any) -> Any:
    """The Python function behind a compiled one, a function itself, or None for anything else."""
    function = getattr(function, "py_func", function)
    return function if isinstance(function, FunctionType) else None
