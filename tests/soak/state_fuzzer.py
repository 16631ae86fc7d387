"""What users do to a network and its trainer, in any order: `python state_fuzzer.py FIRST LAST`.

The lines are those of kernel_fuzzer.py. Each case is a dozen of actions (assign, spoil, train, predict, copy,
from one thread or two), any of which may be refused. At its end the network equals one that is made anew
around the same numbers: it predicts the same bits, and a step of training gives the same bits.
"""

import contextlib
import copy
import json
import pickle
import sys
import threading
import warnings

import numpy as np

import fastconv as fc
from tests.soak import mutations
from tests.soak.random_settings import OTHERS, mutated, pick, whole

REFUSALS = (TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, MemoryError)
SHAPE, CLASSES = (1, 8, 8), 3
OPTIMIZERS = (fc.SGD, fc.Adam, fc.AdamW, fc.Lion)
LOSSES = ("cross_entropy", "mse", "bce", "huber", "focal", "binary_hinge", "nll", "", None, 3)
NAMES = (
    "layers", "nodes", "input_shape", "output_shape", "dtype", "seed", "flat_parameters", "flat_statistics",
    "engines", "outline", "inputs", "outputs", "input_shapes", "output_shapes", "input_names", "output_names",
)  # fmt: skip


class Case:
    """A network, its trainer and a random generator."""

    def __init__(self, number):
        self.rng = np.random.default_rng((13, number))
        layers = [fc.Conv2d(3, 3), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Dropout(0.2)]
        if number % 2:
            layers[3:4] = [fc.Residual([fc.Conv2d(3, 3, padding="same"), fc.ReLU()]), fc.MaxPool2d(2)]
        dtype = pick(self.rng, "float32", "float64")
        self.model = fc.Sequential(
            [*layers, fc.Flatten(), fc.Dense(CLASSES)], SHAPE, dtype=dtype, seed=number
        )
        self.trainer = fc.Trainer(self.model, seed=number)

    def data(self):
        count = whole(self.rng, 1, 40)
        X, y = self.rng.random((count, *SHAPE)), self.rng.integers(0, CLASSES, count)
        if self.rng.integers(4) == 0:
            X = mutations.array(self.rng, X)
        if self.rng.integers(4) == 0:
            y = mutations.array(self.rng, y)
        return X, y


def assign_optimizer(case):
    kind = pick(case.rng, *OPTIMIZERS)
    given = mutated(case.rng, OTHERS[kind]) if case.rng.integers(3) == 0 else OTHERS[kind]
    case.trainer.optimizer = kind(**given)


def assign_to_trainer(case):
    name = pick(
        case.rng, "loss", "metrics", "seed", "accumulate", "steps_taken", "model", "history", "optimizer"
    )
    value = pick(case.rng, *LOSSES) if name == "loss" else mutations.number(case.rng, 1)
    setattr(case.trainer, name, value)


def assign_to_network(case):
    setattr(case.model, pick(case.rng, *NAMES), pick(case.rng, None, (), (1, 2, 3), "float64", np.ones(3)))


def write_parameters(case):
    for array in case.model.parameters().values():
        array[...] = case.rng.normal(size=array.shape) * pick(case.rng, 0.1, 0.1, 10, np.nan)


def spoil_arrays(case):
    for array in [*case.model.parameters().values(), case.model.flat_parameters, case.model.flat_statistics]:
        array.flags.writeable = False
        array.shape = (array.size,)
        array.dtype = np.uint8


def change_number_of_threads(case):
    fc.set_num_threads(whole(case.rng, 1, 3))


def freeze_layers(case):
    """Or train them again; all of them, some, or what there is not."""
    change = pick(case.rng, case.model.freeze, case.model.unfreeze)
    change(*pick(case.rng, (), ("0",), ("0", "1"), ("1.",), ("nothing",), (0,)))


def fit(case):
    X, y = case.data()
    case.trainer.fit(X, y, epochs=whole(case.rng, 1, 2), batch_size=whole(case.rng, 1, 50), progress=False)


def train_on_batch(case):
    case.trainer.train_on_batch(*case.data())


def evaluate(case):
    case.trainer.evaluate(*case.data())


def predict(case):
    case.model.predict(case.data()[0])


def copy_all(case):
    case.trainer = pick(case.rng, copy.deepcopy, pickled)(case.trainer)
    case.model = case.trainer.model


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


def from_two_threads(case):
    """The second action runs beside the first; what they raise is raised here."""
    raised = []

    def run(action):
        try:
            action(case)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(pick(case.rng, *CALLS),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "two threads wait for each other"
    for error in raised:
        raise error


CALLS = (fit, train_on_batch, evaluate, predict)
ACTIONS = (
    assign_optimizer, assign_to_trainer, assign_to_network, write_parameters, spoil_arrays,
    change_number_of_threads, freeze_layers, copy_all, from_two_threads, *CALLS,
)  # fmt: skip


def equals_a_new_one(model):
    """Whether the network does what a new one with its numbers does, NaN included."""
    twin = fc.Sequential(model.layers, model.input_shape, dtype=model.dtype, seed=model.seed)
    twin.load_state(model.state())
    if model.frozen:
        twin.freeze(*model.frozen)
    rng = np.random.default_rng(1)
    X, y = rng.random((9, *SHAPE)), rng.integers(0, CLASSES, 9)
    for one in (model, twin):
        with contextlib.suppress(fc.DivergedError, ValueError):  # where all layers are frozen
            fc.Trainer(one, seed=3).train_on_batch(X, y)
    same = [np.array_equal(a, b, equal_nan=True) for a, b in zip(states(model), states(twin), strict=True)]
    return all(same) and np.array_equal(model.predict(X), twin.predict(X), equal_nan=True)


def states(model):
    return model.state().values()


def run(number):
    case, refused = Case(number), 0
    for _ in range(12):
        action = pick(case.rng, *ACTIONS)
        try:
            action(case)
        except REFUSALS as error:
            refused += 1
            if not str(error):
                return ["wrong", f"{action.__name__}: an error without a message"]
        except Exception as error:
            return ["wrong", f"{action.__name__}: {type(error).__name__}: {error}"]
    if not equals_a_new_one(case.model):
        return ["wrong", "the network differs from a new one with its numbers"]
    return ["refused" if refused > 6 else "right"]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        print(number, flush=True)
        print(number, json.dumps(run(number)), flush=True)
