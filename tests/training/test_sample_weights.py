"""Sample and class weights, from the compiled loss up to the trainer."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.training.held_out import held_out_samples
from fastconv.training.sample_weights import class_weights

SHAPE = (1, 6, 6)
RNG = np.random.default_rng(0)
N = 40
X = RNG.random((N, *SHAPE))
TARGETS = {
    "cross_entropy": RNG.integers(0, 3, N),
    "bce": RNG.integers(0, 2, N),
    "bce_with_logits": RNG.random((N, 2)),
    "mse": RNG.random((N, 2)),
}
COUNTS = RNG.integers(0, 4, N)


def network(loss, dtype="float64"):
    outputs = {"cross_entropy": 3, "bce": 1}.get(loss, 2)
    ending = [fc.Sigmoid()] if loss == "bce" else []
    layers = [fc.Conv2d(2, 3), fc.ReLU(), fc.Flatten(), fc.Dense(outputs), *ending]
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=1)


def trained(loss, X=X, y=None, dtype="float64", **options):
    model = network(loss, dtype)
    trainer = fc.Trainer(model, loss, fc.SGD(lr=0.1, momentum=0.5), metrics=())
    y = TARGETS[loss] if y is None else y
    history = trainer.fit(X, y, epochs=3, progress=False, **options)
    return model.flat_parameters, history["loss"]


@pytest.mark.parametrize("loss", TARGETS)
def test_in_a_step_over_all_samples_a_weight_repeats_or_removes_a_sample(loss):
    X_repeated, y_repeated = X.repeat(COUNTS, axis=0), TARGETS[loss].repeat(COUNTS, axis=0)
    wanted, wanted_losses = trained(loss, X_repeated, y_repeated, batch_size=1000)
    found, losses = trained(loss, batch_size=1000, sample_weight=COUNTS / COUNTS.mean())
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-13)


@pytest.mark.parametrize("loss", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_1_change_no_bit(loss, dtype):
    plain, losses = trained(loss, dtype=dtype, batch_size=7)
    weighted, weighted_losses = trained(loss, dtype=dtype, batch_size=7, sample_weight=np.ones(N, np.float32))
    np.testing.assert_array_equal(plain, weighted)
    assert losses == weighted_losses


@pytest.mark.parametrize("loss", TARGETS)
def test_a_step_divides_by_the_number_of_its_samples(loss):
    half, _ = trained(loss, batch_size=7, sample_weight=np.full(N, 0.5))
    model = network(loss)
    fc.Trainer(model, loss, fc.SGD(lr=0.05, momentum=0.5), metrics=()).fit(
        X, TARGETS[loss], epochs=3, batch_size=7, progress=False
    )
    np.testing.assert_allclose(half, model.flat_parameters, rtol=0, atol=1e-14)


def test_weights_go_with_their_samples_through_shuffling():
    y = TARGETS["cross_entropy"]
    by_class, _ = trained("cross_entropy", batch_size=6, class_weight={0: 2.0, 2: 0.25})
    by_sample, _ = trained("cross_entropy", batch_size=6, sample_weight=np.array([2.0, 1.0, 0.25])[y])
    np.testing.assert_array_equal(by_class, by_sample)


def test_sample_and_class_weights_are_multiplied():
    y, weight = TARGETS["bce"], RNG.random(N)
    both, _ = trained("bce", sample_weight=weight, class_weight={1: 3.0})
    product, _ = trained("bce", sample_weight=weight * np.where(y == 1, 3.0, 1.0))
    np.testing.assert_array_equal(both, product)


def test_results_with_weights_do_not_depend_on_the_number_of_threads():
    before, results = fc.get_num_threads(), []
    try:
        for threads in (1, 3):
            fc.set_num_threads(threads)
            results.append(trained("cross_entropy", dtype="float32", sample_weight=COUNTS)[0])
    finally:
        fc.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_evaluate_multiplies_the_losses_and_counts_right_answers_as_ever():
    trainer = fc.Trainer(network("cross_entropy"))
    y = TARGETS["cross_entropy"]
    each = [trainer.evaluate(X[n : n + 1], y[n : n + 1]) for n in range(N)]
    found = trainer.evaluate(X, y, batch_size=7, sample_weight=COUNTS)
    assert found["loss"] == pytest.approx(np.mean([COUNTS[n] * each[n]["loss"] for n in range(N)]))
    assert found["accuracy"] == pytest.approx(np.mean([figures["accuracy"] for figures in each]))


def test_validation_data_may_have_weights_and_a_validation_split_takes_its_part():
    y = TARGETS["cross_entropy"]
    options = {"epochs": 2, "progress": False}
    split = fc.Trainer(network("cross_entropy")).fit(
        X, y, validation_split=0.25, sample_weight=COUNTS, **options
    )
    out = held_out_samples(y, 0.25, fc.losses.CrossEntropy())
    own = ~out
    given = fc.Trainer(network("cross_entropy")).fit(
        X[own], y[own], validation_data=(X[out], y[out], COUNTS[out]), sample_weight=COUNTS[own], **options
    )
    assert split["val_loss"] == given["val_loss"]
    assert split["loss"] == given["loss"]


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}])
def test_class_weights_are_those_of_the_samples_that_are_trained_on(class_weight):
    y = np.sort(TARGETS["cross_entropy"])
    out = held_out_samples(y, 0.25, fc.losses.CrossEntropy())
    own = ~out
    options = {"epochs": 2, "progress": False, "class_weight": class_weight}
    split = fc.Trainer(network("cross_entropy")).fit(X, y, validation_split=0.25, **options)
    given = fc.Trainer(network("cross_entropy")).fit(
        X[own], y[own], validation_data=(X[out], y[out]), **options
    )
    assert split["val_loss"] == given["val_loss"]
    assert split["loss"] == given["loss"]


def test_balanced_classes_have_the_same_total():
    labels = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose(class_weights("balanced", labels, 3) * [3, 1, 2], [2, 2, 2])
    weights = class_weights("balanced", labels, 3, np.array([1, 1, 0, 4, 1, 1.0]))
    np.testing.assert_allclose(weights * [2, 4, 2], [8 / 3] * 3)


def test_classes_are_needed_for_class_weights():
    for loss in ("mse", "bce_with_logits"):
        with pytest.raises(ValueError, match="`class_weight` needs a class for each sample"):
            trained(loss, class_weight="balanced")
