"""The engine of one call of `fit` serves the next one, and nothing can be told of it but the time."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import builder

rng = np.random.default_rng(0)
X, y = rng.random((40, 1, 6, 6)), rng.integers(0, 2, 40)


def trainer(**options):
    return fc.Trainer(fc.models.reference_cnn(), "bce", fc.SGD(0.1, momentum=0.9), **options)


@pytest.fixture
def built(monkeypatch):
    """The plans that are made, one entry each."""
    plans, init = [], builder.Builder.__init__

    def counted(self, network, run, *rest):
        plans.append(run)
        init(self, network, run, *rest)

    monkeypatch.setattr(builder.Builder, "__init__", counted)
    return plans


def test_a_second_fit_plans_nothing(built):
    ours = trainer()
    for _ in range(3):
        ours.fit(X, y, epochs=1)
        assert [run.batch_size for run in built] == [32, 8]  # the last batch has an engine of its own


CHANGES = {
    "another batch size": lambda ours: ours.fit(X, y, epochs=1, batch_size=7),
    "one step": lambda ours: ours.train_on_batch(X[:5], y[:5]),
    "weights of samples": lambda ours: ours.fit(X, y, epochs=1, sample_weight=np.arange(40) / 20),
    "augmentation": lambda ours: ours.fit(X, y, epochs=1, augment=fc.Augment(shift=1)),
    "another optimizer": lambda ours: setattr(ours, "optimizer", fc.Adam(0.01)),
    "another rate": lambda ours: setattr(ours, "optimizer", fc.SGD(0.02, momentum=0.9)),
    "another loss": lambda ours: setattr(ours, "loss", "mse"),
    "another seed": lambda ours: setattr(ours, "seed", 3),
    "other metrics": lambda ours: setattr(ours, "metrics", ("accuracy", "auc")),
    "a frozen layer": lambda ours: ours.model.freeze("0"),
    "other weights": lambda ours: ours.model.load_state(fc.models.reference_cnn(seed=5).state()),
    "other groups of batches": lambda ours: setattr(ours, "accumulate", 2),
    "threads": lambda ours: fc.set_num_threads(3),
    "nothing": lambda ours: None,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_fit_after_any_change_is_that_of_a_new_engine(change):
    threads, states = fc.get_num_threads(), []
    try:
        for forget in (False, True):
            ours = trainer()
            fc.set_num_threads(threads)
            ours.fit(X, y, epochs=2, batch_size=16)
            change(ours)
            if forget:
                ours._kept_steps = None
            history = ours.fit(X, y, epochs=2, batch_size=16)
            states.append((history["loss"], ours.model.flat_parameters.tolist()))
    finally:
        fc.set_num_threads(threads)
    assert states[0] == states[1]


def test_copies_go_their_own_ways():
    ours = trainer()
    ours.fit(X, y, epochs=1)
    others = [copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))]
    before = ours.model.flat_parameters.copy()
    for other in others:
        other.fit(X, y, epochs=1)
    assert (ours.model.flat_parameters == before).all()
    ours.fit(X, y, epochs=1)
    assert all((other.model.flat_parameters == ours.model.flat_parameters).all() for other in others)


def test_a_fit_that_was_cut_short_keeps_none(built):
    class Stop(fc.Callback):
        def on_epoch_end(self, trainer, logs):
            raise RuntimeError("enough")

    ours = trainer()
    with pytest.raises(RuntimeError, match="enough"):
        ours.fit(X, y, epochs=1, callbacks=[Stop()])
    ours.fit(X, y, epochs=1)
    assert [run.batch_size for run in built] == 2 * [32, 8]


def test_the_samples_of_the_last_fit_are_let_go():
    import weakref

    ours, samples = trainer(), X.copy()
    gone = weakref.ref(samples)
    ours.fit(samples, y, epochs=1)
    del samples
    assert gone() is None
