import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.metrics import accuracy, confusion_matrix, precision_recall, predicted_classes


def test_accuracy_counts_the_largest_output_for_cross_entropy():
    logits = [[1.0, 2.0, 0.0], [3.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 5.0, 1.0]]
    assert accuracy(logits, [1, 0, 2, 2], "cross_entropy") == 0.75


@pytest.mark.parametrize(
    ("loss", "outputs"), [("bce", [0.5, 0.6, 0.4, 0.9]), ("bce_with_logits", [0, 0.2, -1, 9])]
)
def test_accuracy_of_the_binary_losses_says_yes_above_the_threshold(loss, outputs):
    for shape in ((4,), (4, 1)):
        y = np.array([0, 1, 1, 1.0]).reshape(shape)
        assert accuracy(np.reshape(outputs, shape), y, loss) == 0.75
        assert accuracy(np.reshape(outputs, shape), y.ravel(), loss) == 0.75


def test_several_binary_labels_a_sample_count_one_by_one():
    assert accuracy([[0.9, 0.1], [0.9, 0.9]], [[1, 0], [0, 1]], "bce") == 0.75


def test_a_soft_target_above_one_half_is_a_yes():
    assert accuracy([0.9, 0.9, 0.1], [0.7, 0.3, 0.4], "bce") == pytest.approx(2 / 3)


def test_nan_is_never_a_yes():
    assert predicted_classes([np.nan], "bce").tolist() == [0]


@pytest.mark.parametrize(
    ("predictions", "y", "loss", "message"),
    [
        ([[1.0, 2.0]], [0, 1], "cross_entropy", r"`y` must have shape \(1,\)"),
        ([1.0, 2.0], [0, 1], "cross_entropy", r"shape \(N, classes\), got \(2,\)"),
        (np.zeros((2, 1, 1)), [0, 1], "bce", r"got \(2, 1, 1\)"),
        (np.zeros((0, 3)), [], "cross_entropy", "at least one sample"),
        ([1.0], [1.0], "mse", "got 'mse'"),
    ],
)
def test_what_does_not_fit_is_refused(predictions, y, loss, message):
    with pytest.raises(ValueError, match=message):
        accuracy(predictions, y, loss)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_the_confusion_matrix_counts_pairs(pairs):
    truth, predicted = zip(*pairs, strict=True)
    counts = confusion_matrix(truth, predicted, 5)
    for i in range(5):
        for j in range(5):
            assert counts[i, j] == pairs.count((i, j))


def test_the_confusion_matrix_is_scikit_learns():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 7, (2, 200))
    ours = confusion_matrix(truth, predicted)
    np.testing.assert_array_equal(ours, sklearn_metrics.confusion_matrix(truth, predicted))
    precision, recall = precision_recall(ours)
    theirs = sklearn_metrics.precision_recall_fscore_support(truth, predicted)
    np.testing.assert_allclose(precision, theirs[0])
    np.testing.assert_allclose(recall, theirs[1])


def test_precision_and_recall_of_a_class_that_does_not_occur_are_nan():
    precision, recall = precision_recall(confusion_matrix([0, 0], [0, 1], 3))
    np.testing.assert_array_equal(precision, [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(recall, [0.5, np.nan, np.nan])


@pytest.mark.parametrize(
    ("truth", "predicted", "classes", "message"),
    [
        ([0, 1], [0], None, "`y_pred` must have the length of `y_true`, 2, got 1"),
        ([0, 3], [0, 1], 3, "from 0 to 2, got 0 to 3"),
        ([0, -1], [0, 1], None, "got -1 to 1"),
        ([0.5], [0], None, "`y_true` must be a 1-D array of class numbers"),
        ([0], [[0]], None, "`y_pred` must be a 1-D array"),
    ],
)
def test_wrong_class_numbers_are_refused(truth, predicted, classes, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(truth, predicted, classes)
