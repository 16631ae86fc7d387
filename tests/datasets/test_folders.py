"""Folders of images: what is a class, what a part of a split, and which files are held out."""

import os
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv import datasets
from fastconv.datasets import folders

Image = pytest.importorskip("PIL.Image")


def put(folder, **classes):
    """Pictures of one grey level each, named after it."""
    for name, levels in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for level in levels:
            Image.new("L", (3, 3), level).save(folder / name / f"IMG_{level}.png")


def levels(X):
    return {int(level) for level in X[:, 0, 0, 0]}


def quiet(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return datasets.load_images(folder)


def test_images_that_come_or_go_move_no_other_to_another_side(tmp_path):
    put(tmp_path, cat=range(40), dog=range(100, 140))
    before = quiet(tmp_path)
    put(tmp_path, cat=[40, 41], dog=[90, 91, 141])
    os.unlink(tmp_path / "cat" / "IMG_7.png")
    after = quiet(tmp_path)
    there = levels(after.X_train) | levels(after.X_test)
    assert levels(before.X_train) & there <= levels(after.X_train)
    assert levels(before.X_test) & there <= levels(after.X_test)
    assert 8 <= len(before.X_test) <= 26


def test_a_split_does_not_follow_the_folders_order_or_place(tmp_path):
    put(tmp_path / "one", cat=range(20), dog=range(100, 120))
    put(tmp_path / "two", dog=range(119, 99, -1), cat=range(19, -1, -1))
    for first, other in zip(quiet(tmp_path / "one")[:4], quiet(tmp_path / "two")[:4], strict=True):
        np.testing.assert_array_equal(first, other)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.floats(0.01, 0.99), st.integers(0, 99))
def test_every_class_of_two_images_or_more_is_on_both_sides(sizes, fraction, seed):
    labels = [k for k, size in enumerate(sizes) for _ in range(size)]
    places = np.random.default_rng(seed).random(len(labels)).tolist()
    files = folders.Files([str(k) for k in range(len(labels))], labels, places)
    if len(labels) == 1:
        with pytest.raises(ValueError, match="leaves one side empty"):
            folders.held_out_by_name(files, fraction)
        return
    train, test = folders.held_out_by_name(files, fraction)
    assert sorted(train + test) == list(range(len(labels)))
    if max(sizes) == 1:
        assert len(test) == 1
        return
    for k, size in enumerate(sizes):
        on_a_side = [any(labels[place] == k for place in side) for side in (train, test)]
        assert on_a_side == [True, size > 1]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("Training", "Testing"),
        ("train_set", "test_set"),
        ("TrainSet", "ValSet"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training-data", "validation data"),
        ("TRAIN", "Valid"),
        ("archive/train", "archive/val"),
    ],
)
def test_parts_of_a_split_are_no_classes_however_they_are_called(tmp_path, train, test):
    put(tmp_path / train, cat=[1, 2], dog=[3])
    put(tmp_path / test, cat=[4], dog=[5])
    data = quiet(tmp_path / "archive" if train.startswith("archive") else tmp_path)
    assert data.classes == ["cat", "dog"]
    assert levels(data.X_train) == {1, 2, 3}
    assert levels(data.X_test) == {4, 5}


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "test_set")])
def test_of_three_parts_test_is_held_out_and_the_other_is_to_validate_on(tmp_path, names):
    for name, level in zip(names, (1, 11, 21), strict=True):
        put(tmp_path / name, cat=[level], dog=[level + 1])
    data = quiet(tmp_path)
    assert (levels(data.X_train), levels(data.X_val), levels(data.X_test)) == ({1, 2}, {11, 12}, {21, 22})
    assert data.y_val.tolist() == [0, 1]


def test_a_part_beside_the_classes_is_held_out(tmp_path):
    put(tmp_path, cat=[1, 2], dog=[3])
    put(tmp_path / "test", cat=[4])
    data = quiet(tmp_path)
    assert (data.classes, levels(data.X_train), levels(data.X_test)) == (["cat", "dog"], {1, 2, 3}, {4})


def test_a_class_that_is_called_as_a_part_is_said(tmp_path):
    put(tmp_path, bus=[1, 2], train=[3, 4], car=[5, 6])
    with pytest.warns(UserWarning, match="train is taken as a class, though its name looks like"):
        data = datasets.load_images(tmp_path)
    assert data.classes == ["bus", "car", "train"]


def test_images_to_guess_in_no_class_folders_are_left_out_with_a_word(tmp_path):
    put(tmp_path / "train", cat=[1, 2, 3], dog=[4, 5])
    put(tmp_path, test=[9], extra=[8])
    with pytest.warns(UserWarning, match="is left out") as said:
        data = datasets.load_images(tmp_path)
    assert sorted(str(one.message).rsplit("/", 1)[1] for one in said) == [
        "extra is left out: it is no part of the split",
        "test is left out: it is no part of the split",
    ]
    assert levels(data.X_train) | levels(data.X_test) == {1, 2, 3, 4, 5}


def test_leftovers_of_archives_are_no_classes(tmp_path):
    put(tmp_path, cat=[1, 2], dog=[3, 4], __MACOSX=[5, 6])
    assert quiet(tmp_path).classes == ["cat", "dog"]


def test_every_image_has_the_path_of_its_file(tmp_path):
    put(tmp_path / "one", cat=range(20), dog=range(100, 120))
    put(tmp_path / "two/train", cat=[1], dog=[2])
    put(tmp_path / "two/test", dog=[3, 4])
    for folder in ("one", "two"):
        data = quiet(tmp_path / folder)
        for X, y, files in (
            (data.X_train, data.y_train, data.files_train), (data.X_test, data.y_test, data.files_test),
        ):  # fmt: skip
            assert len(X) == len(files) > 0
            for image, label, path in zip(X, y, files, strict=True):
                assert path.startswith(str(tmp_path / folder))
                assert path.endswith(f"{data.classes[label]}{os.sep}IMG_{image[0, 0, 0]}.png")


def test_held_out_images_may_lack_a_class(tmp_path):
    put(tmp_path / "train", cat=[1], dog=[2])
    put(tmp_path / "test", dog=[3])
    data = quiet(tmp_path)
    assert data.y_test.tolist() == [1]
