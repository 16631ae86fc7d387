"""Callbacks that tell other programs of a run: what they write is read back."""

import importlib
import struct
import sys
from types import ModuleType, SimpleNamespace

import pytest

import fastconv as fc
from tests.training.small_runs import Interrupt, X, Y, figures, network

# TensorBoard


def events(folder):
    """Tag -> {epoch: value} of the event files in a folder, as TensorBoard shows them."""
    event_class = importlib.import_module("tensorboardX.proto.event_pb2").Event
    shown = {}
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = event_class.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            if event.HasField("session_log"):  # later epochs of the run before are orphans
                for tag in shown:
                    shown[tag] = {step: value for step, value in shown[tag].items() if step < event.step}
            for value in event.summary.value:
                assert event.step not in shown.setdefault(value.tag, {}), "written twice"
                shown[value.tag][event.step] = value.simple_value
    return shown


def assert_shows(folder, history):
    for name, values in history.items():
        part = "validation" if name.startswith("val_") else "train"
        shown = events(folder / part)[f"epoch_{name.removeprefix('val_')}"]
        if name != "seconds":
            assert list(shown) == list(range(len(values)))
            assert list(shown.values()) == pytest.approx(values, rel=1e-6)


@pytest.fixture
def board(tmp_path):
    pytest.importorskip("tensorboardX")
    return lambda: fc.TensorBoard(tmp_path / "logs")


@pytest.mark.parametrize("others", [{}, {"validation_data": (X, Y)}])
def test_the_figures_of_every_epoch_are_in_the_event_files(tmp_path, board, others):
    trainer = fc.Trainer(network(), metrics=("accuracy", "f1"))
    history = trainer.fit(X, Y, epochs=4, callbacks=[board()], **others)
    assert_shows(tmp_path / "logs", history)
    assert (tmp_path / "logs" / "validation").exists() == bool(others)


def test_every_epoch_is_on_the_disk_at_once(tmp_path, board):
    class Reads:
        def on_epoch_end(self, trainer, logs):
            assert_shows(tmp_path / "logs", trainer.history)

    fc.Trainer(network()).fit(X, Y, epochs=3, callbacks=[board(), Reads()])


def test_calls_of_fit_make_one_curve_and_a_new_trainer_a_new_one(tmp_path, board):
    trainer, callback = fc.Trainer(network()), board()
    for _ in range(3):
        trainer.fit(X, Y, epochs=2, callbacks=[callback])
    assert_shows(tmp_path / "logs", trainer.history)
    again = fc.Trainer(network(seed=5))
    again.fit(X, Y, epochs=3, callbacks=[board()])
    assert_shows(tmp_path / "logs", again.history)


@pytest.mark.parametrize("cut", range(4))
def test_a_run_cut_anywhere_draws_the_curve_of_one_that_was_not(tmp_path, board, cut):
    def run(*others, resume=False):
        callbacks = [board(), *others]
        return fc.Trainer(network()).fit(
            X, Y, epochs=5, checkpoint=tmp_path / "run.npz", resume=resume, callbacks=callbacks
        )

    with pytest.raises(KeyboardInterrupt):
        run(Interrupt(cut))
    history = run(resume=True)
    assert figures(history) == figures(fc.Trainer(network()).fit(X, Y, epochs=5))
    assert_shows(tmp_path / "logs", history)


# Weights & Biases


class Service(ModuleType):
    """Stands in for the module `wandb`: runs by identity, with steps that only grow."""

    def __init__(self):
        super().__init__("wandb")
        self.run, self.runs, self.asked = None, {}, []

    def init(self, **options):
        assert self.run is None
        self.asked.append(options)
        identity = options.get("id") or f"run{len(self.runs)}"
        logged = self.runs.setdefault(identity, {})

        def log(figures, step=None):
            step = max(logged, default=-1) + 1 if step is None else step
            if step > max(logged, default=-1):
                logged[step] = figures

        self.run = SimpleNamespace(id=identity, log=log, finish=self.finish)
        return self.run

    def finish(self):
        self.run = None


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", Service())
    return sys.modules["wandb"]


def assert_logged(logged, history):
    assert list(logged) == list(range(len(history["loss"])))
    for name, values in history.items():
        assert name == "seconds" or [figures[name] for figures in logged.values()] == values


def test_a_run_is_begun_with_training_told_every_epoch_and_finished(service):
    trainer = fc.Trainer(network(), optimizer=fc.Adam(0.01), metrics=("accuracy", "f1"), seed=4)
    wandb = fc.WandB("digits", name="first", config={"data": "small"}, mode="offline")
    history = trainer.fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=[wandb])
    assert_logged(service.runs["run0"], history)
    assert service.run is None
    (asked,) = service.asked
    assert (asked["project"], asked["name"], asked["mode"]) == ("digits", "first", "offline")
    assert asked["config"] == {
        "loss": "cross_entropy", "optimizer": repr(fc.Adam(0.01)), "metrics": ["accuracy", "f1"], "seed": 4,
        "parameters": trainer.model.num_parameters, "data": "small",
    }  # fmt: skip


def test_a_second_call_is_a_second_run(service):
    trainer, wandb = fc.Trainer(network()), fc.WandB()
    for _ in range(2):
        trainer.fit(X, Y, epochs=2, callbacks=[wandb])
    assert [[*logged] for logged in service.runs.values()] == [[0, 1], [2, 3]]


def test_a_run_that_is_active_is_logged_to_and_stays_open(service):
    run = service.init(project="mine")
    run.log({"other": 1})
    history = fc.Trainer(network()).fit(X, Y, epochs=2, callbacks=[fc.WandB()])
    assert service.run is run
    assert [figures.get("loss") for figures in service.runs["run0"].values()] == [None, *history["loss"]]


@pytest.mark.parametrize("same_process", [False, True])
@pytest.mark.parametrize("cut", range(1, 4))
def test_a_run_that_was_cut_off_goes_on_as_the_same_run(service, tmp_path, cut, same_process):
    def run(wandb, *others, resume=False):
        path, callbacks = tmp_path / "run.npz", [wandb, *others]
        return fc.Trainer(network()).fit(X, Y, epochs=5, checkpoint=path, resume=resume, callbacks=callbacks)

    wandb = fc.WandB("digits")
    with pytest.raises(KeyboardInterrupt):
        run(wandb, Interrupt(cut))
    if not same_process:
        service.run = None
    history = run(wandb if same_process else fc.WandB("digits"), resume=True)
    assert list(service.runs) == ["run0"]
    assert_logged(service.runs["run0"], history)
    assert service.run is None


def test_a_run_that_an_error_has_left_open_is_finished_before_the_next(service):
    wandb = fc.WandB()
    with pytest.raises(KeyboardInterrupt):
        fc.Trainer(network()).fit(X, Y, epochs=2, callbacks=[wandb, Interrupt(0)])
    fc.Trainer(network()).fit(X, Y, epochs=2, callbacks=[wandb])
    assert [[*logged] for logged in service.runs.values()] == [[0], [0, 1]]
    assert service.run is None


@pytest.mark.parametrize(("make", "module"), [(fc.TensorBoard, "tensorboardX"), (fc.WandB, "wandb")])
def test_without_its_package_a_logger_says_which_extra_brings_it(make, module, monkeypatch):
    for name in [module, *(name for name in sys.modules if name.startswith(f"{module}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"{make.__name__} needs {module}: pip install {module} "):
        make()
