"""Calls of `fit` and the like as people of other libraries write them: taken, or told what to write."""

import inspect
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import fastconv as fc
from fastconv.training import other_names
from tests.training.small_runs import X, Y, network

# Keras 3's own arguments of `Model.fit`, and what is in their place.
KERAS = {
    "x": "is called `X`",
    "y": None,
    "batch_size": None,
    "epochs": None,
    "verbose": None,
    "callbacks": None,
    "validation_split": None,
    "validation_data": None,
    "shuffle": None,
    "class_weight": None,
    "sample_weight": None,
    "initial_epoch": "a call goes on where the last one ended",
    "steps_per_epoch": None,
    "validation_steps": "as a function that makes as many batches",
    "validation_batch_size": "figures do not depend on it",
    "validation_freq": "every epoch is validated",
}
TABLES = {
    "FIT": fc.Trainer.fit,
    "EVALUATE": fc.Trainer.evaluate,
    "TRAIN_ON_BATCH": fc.Trainer.train_on_batch,
    "TRAINER": fc.Trainer,
}


@pytest.mark.parametrize("name", KERAS)
def test_every_argument_of_keras_is_taken_or_refused_with_a_hint(name):
    taken = inspect.signature(fc.Trainer.fit).parameters
    if KERAS[name] is None:
        assert name in taken
    else:
        with pytest.raises(TypeError, match=f"`{name}` of Trainer.fit .*{KERAS[name]}"):
            fc.Trainer(network()).fit(**{"X": X, "y": Y, name: 1})


@pytest.mark.parametrize("table", TABLES)
def test_a_hint_is_given_for_names_that_there_are_not(table):
    function, names = TABLES[table], getattr(other_names, table)
    given = (network(),) if table == "TRAINER" else (fc.Trainer(network()), X, Y)
    assert names.keys().isdisjoint(inspect.signature(function).parameters)
    for name, hint in names.items():
        with pytest.raises(TypeError, match=re.escape(f"`{name}` of Trainer")) as caught:
            function(*given, **{name: 1})
        assert str(caught.value).endswith(hint)


def test_other_names_are_refused_as_python_does():
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        fc.Trainer(network()).fit(X, Y, colour=1)


# verbose


@pytest.mark.parametrize(
    ("verbose", "lines"),
    [(0, 0), (1, 2), (2, 2), ("auto", 0), (None, 0), (False, 0), (True, 2), (np.int64(2), 2)],
)
def test_verbose_shows_nothing_a_bar_or_lines(verbose, lines, capsys):
    fc.Trainer(network()).fit(X, Y, epochs=2, verbose=verbose)
    assert capsys.readouterr().out.count("epoch ") == lines


@pytest.mark.parametrize("progress", [True, False])
def test_verbose_beside_progress_is_an_error(progress):
    with pytest.raises(ValueError, match=r"`verbose` and `progress` are one: give one of them, got 0 and"):
        fc.Trainer(network()).fit(X, Y, verbose=0, progress=progress)


@pytest.mark.parametrize("verbose", [3, -1, 0.5, "yes"])
def test_an_unknown_verbose_is_refused(verbose):
    with pytest.raises(ValueError, match="`verbose` must be 'auto', 0, 1 or 2, got"):
        fc.Trainer(network()).fit(X, Y, verbose=verbose)


# Values


def test_no_callbacks_may_be_none():
    assert len(fc.Trainer(network()).fit(X, Y, epochs=1, callbacks=None)["loss"]) == 1


@pytest.mark.parametrize("shuffle", ["batch", 1, None])
def test_shuffle_is_true_or_false(shuffle):
    with pytest.raises(TypeError, match="`shuffle` must be True or False, got"):
        fc.Trainer(network()).fit(X, Y, shuffle=shuffle)


# Warnings


def stops(trainer, logs):
    trainer.stop_training = True


@pytest.mark.parametrize(
    "call",
    [
        lambda folder: fc.Trainer(network()).fit(X, Y, epochs=1, callbacks=[fc.EarlyStopping()]),
        lambda folder: fc.Trainer(network()).fit(iter([(X, Y)] * 3), epochs=2, steps_per_epoch=2),
        lambda folder: fc.Trainer(fc.Sequential([fc.Dense(1)], (1,)), loss="mse").fit(
            np.ones(50), np.arange(50) / 50, epochs=1, validation_split=0.2
        ),
    ],
)
def test_a_warning_points_to_the_line_that_calls_fit(call, tmp_path):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call(tmp_path)
    assert [warning.filename for warning in said] == [__file__]


def test_warnings_of_a_resumed_run_point_there_too(tmp_path):
    kept = SimpleNamespace(
        on_epoch_end=stops, state_dict=lambda: {"a": 1}, load_state_dict=lambda state: None
    )
    trainer, path = fc.Trainer(network()), tmp_path / "run.npz"
    trainer.fit(X, Y, epochs=3, checkpoint=path, callbacks=[kept])
    with pytest.warns(UserWarning, match="has stopped|whose state") as said:
        trainer.fit(X, Y, epochs=3, checkpoint=path, resume=True)
    assert [warning.filename for warning in said] == [__file__] * 2
