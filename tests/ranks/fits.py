"""Runs of the trainer with all that it can do, on ranks or alone, and all that is left of each."""

import warnings

import numpy as np

import fastconv as fc
from fastconv.engine.ranks.agreement import given_ranks

SHAPE = (1, 6, 6)
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 75)
X = (RNG.random((3, *SHAPE))[Y] + 0.2 * RNG.random((75, *SHAPE))).astype(np.float32)
WEIGHT = RNG.random(75)
PARTS = np.where(np.arange(75)[:, None] < 30, np.eye(3)[Y], RNG.dirichlet(np.ones(3), 75))
UNEVEN = {1: [75], 2: [52, 23], 3: [40, 0, 35], 4: [1, 30, 4, 40], 7: [0, 9, 20, 1, 30, 15, 0]}
UNEVEN[8] = [*UNEVEN[7], 0]
EACH_ONE = {"batch_size": 40, "epochs": 2, "shuffle": True}


def network(dtype="float32"):
    layers = [
        fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.3),
        fc.Dense(3),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=1)


def two_headed():
    x, z = fc.Input(SHAPE), fc.Input((2,))
    features = fc.ReLU()(fc.Dense(5)(fc.Flatten()(x)))
    return fc.Model(
        [x, z], {"policy": fc.Dense(3)(features), "value": fc.Dense(1)(fc.ReLU()(fc.Dense(5)(z)))}
    )


class Share:
    """What a rank has: all of every array, or a part of its own."""

    def __init__(self, ranks, local, count=75):
        self.ranks, self.local = ranks, local and ranks.count > 1
        ends = np.cumsum([0, *UNEVEN[ranks.count]]) * count // 75
        self.rows = slice(*ends[ranks.number : ranks.number + 2]) if self.local else slice(None)

    def __call__(self, array):
        return array[self.rows]

    def batches(self, sizes):
        """Batches of these sizes, of which a rank has a part each; the last rank is at its end sooner."""
        stops, number, count = np.cumsum(sizes), self.ranks.number, self.ranks.count
        for k, (size, stop) in enumerate(zip(sizes, stops, strict=True)):
            first, last = stop - size, stop
            if self.local:
                among = count - (k == len(sizes) - 1)
                if number >= among:
                    return
                first, last = first + size * number // among, first + size * (number + 1) // among
            yield X[first:last], Y[first:last], WEIGHT[first:last]


def plain(fit, share):
    fit(share(X), share(Y), **EACH_ONE)


def weighted_and_split(fit, share):
    fit(
        share(X), share(Y), **EACH_ONE, sample_weight=share(WEIGHT), class_weight="balanced",
        validation_split=0.3,
    )  # fmt: skip


def validated_on_others(fit, share):
    others = share(X[::-1]), share(Y[::-1]), share(WEIGHT)
    fit(share(X), share(Y), validation_data=others, metrics=("accuracy", "f1", "auc"), batch_size=17)


def changed_at_random(fit, share):
    fit(
        share((X * 200).astype(np.uint8)), share(Y), augment=fc.Augment(shift=1, noise=0.1), epochs=3,
        optimizer=fc.Adam(fc.OneCycle(0.02), clip_norm=0.1), batch_size=40,
    )  # fmt: skip


def parts_of_classes(fit, share):
    fit(share(X), share(PARTS), batch_size=33, epochs=2, metrics=("accuracy", "f1"))


def accumulated(fit, share):
    fit(share(X), share(Y), batch_size=10, epochs=2, accumulate=3)


def small_batches_of_float64(fit, share):
    fit(share(X), share(Y), batch_size=3, epochs=1, dtype="float64", shuffle=False)


def numbers(fit, share):
    y = (X.sum(axis=(1, 2, 3))[:, None] + [0, 1, 2]).astype(np.float32)
    fit(share(X), share(y), loss="mse", metrics=(), batch_size=40, optimizer=fc.SGD(0.001, momentum=0.9))


def several_outputs(fit, share):
    y = {"policy": share(Y), "value": share(WEIGHT[:, None])}
    inputs = [share(X), share(WEIGHT[:, None] * [1, 2])]
    fit(inputs, y, model=two_headed(), loss={"policy": "cross_entropy", "value": "mse"}, batch_size=40)


def called_back(fit, share):
    callbacks = [
        fc.EMA(0.9), fc.ReduceLROnPlateau("loss", patience=1, min_delta=1.0),
        fc.EarlyStopping("val_loss", patience=2, min_delta=1.0),
    ]  # fmt: skip
    fit(share(X), share(Y), epochs=8, batch_size=40, validation_split=0.2, callbacks=callbacks)


def of_batches(fit, share):
    batches = list(share.batches([20, 31, 7, 17]))
    fit(batches, None, epochs=2, validation_data=batches[:3])


def of_a_generator(fit, share):
    fit(share.batches([20, 31, 7, 17]), None, epochs=2, steps_per_epoch=2, accumulate=2)


RUNS = [
    plain, weighted_and_split, validated_on_others, changed_at_random, parts_of_classes, accumulated,
    small_batches_of_float64, numbers, several_outputs, called_back, of_batches, of_a_generator,
]  # fmt: skip


def left_of(run, communicator=None, data="shared"):
    """All that is left of a run: figures, counters, parameters, statistics and the optimizer's vectors."""
    found = []

    def fit(samples, y, *, model=None, dtype="float32", **arguments):
        settings = {"optimizer": fc.SGD(0.05, momentum=0.9), "seed": 3}
        names = ("loss", "metrics", "optimizer", "accumulate")
        settings |= {name: arguments.pop(name) for name in names if name in arguments}
        model = network(dtype) if model is None else model
        trainer = fc.Trainer(model, communicator=communicator, data=data, **settings)
        history = trainer.fit(samples, y, progress=False, **arguments)
        vectors = [model.flat_parameters, model.flat_statistics, *trainer._optimizer_state]
        found.append({name: values for name, values in history.items() if name != "seconds"})
        found.append([trainer.steps_taken, trainer.epochs_taken, trainer.stop_training])
        found.append([vector.tobytes() for vector in vectors])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(fit, Share(given_ranks(communicator), data == "local"))
    return found
