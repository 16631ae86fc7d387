"""Data sets as they are published: where their files lie, and how they are written."""

import gzip
import pickle
import struct

import numpy as np
import pytest

from fastconv import datasets
from fastconv.datasets.image_arrays import about_pixels

RNG = np.random.default_rng(0)


def idx(array):
    array = np.asarray(array, np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def put_idx(folder, start="", test="t10k", labels=range(6), pack=bytes):
    folder.mkdir(parents=True, exist_ok=True)
    images = RNG.integers(0, 256, (6, 5, 5), dtype=np.uint8)
    end = ".gz" if pack is gzip.compress else ""
    for part in ("train", test):
        (folder / f"{start}{part}-images-idx3-ubyte{end}").write_bytes(pack(idx(images)))
        (folder / f"{start}{part}-labels-idx1-ubyte{end}").write_bytes(pack(idx(list(labels))))
    return images


# ---------------------------------------------------------------- IDX


def test_torchvisions_folders_are_found(tmp_path):
    images = put_idx(tmp_path / "data" / "MNIST" / "raw")
    for folder in ("data", "data/MNIST", "data/MNIST/raw"):
        np.testing.assert_array_equal(datasets.load(str(tmp_path / folder)).X_train, images[:, None])
    put_idx(tmp_path / "data" / "FashionMNIST" / "raw")
    with pytest.raises(
        ValueError, match=r"several data sets, give the path of one: .*Fashion.*, .*MNIST/raw"
    ):
        datasets.load(str(tmp_path / "data"))


def test_emnist_is_turned_back_and_its_letters_have_names(tmp_path):
    images = put_idx(tmp_path / "gzip", "emnist-balanced-", "test", [0, 9, 10, 35, 36, 46], gzip.compress)
    data = datasets.load(str(tmp_path))
    np.testing.assert_array_equal(data.X_train[:, 0], images.transpose(0, 2, 1))
    assert [data.classes[k] for k in data.y_train] == ["0", "9", "A", "Z", "a", "t"]
    assert len(data.classes) == 47


def test_of_several_parts_of_emnist_one_is_named(tmp_path):
    put_idx(tmp_path, "emnist-balanced-", "test", pack=gzip.compress)
    images = put_idx(tmp_path, "emnist-letters-", "test", [1, 2, 3, 24, 25, 26])
    with pytest.raises(
        ValueError, match=r"several data sets, give the path of the training images: emnist-b"
    ):
        datasets.load(str(tmp_path))
    data = datasets.load(str(tmp_path / "emnist-letters-train-images-idx3-ubyte"))
    np.testing.assert_array_equal(data.X_test[:, 0], images.transpose(0, 2, 1))
    assert [data.classes[k] for k in data.y_train] == ["A", "B", "C", "X", "Y", "Z"]
    with pytest.raises(ValueError, match=r"choose one by `split`: 'balanced', 'letters'"):
        datasets.load_mnist(tmp_path)
    assert datasets.load_mnist(tmp_path, split="letters")[1].tolist() == [0, 1, 2, 23, 24, 25]
    put_idx(tmp_path, "emnist-letters-", "test")
    with pytest.raises(ValueError, match="must have labels from 1, as EMNIST's letters, got 0"):
        datasets.load_mnist(tmp_path, split="letters")


# ---------------------------------------------------------------- CIFAR


def test_the_binary_files_of_cifar_are_read(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    records = RNG.integers(0, 256, (9, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(9)
    (folder / "data_batch_1.bin").write_bytes(records[:4].tobytes())
    (folder / "data_batch_2.bin").write_bytes(records[4:].tobytes())
    (folder / "test_batch.bin").write_bytes(records[:2].tobytes())
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    data = datasets.load(str(tmp_path))
    assert data.X_train.shape == (9, 3, 32, 32)
    np.testing.assert_array_equal(data.X_train[3, 1, 2], records[3, 1 + 1024 + 64 : 1 + 1024 + 96])
    assert (data.y_train.tolist(), data.y_test.tolist(), data.classes) == (
        [*range(9)],
        [0, 1],
        [*"abcdefghij"],
    )
    (folder / "test_batch.bin").write_bytes(records.tobytes()[:-1])
    with pytest.raises(ValueError, match=r"test_batch\.bin has 27656 bytes, expected records of 3073"):
        datasets.load(str(tmp_path))


def test_the_fine_labels_of_cifar_100_count(tmp_path):
    records = RNG.integers(0, 100, (3, 3074), dtype=np.uint8)
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(records.tobytes())
    data = datasets.load(str(tmp_path))
    assert data.y_train.tolist() == records[:, 1].tolist()
    np.testing.assert_array_equal(data.X_test[2, 0, 0], records[2, 2:34])


@pytest.mark.parametrize("names", [("data_batch_1", "batches.meta"), ("train", "test", "meta")])
def test_pickles_are_refused_with_the_way_out(tmp_path, names):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(pickle.dumps({"data": 0}))
    with pytest.raises(ValueError, match=r"pickles of Python, .* not read: take the binary version"):
        datasets.load(str(tmp_path))


# ---------------------------------------------------------------- tables


def put_csv(path, labels, count=4, first="label"):
    rows = np.column_stack([labels, RNG.integers(0, 256, (len(labels), count))])
    text = ",".join([first, *(f"pixel{k}" for k in range(count))])
    path.write_text(text + "\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return rows


def test_the_table_of_a_competition_is_split(tmp_path):
    rows = put_csv(tmp_path / "train.csv", np.arange(20) % 2)
    (tmp_path / "test.csv").write_text("pixel0,pixel1,pixel2,pixel3\n0,0,0,0\n")
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    for source in (tmp_path, tmp_path / "train.csv"):
        data = datasets.load(str(source))
        assert (len(data.X_train), len(data.X_test)) == (16, 4)
        assert data.X_train.dtype == np.uint8
    found = np.concatenate([data.X_train, data.X_test]).reshape(20, 4)
    assert sorted(map(tuple, found)) == sorted(map(tuple, rows[:, 1:]))


def test_a_table_of_labelled_test_images_is_held_out(tmp_path):
    put_csv(tmp_path / "fashion-mnist_train.csv", np.arange(20) % 2)
    rows = put_csv(tmp_path / "fashion-mnist_test.csv", [1, 0])
    data = datasets.load(str(tmp_path))
    np.testing.assert_array_equal(data.X_test.reshape(2, 4), rows[:, 1:])
    assert (len(data.X_train), data.y_test.tolist()) == (20, [1, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found 0 columns from 'nothing'"),
        ("id,pixel0\n0,1\n", "must have the columns label, pixel0, .*, found 2 columns from 'id'"),
        ("label,a,b\n0,1,2\n", "of square images, found 3 columns"),
        ("label,pixel0\n0,dark\n", "must hold whole numbers"),
        ("label,pixel0\n0,1,2\n", "must hold whole numbers"),
        ("label,pixel0\n0,300\n1,2\n", "pixels must hold ints from 0 to 255"),
        ("label,pixel0\n-1,3\n1,2\n", "label must be whole class numbers"),
    ],
)
def test_other_tables_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "train.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load(str(path))
    assert caught.match("train.csv")


# ---------------------------------------------------------------- npz


def test_medmnist_is_read_with_its_validation_images(tmp_path):
    parts = {}
    for part, count in (("train", 6), ("val", 4), ("test", 2)):
        parts[f"{part}_images"] = RNG.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        parts[f"{part}_labels"] = np.arange(count)[:, None] % 2
    np.savez(tmp_path / "pathmnist.npz", **parts)
    for source in (tmp_path / "pathmnist.npz", tmp_path):
        data = datasets.load(str(source))
        np.testing.assert_array_equal(data.X_val, parts["val_images"].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(data.X_train, parts["train_images"].transpose(0, 3, 1, 2))
        assert (data.y_val.tolist(), data.y_test.tolist()) == ([0, 1, 0, 1], [0, 1])
        assert data.notes[0] == "images of shape (6, 8, 8, 3) are taken as (N, H, W, C)"
    assert len(datasets.load_npz(tmp_path / "pathmnist.npz")) == 4
    parts["val_images"] = parts["val_images"][:, :6]
    np.savez(tmp_path / "pathmnist.npz", **parts)
    with pytest.raises(ValueError, match=r"X_train has images \(3, 8, 8\) .*, X_val \(3, 6, 8\)"):
        datasets.load(str(tmp_path))


def test_keras_files_are_found_and_models_beside_them_are_no_data(tmp_path):
    X = RNG.integers(0, 256, (6, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=X, y_train=range(6), x_test=X, y_test=range(6))
    np.savez(tmp_path / "model.npz", weight=X)
    data = datasets.load(str(tmp_path))
    np.testing.assert_array_equal(data.X_train[:, 0], X)
    assert data.notes == []


# ---------------------------------------------------------------- layouts and scales


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (np.zeros((4, 1, 8, 8), np.uint8), []),
        (np.full((4, 8, 8), 0.5), []),
        (np.zeros((4, 8, 8), bool), []),
        (np.full((4, 8, 8), 200), ["pixels are int64 from 200 to 200 and are divided by 255, as uint8 are"]),
        (np.full((4, 8, 8, 1), 2, np.int16), ["taken as (N, H, W, C)", "pixels are int16 from 2 to 2"]),
        (np.ones((4, 8, 8), np.uint8), ["uint8 0 and 1, nearly black after division by 255"]),
        (np.full((4, 8, 8), 255, np.float32), ["floats up to 255 and are taken as they are"]),
        (np.full((4, 3, 8, 8), -1.5), []),
        (np.zeros((4, 8, 8, 13), np.uint8), ["8 channels of 8x13: transpose(0, 3, 1, 2) if these come last"]),
        (np.zeros((4, 13, 8, 8), np.uint8), []),
    ],
)
def test_layouts_and_scales_that_may_surprise_are_said_once(tmp_path, X, said):
    np.savez(tmp_path / "data.npz", X_train=X, y_train=np.arange(4) % 2, X_test=X, y_test=np.arange(4) % 2)
    notes = datasets.load(str(tmp_path / "data.npz")).notes
    assert notes == about_pixels(X)
    assert len(notes) == len(said)
    for note, part in zip(notes, said, strict=True):
        assert part in note


def test_an_array_without_labels_is_told_how_to_keep_both(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((4, 8, 8)))
    with pytest.raises(ValueError, match=r"X\.npy has images or labels only: np\.savez"):
        datasets.load(str(tmp_path / "X.npy"))


def test_ints_are_scaled_alike_whatever_their_type(tmp_path):
    X, y = RNG.integers(0, 256, (8, 6, 6)), np.arange(8) % 2
    found = []
    for dtype in (np.uint8, np.int64, np.uint16, ">i4", np.int16):
        np.savez(tmp_path / "data.npz", X=X.astype(dtype), y=y)
        found.append(datasets.load(str(tmp_path / "data.npz")).X_train)
    for one in found:
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, found[0])
