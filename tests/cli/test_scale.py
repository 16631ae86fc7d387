"""The command that foretells what many ranks would make of a step."""

import pytest

import fastconv as fc
from tests.cli.answers import MODEL, strict

QUICK = ("--seconds", "0.02", "--batch-size", "64", "--threads", "1", "--ranks", "8")


@pytest.fixture(autouse=True)
def _the_same_threads_afterwards():
    before = fc.get_num_threads()
    yield
    fc.set_num_threads(before)


def test_scale_prints_the_table_of_a_saved_network(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fc.models.reference_cnn().save(MODEL)
    code, out, err = run("scale", MODEL, *QUICK)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[0] == "ranks"
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "4", "8"]
    assert "training steps of 64 samples, float32, 1 thread a rank; a message takes 2.00 us" in out


def test_scale_hands_its_options_on(run, monkeypatch):
    seen = {}
    rows = (fc.ScalingRow(1, 64, 1.0, 0.0, 1.0, 16),)
    found = fc.Scaling(rows, 64, 1, "float32", 5e-5, 1.25e9)
    monkeypatch.setattr(fc.inspection.scale, "scale", lambda model, **given: seen.update(given) or found)
    options = ("--latency", "50us", "--bandwidth", "10 Gbit/s", "--optimizer", "adam", "--json")
    code, out, _ = run("scale", "fcn", *QUICK, *options)
    assert code == 0
    assert strict(out)["rows"][0]["samples"] == 64
    numbers = {"batch_size": 64, "ranks": 8, "seconds": 0.02}
    assert seen == {**numbers, "latency": pytest.approx(5e-5), "bandwidth": 1.25e9, "optimizer": "adam"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--latency", "2"), "argument --latency: must be a time with its unit, such as '2us'"),
        (("--bandwidth", "10GB"), "argument --bandwidth: must be a speed with its unit, such as '10GB/s'"),
        (("--ranks", "2000"), "argument --ranks: must be an int >= 1 and < 1025, got '2000'"),
        (("--optimizer", "adamant"), "--optimizer must be one of sgd, "),
    ],
)
def test_options_that_can_not_be_are_refused(run, options, message):
    code, _, err = run("scale", "lenet5", *options)
    assert code == 2
    assert message in err


def test_what_is_no_network_is_refused(run):
    code, _, err = run("scale", "alexnet")
    assert code == 2
    assert "MODEL must be a file that ends in .npz or .safetensors, or one of " in err
