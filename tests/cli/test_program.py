import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import info
from fastconv.datasets import loaders

COMMANDS = [
    "train", "evaluate", "predict", "compare", "export", "warm", "bench", "profile", "scale", "info",
    "tutorial",
]  # fmt: skip
# Child processes run the fastconv that this one imported, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fc.__file__).parents[1])}
# Output that waits in a buffer is what fails again at exit.
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run_program(*argv, **options):
    """Run `python -m fastconv` as a process of its own."""
    command = [sys.executable, "-m", "fastconv", *map(str, argv)]
    settings = {"env": ENVIRONMENT, "text": True, "check": False, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, **{"stdout": subprocess.PIPE, **settings})


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run, command):
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert re.search(rf"examples:\n  python -m fastconv {command}", out)


def test_the_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n    {name} " in out for name in COMMANDS)


def test_no_command_prints_the_help_and_is_wrong_usage(run):
    code, out, _ = run()
    assert code == 2
    assert "commands:" in out


def test_the_version_is_printed(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("fastconv ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--epochs", "0"], "argument --epochs: must be an int >= 1, got '0'"),
        (["train", "--epochs", "2.5"], "argument --epochs: must be an int >= 1, got '2.5'"),
        (["train", "--lr", "0"], "argument --lr: must be a number > 0, got '0'"),
        (["train", "--lr", "nan"], "argument --lr: must be a number > 0, got 'nan'"),
        (["train", "--lr", "inf"], "argument --lr: must be a number > 0, got 'inf'"),
        (["train", "--seed", "-1"], "argument --seed: must be an int >= 0, got '-1'"),
        (["train", "--threads", "0"], "argument --threads: must be an int >= 1"),
        (["train", "--model", "resnet"], "argument --model: invalid choice: 'resnet'"),
        (["train", "--colour"], "unrecognized arguments: --colour"),
        (["evaluate"], "the following arguments are required: MODEL"),
        (["predict", "m.npz", "--count", "0"], "argument --count: must be an int >= 1, got '0'"),
        (["predict", "m.npz", "--top", "0"], "argument --top: must be an int >= 1, got '0'"),
        (["predict", "m.npz", "a.png", "--data", "digits"], "give either FILE or --data, not both"),
        (["export", "m.npz"], "the following arguments are required: FILE"),
        (["train", "--validation-split", "1"], "must be a number >= 0 and < 1, got '1'"),
        (["train", "--early-stopping", "0"], "argument --early-stopping: must be an int >= 1, got '0'"),
        (["train", "--resume"], "--resume needs --checkpoint"),
        (
            ["train", "--model", "reference", "--digits", "1", "2", "3"],
            "--model reference tells two classes apart, got 1 2 3",
        ),
        (["compare", "a.json"], "give two runs or more"),
        (
            ["warm", "resnet"],
            "NETWORK must be lenet, vgg, reference, resnet8, ds_cnn, ",
        ),
        (
            ["profile", "lenet"],
            "MODEL must be a file that ends in .npz or .safetensors, or one of atari_cnn, ",
        ),
        (["profile", "lenet5", "--optimizer", "best"], "--optimizer must be one of sgd, adam"),
        (["scale", "lenet5", "--optimizer", "best"], "--optimizer must be one of sgd, adam"),
        (["train", "--crop", "--pad"], "argument --pad: not allowed with argument --crop"),
        (["bench", "--compare", "caffe"], "argument --compare: invalid choice: 'caffe'"),
    ],
)
def test_wrong_usage_is_one_line_on_standard_error_and_code_2(run, argv, message):
    code, out, err = run(*argv)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("fastconv")


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["train", "--data", "cifar"],
            "'cifar' is no data set (digits, mnist-subset), folder of IDX files or images, or .npz file",
        ),
        (
            ["train", "--data", "."],
            ". is no data set: expected a folder of images for each class (./cat/1.j",
        ),
        (["train", "--output", "none/model.npz"], "--output none/model.npz: there is no folder none"),
        (["train", "--output", "model.h5"], "--output model.h5 must end in .npz"),
        (["train", "--output", "."], "--output . is a folder"),
        (["train", "--digits", "3"], "nothing to tell apart"),
        (["train", "--digits", "3", "12"], "class 12 has no samples"),
        (["train", "--digits", "3", "3"], "classes must differ"),
        (["train", "--data", "broken.npz"], "broken.npz is not a whole NumPy .npz file"),
        (["train", "--data", "huge-label.npz"], "has labels up to 1000000, expected class numbers from 0"),
        (["evaluate", "none.npz"], "none.npz"),
        (["evaluate", "broken.npz"], "broken.npz"),
        (["predict", "none.npz"], "none.npz"),
        (["predict", "dense.npz"], "dense.npz takes inputs of shape (4,), expected images"),
        (["evaluate", "maps.npz"], "maps.npz is no classifier: its outputs have shape (2, 4, 4)"),
        (["export", "none.npz", "model.onnx"], "none.npz: No such file or directory"),
        (["export", "none.npz", "model.h5"], "FILE model.h5 must end in .onnx or .npz or .safetensors"),
        (["train", "--log", "none/log.csv"], "--log none/log.csv: there is no folder none"),
        (["train", "--checkpoint", "."], "--checkpoint . is a folder"),
        (["compare", "none.json", "none.html"], "none.json: No such file or directory"),
        (["warm", "broken.npz"], "broken.npz"),
        (["profile", "broken.npz"], "broken.npz"),
        (["scale", "broken.npz"], "broken.npz"),
        (["profile", "lenet5", "--output", "lenet5.gif"], "--output lenet5.gif must end in .png or .svg"),
        (["bench", "--save", "none/table.md"], "--save none/table.md: there is no folder none"),
    ],
)
def test_a_failure_is_one_line_on_standard_error_and_code_1(run, argv, message):
    with open("broken.npz", "wb") as file:
        file.write(b"PK but not a zip file")
    fc.Sequential([fc.Dense(3)], (4,)).save("dense.npz")
    fc.Sequential([fc.Conv2d(2, 3)], (1, 6, 6)).save("maps.npz")
    np.savez("huge-label.npz", X=np.zeros((4, 8, 8)), y=np.array([0, 0, 1_000_000, 1_000_000]))
    code, out, err = run(*argv)
    assert code == 1
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("fastconv: error: ")


