"""What a network has made of its parameters is made anew as soon as they change, however that was done."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.live import LiveArrays

SHAPE = (3, 9, 8)


def network(seed=0):
    layers = [
        fc.Conv2d(17, 3, padding=1), fc.BatchNorm2d(), fc.ReLU(), fc.Conv2d(17, 3, groups=17),
        fc.BatchNorm2d(), fc.Conv2d(8, 1, bias=False), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(5),
        fc.BatchNorm1d(),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, seed=seed)


def samples(count=20):
    return np.random.default_rng(0).standard_normal((count, *SHAPE)).astype(np.float32)


def fresh(model, X):
    """The predictions of another network with the same numbers, which has made nothing of others."""
    other = network(seed=9)
    other.load_state(model.state())
    return other.predict(X)


@pytest.fixture(params=[1, 5, 20], ids=["one sample", "few samples", "a block and more"])
def asked(request):
    """A network that has predicted before, and the samples."""
    model, X = network(), samples(request.param)
    model.predict(X)
    return model, X


def assert_up_to_date(model, X, before):
    got = model.predict(X)
    np.testing.assert_array_equal(got, fresh(model, X))
    assert (got != before).any()


def through_a_view(model):
    model.parameters()["0.weight"][...] *= 1.5


def through_the_flat_vector(model):
    model.flat_parameters[3] += 1


def through_statistics(model):
    model.statistics()["1.running_var"][:] = 2


def through_the_flat_statistics(model):
    model.flat_statistics[...] += 0.5


def with_numpys_out(model):
    weight = model.parameters()["5.weight"]
    np.multiply(weight, 2, out=weight)


def through_a_memoryview(model):
    memoryview(model.flat_parameters)[0] = 3.0


def through_a_tensor(model):
    torch = pytest.importorskip("torch")
    torch.from_numpy(model.parameters()["8.bias"]).add_(1)


def with_load_state(model):
    model.load_state(network(seed=4).state())


def by_training(model):
    X = samples(16)
    fc.Trainer(model, optimizer=fc.SGD(lr=0.1)).fit(
        X, np.arange(16) % 5, epochs=1, batch_size=8, verbose=False
    )


WAYS = [
    through_a_view, through_the_flat_vector, through_statistics, through_the_flat_statistics, with_numpys_out,
    through_a_memoryview, through_a_tensor, with_load_state, by_training,
]  # fmt: skip


@pytest.mark.parametrize("change", WAYS)
def test_a_change_is_in_the_next_prediction(asked, change):
    model, X = asked
    before = model.predict(X)
    change(model)
    assert_up_to_date(model, X, before)


def test_a_view_that_somebody_holds_may_change_numbers_at_any_time(asked):
    model, X = asked
    held = model.parameters()["0.weight"][2:, :1].T
    for _ in range(3):
        before = model.predict(X)
        held += 0.25
        assert_up_to_date(model, X, before)


def test_a_change_just_before_the_last_view_goes_is_seen(asked):
    model, X = asked
    held = model.flat_parameters
    before = model.predict(X)
    held[:] *= 1.25
    del held
    assert_up_to_date(model, X, before)


def test_a_tensor_may_change_numbers_at_any_time(asked):
    torch = pytest.importorskip("torch")
    model, X = asked
    held = torch.from_numpy(model.flat_parameters)
    for _ in range(2):
        before = model.predict(X)
        held.mul_(1.1)
        assert_up_to_date(model, X, before)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_copies_see_their_own_changes(asked, copied):
    model, X = asked
    other = copied(model)
    before = other.predict(X)
    through_a_view(other)
    assert_up_to_date(other, X, before)
    np.testing.assert_array_equal(model.predict(X), fresh(model, X))


def test_a_callback_predicts_with_the_numbers_of_its_step(asked):
    model, X = asked
    seen = []

    class Predicts(fc.Callback):
        def on_batch_end(self, trainer, *_):
            seen.append((model.predict(X) == fresh(model, X)).all())

    trainer = fc.Trainer(model, optimizer=fc.SGD(lr=0.1))
    trainer.fit(samples(16), np.arange(16) % 5, epochs=2, batch_size=8, verbose=False, callbacks=[Predicts()])
    assert len(seen) == 4
    assert all(seen)


def test_threads_that_predict_at_once_all_see_a_change_made_before(asked):
    model, X = asked
    wrong = []

    def predict(expected):
        for _ in range(5):
            if (model.predict(X) != expected).any():
                wrong.append(threading.get_ident())

    for step in range(10):
        model.flat_parameters[step] += 1
        expected = fresh(model, X)
        threads = [threading.Thread(target=predict, args=(expected,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_network_that_nobody_writes_to_packs_nothing_anew(asked):
    model, X = asked
    model.parameters()
    model.predict(X)  # compares for the first time
    engine = model.engines._engines[-1]
    stamp = engine._stamp
    model.parameters()  # may have changed them, but has not
    model.predict(X)
    assert engine._stamp == stamp
    assert engine is model.engines._engines[-1]


def test_numbers_are_compared_only_while_somebody_may_have_written():
    live = LiveArrays(np.zeros(3), {"a": (2,), "b": (1,)})
    stamp = live.stamp()
    assert live._before is None  # nothing was handed out
    live.flat[0] = 1  # not seen: who uses this name says what it does
    assert live.stamp() == stamp
    live.note_change()
    assert live.stamp() != stamp
    view = live.hand_out()["b"][:]
    stamp = live.stamp()
    view[0] = np.nan
    assert live.stamp() != stamp
    stamp = live.stamp()
    assert live.stamp() == stamp  # NaN is equal to itself here
    view[0] = -view[0]
    assert live.stamp() != stamp
