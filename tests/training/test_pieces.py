"""Numbers that the kernels can't read are converted in pieces, to the same bits, and never as a whole."""

import tracemalloc

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import X, Y, assert_same_state, network

BITS = (X > 0.5).astype(np.float64)  # which every dtype can hold
DTYPES = [np.float16, bool, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.uint64, ">f4", ">f8", ">i8",
          "<f8", np.longdouble]  # fmt: skip
SOFT = (np.eye(3)[Y] + 1) / 4


def trained(X, y, loss="cross_entropy", **options):
    model = network(dtype="float32")
    fc.Trainer(model, loss, fc.Adam(0.01)).fit(X, y, epochs=2, batch_size=8, **options)
    return model


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_any_dtype_train_and_predict_the_same(dtype):
    given = BITS.astype(dtype)
    model, expected = trained(given, Y, validation_split=0.2), trained(BITS, Y, validation_split=0.2)
    assert_same_state(model, expected)
    for count in (1, 3, 50):
        np.testing.assert_array_equal(model.predict(given[:count], 7), expected.predict(BITS[:count], 7))
    trainer = fc.Trainer(model)
    assert trainer.evaluate(given, Y, batch_size=9) == trainer.evaluate(BITS, Y, batch_size=9)
    assert model.loss_and_gradients(given, Y)[0] == model.loss_and_gradients(BITS, Y)[0]
    np.testing.assert_array_equal(
        fc.inspection.activations(model, given)[-1], fc.inspection.activations(model, BITS)[-1]
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_targets_of_any_dtype_train_the_same(dtype):
    y = np.eye(3)[Y]
    model, expected = trained(X, y.astype(dtype), "mse"), trained(X, y, "mse")
    assert_same_state(model, expected)


@pytest.mark.parametrize("view", [lambda a: a[::-1], lambda a: np.asfortranarray(a), lambda a: a[:, :, ::2]])
def test_views_are_converted_as_they_are_seen(view):
    given = view(X.astype(np.float16))
    model = fc.Sequential([fc.Flatten(), fc.Dense(3)], given.shape[1:])
    np.testing.assert_array_equal(model.predict(given), model.predict(given.astype(np.float64)))


def test_augmented_and_weighted_samples_are_the_same():
    options = {"augment": fc.Augment(shift=1, noise=0.1), "sample_weight": np.arange(50), "shuffle": False}
    half = X.astype(np.float16)
    assert_same_state(trained(half, Y, **options), trained(half.astype(float), Y, **options))


def test_several_calls_of_the_kernels_in_an_epoch_are_the_same(monkeypatch):
    monkeypatch.setattr("fastconv.engine.engine.CONVERTED_AT_ONCE", 3000)
    half = X.astype(np.float16)
    assert_same_state(trained(half, SOFT.astype(np.float16)), trained(half.astype(float), SOFT))


def test_a_matrix_is_an_array_and_masked_values_are_refused():
    model = fc.Sequential([fc.Dense(2)], (4,))
    table = np.arange(20.0).reshape(5, 4)
    np.testing.assert_array_equal(model.predict(np.asmatrix(table)), model.predict(table))
    whole = np.ma.array(table, mask=False)
    np.testing.assert_array_equal(model.predict(whole), model.predict(table))
    masked = np.ma.masked_less(table, 3)
    for call in (
        model.predict,
        lambda X: fc.Trainer(model).fit(X, np.zeros(5, int)),
        lambda X: fc.inspection.activations(model, X),
    ):
        with pytest.raises(ValueError, match="`X` must have no masked values: fill them"):
            call(masked)
    with pytest.raises(ValueError, match="`y` must have no masked values"):
        fc.Trainer(model, "mse").fit(table, np.ma.masked_less(table[:, :2], 3))


# Memory


def peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float16, np.int8, bool, np.int32, ">f4"])
def test_no_array_is_converted_as_a_whole(dtype, tmp_path):
    shape = (1, 24, 24)
    mapped = np.memmap(tmp_path / "X", dtype, "w+", shape=(40_000, *shape))
    y = np.arange(len(mapped)) % 2
    model = fc.Sequential([fc.MaxPool2d(12), fc.Flatten(), fc.Dense(2)], shape)
    trainer = fc.Trainer(model)
    uses = {
        "fit": lambda n: trainer.fit(mapped[:n], y[:n], epochs=1, batch_size=64, validation_split=0.1),
        "unshuffled": lambda n: trainer.fit(mapped[:n], y[:n], epochs=1, batch_size=64, shuffle=False),
        "evaluate": lambda n: trainer.evaluate(mapped[:n], y[:n]),
        "predict": lambda n: model.predict(mapped[:n]),
    }
    for name, use in uses.items():
        use(100)
        peak = peak_of(lambda use=use: use(None))
        assert peak < 14_000_000, name  # 40,000 samples are 23 MB of bytes, 184 MB of float64


def test_targets_are_not_converted_as_a_whole():
    y = np.zeros((20_000, 400), np.float16)
    X = np.zeros((20_000, 2))
    trainer = fc.Trainer(fc.Sequential([fc.Dense(400)], (2,)), "mse", metrics=())
    trainer.fit(X[:100], y[:100], epochs=1)
    assert peak_of(lambda: trainer.fit(X, y, epochs=1, batch_size=64)) < y.nbytes


def test_estimators_convert_in_pieces():
    pytest.importorskip("sklearn")
    X = np.zeros((30_000, 1, 20, 20), np.float16)
    y = np.arange(len(X)) % 2
    layers = [fc.MaxPool2d(10), fc.Flatten(), fc.Dense(1)]
    for kind in (fc.estimators.ConvClassifier, fc.estimators.ConvRegressor):
        estimator = kind(layers, epochs=1, batch_size=100)
        estimator.fit(X[:200], y[:200]).predict(X[:200])
        assert peak_of(lambda e=estimator: e.fit(X, y)) < 0.8 * X.nbytes
        assert peak_of(lambda e=estimator: e.predict(X)) < 0.8 * X.nbytes
