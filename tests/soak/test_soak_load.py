"""Load: many threads, forks, interrupts and a million steps, with flat memory and the same bits."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc

INTERRUPTS = 50
STEPS = 1_000_000


def data(seed, count=300):
    rng = np.random.default_rng(seed)
    return rng.random((count, 1, 12, 12)).astype(np.float32), rng.integers(0, 5, count)


def network(seed):
    layers = [fc.Conv2d(5, 3), fc.ReLU(), fc.MaxPool2d(2), fc.Dropout(0.2), fc.Flatten(), fc.Dense(5)]
    return fc.Sequential(layers, (1, 12, 12), seed=seed)


def trained(seed):
    """The bits of a network after training, and of its predictions."""
    X, y = data(seed)
    model = network(seed)
    fc.Trainer(model, optimizer=fc.Adam(0.01), seed=seed).fit(X, y, epochs=3, batch_size=50, progress=False)
    return model.flat_parameters.tobytes() + model.predict(X).tobytes()


def resident():
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def system_threads():
    """Threads of this process, whoever started them; 0 where the system does not say."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0


def test_threads_that_train_and_predict_at_once_have_the_bits_of_those_alone(figure, seconds):
    expected = {seed: trained(seed) for seed in range(8)}
    shared = network(9)
    X = data(9)[0]
    predictions = shared.predict(X).tobytes()
    end, done, wrong = time.monotonic() + seconds, [0] * 8, []

    def work(number):
        rng = random.Random(number)
        while time.monotonic() < end and not wrong:
            seed = rng.randrange(8)
            if rng.random() < 0.5:
                right = trained(seed) == expected[seed]
            else:
                right = shared.predict(X).tobytes() == predictions
            done[number] += 1
            if not right:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figure(f"trainings and predictions of 8 threads in {seconds:.0f} s, bits compared", sum(done))
    assert not wrong


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc")
def test_a_million_steps_leave_memory_flat(figure):
    rng = np.random.default_rng(0)
    X, y = rng.random((1000, 1, 6, 6)), rng.integers(0, 2, 1000)
    trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce", optimizer=fc.SGD(0.01))
    trainer.fit(X, y, epochs=20, batch_size=1, progress=False)
    before = resident()
    history = trainer.fit(X, y, epochs=STEPS // 1000, batch_size=1, progress=False)
    growth = resident() - before
    figure("steps of the reference network, growth of memory", f"{STEPS}, {growth / 1024:.0f} KiB")
    assert np.isfinite(history["loss"][-1])
    assert growth < 4 << 20


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signal.setitimer")
def test_an_interrupt_at_any_moment_leaves_a_network_that_trains_on(figure):
    X, y = data(1, 2000)
    model, moment = network(1), random.Random(0)
    trainer = fc.Trainer(model, optimizer=fc.SGD(0.001))
    interrupted, longest = 0, 0.0
    trainer.fit(X, y, epochs=1, progress=False)
    threads = system_threads()
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        while interrupted < INTERRUPTS:
            try:
                delay = moment.uniform(0.001, 0.2)
                signal.setitimer(signal.ITIMER_REAL, delay)
                started = time.perf_counter()
                trainer.fit(X, y, epochs=100_000, batch_size=64, progress=False)
            except KeyboardInterrupt:
                interrupted += 1
                longest = max(longest, time.perf_counter() - started - delay)
            outputs = model.predict(X[:50])
            assert np.isfinite(outputs).all()
            assert np.isfinite(trainer.fit(X, y, epochs=1, progress=False)["loss"][0])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    figure("interrupts of fit, longest wait", f"{interrupted}, {longest * 1e3:.0f} ms")
    assert longest < 1
    # `threading` keeps an entry, not alive, of a thread whose start was interrupted before there was one.
    assert [thread for thread in threading.enumerate() if thread.is_alive()] == [threading.main_thread()]
    assert system_threads() == threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork")
def test_children_forked_after_training_train_to_the_same_bits(figure):
    expected, forks = trained(3), 50
    for _ in range(forks):
        number = os.fork()
        if number == 0:
            os._exit(0 if trained(3) == expected else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 0
        assert trained(3) == expected
    figure("forks after training, bits compared", forks)
