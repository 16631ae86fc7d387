"""What the engine fills in before a run, and reads after it."""

from dataclasses import dataclass, field

import numpy as np

STEPS_PER_CALL = 16384  # at most, so that the tables below have a size


@dataclass
class Ports:
    """What the engine fills in before a run, and reads after it."""

    sources: list[np.ndarray] = field(default_factory=list)  # geometry of the gather of each input, ...
    targets: list[np.ndarray] = field(default_factory=list)  # of what each output is compared with, ...
    weight: np.ndarray | None = None  # and of sample weights, where there are any
    sinks: list[np.ndarray] = field(default_factory=list)  # geometry of the scatter of each output
    log: np.ndarray | None = None  # a row for each step: see `Engine.run`
    rates: np.ndarray | None = None  # learning rate of each step
    gradient: np.ndarray | None = None  # flat, as the parameters
