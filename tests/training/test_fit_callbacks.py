"""When callbacks and progress displays are called, and how training ends."""

import pytest

import fastconv as fc
from tests.training.small_runs import Display, X, Y, network

# Callbacks and progress


def test_callbacks_hear_of_every_epoch_in_order():
    calls = []

    class Callback:
        def __init__(self, name):
            self.name = name

        def on_epoch_end(self, trainer, logs):
            calls.append((self.name, trainer, dict(logs)))

    trainer = fc.Trainer(network())
    history = trainer.fit(X, Y, epochs=2, validation_split=0.2, callbacks=(Callback("a"), Callback("b")))
    assert [(name, logs["epoch"]) for name, _, logs in calls] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    for _, caller, logs in calls:
        assert caller is trainer
        assert logs["epochs"] == 2
        assert {name: history[name][logs["epoch"]] for name in history} == {
            name: value for name, value in logs.items() if name not in ("epoch", "epochs")
        }


def test_a_callback_can_stop_training_and_fit_can_be_called_again():
    class Stop:
        def on_epoch_end(self, trainer, logs):
            trainer.stop_training = logs["epoch"] == 1

    trainer = fc.Trainer(network())
    assert len(trainer.fit(X, Y, epochs=9, callbacks=[Stop()])["loss"]) == 2
    assert len(trainer.fit(X, Y, epochs=3)["loss"]) == 3


def test_early_stopping_puts_the_best_weights_back():
    model = network()
    trainer = fc.Trainer(model, optimizer=fc.SGD(2.0))
    stopping = fc.EarlyStopping(monitor="val_loss", patience=2)
    history = trainer.fit(X, Y, epochs=40, validation_data=(X, Y), callbacks=[stopping])
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-6)


def test_progress_hears_of_start_compiling_batches_epochs_and_the_end():
    display = Display()
    fc.Trainer(network()).fit(X, Y, epochs=2, progress=display)
    names = [event[0] for event in display.events]
    assert display.events[0] == ("start", 2, 50)
    assert names[1] == "compiling"
    assert names[-1] == "close"
    assert [event for event in display.events if event[0] == "epoch_end"] == [
        ("epoch_end", 0),
        ("epoch_end", 1),
    ]
    done = {epoch: samples for name, epoch, samples, _ in (e for e in display.events if e[0] == "batch")}
    assert done == {0: 50, 1: 50}


def test_progress_hears_how_long_compiling_took_before_the_first_batch():
    class Timed(Display):
        def compiled(self, seconds):
            self.events.append(("compiled", seconds))

    display = Timed()
    fc.Trainer(network()).fit(X, Y, epochs=1, validation_split=0.2, progress=display)
    names = [event[0] for event in display.events]
    assert names[:4] == ["start", "compiling", "compiled", "batch"]
    assert 0 < display.events[2][1] < 60


def test_progress_is_closed_when_a_callback_fails():
    class Failing:
        def on_epoch_end(self, trainer, logs):
            raise RuntimeError("out of luck")

    display = Display()
    with pytest.raises(RuntimeError, match="out of luck"):
        fc.Trainer(network()).fit(X, Y, epochs=2, progress=display, callbacks=[Failing()])
    assert display.events[-1] == ("close",)


# The end of training


@pytest.mark.parametrize("first", [True, False])
def test_early_stopping_puts_the_best_weights_back_when_another_callback_stops(first):
    class Stop:
        def on_epoch_end(self, trainer, logs):
            trainer.stop_training = logs["epoch"] == 5

    trainer = fc.Trainer(network())
    stopping = fc.EarlyStopping(patience=99, mode="max")  # the first epoch is then the best
    callbacks = [Stop(), stopping] if first else [stopping, Stop()]
    history = trainer.fit(X, Y, epochs=40, validation_data=(X, Y), callbacks=callbacks)
    assert len(history["loss"]) == 6
    assert history["val_loss"][-1] < history["val_loss"][0] == trainer.evaluate(X, Y)["loss"]


def test_on_train_end_is_called_once_where_there_is_one():
    calls = []

    class Callback:
        def on_epoch_end(self, trainer, logs):
            calls.append(logs["epoch"])

        def on_train_end(self, trainer):
            calls.append(trainer)

    trainer = fc.Trainer(network())
    trainer.fit(X, Y, epochs=2, callbacks=[Callback()])
    assert calls == [0, 1, trainer]
