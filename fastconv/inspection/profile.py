"""Where a step goes: the time, speed and memory traffic of each layer."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..checks.settings import real_number
from ..engine.columns import arrays_in, inputs_as_given, like
from ..engine.engine import Engine
from ..engine.inputs import readable
from ..engine.measuring import Measured, load, measure
from ..engine.peak import fma_peak
from ..engine.plan import Owner
from ..engine.ranks.agreement import check_same_call, given_ranks
from ..engine.ranks.communicator import ALONE, Alone
from ..engine.traffic import bytes_of
from ..models.building import given_model
from ..models.model import Model
from ..nn.optimizers import Optimizer, OptimizerName
from .steps import training_engine
from .texts import aligned, bytes_text, count_text, html_table, time_text

__all__ = ["Profile", "ProfileRow", "profile"]

HEAD = ("layer", "pass", "time", "share", "GFLOP/s", "of peak", "read", "written")
# What stands in the column of the layers where operations belong to none.
TITLES = {
    "input": "gather the samples",
    "loss": "loss",
    "output": "write the outputs",
    "shared": "sum shared gradients",
    "optimizer": "optimizer",
    "waiting": "wait for other threads",
    "exchange": "exchange with other ranks",
    "rest": "calls, blocks, start",
}
PARTS = {
    "shared": "backward",
    "waiting": "",
    "exchange": "",
    "rest": "",
}  # the pass, where it is called otherwise


class ProfileRow(NamedTuple):
    """What a layer, or several that are computed together, takes in one pass of a step.

    Parameters
    ----------
    layer : str
        Which it is, or what else is done.
    part : str
        The pass: "forward", "backward", "input" and so on.
    seconds : float
    flops : int
        Of convolutions and dense layers as if they were summed directly, two for each product; 0 for others.
    bytes_read, bytes_written : int
        Of the arrays that the operations work on, each time that they run, in whichever cache these are.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.ProfileRow("0 Dense(3)", "forward", 0.5, 10**9, 8, 8).seconds
    0.5
    """

    layer: str
    part: str
    seconds: float
    flops: int
    bytes_read: int
    bytes_written: int

    @property
    def gflops(self) -> float | None:
        """Billions of operations a second, or None where they are not counted.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.ProfileRow("0 Dense(3)", "forward", 0.5, 10**9, 8, 8).gflops
        2.0
        """
        return self.flops / self.seconds / 1e9 if self.flops and self.seconds else None


@dataclass(frozen=True)
class Profile:
    """Where the time of a step goes, as `fastconv.profile` has measured it.

    Parameters
    ----------
    rows : tuple of ProfileRow
        In the order in which they first run; their seconds add up to those of the step.
    purpose : {"train", "predict"}
    batch_size, threads : int
        Of the step; a small one uses fewer threads than there are.
    dtype : str
    peak : float
        The most FLOP/s of fused multiply-adds that these threads reached on this machine.
    seconds : float
        Of a step; `clock_seconds`, what reading the clock took besides, is not in it.
    clock_seconds : float
    plain_seconds : float
        Of a step in which nobody read the clock.
    ranks : int
        How many share the step. Rows are of one of them, and of its part of the batch.

    Examples
    --------
    >>> import fastconv as fc
    >>> row = fc.ProfileRow("0 Dense(3)", "forward", 0.5, 10**9, 8, 8)
    >>> found = fc.Profile((row,), "predict", 1, 1, "float32", 4e9, 0.5, 0.0, 0.5, 1)
    >>> found.share_of_peak(row)
    0.5
    """

    rows: tuple[ProfileRow, ...]
    purpose: str
    batch_size: int
    threads: int
    dtype: str
    peak: float
    seconds: float
    clock_seconds: float
    plain_seconds: float
    ranks: int

    def share_of_peak(self, row: ProfileRow) -> float | None:
        """The part of the measured peak that a row reaches; more than 1 where products are saved.

        Parameters
        ----------
        row : ProfileRow

        Returns
        -------
        float or None
            None where operations are not counted.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> found = fc.profile(fc.Sequential([fc.ReLU()], (4,)), np.ones((8, 4)), seconds=0.01)
        >>> print(found.share_of_peak(found.rows[0]))
        None
        """
        return row.gflops * 1e9 / self.peak if row.gflops else None

    def total(self, part: str | None = None) -> ProfileRow:
        """The sum of the rows, of all or of a pass.

        Parameters
        ----------
        part : str, optional
            Such as "forward" or "backward".

        Returns
        -------
        ProfileRow

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> found = fc.profile(fc.models.reference_cnn(), np.ones((8, 1, 6, 6)), seconds=0.01)
        >>> bool(np.isclose(found.total().seconds, found.seconds))
        True
        """
        rows = [row for row in self.rows if part in (None, row.part)]
        sums = [sum(row[k] for row in rows) for k in range(2, 6)]  # type: ignore[misc]
        return ProfileRow("all", part or "", *sums)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers and texts, for JSON.

        Returns
        -------
        dict

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> found = fc.profile(fc.models.reference_cnn(), np.ones((8, 1, 6, 6)), seconds=0.01)
        >>> found.to_dict()["rows"][1]["layer"]
        '0 Conv2d(1, kernel_size=3) + 1 ReLU()'
        """
        rows = [
            {**row._asdict(), "gflops": row.gflops, "share_of_peak": self.share_of_peak(row)}
            for row in self.rows
        ]
        return {**vars(self), "rows": rows}

    def __str__(self) -> str:
        return "\n".join([*aligned(self._cells(), left=2, sums=1), *self._notes()])

    def _repr_html_(self) -> str:
        return html_table(self._cells(), self._notes())

    def _cells(self) -> list[tuple[str, ...]]:
        """The table as texts, with the sum of the rows at its end."""
        return [HEAD, *(self._texts(row) for row in (*self.rows, self.total()))]

    def _texts(self, row: ProfileRow) -> tuple[str, ...]:
        share = self.share_of_peak(row)
        return (
            row.layer,
            row.part,
            time_text(row.seconds),
            f"{row.seconds / self.seconds:.1%}",
            f"{row.gflops:.1f}" if row.gflops else "",
            f"{share:.0%}" if share else "",
            bytes_text(row.bytes_read),
            bytes_text(row.bytes_written),
        )

    def _notes(self) -> list[str]:
        """What the table is of, and what measuring has cost."""
        work = "a training step" if self.purpose == "train" else "a prediction"
        samples, on = count_text(self.batch_size, "sample"), count_text(self.threads, "thread")
        if self.ranks > 1:
            on = f"{count_text(self.ranks, 'rank')} of {on} each (above, one of them)"
        return [
            f"{work} of {samples} on {on}, {self.dtype}; measured peak {self.peak / 1e9:.0f} GFLOP/s",
            f"a step without clocks: {time_text(self.plain_seconds)}; reading clocks took another "
            f"{time_text(self.clock_seconds)}, left out above",
        ]


