import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.datasets import image_arrays

RNG = np.random.default_rng(0)


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
            image_arrays.stratified_split(X, y, fraction, seed)
        return
    X_train, y_train, X_test, y_test = image_arrays.stratified_split(X, y, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([X_train, X_test])), X)
    np.testing.assert_array_equal(y[X_train], y_train)
    np.testing.assert_array_equal(y[X_test], y_test)
    assert len(X_test) == count
    for label, size in enumerate(sizes):
        assert abs((y_test == 3 * label).sum() - size * count / len(y)) < 1


def test_a_split_depends_on_the_seed_only_and_mixes_the_classes():
    X, y = np.arange(100), np.repeat([0, 1], 50)
    first, again, other = (image_arrays.stratified_split(X, y, 0.2, seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert 20 < (y[first[:40]] == 0).sum() * 2 < 60


@pytest.mark.parametrize("fraction", [0, 1, -0.5, np.nan])
def test_a_test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="`test_fraction` must be a number > 0 and < 1"):
        image_arrays.stratified_split(np.arange(10), np.arange(10) % 2, fraction)


def test_chosen_classes_are_numbered_from_zero_in_the_order_given():
    X = np.arange(6)
    y = np.array([4, 7, 9, 4, 7, 9])
    X_train, y_train, X_test, y_test = image_arrays.select_classes((X, y, X[:3], y[:3]), [9, 4])
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
        image_arrays.select_classes((y, y, y, y), classes)


def test_resizing_by_a_whole_factor_is_the_mean_of_blocks():
    images = RNG.random((3, 2, 6, 8))
    expected = images.reshape(3, 2, 3, 2, 2, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(image_arrays.resize_area(images, (3, 2)), expected)


def test_resizing_three_pixels_to_two_shares_the_middle_one():
    np.testing.assert_allclose(image_arrays.resize_area(np.array([[3.0, 6.0, 9.0]]), (1, 2)), [[4.0, 8.0]])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_resizing_keeps_the_mean_and_the_range(h, w, new_h, new_w):
    images = np.random.default_rng(h * w).random((2, h, w))
    resized = image_arrays.resize_area(images, (new_h, new_w))
    assert resized.shape == (2, new_h, new_w)
    np.testing.assert_allclose(resized.mean(axis=(1, 2)), images.mean(axis=(1, 2)))
    assert resized.min() >= images.min() - 1e-12
    assert resized.max() <= images.max() + 1e-12


def test_resized_uint8_images_are_rounded_uint8():
    resized = image_arrays.resize_area(np.array([[[250, 255], [255, 255]]], np.uint8), (1, 1))
    assert resized.dtype == np.uint8
    assert resized.tolist() == [[[254]]]


def test_images_are_fitted_to_a_network_by_area_and_to_grey():
    images = np.zeros((2, 3, 4, 4), np.uint8)
    images[:, 0] = 90
    fitted = image_arrays.fit_images(images, (1, 2, 2))
    assert fitted.dtype == np.uint8
    assert fitted.shape == (2, 1, 2, 2)
    assert (fitted == 30).all()
    assert image_arrays.fit_images(images, (3, 4, 4)) is images
    with pytest.raises(ValueError, match="3 channels, got 1"):
        image_arrays.fit_images(fitted, (3, 2, 2))


def test_channels_last_become_channels_first(tmp_path):
    X = RNG.random((4, 5, 6, 3))
    np.testing.assert_array_equal(image_arrays.as_images(X), X.transpose(0, 3, 1, 2))
    assert image_arrays.as_images(RNG.random((4, 3, 6, 3))).shape == (4, 3, 6, 3)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f4"), (">f4", "f4"), ("i8", "u1"), ("u1", "u1"), ("?", "f4")],
)
def test_images_come_as_bytes_or_native_floats(dtype, expected):
    images = image_arrays.as_images(np.ones((2, 3, 3), dtype=dtype))
    assert images.dtype == np.dtype(expected)
    assert images.flags.c_contiguous
    assert (images == 1).all()


# Memory


@pytest.mark.parametrize(
    ("shape", "size"), [((6000, 7000), (32, 32)), ((1200, 60000), (20, 900)), ((60000, 1200), (900, 20))]
)
def test_large_images_are_resized_in_a_quarter_of_a_gigabyte(shape, size):
    images = np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)
    tracemalloc.start()
    found = image_arrays.resize_area(images, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**28
    # A few of the new pixels by hand, as the mean of the area that they cover.
    for i, j in ((0, 0), (size[0] - 1, size[1] - 1), (size[0] // 3, size[1] // 2)):
        weights = [
            np.clip(
                np.minimum((k + 1) * o / n, np.arange(o) + 1) - np.maximum(k * o / n, np.arange(o)), 0, None
            )
            for k, o, n in zip((i, j), shape, size, strict=True)
        ]
        mean = weights[0] @ images[0] @ weights[1] / (weights[0].sum() * weights[1].sum())
        assert abs(found[0, i, j] - mean) <= 0.51


def test_many_images_are_resized_in_pieces_with_the_same_bits(monkeypatch):
    images = np.random.default_rng(0).random((50, 3, 17, 13), dtype=np.float32)
    whole = image_arrays.resize_area(images, (9, 20))
    for at_once in (17 * 20, 1000, 10**5):
        monkeypatch.setattr(image_arrays, "_AT_ONCE", at_once)
        np.testing.assert_array_equal(image_arrays.resize_area(images, (9, 20)), whole)
    monkeypatch.setattr(image_arrays, "_AT_ONCE", 100)  # less than one image
    np.testing.assert_allclose(image_arrays.resize_area(images, (9, 20)), whole, rtol=1e-5)
