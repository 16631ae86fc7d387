"""The proofs on real work: their data, what they print, and what is said where something is missing."""

import sys

import numpy as np
import pytest

from fastconv.benchmarks import proofs

FEW = ["--epochs", "1", "--seeds", "1"]


@pytest.fixture
def _packages(tmp_path, monkeypatch):
    """Small packages in place of mnist1d and sktime, with data of the same form."""
    (tmp_path / "mnist1d").mkdir()
    (tmp_path / "mnist1d" / "__init__.py").touch()
    (tmp_path / "mnist1d" / "data.py").write_text("""
import numpy as np

def get_dataset_args():
    return 200

def make_dataset(count):
    X, y = np.random.default_rng(0).random((count, 40)), np.arange(count) % 10
    return {"x": X, "y": y, "x_test": X[:50], "y_test": y[:50]}
""")
    rng = np.random.default_rng(0)
    (tmp_path / "sktime").mkdir()
    (tmp_path / "sktime" / "__init__.py").write_text("raise RuntimeError('it is not to be imported')")
    for name in proofs.PUBLISHED["fcn"]:
        folder = tmp_path / "sktime" / "datasets" / "data" / name
        folder.mkdir(parents=True)
        for part in ("TRAIN", "TEST"):
            rows = "\n".join(
                ",".join(f"{x:.4f}" for x in rng.random(12)) + f":{label}" for label in "121212121212"
            )
            text = f"#Said first\n@problemName {name}\n@classLabel true 1 2\n@missing false\n@data\n{rows}\n"
            (folder / f"{name}_{part}.ts").write_text(text)
    for name in [name for name in sys.modules if name.split(".")[0] in ("mnist1d", "sktime")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("mnist1d", "mnist1d.data"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("_packages")
def test_series_are_read_without_their_package_and_scaled():
    X, y = proofs.read_series("GunPoint", "TRAIN")
    assert X.shape == (12, 1, 12)
    assert X.dtype == np.float32
    assert y.tolist() == [0, 1] * 6
    np.testing.assert_allclose(X.mean(axis=2), 0, atol=1e-6)
    np.testing.assert_allclose(X.std(axis=2), 1, atol=1e-5)
    with pytest.raises(FileNotFoundError, match="sktime is installed but does not ship Nothing"):
        proofs.read_series("Nothing", "TRAIN")


@pytest.mark.usefixtures("_packages")
def test_the_command_prints_and_saves_a_table_with_the_machine_and_the_seeds(tmp_path, capsys):
    path = tmp_path / "table.md"
    status = proofs.main([*FEW, "--save", str(path)])
    text = capsys.readouterr().out
    assert path.read_text() == text
    lines = text.splitlines()
    assert lines[0].startswith("| work | to be reached, % | reached: mean (each seed) | goal met | ")
    works = [line.split(" | ")[0].strip("| ") for line in lines[2:] if line.startswith("|")]
    assert sum("resnet1d" in work for work in works) == 3
    for network in ("atari_cnn", "unet", "mnist1d_cnn", "GunPoint, fcn", "ArrowHead, resnet1d"):
        assert any(network in work for work in works)
    assert lines[-1].startswith("Seeds 0; at most 1 epochs. CPU: ")
    assert status == 1, "nothing is reached in one epoch"


def test_several_seeds_are_averaged_and_a_goal_that_is_met_is_said():
    proof = proofs._proof(
        "work", "50", lambda mean: mean == 50, [0.25, 0.75].__getitem__, proofs.Effort((0, 1))
    )
    assert proof.line().startswith("| work | 50 | 50.0 (25.0, 75.0) | yes | ")


@pytest.mark.parametrize(("proof", "package"), [("mnist1d", "mnist1d"), ("series", "sktime")])
def test_a_missing_package_is_one_line(proof, package, monkeypatch, capsys):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(proofs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        proofs.main([proof, *FEW])
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].endswith(f' needs {package}: pip install {package} (the extra "proofs")')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist"], "PROOF must be one of heads, segmentation, mnist1d, series, got 'mnist'"),
        (["heads", "--seeds", "0"], "--seeds must be an int >= 1, got 0"),
        (["heads", "--epochs", "-1"], "--epochs must be an int >= 1, got -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        proofs.main(arguments)
    assert message in capsys.readouterr().err


def test_shapes_are_drawn_with_the_class_of_each_pixel():
    X, classes = proofs.draw_shapes(50, np.random.default_rng(0))
    assert X.shape == (50, 1, 32, 32)
    assert classes.shape == (50, 32, 32)
    assert set(np.unique(classes)) == {0, 1, 2}
    assert X[:, 0][classes == 0].mean() < 0.2 < 0.7 < X[:, 0][classes > 0].mean()


def test_the_move_of_a_game_goes_to_the_ball():
    pictures, moves, values = proofs.draw_game(40, np.random.default_rng(0))
    columns = np.arange(44)
    for picture, move, value in zip(pictures, moves, values, strict=True):
        ball = (picture[0, :-2].sum(axis=0) * columns).sum() / picture[0, :-2].sum()
        paddle = (picture[0, -1] * columns).sum() / picture[0, -1].sum()
        assert move == (1 if abs(ball - paddle) <= 2 else 0 if ball < paddle else 2)
        assert value[0] == pytest.approx(1 - abs(ball - paddle) / 44, abs=1e-6)


def test_the_overlap_is_counted_for_each_class():
    wanted = np.array([[0, 0, 1, 1, 2, 2]])
    assert proofs.intersection_over_union(wanted, wanted) == 1
    assert proofs.intersection_over_union(np.array([[0, 0, 1, 0, 2, 2]]), wanted) == pytest.approx(
        (2 / 3 + 1 / 2 + 1) / 3
    )
