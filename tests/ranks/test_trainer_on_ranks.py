"""What ranks of one trainer agree on, and what rank 0 does for all of them."""

import pickle
import threading

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine.ranks.communicator import ALONE
from tests.ranks.fits import SHAPE, WEIGHT, Share, X, Y, network
from tests.ranks.threads_as_ranks import on_ranks
from tests.training.small_runs import Interrupt


def made(ranks=ALONE, data="shared", model=None, **settings):
    settings = {"optimizer": fc.SGD(0.05, momentum=0.9), "seed": 3, **settings}
    return fc.Trainer(network() if model is None else model, communicator=ranks, data=data, **settings)


def state(trainer):
    model = trainer.model
    return [v.tobytes() for v in (model.flat_parameters, model.flat_statistics, *trainer._optimizer_state)]


def raised_on_each(ranks, work):
    """What `work` raises on each rank."""

    def run(one):
        try:
            work(one)
        except BaseException as error:
            return error
        return None

    return on_ranks(ranks, run)


@pytest.mark.parametrize("data", ["shared", "local"])
def test_evaluate_predict_and_train_on_batch_give_what_one_process_gets(data):
    def work(ranks):
        share, trainer = Share(ranks, data == "local"), made(ranks, data, metrics=("accuracy", "auc"))
        losses = [trainer.train_on_batch(share(X), share(Y), share(WEIGHT)) for _ in range(3)]
        figures = trainer.evaluate(share(X), share(Y), batch_size=16, sample_weight=share(WEIGHT))
        batches = trainer.evaluate(list(share.batches([20, 31, 7, 17])))
        outputs = [trainer.predict(share(X), batch_size=size) for size in (16, 40, 256)]
        return losses, figures, batches, state(trainer), outputs, share.rows

    *alone, outputs, _ = work(ALONE)
    for ranks in (2, 3):
        for *found, predicted, rows in on_ranks(ranks, work):
            assert found == alone
            for some, all_of_them in zip(predicted, outputs, strict=True):
                np.testing.assert_array_equal(some, all_of_them[rows])


def test_a_rank_without_samples_to_predict_waits_for_none():
    found = on_ranks(3, lambda one: made(one).predict(X[:5]))
    for outputs in found:
        np.testing.assert_array_equal(outputs, made().predict(X[:5]))
    assert [len(outputs) for outputs in on_ranks(2, lambda one: made(one).predict(X[:0]))] == [0, 0]


def test_lr_finder_finds_the_same_on_all_ranks():
    def work(ranks, data="shared"):
        share = Share(ranks, data == "local")
        options = {"steps": 30, "batch_size": 40, "max_lr": 10.0, "communicator": ranks, "data": data}
        found = fc.lr_finder(network(), share(X), share(Y), **options)
        return found.suggestion, found.rates.tolist(), found.losses.tolist()

    alone = work(ALONE)
    assert on_ranks(2, work) == [alone] * 2
    assert on_ranks(2, lambda one: work(one, "local")) == [alone] * 2


class Everything(fc.Callback):
    """Changes all that a callback may change."""

    def __init__(self):
        self.called = []

    def on_train_begin(self, trainer):
        self.called.append(threading.get_ident())

    def on_epoch_end(self, trainer, logs):
        self.called.append(logs["loss"])
        self.figures = trainer.evaluate(X, Y)
        trainer.train_on_batch(X[:20], Y[:20])
        trainer.model.flat_parameters[:3] *= 2
        trainer.optimizer = fc.Adam(0.01) if logs["epoch"] == 0 else trainer.optimizer.with_lr(0.001)
        if logs["epoch"] == 1:
            trainer.model.freeze("0")
        trainer.stop_training = logs["epoch"] == 2