def test_an_output_that_cannot_be_written_is_refused_before_training(run):
    os.mkdir("locked", mode=0o500)
    if os.access("locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    code, _, err = run("train", "--output", "locked/model.npz")
    assert code == 1
    assert "--output locked/model.npz cannot be written" in err


def test_a_missing_extra_is_one_line_that_names_it(run, monkeypatch):
    monkeypatch.setattr(loaders.importlib.util, "find_spec", lambda name: None)
    code, out, err = run("train")
    assert (code, out) == (1, "")
    assert (
        err
        == 'fastconv: error: load_digits needs scikit-learn: pip install scikit-learn (the extra "sklearn")\n'
    )


def test_an_error_that_nobody_foresaw_is_one_line_that_says_how_to_see_more(run, monkeypatch):
    monkeypatch.setattr(info.json_text, "to_json", lambda value: {}["no such\nname"])
    code, out, err = run("info", "--json")
    assert (code, out) == (1, "")
    assert err.startswith("fastconv: internal error: KeyError: ")
    assert err.endswith("(FASTCONV_DEBUG=1 in the environment shows where)\n")
    assert err.count("\n") == 1


def test_the_traceback_is_there_on_demand(run, monkeypatch):
    monkeypatch.setenv("FASTCONV_DEBUG", "1")
    code, _, err = run("evaluate", "none.npz")
    assert code == 1
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.splitlines()[-1] == "fastconv: error: none.npz: No such file or directory"


# ---------------------------------------------------------------- as a process


def test_the_script_and_the_module_are_the_same_program():
    script = shutil.which("fastconv", path=os.path.dirname(sys.executable))
    if script is None:
        pytest.skip("fastconv is not installed")
    for argv in (["--help"], ["evaluate", "none.npz"], ["fly"]):
        module = run_program(*argv)
        other = subprocess.run([script, *argv], env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert (other.returncode, other.stdout, other.stderr) == (
            module.returncode,
            module.stdout,
            module.stderr,
        )


def test_exit_codes_of_the_process(run):
    for argv, code in ((["info"], 0), (["evaluate", "none.npz"], 1), (["train", "--epochs", "x"], 2)):
        done = run_program(*argv)
        assert done.returncode == code
        assert done.stderr.count("\n") == (code > 0)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_in_training_is_one_line_and_code_130(stripes):
    program = subprocess.Popen(
        [sys.executable, "-u", "-m", "fastconv", "train", "--data", stripes, "--epochs", "1000000"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not program.stdout.readline().startswith("epoch "):
        assert program.poll() is None, program.stderr.read()
    program.send_signal(signal.SIGINT)
    err = program.communicate(timeout=60)[1]
    assert program.returncode == 130
    assert err.splitlines()[-1] == "fastconv: interrupted"
    assert "Traceback" not in err
    assert not os.path.exists("fastconv-model.npz")


@pytest.mark.parametrize("reader", ["head -c 1", "true"])
def test_a_closed_pipe_ends_quietly(reader):
    command = f"'{sys.executable}' -m fastconv info | {reader}"
    done = subprocess.run(
        ["bash", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


FULL = "/dev/full"  # takes nothing, as a disk that is full


@pytest.mark.skipif(not os.path.exists(FULL), reason="no /dev/full")
def test_a_full_disk_is_one_line_and_code_1(stripes):
    with open(FULL, "w") as full:
        done = run_program("info", stdout=full)
    assert (done.returncode, done.stderr) == (1, "fastconv: error: No space left on device\n")
    done = run_program("train", "--data", stripes, "--epochs", 1, "--log", FULL, "--no-progress")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "fastconv: error: /dev/full: No space left on device"
    assert "Traceback" not in done.stderr


def test_an_output_that_outgrows_the_disk_is_found_before_training_and_named(run, stripes, monkeypatch):
    def full(self, path, metadata=None):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fc.Sequential, "save", full)
    monkeypatch.setattr(fc.Trainer, "fit", lambda *args, **options: pytest.fail("it was trained"))
    code, _, err = run("train", "--data", stripes, "--quiet", "-o", "model.npz")
    assert (code, err) == (1, "fastconv: error: model.npz: No space left on device\n")
    assert os.listdir() == [stripes]


def test_names_that_the_terminal_cannot_show_are_printed_with_escapes(stripes):
    os.rename(stripes, "str\u00e4hne.npz")
    done = run_program(
        "train", "--data", "str\u00e4hne.npz", "--epochs", 1, env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0, done.stderr
    assert "data   str\\xe4hne.npz: 48 training" in done.stdout
