"""What the engine fills in before a run, and reads after it."""

from dataclasses import dataclass

import numpy as np

STEPS_PER_CALL = 16384  # at most, so that the tables below have a size


@dataclass
class Ports:
    """What the engine fills in before a run, and reads after it."""

    source: np.ndarray | None = None  # geometry of the gather of X, and of y
    target: np.ndarray | None = None
    weight: np.ndarray | None = None  # and of sample weights, where there are any
    sink: np.ndarray | None = None  # geometry of the scatter of the outputs
    log: np.ndarray | None = None  # (steps, 2): loss, right answers
    rates: np.ndarray | None = None  # learning rate of each step
    gradient: np.ndarray | None = None  # flat, as the parameters
