import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.training.metrics import (
    accuracy,
    auc,
    confusion_matrix,
    f1,
    precision,
    precision_recall,
    predicted_classes,
    recall,
    top_k_accuracy,
)


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


# Precision, recall, F1

FUNCTIONS = {"precision": precision, "recall": recall, "f1": f1}
SKLEARN = {"precision": "precision_score", "recall": "recall_score", "f1": "f1_score"}


def sklearn_function(name):
    return getattr(pytest.importorskip("sklearn.metrics"), SKLEARN[name])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("classes", [2, 3, 7])
@given(data=st.data())
def test_they_are_scikit_learns_for_any_class_numbers(name, classes, data):
    numbers = st.lists(st.integers(0, classes - 1), min_size=6, max_size=6)
    truth, predicted = data.draw(numbers), data.draw(numbers)
    average = "binary" if classes == 2 else "macro"
    expected = sklearn_function(name)(truth, predicted, average=average, zero_division=0)
    assert FUNCTIONS[name](truth, predicted, average) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_are_scikit_learns_for_several_labels(name):
    truth, predicted = np.random.default_rng(0).integers(0, 2, (2, 30, 4))
    predicted[:, 3] = 0
    expected = sklearn_function(name)(truth, predicted, average="macro", zero_division=0)
    assert FUNCTIONS[name](truth, predicted, "macro") == pytest.approx(expected, abs=1e-12)


def test_they_are_as_worked_by_hand():
    truth, predicted = [0, 0, 0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 0, 0]  # TP 3, FP 2, FN 2
    assert (precision(truth, predicted), recall(truth, predicted)) == (0.6, 0.6)
    assert f1(truth, predicted) == pytest.approx(0.6)


@pytest.mark.parametrize("function", [precision, recall, f1])
@pytest.mark.parametrize(
    ("truth", "predicted", "average", "message"),
    [
        ([0, 1], [0, 1], "micro", '`average` must be "binary" or "macro", got \'micro\''),
        ([0, 2], [0, 1], "binary", '`average` must be "macro" for 3 classes, got "binary"'),
        ([[0, 1]], [[0, 1]], "binary", '`average` must be "macro" for several labels'),
        ([], [], "macro", "`y_true` must hold at least one sample, got none"),
        ([0], [0, 1], "macro", "`y_pred` must have the length of `y_true`, 1, got 2"),
        ([[0, 1]], [[0, 1, 1]], "macro", r"`y_pred` must have the shape of `y_true`, \(1, 2\), got \(1, 3\)"),
        ([[0, 2]], [[0, 1]], "macro", "`y_true` must be 0 and 1 of shape"),
    ],
)
def test_what_has_no_precision_is_refused(function, truth, predicted, average, message):
    with pytest.raises(ValueError, match=message):
        function(truth, predicted, average)


# AUC


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order_a_tie_counting_half(samples):
    ones = [score for label, score in samples if label]
    zeros = [score for label, score in samples if not label]
    value = auc(*zip(*samples, strict=True))
    if not ones or not zeros:
        assert np.isnan(value)
    else:
        pairs = [(a > b) + 0.5 * (a == b) for a in ones for b in zeros]
        assert value == pytest.approx(np.mean(pairs), abs=1e-12)


@pytest.mark.parametrize("classes", [1, 2, 3, 6])
def test_auc_is_scikit_learns(classes):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, max(classes, 2), 90)
    scores = np.round(rng.random((90, classes)), 1) + 0.01  # many ties
    scores[np.arange(90), truth % classes] += 0.3
    if classes > 1:
        scores /= scores.sum(1, keepdims=True)
    if classes < 3:
        expected = sklearn_metrics.roc_auc_score(truth, scores[:, -1])
    else:
        expected = sklearn_metrics.roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert auc(truth, scores) == pytest.approx(expected, abs=1e-12)


def test_auc_of_several_labels_is_scikit_learns():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 2, (40, 3)), rng.random((40, 3)).round(1)
    assert auc(truth, scores) == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores), abs=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("truth", "scores"),
    [([1, 1], [0.1, 0.2]), ([0, 0], [0.1, 0.2]), ([0, 1], [0.1, np.nan]), ([0, 1], np.eye(3)[:2])],
)
def test_an_undefined_auc_is_nan_without_a_warning(truth, scores):
    assert np.isnan(auc(truth, scores))


@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        ([0, 1], [0.5], r"`scores` must have shape \(2, 1\) to fit `y_true`, got \(1, 1\)"),
        ([0, 2], [0.5, 0.5], "`y_true` must be from 0 to 1, got 0 to 2"),
        ([0, 3], np.eye(3)[:2], "`y_true` must be from 0 to 2, got 0 to 3"),
        ([0, 1], np.zeros((2, 1, 1)), "`scores` must have shape"),
        ([[0, 3]], [[0.5, 0.5]], "`y_true` must be 0 and 1"),
    ],
)
def test_what_has_no_auc_is_refused(truth, scores, message):
    with pytest.raises(ValueError, match=message):
        auc(truth, scores)


# Top k


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_accuracy_is_scikit_learns_where_there_are_no_ties(k):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 8, 50), rng.random((50, 8))
    expected = sklearn_metrics.top_k_accuracy_score(truth, scores, k=min(k, 7), labels=range(8))
    assert top_k_accuracy(truth, scores, k) == pytest.approx(1.0 if k > 8 else expected)


def test_top_k_takes_ties_as_keras_does_and_nan_never():
    assert top_k_accuracy([2], [[0.5, 0.5, 0.5]], k=1) == 1.0
    assert top_k_accuracy([2], [[0.5, 0.5, np.nan]], k=1) == 0.0
    for wrong in ({"k": 0}, {"y_true": [3]}, {"scores": [0.5, 0.5]}, {"y_true": [], "scores": [[1]]}):
        with pytest.raises(ValueError, match="must"):
            top_k_accuracy(**{"y_true": [2], "scores": [[0.5, 0.5, 0.5]], **wrong})


@pytest.mark.parametrize(
    "rows",
    [np.eye(3)[[0, 2, 1]], np.eye(3, dtype=int)[[0, 2, 1]], np.full((3, 3), 0.1) + np.eye(3)[[0, 2, 1]]],
)
def test_rows_of_a_part_for_each_class_are_taken_where_there_are_scores_of_each(rows):
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.1, 0.6, 0.3]])
    labels = rows.argmax(axis=1)
    assert accuracy(scores, rows, "cross_entropy") == accuracy(scores, labels, "cross_entropy")
    for k in (1, 2, 3):
        assert top_k_accuracy(rows, scores, k) == top_k_accuracy(labels, scores, k)
    with pytest.raises(ValueError, match=r": y_true.argmax\(axis=1\) makes class numbers of rows"):
        confusion_matrix(rows, labels)
