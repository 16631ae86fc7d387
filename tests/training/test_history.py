"""What `fit` returns: a dict of lists that is shown as a table."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import X, Y, network

RUN = {"loss": [2.5, 0.25, 0.5], "val_accuracy": [0.5, 0.75, 0.75], "learning_rate": [1e-5, 1e-5, 1e-6]}


def test_it_is_a_dict_of_lists():
    history = fc.History(RUN)
    assert history == RUN
    assert dict(history) == json.loads(json.dumps(history)) == RUN
    assert pickle.loads(pickle.dumps(history)) == copy.deepcopy(history) == history
    assert type(copy.deepcopy(history)) is fc.History


def test_it_is_shown_as_an_aligned_table():
    assert repr(fc.History(RUN)).splitlines() == [
        "epoch    loss  val_accuracy  learning_rate",
        "    1  2.5000        0.5000         1.0e-5",
        "    2  0.2500        0.7500         1.0e-5",
        "    3  0.5000        0.7500         1.0e-6",
    ]
    assert repr(fc.History()) == "no epochs"


def test_a_long_one_is_shown_by_its_last_lines():
    lines = repr(fc.History({"loss": list(np.linspace(9, 0.5, 120))})).splitlines()
    assert lines[:3] == ["epoch    loss", "... 110 epochs before", "  111  1.1429"]
    assert (lines[-1], len(lines)) == ("  120  0.5000", 12)
    assert repr(fc.History({"loss": [1.0] * 11})).splitlines()[1] == "... 1 epoch before"
    assert "before" not in repr(fc.History({"loss": [1.0] * 10}))


@pytest.mark.parametrize("value", [math.nan, math.inf, 0, 12345678, np.float32(0.1), 1e-300])
def test_any_number_keeps_its_column(value):
    lines = repr(fc.History({"loss": [1.0, value], "accuracy": [1.0, 0.0]})).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_a_notebook_gets_a_table():
    history = fc.History({"<script>": [1.0] * 12, "loss": [0.5] * 12})
    text = history._repr_html_()
    assert "<script>" not in text
    assert text.count("<tr>") == 11
    assert "... 2 epochs before" in text


def test_a_plain_dict_of_it_has_lists_of_its_own():
    history = fc.History(RUN)
    plain = history.to_dict()
    assert type(plain) is dict
    plain["loss"].clear()
    assert history == RUN


@pytest.mark.parametrize(
    ("arguments", "epoch", "value"),
    [
        ({}, 1, 0.25),
        ({"name": "val_accuracy"}, 1, 0.75),
        ({"name": "loss", "mode": "max"}, 0, 2.5),
        ({"name": "learning_rate", "mode": "min"}, 2, 1e-6),
    ],
)
def test_the_best_epoch_of_a_figure_is_found(arguments, epoch, value):
    best = fc.History(RUN).best(**arguments)
    assert best == (epoch, value)
    assert (best.epoch, best.value) == (epoch, value)


def test_the_loss_of_validation_decides_where_it_is_there_and_nan_is_never_best():
    history = fc.History({"loss": [3.0, 2.0, 1.0], "val_loss": [math.nan, 0.5, 0.75]})
    assert history.best() == (1, 0.5)


@pytest.mark.parametrize(
    ("history", "name", "message"),
    [
        (RUN, "f1", "`name` must be one of loss, val_accuracy, learning_rate, got 'f1'"),
        ({}, None, "`name` must be one of no figures yet, got 'loss'"),
        ({"loss": [math.nan]}, None, "`name` must have a number in some epoch, got 'loss' without one"),
    ],
)
def test_a_figure_that_has_no_best_epoch_is_refused(history, name, message):
    with pytest.raises(ValueError, match=message):
        fc.History(history).best(name)


def test_it_agrees_with_early_stopping():
    stopping = fc.EarlyStopping(patience=3)
    history = fc.Trainer(network(), optimizer=fc.SGD(0.5)).fit(
        X, Y, epochs=20, validation_split=0.3, callbacks=[stopping]
    )
    assert history.best() == (stopping.best_epoch, stopping.best)


def test_figures_of_different_calls_stay_with_their_epochs():
    trainer = fc.Trainer(network())
    trainer.fit(X, Y, epochs=2)
    second = trainer.fit(X, Y, epochs=1, validation_data=(X, Y))
    trainer.fit(X, Y, epochs=1)
    history = trainer.history
    assert {len(values) for values in history.values()} == {4}
    np.testing.assert_array_equal(np.isnan(history["val_loss"]), [True, True, False, True])
    assert history["val_loss"][2] == second["val_loss"][0]
    assert history.best("val_loss").epoch == 2


def test_its_curves_are_drawn_as_by_the_package():
    pytest.importorskip("matplotlib")
    history = fc.History({"loss": [2.3, 0.4], "val_loss": [0.9, 0.5], "accuracy": [0.5, 0.75]})
    axes = history.plot()
    assert [panel.get_title() for panel in axes] == [panel.get_title() for panel in fc.plots.history(history)]
    line = history.plot(names="accuracy").lines[0]
    assert line.get_ydata().tolist() == [0.5, 0.75]
    assert history.plot(ax=axes[0], names="loss") is axes[0]
