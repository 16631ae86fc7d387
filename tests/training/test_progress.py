import io
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastconv as fc
from fastconv.checks import waiting
from fastconv.training import progress
from tests.ranks.threads_as_ranks import on_ranks

LOGS = {
    "epoch": 2,
    "epochs": 12,
    "loss": 0.05123,
    "accuracy": 0.98432,
    "val_loss": 12.3456,
    "val_accuracy": 0.9778,
    "learning_rate": 0.001,
    "seconds": 1.234,
}
LINE = "epoch  3/12  loss 0.0512  accuracy 0.9843  val_loss 12.346  val_accuracy 0.9778   1.23 s"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(shown):
    shown.start(epochs=12, samples_per_epoch=100)
    shown.compiling("the step")
    shown.batch(2, 50, 0.06)
    shown.batch(2, 100, 0.05)
    shown.epoch_end(LOGS)
    shown.close()


def test_an_epoch_is_one_line_with_all_its_figures():
    assert progress.epoch_line(LOGS) == LINE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (1.0, "1.0000"),
        (9.99996, "10.000"),
        (99.9999, "100.00"),
        (12345.6, "12346."),
        (1e5, "1.0e+5"),
        (0.00123, "0.0012"),
        (1.23e-5, "1.2e-5"),
        (float("inf"), "   inf"),
        (float("nan"), "   nan"),
    ],
)
def test_figures_of_any_size_take_six_characters(value, text):
    assert progress.format_figure(value) == text


def test_figures_stay_aligned_over_many_sizes():
    assert {len(progress.format_figure(1.37 * 10.0**power)) for power in range(-9, 10)} == {6}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0.40 ms"), (0.9996, "1.000 s"), (9.996, "10.00 s"), (99.96, "100.0 s"), (3725, "62 m 05 s")],
)
def test_times_of_any_size_take_about_seven_characters(seconds, text):
    assert progress.format_seconds(seconds) == text


def test_nothing_is_shown_unless_someone_watches(capsys):
    run(progress.resolve(None))
    run(progress.resolve(False))
    assert capsys.readouterr() == ("", "")


def test_true_prints_the_lines_even_where_there_is_no_terminal(capsys):
    run(progress.resolve(True))
    assert capsys.readouterr() == (LINE + "\n", "")


