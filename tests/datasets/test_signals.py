import numpy as np
import pytest

from fastconv import datasets

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(20, 30), (20, 2, 30)])
def test_signals_have_channels_and_are_split_by_class(tmp_path, shape):
    X, y = RNG.normal(size=shape), np.arange(20) % 2
    np.savez(tmp_path / "data.npz", X=X, y=y)
    data = datasets.load_signals(tmp_path / "data.npz", test_fraction=0.5)
    assert data.X_train.shape == (10, *([1] if len(shape) == 2 else []), *shape[1:])
    assert data.X_train.dtype == np.float64
    assert np.bincount(data.y_test).tolist() == [5, 5]
    assert data.notes == []
    both = np.concatenate([data.X_train, data.X_test])
    assert sorted(both.reshape(20, -1).sum(axis=1)) == pytest.approx(sorted(X.reshape(20, -1).sum(axis=1)))


@pytest.mark.parametrize(
    ("dtype", "kept"), [("uint8", "uint8"), ("int16", "float32"), ("float16", "float32"), ("bool", "float32")]
)
def test_numbers_are_taken_as_they_are(tmp_path, dtype, kept):
    X = RNG.integers(0, 2, (6, 9)).astype(dtype)
    np.savez(tmp_path / "data.npz", X_train=X, y_train=np.zeros(6, int), X_test=X, y_test=np.zeros(6, int))
    data = datasets.load_signals(tmp_path / "data.npz")
    assert data.X_test.dtype == kept
    np.testing.assert_array_equal(data.X_train[:, 0], X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((4, 1, 8, 8)), r"data\.npz: X must be signals of shape \(N, L\) or \(N, C, L\), got"),
        (np.ones((4, 0)), "must be signals"),
        (np.full((4, 8), np.nan), "holds NaN or infinity"),
        (np.array([["a", "b"]] * 4), "must hold numbers"),
    ],
)
def test_what_is_no_signal_is_refused_by_name(tmp_path, X, message):
    np.savez(tmp_path / "data.npz", X=X, y=np.arange(4) % 2)
    with pytest.raises(ValueError, match=message):
        datasets.load_signals(tmp_path / "data.npz")


def test_parts_of_other_lengths_are_refused(tmp_path):
    y = np.zeros(4, int)
    np.savez(tmp_path / "data.npz", X_train=np.ones((4, 9)), y_train=y, X_test=np.ones((4, 8)), y_test=y)
    with pytest.raises(ValueError, match=r"X_train has signals \(1, 9\) of float64, X_test \(1, 8\)"):
        datasets.load_signals(tmp_path / "data.npz")
