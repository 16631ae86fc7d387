"""Arguments that a trainer refuses."""

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import X, Y, network


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": 3}, TypeError, "`model` must be a Sequential or a Model, got 3"),
        ({"loss": "hinge"}, ValueError, "`loss` must be one of 'bce', .*got 'hinge'"),
        ({"loss": None}, (TypeError, ValueError), "`loss` must be one of"),
        (
            {"model": fc.models.reference_cnn()},
            ValueError,
            '`loss` "cross_entropy" needs an output of at least 2',
        ),
        ({"optimizer": "adam"}, TypeError, "`optimizer` must be an optimizer such as SGD.*got 'adam'"),
        ({"optimizer": fc.SGD}, TypeError, "`optimizer` must be an optimizer"),
        ({"metrics": ("f2",)}, ValueError, "`metrics` must be among .*got 'f2'"),
        ({"metrics": "loss"}, ValueError, "`metrics` must be among .*got 'loss'"),
        ({"metrics": None}, TypeError, "`metrics`"),
        ({"seed": -1}, ValueError, "`seed` must be an int >= 0, got -1"),
        ({"seed": 0.5}, TypeError, "`seed` must be an int >= 0, got 0.5"),
    ],
)
def test_a_trainer_that_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        fc.Trainer(**{"model": network(), **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"X": X[:, :, :5]}, ValueError, r"`X` must have shape \(N, 1, 6, 6\), got \(50, 1, 5, 6\)"),
        ({"X": X[:49]}, ValueError, r"`y` must have shape \(49,\)"),
        ({"X": X[:0], "y": Y[:0]}, ValueError, "`X` must hold at least one sample, got none"),
        ({"y": Y + 1}, ValueError, "`y` must be labels 0 to 2, got 1 to 3"),
        ({"y": Y * 1.0}, TypeError, "`y` must be int labels"),
        ({"epochs": 0}, ValueError, "`epochs` must be an int >= 1, got 0"),
        ({"epochs": 2.5}, TypeError, "`epochs` must be an int >= 1, got 2.5"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an int >= 1, got 0"),
        ({"batch_size": None}, TypeError, "`batch_size` must be an int >= 1, got None"),
        ({"validation_split": 1.0}, ValueError, "`validation_split` must be a number >= 0 and < 1, got 1.0"),
        ({"validation_split": -0.1}, ValueError, "`validation_split` must be a number"),
        ({"validation_split": 0.001}, ValueError, "`validation_split` = 0.001 leaves no samples"),
        ({"validation_split": 0.999}, ValueError, "`validation_split` = 0.999 leaves no samples"),
        ({"validation_data": X}, TypeError, r"`validation_data` must be a pair \(X, y\)"),
        ({"validation_data": (X, Y, Y, Y)}, TypeError, r"`validation_data` must be a pair \(X, y\)"),
        ({"validation_data": (X[:, :, 1:], Y)}, ValueError, r"`validation_data\[0\]` must have shape"),
        ({"validation_data": (X, Y + 9)}, ValueError, r"`validation_data\[1\]` must be labels 0 to 2"),
        (
            {"validation_data": (X[:0], Y[:0])},
            ValueError,
            "`validation_data.*` must hold at least one sample",
        ),
        ({"validation_data": (X, Y, Y[1:])}, ValueError, r"`validation_data\[2\]` must have shape \(50,\)"),
        ({"sample_weight": np.ones(49)}, ValueError, r"`sample_weight` must have shape \(50,\), one weight"),
        ({"sample_weight": np.zeros(50)}, ValueError, "`sample_weight` must have a weight above 0"),
        ({"sample_weight": np.full(50, -1.0)}, ValueError, "`sample_weight` must be finite numbers >= 0"),
        ({"sample_weight": np.full(50, np.nan)}, ValueError, "`sample_weight` must be finite numbers >= 0"),
        ({"sample_weight": ["1"] * 50}, TypeError, "`sample_weight` must be an array of real numbers"),
        ({"class_weight": 2}, TypeError, '`class_weight` must be None, "balanced" or a dict, got 2'),
        ({"class_weight": {3: 1.0}}, ValueError, "`class_weight` must have class numbers 0 to 2, got 3"),
        ({"class_weight": {1: -1.0}}, ValueError, r"`class_weight\[1\]` must be a number >= 0"),
        ({"resume": True}, ValueError, "`resume` needs `checkpoint`, the file to go on from"),
        (
            {"callbacks": [3]},
            TypeError,
            r"`callbacks` must have a method on_epoch_end\(trainer, logs\), got 3",
        ),
        ({"callbacks": [fc.EarlyStopping]}, TypeError, "`callbacks` must have a method on_epoch_end"),
        ({"callbacks": fc.EarlyStopping()}, TypeError, "`callbacks`"),
        ({"progress": 3}, TypeError, "`progress` must be None, True, False or have"),
    ],
)
def test_wrong_arguments_of_fit_are_refused_before_anything_is_trained(arguments, error, message):
    model = network()
    before = model.state()
    with pytest.raises(error, match=message):
        fc.Trainer(model).fit(**{"X": X, "y": Y, "epochs": 1, **arguments})
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_wrong_arguments_of_evaluate_are_refused():
    trainer = fc.Trainer(network())
    with pytest.raises(ValueError, match="`X` must hold at least one sample"):
        trainer.evaluate(X[:0], Y[:0])
    with pytest.raises(ValueError, match="`batch_size`"):
        trainer.evaluate(X, Y, batch_size=0)
