"""The threads, processes and pools that users run networks in."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import fastconv as fc
from tests.engine.small_training import run_python, trained

# Many threads of the user's own


def test_networks_trained_in_several_threads_at_once_have_the_bits_of_those_trained_alone():
    fc.set_num_threads(2)
    alone = [trained(seed) for seed in range(8)]
    assert len(set(alone)) == 8
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(trained, range(8))) == alone


def test_one_network_predicts_for_many_threads_at_once():
    model = fc.models.lenet5()
    rng = np.random.default_rng(0)
    batches = [rng.random((n, 1, 28, 28), dtype=np.float32) for n in (1, 5, 16, 33, 64, 100, 7, 300)]
    wanted = [model.predict(X) for X in batches]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, right in zip(pool.map(model.predict, batches), wanted, strict=True):
                assert np.array_equal(got, right)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_training_on_any_number_of_threads_gives_the_same_bits(threads):
    assert trained(0, threads) == trained(0, 1)


def test_more_threads_than_blocks_of_samples_take_no_more_memory_than_those_that_work():
    model, X = fc.models.reference_cnn(), np.ones((40, 1, 6, 6))
    wanted = model.predict(X)
    fc.set_num_threads(10**8)
    assert np.array_equal(model.predict(X), wanted)


# Processes

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@can_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_trains_to_the_same_bits_and_so_does_its_parent_after():
    fc.set_num_threads(2)
    wanted = trained(0)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, b"same" if trained(0) == wanted else b"other bits")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        assert answer.read() == b"same"
    assert os.waitpid(child, 0)[1] == 0
    assert trained(0) == wanted


@can_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_is_forked_while_another_thread_trains_works():
    fc.set_num_threads(2)
    wanted, stop = trained(0), threading.Event()

    def keep_training():
        while not stop.is_set():
            trained(1)

    trainer = threading.Thread(target=keep_training)
    trainer.start()
    try:
        context = multiprocessing.get_context("fork")
        for _ in range(3):
            with context.Pool(1) as pool:
                assert pool.apply_async(trained, (0,)).get(60) == wanted
    finally:
        stop.set()
        trainer.join()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_processes_trains_to_the_same_bits(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    wanted = [trained(seed, 2) for seed in range(3)]
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(trained, range(3), [2] * 3, timeout=120)) == wanted


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib_trains_to_the_same_bits(backend):
    joblib = pytest.importorskip("joblib")
    wanted = [trained(seed, 2) for seed in range(3)]
    jobs = (joblib.delayed(trained)(seed, 2) for seed in range(3))
    assert joblib.Parallel(n_jobs=2, backend=backend)(jobs) == wanted


def test_a_process_that_trains_in_a_background_thread_ends_when_its_work_is_done():
    code = """if True:
        import threading, numpy as np, fastconv as fc
        fc.set_num_threads(4)
        fc.engine.engine.PRODUCTS_PER_THREAD = 1
        model = fc.models.reference_cnn()
        X, y = np.ones((100, 1, 6, 6)), np.arange(100) % 2
        worker = threading.Thread(target=lambda: fc.Trainer(model, loss="bce").fit(X, y, epochs=3))
        worker.start()
        worker.join()
        print(threading.active_count())
    """
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