def test_a_long_wait_for_the_compiler_is_shown_as_such(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", 0.01)
    lines = progress.Lines()
    lines.compiling("9 layers")
    time.sleep(0.2)
    lines.epoch_end(LOGS)
    assert capsys.readouterr() == (LINE + "\n", "compiling 9 layers (only this once)\n")


def test_the_end_of_a_long_wait_is_shown_with_its_seconds_and_a_short_one_not(capsys):
    lines = progress.Lines()
    progress.compiled(lines, 0.9)
    assert capsys.readouterr() == ("", "")
    progress.compiled(lines, 12.34)
    assert capsys.readouterr() == ("", "compiled in 12.3 s; later runs start at once\n")


def test_no_notice_comes_after_the_end_of_the_wait(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", 0.05)
    lines = progress.Lines()
    lines.compiling("9 layers")
    lines.compiled(0.01)
    time.sleep(0.2)
    assert capsys.readouterr() == ("", "")


def test_the_end_of_a_long_wait_is_shown_above_the_bar(monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = progress.Bar()
    bar.start(epochs=10, samples_per_epoch=100)
    bar.compiled(0.5)
    assert "compiled in" not in terminal.getvalue()
    bar.compiled(12.34)
    bar.close()
    assert "compiled in 12.3 s; later runs start at once\n" in terminal.getvalue()


def test_an_object_that_does_not_want_to_know_when_the_wait_is_over_need_not():
    progress.compiled(object(), 12.34)


def test_without_tqdm_a_terminal_gets_plain_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(progress, "_interactive", lambda stream: True)
    run(progress.resolve(None))
    assert capsys.readouterr().out == LINE + "\n"


@pytest.mark.parametrize("installed", [{"tqdm"}, {"ipywidgets"}, set()])
def test_a_notebook_in_which_no_bar_can_be_drawn_gets_plain_lines_without_a_warning(
    installed, capsys, monkeypatch, recwarn
):
    monkeypatch.setitem(sys.modules, "ipykernel", type(sys)("ipykernel"))
    monkeypatch.setattr(
        progress.importlib.util, "find_spec", lambda name: sys.__spec__ if name in installed else None
    )
    run(progress.resolve(None))
    assert capsys.readouterr() == (LINE + "\n", "")
    assert not recwarn


def test_a_terminal_gets_a_bar_with_the_line_above(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = progress.resolve(True)
    assert isinstance(shown, progress.Bar)
    run(shown)
    assert capsys.readouterr().out.strip() == LINE
    drawn = terminal.getvalue()
    assert "compiling the step" in drawn
    assert "300/1.20k" in drawn
    assert "loss 0.0500" in drawn


@pytest.mark.parametrize("kind", ["Lines", "Bar"])
def test_the_seconds_of_a_wait_for_the_compiler_tick_on_a_terminal(kind, monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "TICK_SECONDS", 0.02)
    shown = getattr(progress, kind)()
    shown.start(epochs=1, samples_per_epoch=100)
    shown.compiling("the step")
    time.sleep(0.2)
    shown.compiled(0.01)
    written = terminal.getvalue()
    assert len(re.findall(r"compiling the step,[^\r]* 0 s", written)) > 1
    time.sleep(0.1)
    assert terminal.getvalue() == written
    shown.close()
    assert [thread for thread in threading.enumerate() if thread.daemon and "_tick" in thread.name] == []


NOTEBOOK = """if True:
    import sys, types
    # What a notebook loads, as far as tqdm looks at it, and no ipywidgets.
    for name in ("ipykernel", "ipykernel.zmqshell", "IPython", "IPython.display"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["IPython"].get_ipython = lambda: None
    sys.modules["ipywidgets"] = None
    from fastconv.training import progress
    progress._interactive = lambda stream: True
    print(type(progress.resolve(None)).__name__)
"""


def test_a_notebook_without_widgets_gets_lines_and_no_warning():
    pytest.importorskip("tqdm")
    command = [sys.executable, "-W", "always", "-c", NOTEBOOK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "TqdmWarning" not in done.stderr
    assert "IProgress" not in done.stderr
    assert done.stdout == "Lines\n"


def test_the_bar_counts_only_its_own_run_as_speed(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = progress.Bar()
    bar.start(epochs=10, samples_per_epoch=100)
    bar.batch(5, 10, 0.5)
    assert (bar._bar.initial, bar._bar.n) == (500, 510)
    bar.close()
    bar.close()
    bar.batch(5, 20, 0.5)
    bar.compiling("late")


def test_an_object_of_the_users_own_is_used_as_it_is():
    own = progress.Lines()
    assert progress.resolve(own) is own


@pytest.mark.parametrize("wrong", ["yes", 3, object()])
def test_an_object_without_the_methods_is_refused(wrong):
    with pytest.raises(TypeError, match=r"`progress` must be None, True, False or have start\(\), got"):
        progress.resolve(wrong)


def test_the_bar_counts_batches_where_nobody_knows_how_many_samples_there_are(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = progress.Bar()
    bar.start(epochs=2, samples_per_epoch=None)
    for epoch in range(2):
        for done in (30, 40, 55):
            bar.batch(epoch, done, 0.5)
        assert (bar._bar.total, bar._bar.n) == (None, 55 * (epoch + 1))
        assert str(bar._bar).startswith(f"epoch {epoch + 1}/2 batch 3: {(55.0, 110)[epoch]} samples [")
        bar.epoch_end(LOGS)
    bar.close()
    bar.epoch_end(LOGS)


def test_an_estimate_of_the_samples_that_is_too_small_or_too_large_is_made_good_in_the_next_epoch(
    capsys, monkeypatch
):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = progress.Bar()
    bar.start(epochs=3, samples_per_epoch=100)
    for epoch, done in [(0, 130), (1, 70), (2, 100)]:
        bar.batch(epoch, done, 0.5)
        assert bar._bar.n == 100 * epoch + done
        bar.epoch_end(LOGS)
    bar.close()


class Kept(progress.Silent):
    """Keeps what it is told of epochs."""

    def __init__(self):
        self.told = []

    def epoch_end(self, logs):
        self.told.append(dict(logs))


def test_of_ranks_rank_0_shows_what_part_of_an_epoch_exchanges_take_and_no_history_has_it():
    def work(ranks):
        ranks.seconds = 0.0
        gather = ranks.gather

        def counted(thing):
            started = time.perf_counter()
            found = gather(thing)
            ranks.seconds += time.perf_counter() - started
            return found

        ranks.gather = counted
        trainer, shown = fc.Trainer(fc.models.reference_cnn(), loss="bce", communicator=ranks), Kept()
        history = trainer.fit(np.ones((64, 1, 6, 6)), np.arange(64) % 2, epochs=2, progress=shown)
        return shown.told, history

    (told, history), (nothing, _) = on_ranks(2, work)
    assert nothing == []
    assert all(0 < one["exchange"] < 1 for one in told)
    assert "exchange" not in history
    assert f"exchange {told[1]['exchange']:.0%}" in progress.epoch_line(told[1])


def test_on_its_own_a_process_has_no_exchanges_to_show():
    shown = Kept()
    trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    trainer.fit(np.ones((64, 1, 6, 6)), np.arange(64) % 2, epochs=1, progress=shown)
    assert "exchange" not in shown.told[0]
    assert "exchange" not in progress.epoch_line(shown.told[0])
