"""Training on images that are changed at random."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine
from fastconv.engine.builder import Builder
from fastconv.engine.run import Run
from fastconv.nn.losses import CrossEntropy
from tests.training.images import BOTH_DTYPES, EVERYTHING, SHAPE, X, Y, network


def trained(augment=EVERYTHING, dtype="float32", seed=4, **arguments):
    model = network(dtype)
    arguments = {"epochs": 3, "batch_size": 21, "progress": False, **arguments}
    history = fc.Trainer(model, optimizer=fc.SGD(0.05), seed=seed).fit(X, Y, augment=augment, **arguments)
    return model.flat_parameters.copy(), history["loss"]


@pytest.fixture
def threads():
    before = fc.get_num_threads()
    yield fc.set_num_threads
    fc.set_num_threads(before)


@BOTH_DTYPES
def test_a_step_is_taken_on_the_images_that_apply_shows_and_their_own_labels(dtype):
    layers = [fc.Conv2d(3, 3, padding=1), fc.Tanh(), fc.Flatten(), fc.Dense(3)]
    model, twin = (fc.Sequential(layers, SHAPE, dtype) for _ in range(2))
    trainer = fc.Trainer(model, optimizer=fc.SGD(0.5), seed=6)
    trainer.fit(X, Y, epochs=2, batch_size=21, shuffle=False, augment=EVERYTHING)
    for step in range(1, 7):
        batch = slice(*((0, 21), (21, 42), (42, 50))[(step - 1) % 3])
        images = EVERYTHING.apply(X[batch], seed=6, step=step, dtype=dtype)
        for name, gradient in twin.loss_and_gradients(images, Y[batch])[1].items():
            twin.parameters()[name][...] -= 0.5 * gradient
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(model.flat_parameters, twin.flat_parameters, rtol=tolerance, atol=tolerance)


@BOTH_DTYPES
def test_training_has_the_same_bits_on_any_number_of_threads(dtype, threads):
    threads(1)
    expected, losses = trained(dtype=dtype)
    for count in (2, 3, 8):
        threads(count)
        found, same_losses = trained(dtype=dtype)
        np.testing.assert_array_equal(found, expected)
        assert same_losses == losses


def test_training_has_the_same_bits_however_steps_are_divided_into_calls(monkeypatch):
    results = []
    for seconds in (0.0, 100.0):
        monkeypatch.setattr(engine, "SECONDS_PER_CALL", seconds)
        results.append(trained(batch_size=3)[0])
    np.testing.assert_array_equal(*results)


def test_seed_and_setting_decide_the_bits():
    others = [
        {"seed": 5}, {"augment": None}, {"augment": fc.Augment(shift=2)}, {"augment": fc.Augment(noise=0.2)},
    ]  # fmt: skip
    results = [trained()[0], *(trained(**other)[0] for other in others)]
    assert len({result.tobytes() for result in results}) == 5
    np.testing.assert_array_equal(trained()[0], results[0])


def test_every_epoch_changes_the_images_anew():
    arguments = {"epochs": 4, "batch_size": 50, "shuffle": False}
    model = fc.Sequential([fc.Flatten(), fc.Dense(3)], SHAPE)
    history = fc.Trainer(model, optimizer=fc.SGD(0.0)).fit(X, Y, augment=EVERYTHING, **arguments)
    assert len(set(history["loss"])) == 4


class Interrupt:
    def on_epoch_end(self, trainer, logs):
        if logs["epoch"] == 1:
            raise KeyboardInterrupt


def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path):
    path = tmp_path / "run.npz"
    with pytest.raises(KeyboardInterrupt):
        trained(epochs=4, checkpoint=path, callbacks=[Interrupt()])
    found, losses = trained(epochs=4, checkpoint=path, resume=True)
    expected, all_losses = trained(epochs=4)
    np.testing.assert_array_equal(found, expected)
    assert losses == all_losses


def test_a_run_is_not_resumed_with_other_changes(tmp_path):
    path = tmp_path / "run.npz"
    trained(epochs=1, checkpoint=path)
    for other in (None, fc.Augment(), fc.Augment(shift=2), fc.Augment(noise=0.2)):
        with pytest.raises(ValueError, match="another network, loss, optimizer, seed or augmentation"):
            trained(other, epochs=2, checkpoint=path, resume=True)
    trained(None, epochs=1, checkpoint=path)
    trained(fc.Augment(), epochs=2, checkpoint=path, resume=True)


def test_validation_evaluation_and_prediction_leave_images_alone():
    model = network()
    expected, output = fc.Trainer(model).evaluate(X, Y), model.predict(X)
    trainer = fc.Trainer(model, optimizer=fc.SGD(0.0))
    history = trainer.fit(X, Y, epochs=2, validation_data=(X, Y), augment=EVERYTHING)
    assert history["val_loss"] == [expected["loss"]] * 2
    assert trainer.evaluate(X, Y) == expected
    np.testing.assert_array_equal(model.predict(X), output)


def operations(augment):
    built = Builder(
        network(), Run("train", 32, 1, CrossEntropy(), fc.SGD(), augmentation=augment), [np.zeros(1)]
    )
    return [operation.name for _, stage in built.plan.stages for operation, _, _ in stage]


def test_nothing_runs_that_was_not_asked_for():
    plain = operations(None)
    assert operations(fc.Augment(fill=1.0)) == plain
    assert operations(fc.Augment(shift=1)) == [plain[0], "move", *plain[1:]]
    assert operations(fc.Augment(noise=1)) == [plain[0], "noise", *plain[1:]]
    assert operations(EVERYTHING) == [plain[0], "move", "noise", *plain[1:]]


def test_a_hundred_images_teach_more_when_they_are_changed():
    images, labels, *held_out = fc.datasets.load_digits()

    def accuracy(augment):
        """The mean over three seeds."""
        results = []
        for seed in range(3):
            model = fc.models.lenet_digits(seed=seed)
            trainer = fc.Trainer(model, optimizer=fc.Adam(fc.CosineDecay(0.005)), seed=seed)
            trainer.fit(images[:100], labels[:100], epochs=100, batch_size=16, augment=augment)
            results.append(trainer.evaluate(*held_out)["accuracy"])
        return np.mean(results)

    plain = accuracy(None)
    for augment in (fc.Augment(shift=1, rotation=10), fc.Augment(rotation=10, noise=0.1)):
        assert accuracy(augment) > plain + 0.01


@pytest.mark.parametrize("augment", [2, "shift", {"shift": 2}, fc.Augment])
def test_fit_takes_nothing_but_an_augment(augment):
    with pytest.raises(TypeError, match="`augment` must be an Augment such as"):
        fc.Trainer(network()).fit(X, Y, augment=augment)


def test_only_images_are_augmented():
    trainer = fc.Trainer(fc.Sequential([fc.Dense(3)], (4,)))
    with pytest.raises(ValueError, match=r"`augment` changes images .*takes samples of \(4,\)"):
        trainer.fit(np.ones((5, 4)), np.zeros(5, int), augment=fc.Augment())