def test_all_ranks_take_over_what_a_callback_of_rank_0_has_changed():
    def work(ranks):
        trainer, callback = made(ranks), Everything()
        callbacks = [callback] if ranks.leads else []  # others need none, and call none that they have
        history = trainer.fit(X, Y, epochs=9, batch_size=40, callbacks=callbacks, progress=False)
        found = state(trainer), history["loss"], repr(trainer.optimizer), trainer.steps_taken
        return *found, trainer.model.frozen, trainer.stop_training, len(callback.called)

    *alone, calls = work(ALONE)
    assert alone[4] == {"0"}
    assert calls == 4
    for number, (*found, calls) in enumerate(on_ranks(3, work)):
        assert found == alone
        assert calls == (4 if number == 0 else 0)


def test_a_callback_of_each_step_changes_the_rate_and_stops_all_ranks():
    class Steps(fc.Callback):
        def on_batch_end(self, trainer, logs):
            trainer.optimizer = trainer.optimizer.with_lr(0.01 * (logs["batch"] + 1))
            trainer.stop_training = logs["epoch"] == 1 and logs["batch"] == 1

    def work(ranks, data="shared"):
        share, trainer = Share(ranks, data == "local"), made(ranks, data, metrics=("accuracy", "f1"))
        history = trainer.fit(
            share(X), share(Y), epochs=3, batch_size=20, callbacks=[Steps()], progress=False
        )
        return history["loss"], history["f1"], history["learning_rate"], trainer.steps_taken, state(trainer)

    alone = work(ALONE)
    assert alone[3] == 6
    assert on_ranks(2, work) == [alone] * 2
    assert on_ranks(3, lambda one: work(one, "local")) == [alone] * 3


def test_what_a_callback_or_a_metric_raises_is_raised_on_all_ranks():
    class Fails(fc.Callback):
        def on_epoch_end(self, trainer, logs):
            raise LookupError("no such place")

    def metric(y, outputs):
        raise ZeroDivisionError("of a metric")

    def call_back(ranks):
        made(ranks).fit(X, Y, epochs=1, callbacks=[Fails()], progress=False)

    def measure(ranks):
        made(ranks, metrics=(metric,)).fit(X, Y, epochs=1, progress=False)

    for error in raised_on_each(3, call_back):
        assert (type(error), str(error)) == (LookupError, "no such place")
    for error in raised_on_each(2, measure):
        assert (type(error), str(error)) == (ZeroDivisionError, "of a metric")


def test_an_error_that_others_cannot_make_is_a_runtime_error_there():
    class Own(Exception):
        def __init__(self, one, two):
            super().__init__(one, two)

    class Fails(fc.Callback):
        def on_epoch_end(self, trainer, logs):
            raise Own(1, 2)

    def work(ranks):
        made(ranks).fit(X, Y, epochs=1, callbacks=[Fails()], progress=False)

    first, second = raised_on_each(2, work)
    assert isinstance(first, Own)
    assert isinstance(second, RuntimeError)
    assert "Own: (1, 2)" in str(second)


FITS = {  # name -> what rank 2 gives instead, what the message says of rank 0 and of rank 2
    "batch_size": ({"batch_size": 8}, "40", "8"),
    "epochs": ({"epochs": 3}, "1", "3"),
    "shuffle": ({"shuffle": False}, "True", "False"),
    "validation_split": ({"validation_split": 0.2}, "0.0", "0.2"),
    "class_weight": ({"class_weight": {1: 2.0}}, "None", "{1: 2.0}"),
    "augment": ({"augment": fc.Augment(shift=1)}, "None", repr(fc.Augment(shift=1))),
    "sample_weight": ({"sample_weight": WEIGHT}, "missing", "given"),
    "shape of X": ({"X": X[:50], "y": Y[:50]}, "[(75, 1, 6, 6)]", "[(50, 1, 6, 6)]"),
    "dtype of X": ({"X": X.astype(float)}, "['float32']", "['float64']"),
}


@pytest.mark.parametrize("name", FITS)
def test_other_arguments_are_refused_on_all_ranks(name):
    other, first, second = FITS[name]

    def work(ranks):
        arguments = {"X": X, "y": Y, "epochs": 1, "batch_size": 40}
        arguments |= other if ranks.number == 2 else {}
        made(ranks).fit(**arguments, progress=False)

    wanted = f"ranks must make the same call: `{name}` is {first} on rank 0 and {second} on rank 2"
    for error in raised_on_each(3, work):
        assert (type(error), str(error)) == (ValueError, wanted)


