"""Ctrl-C while a network trains."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import large_data


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_an_interrupt_stops_training_within_a_second_and_leaves_a_usable_network():
    images, labels = large_data()
    model = fc.models.lenet5()
    trainer = fc.Trainer(model)
    trainer.fit(images[:32], labels[:32], epochs=1)
    sent, stopped = [], threading.Event()

    def interrupt():
        time.sleep(0.4)
        while not stopped.is_set():  # Python may lose one: see test_runtime.py
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
            stopped.wait(3)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(images, labels, epochs=10_000, batch_size=16)
    stopped.set()
    assert time.perf_counter() - sent[-1] < 1.0
    sender.join()
    assert np.isfinite(model.predict(images[:20])).all()
    assert len(trainer.fit(images[:64], labels[:64], epochs=2)["loss"]) == 2


INTERRUPTED = """
    import os, signal, sys
    import numpy as np
    import fastconv as fc
    from fastconv.engine import engine, workers

    fc.set_num_threads(3)
    engine.PRODUCTS_PER_THREAD = 1  # so that a small network has work for all
    model, X = fc.models.reference_cnn(), np.zeros((64, 1, 6, 6))
    model.predict(X)
    moment = sys.argv[1]
    workers.end_workers()  # so that they have to be started once more
    start, steps = workers._thread.start_new_thread, workers.run_steps

    def interrupted_start(*arguments):
        start(*arguments)
        workers._thread.start_new_thread = start
        signal.raise_signal(signal.SIGINT)

    def interrupted_steps(*arguments):
        workers.run_steps = steps
        signal.raise_signal(signal.SIGINT)
        return steps(*arguments)

    if moment == "while threads start":
        workers._thread.start_new_thread = interrupted_start
    else:
        workers.run_steps = interrupted_steps
    try:
        model.predict(X)
    except KeyboardInterrupt:
        print("interrupted")
    [team] = workers._idle
    busy = [w for w in team._workers if w._cells[workers.STATUS] in (workers.POSTED, workers.RUNNING)]
    print(len(busy), "busy", model.predict(X).shape)
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize("moment", ["while threads start", "just before the first thread runs"])
def test_an_interrupt_at_any_moment_leaves_no_thread_waiting(moment):
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), moment]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=15)
    except subprocess.TimeoutExpired:
        pytest.fail("the interrupted call never came back")
    assert result.stdout.splitlines() == ["interrupted", "0 busy (64, 1)"], result.stderr
