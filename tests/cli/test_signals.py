"""Commands on networks of signals, and on networks that branch."""

from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from tests.cli.answers import MODEL, strict


@pytest.fixture
def series(tmp_path):
    """Signals of three classes, which differ in their mean and in their strength."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = (
        rng.normal(size=(60, 2, 20)).astype(np.float32) * (1 + (y == 1))[:, None, None]
        + (y == 2)[:, None, None]
    )
    np.savez(tmp_path / "series.npz", X=X, y=y)
    return X, y


def small(channels=2, length=20):
    layers = [fc.Conv1d(4, 3, padding="same"), fc.ReLU(), fc.GlobalAvgPool1d(), fc.Flatten(), fc.Dense(3)]
    return fc.Sequential(layers, (channels, length), seed=1)


def test_a_network_of_signals_is_trained_evaluated_and_asked(run, series):
    code, out, _ = run("train", "--model", "time_cnn", "--data", "series.npz", "--epochs", 2, "-o", MODEL)
    assert code == 0
    assert "data   series.npz: 48 training and 12 held-out signals of 2x20" in out
    code, out, _ = run("evaluate", MODEL)
    assert code == 0
    assert "model.npz on series.npz: 12 held-out signals of 60, --all measures all" in out
    assert "class  signals  recall" in out
    code, out, _ = run("predict", MODEL, "--count", 3)
    assert code == 0
    assert out.count("series.npz[") == 3
    assert "pixels" not in fc.load(MODEL).metadata


def test_figures_and_answers_are_those_of_the_network(run, series):
    model, (X, y) = small(), series
    model.save(MODEL)
    code, out, _ = run("evaluate", MODEL, "--data", "series.npz", "--all", "--json")
    assert code == 0
    assert strict(out)["accuracy"] == pytest.approx((model.predict(X).argmax(axis=1) == y).mean())
    np.save("series.npy", X[:4])
    code, out, _ = run("predict", MODEL, "series.npy", "--json")
    assert code == 0
    for row, chances in zip(strict(out)["images"], model.predict_proba(X[:4]), strict=True):
        assert row["probability"] == pytest.approx(chances.max())


def test_rows_are_signals_of_one_channel(run, series):
    small(channels=1).save(MODEL)
    np.savez("rows.npz", X=series[0][:, 0], y=series[1])
    assert run("evaluate", MODEL, "--data", "rows.npz")[0] == 0
    assert run("predict", MODEL, "rows.npz")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate", MODEL, "--data", "long.npz"],
            "long.npz has signals of shape (2, 30), (channels, length)",
        ),
        (["predict", MODEL, "long.npz"], "the model takes (2, 20)"),
        (["predict", MODEL, "photo.png"], "photo.png is no .npz or .npy file: the model takes signals"),
        (
            ["evaluate", MODEL, "--data", "images.npz"],
            "images.npz: X must be signals of shape (N, L) or (N, C, L)",
        ),
        (["train", "--model", "fcn"], "--model fcn takes signals: give --data, an .npz file of them"),
        (["train", "--model", "fcn", "--data", "long.npz", "--grey"], "--grey is for images"),
        (["train", "--model", "fcn", "--data", "long.npz", "--report", "a.html"], "--report is for images"),
    ],
)
def test_what_is_no_signal_of_the_network_is_refused(run, arguments, message):
    small().save(MODEL)
    np.savez("long.npz", X=np.ones((10, 2, 30)), y=np.arange(10) % 3)
    np.savez("images.npz", X=np.ones((10, 1, 8, 8)), y=np.arange(10) % 3)
    code, _, err = run(*arguments)
    assert code in (1, 2)
    assert message in err


def branching(dtype="float32"):
    """A functional network with a residual, and a layer at two places."""
    x, conv = fc.Input((1, 8, 8)), fc.Conv2d(3, 3, padding="same")
    y = fc.ReLU()(conv(fc.Conv2d(3, 1)(x)))
    y = fc.Residual([fc.Conv2d(3, 3, padding="same"), fc.ReLU()])(fc.ReLU()(conv(y) + y))
    return fc.Model(x, fc.Dense(2)(fc.Flatten()(y)), dtype=dtype, seed=3)


def test_networks_that_branch_are_evaluated_asked_and_written_again(run, tmp_path):
    X, y = np.random.default_rng(0).random((20, 1, 8, 8)).astype(np.float32), np.arange(20) % 2
    np.savez("images.npz", X=X, y=y)
    model = branching()
    model.save(MODEL)
    code, out, _ = run("evaluate", MODEL, "--data", "images.npz", "--all", "--json")
    assert code == 0
    assert strict(out)["accuracy"] == pytest.approx((model.predict(X).argmax(axis=1) == y).mean())
    assert run("predict", MODEL, "images.npz", "--count", 2)[0] == 0
    pytest.importorskip("safetensors")
    assert run("export", MODEL, "model.safetensors")[0] == 0
    np.testing.assert_array_equal(fc.load("model.safetensors").predict(X), model.predict(X))


def test_train_builds_a_residual_network_by_its_name_and_its_report_says_who_reads_what(run):
    pytest.importorskip("matplotlib")
    X = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    np.savez("images.npz", X=X, y=np.arange(40) % 2)
    code, _, err = run(
        "train",
        "--model",
        "resnet8",
        "--data",
        "images.npz",
        "--epochs",
        1,
        "-o",
        MODEL,
        "--report",
        "a.html",
    )
    assert code == 0, err
    page = Path("a.html").read_text(encoding="utf-8")
    assert "read by" in page
    assert "shortcut" in page
    assert any(isinstance(layer, fc.Residual) for layer in fc.load(MODEL).layers)


def test_a_network_of_several_inputs_is_refused_by_name(run):
    image, extra = fc.Input((1, 8, 8), name="image"), fc.Input((3,), name="extra")
    joined = fc.Concatenate()([fc.Flatten()(image), extra])
    fc.Model([image, extra], fc.Dense(2)(joined)).save(MODEL)
    code, _, err = run("predict", MODEL, "a.png")
    assert code == 1
    assert "expected images or signals" in err