TRAINERS = {
    "seed": {"seed": 4},
    "loss": {"loss": fc.losses.CrossEntropy(label_smoothing=0.1)},
    "optimizer": {"optimizer": fc.SGD(0.06, momentum=0.9)},
    "metrics": {"metrics": ("f1",)},
    "accumulate": {"accumulate": 2},
    "data": {"data": "local"},
    "layer 6": {"model": fc.Sequential([*network().layers[:-1], fc.Dense(3, bias=False)], SHAPE)},
    "dtype": {"model": network("float64")},
}


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch"])
def test_another_network_or_setting_is_refused_on_all_ranks(name, call):
    def work(ranks):
        trainer = made(ranks, **(TRAINERS[name] if ranks.number else {}))
        getattr(trainer, call)(X, Y)

    for error in raised_on_each(2, work):
        assert isinstance(error, ValueError)
        assert str(error).startswith(f"ranks must make the same call: `{name}` is ")


def test_other_calls_other_samples_and_another_version_are_refused(monkeypatch):
    def calls(ranks):
        made(ranks).evaluate(X, Y) if ranks.number else made(ranks).fit(X, Y)

    def samples(ranks):
        y = np.where(np.arange(75) == 40, (Y + ranks.number) % 3, Y)
        made(ranks).fit(X, y, progress=False)

    for error in raised_on_each(2, calls):
        assert "`call` is fit on rank 0 and evaluate on rank 1" in str(error)
    for error in raised_on_each(2, samples):
        assert "ranks must make the same call: `data: y` is " in str(error)


def test_an_argument_that_one_rank_cannot_take_is_refused_on_all():
    def work(ranks):
        made(ranks).fit(X[:, :, :-1] if ranks.number == 1 else X, Y)

    errors = raised_on_each(3, work)
    assert all(isinstance(error, ValueError) for error in errors)
    wanted = "`X` must have shape (N, 1, 6, 6), got (75, 1, 5, 6)"
    assert [str(error) for error in errors] == [f"{wanted} (on rank 1)", wanted, f"{wanted} (on rank 1)"]


def test_other_initial_parameters_and_moments_become_those_of_rank_0():
    def work(ranks):
        trainer = made(ranks)
        if ranks.number:
            trainer.model.flat_parameters[:] = 1
            trainer.steps_taken = 7
            for vector in trainer._optimizer_state:
                vector[:] = 2
        trainer.fit(X, Y, epochs=1, progress=False)
        return state(trainer), trainer.steps_taken

    alone = work(ALONE)
    assert on_ranks(3, work) == [alone] * 3


def test_batches_that_are_not_the_same_are_refused():
    def sizes(ranks):
        made(ranks).fit([(X[:20], Y[:20]), (X[: 20 + ranks.number], Y[: 20 + ranks.number])], progress=False)

    def ends(ranks):
        made(ranks).fit([(X[:20], Y[:20])] * (2 + ranks.number), progress=False)

    def fails(ranks):
        def batches():
            yield X[:20], Y[:20]
            if ranks.number:
                raise OSError("the file is gone")
            yield X[:20], Y[:20]

        made(ranks).fit(batches(), epochs=1, progress=False)

    for error in raised_on_each(2, sizes):
        assert "got 20 samples of float32 on rank 0 and 21 samples of float32 on rank 1" in str(error)
    for error in raised_on_each(2, ends):
        assert "got none on rank 0 and 20 samples of float32 on rank 1" in str(error)
    for error in raised_on_each(2, fails):
        assert isinstance(error, OSError)
        assert "the file is gone" in str(error)


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch"])
def test_a_sample_that_is_not_finite_is_named_by_its_number_among_all(call):
    spoilt = X.copy()
    spoilt[60, 0, 2, 3] = np.nan

    def work(ranks):
        share = Share(ranks, True)
        getattr(made(ranks, "local"), call)(share(spoilt), share(Y))

    for error in raised_on_each(3, work):
        assert isinstance(error, fc.NotFiniteError)
        assert "`X` must be finite, got nan at [60, 0, 2, 3]" in str(error)


