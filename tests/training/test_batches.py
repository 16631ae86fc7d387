"""Training on iterables of batches."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine
from fastconv.training import loops
from tests.training.batches_of_runs import (
    SHAPE,
    WEIGHT,
    Anew,
    X,
    Y,
    assert_same_bits,
    batches,
    figures,
    network,
)

# The same steps as on arrays

FORMS = {
    "a list": lambda given: given,
    "an iterable": Anew,
    "a function": lambda given: lambda: iter(given),
    "a function of a list": lambda given: lambda: given,
    "lists for tuples": lambda given: Anew([list(batch) for batch in given]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_train_the_network_of_their_arrays_to_the_bit(form, dtype):
    model, expected = network(dtype), network(dtype)
    trainer = fc.Trainer(expected, optimizer=fc.Adam(0.01), metrics=("accuracy", "f1", "auc"))
    wanted = trainer.fit(X, Y, epochs=3, batch_size=16, shuffle=False)
    mine = fc.Trainer(model, optimizer=fc.Adam(0.01), metrics=("accuracy", "f1", "auc"))
    history = mine.fit(FORMS[form](batches(16, 16, 16, 2)), epochs=3)
    assert_same_bits(model, expected)
    assert figures(history) == figures(wanted)
    assert mine.steps_taken == trainer.steps_taken == 12


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_batches_of_any_sizes_are_steps_that_divide_by_their_own_size(monkeypatch, threads):
    monkeypatch.setattr(engine, "PRODUCTS_PER_THREAD", 1)
    before = fc.get_num_threads()
    sizes = (3, 1, 20, 9, 17)  # the largest comes late
    fc.set_num_threads(1)
    twin = network("float64")
    single = fc.Trainer(twin, optimizer=fc.SGD(0.1, momentum=0.9))
    for _ in range(2):
        for part in batches(*sizes):
            single.fit(*part, epochs=1, batch_size=50, shuffle=False)
    model = network("float64")
    try:
        fc.set_num_threads(threads)
        fc.Trainer(model, optimizer=fc.SGD(0.1, momentum=0.9)).fit(batches(*sizes), epochs=2)
    finally:
        fc.set_num_threads(before)
    assert_same_bits(model, twin)


def test_an_engine_is_planned_once_for_the_largest_batch(monkeypatch):
    """Batches of at most 8, 4, 2 samples or one have engines of their own."""
    built = []

    class Counting(engine.Engine):
        def __init__(self, network, run, *rest):
            built.append(run.batch_size)
            super().__init__(network, run, *rest)

    monkeypatch.setattr(loops, "Engine", Counting)
    fc.Trainer(network()).fit(batches(16, 16, 16, 2), epochs=3)
    assert built == [16, 2]
    built.clear()
    first, *others = batches(3, 16, 2, 20, 9)
    fc.Trainer(network()).fit([(*first, WEIGHT[:3]), *others], epochs=3)
    assert built == [3, 16, 2, 20]
    built.clear()
    fc.Trainer(network()).fit([*others, (*first, WEIGHT[:3])], epochs=3)
    assert built == [16, 2, 20, 3]
    built.clear()
    fc.Trainer(network()).fit(batches(5, 8, 7, 9, 12), epochs=3)
    assert built == [5, 8, 9, 12]


@pytest.mark.parametrize("second", [1.0, 0.0])
def test_sample_weights_come_with_their_batches_and_may_all_be_zero(second):
    model, expected = network(), network()
    weight = np.r_[WEIGHT[:25], second * WEIGHT[25:]]
    fc.Trainer(expected).fit(X, Y, epochs=2, batch_size=25, shuffle=False, sample_weight=weight)
    fc.Trainer(model).fit(batches(25, 25, arrays=(X, Y, weight)), epochs=2)
    assert_same_bits(model, expected)


def test_a_batch_without_weights_among_others_counts_as_one_a_sample():
    model, expected = network(), network()
    weight = np.r_[np.ones(20), WEIGHT[20:40], np.ones(10)]
    fc.Trainer(expected).fit(X, Y, epochs=1, batch_size=20, shuffle=False, sample_weight=weight)
    first, second, third = batches(20, 20, 10)
    fc.Trainer(model).fit([(*first, None), (*second, WEIGHT[20:40]), third], epochs=1)
    assert_same_bits(model, expected)


def test_class_weights_are_those_of_arrays_and_may_leave_nothing_of_a_batch():
    model, expected = network(), network()
    order = np.argsort(Y, kind="stable")
    arrays, weights = (X[order], Y[order]), {0: 0.0, 2: 3.0}
    fc.Trainer(expected).fit(*arrays, epochs=1, batch_size=10, shuffle=False, class_weight=weights)
    fc.Trainer(model).fit(batches(10, 10, 10, 10, 10, arrays=arrays), epochs=1, class_weight=weights)
    assert_same_bits(model, expected)


def test_a_generator_may_use_the_memory_of_a_batch_again():
    def generated():
        images, labels = np.empty((10, *SHAPE)), np.empty(10, np.int64)
        for part in batches(10, 10, 10, 10, 10):
            images[...], labels[...] = part
            yield images, labels

    model, expected = network(), network()
    wanted = fc.Trainer(expected, metrics="f1").fit(X, Y, epochs=2, batch_size=10, shuffle=False)
    assert figures(fc.Trainer(model, metrics="f1").fit(generated, epochs=2)) == figures(wanted)
    assert_same_bits(model, expected)


def test_a_torch_data_loader_is_an_iterable_of_batches():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    model, expected = network(), network()
    wanted = fc.Trainer(expected, optimizer=fc.SGD(fc.CosineDecay(0.1))).fit(
        X, Y, epochs=3, batch_size=16, shuffle=False, validation_data=(X, Y)
    )
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    history = fc.Trainer(model, optimizer=fc.SGD(fc.CosineDecay(0.1))).fit(
        loader, epochs=3, validation_data=torch.utils.data.DataLoader(data, batch_size=25)
    )
    assert_same_bits(model, expected)
    assert history["learning_rate"] == wanted["learning_rate"]
    assert history["val_loss"] == pytest.approx(wanted["val_loss"], rel=1e-6)


# Epochs


def numbered(count=None):
    """A generator of batches of one sample; `drawn` says how many were taken."""
    numbered.drawn = 0
    while count is None or numbered.drawn < count:
        numbered.drawn += 1
        yield X[:1], Y[:1]


def test_a_generator_without_end_needs_the_steps_of_an_epoch_and_no_more_is_taken_of_it():
    trainer = fc.Trainer(network(), metrics=())
    history = trainer.fit(numbered(), epochs=3, steps_per_epoch=4)
    assert (len(history["loss"]), trainer.steps_taken, numbered.drawn) == (3, 12, 12)


def test_an_iterator_that_several_epochs_would_go_through_is_refused_before_any_step():
    trainer = fc.Trainer(network())
    with pytest.raises(ValueError, match=r"`X` can be gone through only once, got <generator.*for 2 epochs"):
        trainer.fit(numbered(5), epochs=2)
    with pytest.raises(ValueError, match="`validation_data` can be gone through only once"):
        trainer.fit(X, Y, epochs=2, validation_data=numbered(5))
    assert trainer.steps_taken == 0
    assert len(trainer.fit(numbered(5), epochs=1, validation_data=numbered(5))["val_loss"]) == 1


@pytest.mark.parametrize(
    ("count", "epochs", "where"),
    [(10, 3, "epoch 3 of 9, after 2"), (8, 2, "epoch 3 of 9, after 0"), (1, 1, "epoch 1")],
)
def test_a_generator_that_ends_too_soon_ends_training_with_a_warning(count, epochs, where):
    trainer = fc.Trainer(network(), metrics=())
    with pytest.warns(UserWarning, match=f"`X` has come to its end in {where}"):
        history = trainer.fit(numbered(count), epochs=9, steps_per_epoch=4)
    assert (len(history["loss"]), trainer.steps_taken) == (epochs, count)


@pytest.mark.filterwarnings("error")
def test_what_can_be_begun_anew_is_and_epochs_go_on_where_the_last_one_stopped():
    given = Anew(batches(10, 10, 10, 10, 10))
    model, expected = network(), network()
    fc.Trainer(model).fit(given, epochs=4, steps_per_epoch=3)
    five = batches(10, 10, 10, 10, 10)
    fc.Trainer(expected).fit([*five, *five, *five[:2]], epochs=1)
    assert_same_bits(model, expected)
    assert given.begun == 3


@pytest.mark.filterwarnings("error")
def test_an_iterable_is_begun_once_an_epoch():
    given, held_out = Anew(batches(25, 25)), Anew(batches(25, 25))
    fc.Trainer(network()).fit(given, epochs=3, validation_data=held_out)
    assert (given.begun, held_out.begun) == (3, 3)


def test_an_iterable_with_nothing_more_to_give_ends_training():
    once = iter(batches(10, 10))

    class Used:
        def __iter__(self):
            return once

    with pytest.warns(UserWarning, match="in epoch 2 of 3, after 0 steps: training ends here"):
        history = fc.Trainer(network()).fit(Used(), epochs=3)
    assert len(history["loss"]) == 1


def test_a_schedule_knows_the_steps_from_the_length_or_is_told():
    class Counting:
        asked = None

        def learning_rates(self, first_step, count, steps_per_epoch, total_steps):
            Counting.asked.append((first_step, count, steps_per_epoch, total_steps))
            return np.full(count, 0.1)

    for given, options in [(batches(25, 25), {}), (numbered(), {"steps_per_epoch": 2})]:
        Counting.asked = []
        fc.Trainer(network(), optimizer=fc.SGD(Counting())).fit(given, epochs=2, **options)
        assert Counting.asked == [(step, 1, 2, 4) for step in range(4)]
    with pytest.raises(ValueError, match=r"`steps_per_epoch` must be given for StepDecay"):
        fc.Trainer(network(), optimizer=fc.SGD(fc.StepDecay(0.1, 1))).fit(Anew(batches(25, 25)))


# Checkpoints, divergence


def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path):
    whole, model, given = network(), network(), batches(20, 20, 10)
    expected = fc.Trainer(whole, optimizer=fc.Adam(0.01)).fit(given, epochs=5)
    fc.Trainer(network(), optimizer=fc.Adam(0.01)).fit(given, epochs=2, checkpoint=tmp_path / "run.npz")
    trainer = fc.Trainer(model, optimizer=fc.Adam(0.01))
    history = trainer.fit(given, epochs=5, checkpoint=tmp_path / "run.npz", resume=True)
    assert_same_bits(model, whole)
    assert figures(history) == figures(expected)
    assert trainer.steps_taken == 15


def test_the_step_that_diverged_is_counted_in_batches():
    images = X.copy()
    images[33] = np.nan
    with pytest.raises(fc.DivergedError, match="the loss became nan in epoch 1, step 3"):
        fc.Trainer(network()).fit(batches(10, 20, 20, arrays=(images, Y)), epochs=2)


# Validation and evaluation


@pytest.mark.parametrize("form", FORMS)
def test_validation_batches_give_the_figures_of_their_arrays(form):
    metrics = ("accuracy", "recall", "auc")
    wanted = fc.Trainer(network(), metrics=metrics).fit(X, Y, epochs=2, validation_data=(X[:30], Y[:30]))
    given = FORMS[form](batches(9, 1, 20))
    trainer = fc.Trainer(network(), metrics=metrics)
    history = trainer.fit(X, Y, epochs=2, validation_data=given)
    for name in ("val_loss", "val_accuracy", "val_recall", "val_auc"):
        assert history[name] == pytest.approx(wanted[name], rel=1e-6)
    assert trainer.evaluate(given) == pytest.approx(trainer.evaluate(X[:30], Y[:30]), rel=1e-6)


def test_validation_batches_may_have_weights():
    trainer = fc.Trainer(network())
    expected = trainer.evaluate(X, Y, sample_weight=np.r_[WEIGHT[:25], np.ones(25)])
    first, second = batches(25, 25)
    assert trainer.evaluate([(*first, WEIGHT[:25]), second]) == pytest.approx(expected, rel=1e-6)


def test_a_list_of_two_arrays_is_a_pair_and_a_list_of_two_tuples_are_batches():
    trainer = fc.Trainer(network())
    pair = trainer.fit(X, Y, epochs=1, validation_data=[X, Y])["val_loss"]
    same = fc.Trainer(network()).fit(X, Y, epochs=1, validation_data=batches(20, 30))["val_loss"]
    assert pair == pytest.approx(same, rel=1e-6)


# Progress


class Display:
    def __init__(self):
        self.begun, self.seen = None, []

    def start(self, epochs, samples_per_epoch):
        self.begun = (epochs, samples_per_epoch)

    def batch(self, epoch, samples_done, loss):
        self.seen.append((epoch, samples_done))

    def compiling(self, text): ...

    def epoch_end(self, logs): ...

    def close(self): ...


def test_progress_hears_of_each_batch_and_of_the_samples_if_their_number_can_be_known():
    for given, total in [(batches(20, 20, 10), 60), (Anew(batches(20, 20, 10)), None)]:
        display = Display()
        fc.Trainer(network()).fit(given, epochs=2, progress=display)
        assert display.begun == (2, total)
        assert display.seen == [(0, 20), (0, 40), (0, 50), (1, 20), (1, 40), (1, 50)]


# Wrong batches


@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        (X, {}, TypeError, "`X` must be an array, with y, or an iterable of batches, got ndarray"),
        (3, {}, TypeError, "`X` must be an array, with y, or an iterable of batches, got int"),
        (lambda: 3, {}, TypeError, "`X` must be an array, with y, or an iterable of batches, got int"),
        ({"x": X}, {}, TypeError, "`X` must be an array, with y, or an iterable of batches, got dict"),
        ([], {}, ValueError, "`X` must give at least one batch, got none"),
        ([X], {}, TypeError, r"`X` must give batches \(X, y\) or .*, got a ndarray"),
        ([(X,)], {}, TypeError, r"`X` must give batches \(X, y\) or .*, got a tuple of 1"),
        ([(X[:, :, 1:], Y)], {}, ValueError, r"`X of batch 1` must have shape \(N, 1, 6, 6\)"),
        ([(X, Y[1:])], {}, ValueError, r"`y of batch 1` must have shape \(50,\)"),
        ([(X[:0], Y[:0])], {}, ValueError, "`X of batch 1` must hold at least one sample"),
        ([(X, Y, -WEIGHT)], {}, ValueError, "`sample_weight of batch 1` must be finite numbers >= 0"),
        (batches(50), {"steps_per_epoch": 0}, ValueError, "`steps_per_epoch` must be an int >= 1, got 0"),
        (batches(50), {"validation_split": 0.1}, ValueError, "`validation_split` is for arrays X and y"),
        (batches(50), {"sample_weight": WEIGHT}, ValueError, "`sample_weight` is for arrays X and y"),
        (batches(50), {"class_weight": "balanced"}, ValueError, "`class_weight` must be a dict for batches"),
        (X, {"y": Y, "steps_per_epoch": 3}, ValueError, "`steps_per_epoch` is for batches, not for arrays"),
        (
            X,
            {"y": Y, "validation_data": X},
            TypeError,
            "must be a pair .* batches, got ndarray",
        ),
        (
            X,
            {"y": Y, "validation_data": 3},
            TypeError,
            "must be a pair .* batches, got int",
        ),
        (X, {"y": Y, "validation_data": []}, TypeError, "`validation_data` must be .*, got 0 things"),
    ],
)
def test_what_gives_no_batches_is_refused_before_any_step(given, options, error, message):
    trainer = fc.Trainer(network())
    with pytest.raises(error, match=message):
        trainer.fit(given, **{"epochs": 1, **options})
    assert trainer.steps_taken == 0


def test_a_later_wrong_batch_is_named_by_its_number():
    with pytest.raises(ValueError, match="`y of batch 2` must be labels 0 to 2, got 3 to 3"):
        fc.Trainer(network()).fit([(X, Y), (X, np.full(50, 3))], epochs=1)


def test_evaluate_refuses_what_it_cannot_read():
    trainer = fc.Trainer(network())
    with pytest.raises(ValueError, match="`sample_weight` is for arrays"):
        trainer.evaluate(batches(50), sample_weight=WEIGHT)
    with pytest.raises(TypeError, match="`X` must be an array, with y, or an iterable"):
        trainer.evaluate(X)
