"""What a classifier says: against PyTorch and by hand."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.inspection.classification import class_labels, class_probabilities, worst

X = np.random.default_rng(0).normal(size=(7, 3))


@pytest.mark.parametrize(
    ("end", "width"), [([], 4), ([fc.Softmax()], 4), ([], 1), ([fc.Sigmoid()], 1)], ids=str
)
def test_probabilities_come_from_logits_a_softmax_or_a_sigmoid(end, width):
    torch = pytest.importorskip("torch")
    model = fc.Sequential([fc.Dense(width), *end], (3,), dtype="float64")
    parameters = model.parameters()
    logits = torch.tensor(X @ parameters["0.weight"].T + parameters["0.bias"])
    if width == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    expected = torch.softmax(logits, dim=1).numpy()
    np.testing.assert_allclose(class_probabilities(model, X), expected, rtol=1e-12)


@pytest.mark.parametrize("layers", [[fc.Dense(3), fc.Sigmoid()], [fc.Conv2d(1, 1)]])
def test_independent_answers_and_images_are_no_classes(layers):
    shape = (3,) if isinstance(layers[0], fc.Dense) else (1, 2, 2)
    with pytest.raises(ValueError, match="`model` must end in one output or one for each class"):
        class_probabilities(fc.Sequential(layers, shape), np.ones((1, *shape)))


def test_the_worst_mistakes_come_first_and_right_answers_not_at_all():
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])
    labels = class_labels([0, 0, 0, 0, 1], probabilities)
    assert worst(probabilities, labels, 9).tolist() == [1, 3, 0]
    assert worst(probabilities, labels, 1).tolist() == [1]


def test_a_label_without_a_probability_is_refused():
    with pytest.raises(ValueError, match="`y` must be labels 0 to 1, got 0 to 2"):
        class_labels([0, 2], np.ones((2, 2)))


@pytest.mark.parametrize(
    "rows", [np.eye(2)[[0, 1, 1]], np.eye(2, dtype=int)[[0, 1, 1]], [[0.7, 0.3], [0.2, 0.8], [0, 1]]]
)
def test_labels_of_rows_are_those_of_the_largest_part(rows):
    assert class_labels(rows, np.ones((3, 2))).tolist() == [0, 1, 1]
