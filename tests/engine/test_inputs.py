import numpy as np
import pytest

from fastconv.engine.inputs import check_samples, check_targets
from fastconv.nn.losses import resolve

IMAGE = (2, 4, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_samples_the_engine_can_read_are_not_copied(dtype):
    X = np.zeros((3, *IMAGE), dtype)
    for view in (X, X[::-1], X[:, :, ::-1], np.asfortranarray(X)):
        assert np.shares_memory(check_samples(view, IMAGE), view)
        assert check_samples(view, IMAGE).strides == view.strides


def test_grey_images_without_a_channel_are_not_copied_either():
    X = np.arange(60.0).reshape(3, 4, 5)
    result = check_samples(X, (1, 4, 5))
    assert result.shape == (3, 1, 4, 5)
    assert np.shares_memory(result, X)
    assert check_samples(np.zeros(7), (1,)).shape == (7, 1)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.uint16, bool, ">f4", ">f8"])
def test_other_numbers_become_float64_without_a_change_of_value(dtype):
    X = (np.arange(3 * 40) % 2).reshape(3, *IMAGE).astype(dtype)
    result = check_samples(X, IMAGE)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, X.astype(np.float64))


def test_samples_may_be_lists_and_none_at_all():
    assert check_samples([[1, 2], [3, 4]], (2,)).tolist() == [[1, 2], [3, 4]]
    assert check_samples(np.zeros((0, *IMAGE)), IMAGE).shape == (0, *IMAGE)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((3, 2, 4, 4)), ValueError, r"`X` must have shape \(N, 2, 4, 5\), got \(3, 2, 4, 4\)"),
        (np.zeros(IMAGE), ValueError, r"`X` must have shape \(N, 2, 4, 5\), got \(2, 4, 5\)"),
        (np.zeros((3, 4, 5)), ValueError, r"got \(3, 4, 5\)"),
        (np.zeros((3, 40)), ValueError, r"got \(3, 40\)"),
        (np.zeros((1, 3, *IMAGE)), ValueError, r"got \(1, 3, 2, 4, 5\)"),
        (2.0, ValueError, "`X` must be an array of samples, got a single number"),
        (np.zeros((3, *IMAGE), complex), TypeError, "`X` must be an array of real numbers, got complex128"),
        (np.zeros((3, *IMAGE), "M8[s]"), TypeError, "`X` must be an array of real numbers, got datetime64"),
        (["a", "b"], TypeError, "`X` must be an array of real numbers, got <U1"),
        (None, TypeError, "`X` must be an array of real numbers, got object"),
    ],
)
def test_wrong_samples_are_refused(X, error, message):
    with pytest.raises(error, match=message):
        check_samples(X, IMAGE)


def test_the_name_of_the_argument_is_in_the_message():
    with pytest.raises(ValueError, match=r"`validation_data\[0\]` must have shape"):
        check_samples(np.zeros((3, 1)), IMAGE, "validation_data[0]")
    with pytest.raises(ValueError, match=r"`validation_data\[1\]` must have shape"):
        check_targets([0, 1], 3, (4,), resolve("cross_entropy"), "validation_data[1]")


@pytest.mark.parametrize(
    "y",
    [[0, 3, 1], (0, 3, 1), np.array([0, 3, 1], np.uint8), np.array([[0], [3], [1]]),
     np.array([0, 9, 3, 9, 1])[::2], np.array([0, 3, 1], np.int8)],
)  # fmt: skip
def test_labels_of_any_int_type_become_int64_of_one_axis(y):
    result = check_targets(y, 3, (4,), resolve("cross_entropy"))
    assert result.dtype == np.int64
    assert result.tolist() == [0, 3, 1]


def test_two_labels_may_be_booleans():
    assert check_targets([True, False], 2, (2,), resolve("cross_entropy")).tolist() == [1, 0]


@pytest.mark.parametrize("loss", ["bce", "bce_with_logits", "mse"])
@pytest.mark.parametrize(
    "y", [[0, 1, 1], [[0], [1], [1]], [False, True, True], np.array([0, 1, 1], np.uint8)]
)
def test_a_single_output_takes_numbers_with_or_without_their_axis(loss, y):
    result = check_targets(y, 3, (1,), resolve(loss))
    assert result.tolist() == [[0], [1], [1]]


def test_targets_of_uint8_are_not_scaled_to_one():
    result = check_targets(np.array([[255, 0]], np.uint8), 1, (2,), resolve("mse"))
    assert result.dtype != np.uint8
    assert result.tolist() == [[255, 0]]


def test_images_are_targets_of_their_shape_or_flat():
    y = np.arange(3 * 40.0).reshape(3, *IMAGE)
    for given in (y, y.reshape(3, 40)):
        np.testing.assert_array_equal(check_targets(given, 3, IMAGE, resolve("mse")), y.reshape(3, 40))


def test_float_targets_are_not_copied():
    y = np.zeros((5, 3), np.float32)
    assert np.shares_memory(check_targets(y, 5, (3,), resolve("mse")), y)


@pytest.mark.parametrize(
    ("y", "loss", "error", "message"),
    [
        ([0, 1], "cross_entropy", ValueError, r"`y` must have shape \(3,\), one label a sample, got \(2,\)"),
        (np.eye(3, dtype=int), "cross_entropy", ValueError, r"one label a sample, got \(3, 3\)"),
        ([0, 1, 4], "cross_entropy", ValueError, "`y` must be labels 0 to 3, got 0 to 4"),
        ([-1, 1, 2], "cross_entropy", ValueError, "`y` must be labels 0 to 3, got -1 to 2"),
        (
            [0.0, 1.0, 2.0],
            "cross_entropy",
            TypeError,
            "`y` must be int labels for cross_entropy, got float64",
        ),
        (["a", "b", "c"], "cross_entropy", TypeError, "`y` must be an array of real numbers"),
        (1, "cross_entropy", ValueError, "`y` must be an array of samples, got a single number"),
        (np.zeros(3), "mse", ValueError, r"`y` must have shape \(3, 4\), got \(3,\)"),
        (np.zeros((4, 3)), "mse", ValueError, r"`y` must have shape \(3, 4\), got \(4, 3\)"),
        (np.full((3, 4), 2), "bce", ValueError, "`y` must be between 0 and 1 for bce, got 2 to 2"),
        (np.full((3, 4), -0.1), "bce_with_logits", ValueError, "`y` must be between 0 and 1"),
        (np.full((3, 4), np.nan), "bce", ValueError, "`y` must be between 0 and 1"),
        (np.zeros((3, 4), complex), "mse", TypeError, "`y` must be an array of real numbers, got complex128"),
    ],
)
def test_wrong_targets_are_refused(y, loss, error, message):
    with pytest.raises(error, match=message):
        check_targets(y, 3, (4,), resolve(loss))


def test_large_unsigned_labels_are_refused_by_their_value():
    with pytest.raises(ValueError, match="`y` must be labels 0 to 3, got 0 to 18446744073709551615"):
        check_targets(np.array([0, 2**64 - 1], np.uint64), 2, (4,), resolve("cross_entropy"))


def test_no_samples_have_no_targets():
    assert check_targets(np.zeros((0, 4)), 0, (4,), resolve("mse")).shape == (0, 4)
    assert check_targets(np.zeros(0, int), 0, (4,), resolve("cross_entropy")).shape == (0,)