def profile(
    model: Model,
    X: Any,
    y: Any = None,
    loss: Any = None,
    *,
    optimizer: Optimizer | OptimizerName | None = None,
    loss_weights: Any = None,
    seconds: float = 1.0,
    communicator: Any = None,
) -> Profile:
    """Measure where a training step goes, or a prediction: time, speed and bytes of each layer.

    Parameters
    ----------
    model : Sequential or Model
        It is left as it is.
    X : ndarray, shape (N, *input_shape), or list or dict of them
        The samples of one step, N of them.
    y : ndarray, or list or dict of them, optional
        As for `Trainer.fit`. Without it, a prediction is measured.
    loss : str or Loss, or list or dict of them, optional
        Default is the one that suits the output.
    optimizer : optimizer or str, optional
        Default is SGD.
    loss_weights : list or dict of floats, optional
        As for `Trainer`.
    seconds : float
        How long to measure, more or less.
    communicator : mpi4py.MPI.Comm, optional
        Of ranks that share a training step as those of a `Trainer` do: all of them make the same call, and
        each gets a profile of its own part, with the time of exchanges.

    Returns
    -------
    Profile
        `print` shows its table; `rows` has the figures, which add up to the time of the step;
        `fastconv.plots.profile` draws them.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit the network, there is no sample, or ranks make different calls.

    Notes
    -----
    The operations are those of `fit` and `predict`, compiled in the same way and run in the same order, all
    of them in their step: a clock is read between one and the next. That makes a step a little longer, which
    the profile says; with several threads, a figure is the mean over them. Layers that are computed together,
    a convolution and its ReLU, share a row. What is read backward by several layers, and sums of gradients
    over blocks, count for the layer that asks for them.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> X, y = np.ones((16, 1, 6, 6)), np.ones((16, 1))
    >>> found = fc.profile(fc.models.reference_cnn(), X, y, "bce", seconds=0.01)
    >>> [(row.layer.split("(")[0], row.part) for row in found.rows if row.flops]
    [('0 Conv2d', 'forward'), ('4 Dense', 'forward'), ('4 Dense', 'backward'), ('0 Conv2d', 'backward')]
    """
    model = given_model(model)
    seconds = real_number(seconds, "seconds", above=True)
    ranks = given_ranks(communicator)
    if y is None and ranks is not ALONE:
        raise ValueError("`communicator` is for training steps, which need `y`")
    X = inputs_as_given(X, model.input_names, model.input_shapes)
    if not len(X):
        raise ValueError("`X` must hold at least one sample, got none")
    model = copy.deepcopy(model)
    with ranks.together("profile"):
        layers = [node.layer.call() for node in model.nodes]
        call = {"layers of model": layers, "dtype": str(model.dtype), "samples": len(X), "loss": str(loss)}
        check_same_call(ranks, lambda: {**call, "optimizer": str(optimizer)})
        with ranks.busy("compiling"):
            engine, y = _engine(model, X, y, loss, optimizer, loss_weights, ranks)
        return _measured(model, engine, _readable(X), _readable(y), seconds)