@pytest.mark.parametrize("data", ["shared", "local"])
def test_a_run_that_diverges_does_so_on_all_ranks_and_leaves_all_as_before(data):
    def work(ranks):
        share, trainer = Share(ranks, data == "local"), made(ranks, data, optimizer=fc.SGD(1e30))
        before = state(trainer)
        with pytest.raises(fc.DivergedError) as caught:
            trainer.fit(share(X), share(Y), epochs=3, batch_size=20, progress=False)
        assert state(trainer) == before
        assert trainer.steps_taken == 0
        return str(caught.value)

    assert on_ranks(3, work) == [work(ALONE)] * 3


def test_a_trainer_that_is_pickled_leaves_its_ranks_behind():
    def work(ranks):
        trainer = made(ranks)
        trainer.fit(X, Y, epochs=1, progress=False)
        return pickle.dumps(trainer)

    alone = pickle.loads(work(ALONE))
    for kept in on_ranks(2, work):
        trainer = pickle.loads(kept)
        assert trainer.ranks.count == 1
        trainer.fit(X, Y, epochs=1, progress=False)
        assert trainer.epochs_taken == 2
    alone.fit(X, Y, epochs=1, progress=False)
    assert state(trainer) == state(alone)


def test_parts_of_other_dtypes_or_without_any_sample_are_refused():
    def dtypes(ranks):
        made(ranks, "local").fit(X.astype("float64" if ranks.number else "float32"), Y)

    def nothing(ranks):
        made(ranks, "local").fit(X[:0], Y[:0])

    for error in raised_on_each(2, dtypes):
        assert "`X` must have samples of one shape and dtype on all ranks" in str(error)
    for error in raised_on_each(2, nothing):
        assert str(error) == "`X` must hold at least one sample, got none"


@pytest.mark.parametrize("data", ["shared", "local"])
def test_a_run_is_resumed_with_another_number_of_ranks(data, tmp_path):
    def work(ranks, file, cut_off=None, data=data):
        share, trainer = Share(ranks, data == "local"), made(ranks, data)
        stopping = fc.EarlyStopping("val_loss", patience=5, min_delta=1.0)
        options = {"checkpoint": tmp_path / file, "resume": True, "validation_split": 0.2, "epochs": 8}
        options |= {"callbacks": [stopping, Interrupt(cut_off)], "progress": False, "batch_size": 40}
        history = trainer.fit(share(X), share(Y), **options)
        return history["val_loss"], state(trainer), trainer.steps_taken, trainer.history["loss"]

    alone = work(ALONE, "alone.npz", None, "shared")
    for ranks, cut_off in ((3, 1), (2, 3)):
        for error in raised_on_each(ranks, lambda one, epoch=cut_off: work(one, "run.npz", epoch)):
            assert isinstance(error, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        work(ALONE, "run.npz", 4, "shared")
    assert on_ranks(4, lambda one: work(one, "run.npz")) == [alone] * 4


def test_a_checkpoint_that_does_not_fit_is_refused_on_all_ranks(tmp_path):
    (tmp_path / "run.npz").write_bytes(b"nothing")

    def work(ranks):
        made(ranks).fit(X, Y, checkpoint=tmp_path / "run.npz", resume=True, progress=False)

    for error in raised_on_each(2, work):
        assert isinstance(error, ValueError)
        assert "run.npz" in str(error)


def test_a_communicator_is_one_of_mpi4py_and_data_one_of_two_words():
    with pytest.raises(TypeError, match=r"`communicator` must be a communicator of mpi4py, .* got 'world'"):
        fc.Trainer(network(), communicator="world")
    with pytest.raises(ValueError, match=r'`data` must be "shared" or "local", got \'own\''):
        fc.Trainer(network(), data="own")
