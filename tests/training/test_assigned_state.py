"""What users assign to a network and its trainer, and what threads do with them at once."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import SHAPE, X, Y, assert_same_state, network

FIXED = [
    "layers", "input_shape", "output_shape", "dtype", "seed", "nodes", "flat_parameters", "flat_statistics",
    "num_parameters", "engines",
]  # fmt: skip


# Networks


@pytest.mark.parametrize("made", [lambda model: model, copy.deepcopy, copy.copy, "pickled"])
@pytest.mark.parametrize("name", FIXED)
def test_what_the_engine_trusts_cannot_be_assigned_or_deleted(name, made):
    model = pickle.loads(pickle.dumps(network())) if made == "pickled" else made(network())
    with pytest.raises(AttributeError, match=f"`{name}` of a network can't be changed: "):
        setattr(model, name, getattr(model, name))
    with pytest.raises(AttributeError, match=f"`{name}` of a network can't be changed: "):
        delattr(model, name)


def test_layers_and_nodes_are_tuples():
    model = network()
    for name in ("layers", "nodes"):
        assert isinstance(getattr(model, name), tuple)
    assert fc.Sequential(model.layers, model.input_shape).layers == model.layers


def spoil(array):
    """All that NumPy lets one do to an array in place, beside writing numbers."""
    array.flags.writeable = False
    array.shape = (array.size,)
    array.dtype = np.uint8
    array.shape = (2, array.size // 2)


@pytest.mark.parametrize(
    "kind", ["parameters", "statistics", "flat_parameters", "flat_statistics", "arrays_of"]
)
def test_arrays_that_were_handed_out_may_be_reshaped_and_relabelled(kind):
    model, twin = network(), network()
    expected = twin.predict(X)
    handed_out = {
        "parameters": lambda: list(model.parameters().values()),
        "statistics": lambda: list(model.statistics().values()),
        "flat_parameters": lambda: [model.flat_parameters],
        "flat_statistics": lambda: [model.flat_statistics],
        "arrays_of": lambda: [a for node in model.nodes for a in model.arrays_of(node).values()],
    }[kind]()
    for array in handed_out:
        with pytest.raises(ValueError, match="resize"):
            array.resize((1000,), refcheck=False)
        spoil(array)
    np.testing.assert_array_equal(model.predict(X), expected)
    for one in (model, twin):
        fc.Trainer(one).fit(X, Y, epochs=2)
    assert_same_state(model, twin)


def test_entries_of_the_dicts_that_were_handed_out_are_the_users_own():
    model, twin = network(), network()
    for arrays in (model.parameters(), model.statistics(), model.state()):
        for name in arrays:
            arrays[name] = None
        arrays.clear()
    for one in (model, twin):
        fc.Trainer(one).fit(X, Y, epochs=1)
    assert_same_state(model, twin)


# Trainers


@pytest.mark.parametrize(
    ("name", "value"), [("seed", -1), ("seed", 0.5), ("steps_taken", -1), ("steps_taken", "a")]
)
def test_numbers_of_a_trainer_are_checked_as_they_are_assigned(name, value):
    trainer = fc.Trainer(network())
    with pytest.raises((TypeError, ValueError), match=f"`{name}` must be an int >= 0"):
        setattr(trainer, name, value)
    trainer.fit(X, Y, epochs=1)


@pytest.mark.parametrize(("name", "value"), [("loss", "mse"), ("metrics", ("f1",)), ("seed", 5)])
def test_what_data_were_checked_for_cannot_change_while_a_network_trains(name, value):
    class Assign:
        def on_epoch_end(self, trainer, logs):
            setattr(trainer, name, value)

    trainer = fc.Trainer(network())
    with pytest.raises(RuntimeError, match=f"`{name}` can't be changed while the network trains"):
        trainer.fit(X, Y, epochs=2, callbacks=[Assign()])
    if name != "loss":
        setattr(trainer, name, value)
    trainer.fit(X, Y, epochs=1)


def test_an_optimizer_that_a_callback_assigns_holds_from_the_next_epoch_on_with_its_moments():
    class Lower:
        def on_epoch_end(self, trainer, logs):
            trainer.optimizer = fc.SGD(0.1 * 0.5 ** (logs["epoch"] + 1), momentum=0.9)

    class Halves:
        def learning_rates(self, first_step, count, steps_per_epoch, total_steps):
            return 0.1 * 0.5 ** (np.arange(first_step, first_step + count) // steps_per_epoch)

    first = fc.Trainer(network(), optimizer=fc.SGD(0.1, momentum=0.9))
    second = fc.Trainer(network(), optimizer=fc.SGD(Halves(), momentum=0.9))
    history = first.fit(X, Y, epochs=4, callbacks=[Lower()])
    assert history["learning_rate"] == pytest.approx([0.1, 0.05, 0.025, 0.0125])
    second.fit(X, Y, epochs=4)
    assert_same_state(first.model, second.model)


def test_a_callback_may_make_and_use_another_trainer_of_the_network():
    class Measure:
        def on_epoch_end(self, trainer, logs):
            fc.Trainer(trainer.model, metrics="f1").evaluate(X, Y)
            trainer.evaluate(X, Y)

    fc.Trainer(network()).fit(X, Y, epochs=2, callbacks=[Measure()])


def in_a_thread(function):
    """What a call in another thread returns or raises."""
    result = []

    def call():
        try:
            result.append(function())
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(60)
    assert result, "it hangs"
    return result[0]


@pytest.mark.parametrize("whose", ["its own trainer", "another trainer"])
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "evaluate"])
def test_a_network_that_trains_in_one_thread_is_refused_to_another_at_once(call, whose):
    answers = []

    class Elsewhere:
        def on_epoch_end(self, trainer, logs):
            other = trainer if whose == "its own trainer" else fc.Trainer(trainer.model)
            answers.append(in_a_thread(lambda: getattr(other, call)(X, Y)))
            answers.append(in_a_thread(lambda: trainer.model.predict(X)))

    trainer, twin = fc.Trainer(network()), fc.Trainer(network())
    trainer.fit(X, Y, epochs=1, callbacks=[Elsewhere()])
    twin.fit(X, Y, epochs=1)
    assert_same_state(trainer.model, twin.model)
    assert isinstance(answers[0], RuntimeError)
    assert "training in another thread" in str(answers[0])
    assert answers[1].shape == (50, 3)
    assert not isinstance(in_a_thread(lambda: getattr(trainer, call)(X, Y)), Exception)


def test_a_trainer_that_many_threads_call_gives_each_a_result_or_a_clear_error():
    trainer, errors, losses = fc.Trainer(network()), [], []

    def work():
        for _ in range(60):
            try:
                losses.append(trainer.train_on_batch(X.copy(), Y.copy()))
            except RuntimeError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(losses) + len(errors) == 480
    assert np.isfinite(losses).all()
    assert all("training in another thread" in error for error in errors)
    assert trainer.steps_taken == len(losses)


def test_a_network_that_predicts_while_it_trains_gives_numbers():
    model, done = network(), threading.Event()
    outputs = []

    def predict():
        while not done.is_set():
            outputs.append(model.predict(X[:4]))

    thread = threading.Thread(target=predict)
    thread.start()
    fc.Trainer(model).fit(X, Y, epochs=200)
    done.set()
    thread.join(60)
    assert np.isfinite(outputs).all()


def test_a_run_that_ends_in_an_error_leaves_the_network_free():
    class Failing:
        def on_epoch_end(self, trainer, logs):
            raise KeyError("out of luck")

    trainer = fc.Trainer(network())
    with pytest.raises(KeyError):
        trainer.fit(X, Y, callbacks=[Failing()])
    assert not isinstance(in_a_thread(lambda: trainer.fit(X, Y, epochs=1)), Exception)


def test_optimizers_and_augmentations_may_be_shared_between_threads():
    optimizer, augment = fc.Adam(0.01), fc.Augment(shift=1, noise=0.1)
    trainers = [fc.Trainer(network(), optimizer=optimizer) for _ in range(4)]
    threads = [
        threading.Thread(target=trainer.fit, args=(X, Y), kwargs={"epochs": 3, "augment": augment})
        for trainer in trainers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for trainer in trainers[1:]:
        assert_same_state(trainer.model, trainers[0].model)


# Data


def test_arrays_whose_shape_or_dtype_a_callback_changes_train_on_as_they_were_given():
    images, labels = X.copy(), Y.copy()

    class Change:
        def on_epoch_end(self, trainer, logs):
            images.shape, labels.shape = (-1,), (-1,)
            images.dtype, labels.dtype = np.uint8, np.int8

    trainer, twin = fc.Trainer(network()), fc.Trainer(network())
    trainer.fit(images, labels, epochs=3, callbacks=[Change()], sample_weight=np.ones(50))
    twin.fit(X, Y, epochs=3, sample_weight=np.ones(50))
    assert_same_state(trainer.model, twin.model)


def test_arrays_that_a_callback_lets_go_of_are_kept_until_the_run_ends():
    data = [X.copy(), Y.copy()]

    class Forget:
        def on_epoch_end(self, trainer, logs):
            data.clear()

    trainer, twin = fc.Trainer(network()), fc.Trainer(network())
    trainer.fit(data[0], data[1], epochs=3, callbacks=[Forget()])
    twin.fit(X, Y, epochs=3)
    assert_same_state(trainer.model, twin.model)


def test_labels_that_a_callback_moves_out_of_range_are_read_nowhere_else():
    labels = Y.copy()

    class Spoil:
        def on_epoch_end(self, trainer, logs):
            labels[...] = 2**40

    trainer = fc.Trainer(network(), metrics=("accuracy", "f1"))
    twin = fc.Trainer(network(), metrics=("accuracy", "f1"))
    history = trainer.fit(X, labels, epochs=3, callbacks=[Spoil()])
    assert history["f1"] == twin.fit(X, Y, epochs=3)["f1"]
    assert_same_state(trainer.model, twin.model)


def test_a_network_of_another_shape_is_not_to_be_had_by_changing_its_record():
    model = fc.Sequential([fc.Conv2d(2, 3), fc.Flatten(), fc.Dense(3)], SHAPE)
    with pytest.raises(AttributeError):
        model.layers[0].out_channels = 4