def _measured(model: Model, engine: Engine, X: Any, y: Any, seconds: float) -> Profile:
    """The profile of an engine's step, on samples that it reads as they are."""
    peak = fma_peak(engine.threads, str(model.dtype), seconds=min(0.1, seconds))
    measured = measure(engine, X, y, model.empty_outputs, seconds)
    peak = max(peak, fma_peak(engine.threads, str(model.dtype), seconds=min(0.1, seconds)))
    load(engine, X, y, model.empty_outputs, 1)
    traffic = bytes_of(engine) * (len(X) / min(len(X), engine.batch_size))
    rows = tuple(_rows(model, engine, measured, traffic, len(X)))
    total = sum(row.seconds for row in rows)
    purpose = "predict" if y is None else "train"
    times = total, measured.clock, measured.plain
    return Profile(rows, purpose, len(X), engine.threads, str(model.dtype), peak, *times, engine.ranks.count)


def _engine(
    model: Model, X: Any, y: Any, loss: Any, optimizer: Any, loss_weights: Any, ranks: Alone
) -> tuple[Engine, Any]:
    """What runs the step, as `fit` or `predict` would make it, and y as it takes it."""
    if y is not None:
        return training_engine(model, X, y, loss, optimizer, loss_weights, ranks)
    for name, value in (("loss", loss), ("optimizer", optimizer), ("loss_weights", loss_weights)):
        if value is not None:
            raise ValueError(f"`{name}` is for training steps, which need `y`")
    return model.engines.take(model, "predict", len(X), 256), None


def _readable(values: Any) -> Any:
    """The same in dtypes that the engine reads, so that nothing is converted before a call."""
    return None if values is None else like(values, [readable(array) for array in arrays_in(values)])


def _rows(
    model: Model, engine: Engine, measured: Measured, traffic: Any, samples: int
) -> Iterator[ProfileRow]:
    """The operations' figures, those of one owner together."""
    sums: dict[Owner, Any] = {}
    plan, ranks = engine.program.plan, engine.ranks
    if ranks.count > 1:
        samples = int(np.diff(engine.shares(0).sample_ends)[ranks.number])
    operations = [one for _, operations in plan.stages for one in operations]
    for one, seconds, sizes in zip(operations, measured.operations, traffic, strict=True):
        owner = one.owner or Owner("rest")
        sums[owner] = sums.get(owner, 0) + np.array([seconds, *sizes])
    alone = plan.threads == 1
    rest = measured.rest + (measured.waiting if alone else 0)
    sums[Owner("rest")] = sums.pop(Owner("rest"), 0) + np.array([rest, 0, 0])
    if not alone:
        sums[Owner("waiting")] = np.array([measured.waiting, 0, 0])
    if ranks.count > 1:
        sums[Owner("exchange")] = np.array([measured.exchange, 0, 0])
    products = [node.layer.products(node.input_shape) for node in model.nodes]
    for owner, (seconds, read, written) in sums.items():
        flops = 2 * samples * owner.products * sum(products[k] for k in owner.layers)
        part = PARTS.get(owner.part, owner.part)
        yield ProfileRow(_title(model, owner), part, float(seconds), flops, round(read), round(written))


def _title(model: Model, owner: Owner) -> str:
    """What computes: layers with the names that a summary has, or a part of the step."""
    layers = [f"{model.nodes[k].name} {model.nodes[k].layer.call()}" for k in owner.layers]
    return " + ".join([TITLES[owner.part], *layers] if owner.part in TITLES else layers)
