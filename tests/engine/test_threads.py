"""Threads, denormal numbers, and the processes and pools that users run us in."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from numba import njit

import fastconv as fc
from fastconv.engine import denormals, engine, threads

FASTCONV = os.path.dirname(os.path.dirname(fc.__file__))


@pytest.fixture(autouse=True)
def own_number_of_threads():
    before = threads._threads
    yield
    threads._threads = before


def trained(seed, threads=None):
    """The bytes of all parameters of a small network after some training; `seed` decides everything."""
    if threads is not None:
        fc.set_num_threads(threads)
        engine.PRODUCTS_PER_THREAD = 1  # also in processes of pools, where no fixture sets it
    rng = np.random.default_rng(seed)
    X, y = rng.random((70, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 70)
    layers = [
        fc.Conv2d(4 + seed % 3, 3),
        fc.ReLU(),
        fc.MaxPool2d(2),
        fc.Flatten(),
        fc.Dropout(0.2),
        fc.Dense(3),
    ]
    model = fc.Sequential(layers, (1, 8, 8), seed=seed)
    fc.Trainer(model, optimizer=fc.Adam(0.01), seed=seed).fit(X, y, epochs=4, batch_size=24)
    return b"".join(array.tobytes() for array in model.parameters().values())


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=FASTCONV,
        capture_output=True,
        text=True,
        timeout=120,
    )


# The number of threads


def test_the_number_of_threads_is_what_was_set():
    for n in (1, 3, np.int64(2)):
        fc.set_num_threads(n)
        assert fc.get_num_threads() == n
        assert type(fc.get_num_threads()) is int


@pytest.mark.parametrize("n", [0, -1, np.int32(-7)])
def test_a_number_of_threads_below_1_is_refused_and_changes_nothing(n):
    fc.set_num_threads(5)
    with pytest.raises(ValueError, match="`n` must be a positive int, got"):
        fc.set_num_threads(n)
    assert fc.get_num_threads() == 5


@pytest.mark.parametrize("n", [1.0, "2", None, True, [1]])
def test_a_number_of_threads_that_is_no_int_is_a_type_error(n):
    with pytest.raises(TypeError, match="`n` must be a positive int, got"):
        fc.set_num_threads(n)


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("7", 7), (" 3 ", 3)])
def test_the_environment_sets_the_number_of_threads(text, count, monkeypatch):
    monkeypatch.setenv("FASTCONV_NUM_THREADS", text)
    threads._threads = None
    assert fc.get_num_threads() == count


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5", "1,2", "²"])
def test_a_wrong_number_of_threads_in_the_environment_is_refused_by_name_and_value(text, monkeypatch):
    monkeypatch.setenv("FASTCONV_NUM_THREADS", text)
    threads._threads = None
    with pytest.raises(ValueError, match="`FASTCONV_NUM_THREADS` must be a positive int, got") as caught:
        fc.get_num_threads()
    assert text in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "  "])
def test_without_a_setting_there_are_as_many_threads_as_processors_for_this_process(text, monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    if text is None:
        monkeypatch.delenv("FASTCONV_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("FASTCONV_NUM_THREADS", text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    threads._threads = None
    assert fc.get_num_threads() == 3


@pytest.mark.parametrize(("limit", "count"), [("2", 2), ("64", 3), ("", 3), ("0", 3), ("many", 3)])
def test_numbas_own_limit_which_joblib_sets_for_its_workers_is_kept(limit, count, monkeypatch):
    monkeypatch.delenv("FASTCONV_NUM_THREADS", raising=False)
    monkeypatch.setenv("NUMBA_NUM_THREADS", limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    threads._threads = None
    assert fc.get_num_threads() == count


def test_what_was_set_counts_more_than_the_environment(monkeypatch):
    monkeypatch.setenv("FASTCONV_NUM_THREADS", "7")
    fc.set_num_threads(2)
    assert fc.get_num_threads() == 2


# run_threads


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_number_runs_once_each_in_a_thread_of_its_own_the_first_in_the_callers(count):
    seen = {}
    meeting = threading.Barrier(count)

    def work(k):
        meeting.wait(10)
        seen[k] = threading.get_ident()

    threads.run_threads(count, work)
    assert sorted(seen) == list(range(count))
    assert len(set(seen.values())) == count
    assert seen[0] == threading.get_ident()


@pytest.mark.parametrize("failing", [0, 2])
def test_what_a_thread_raises_is_raised_once_all_have_ended(failing):
    ended = []

    def work(k):
        if k == failing:
            raise KeyError(f"from {k}")
        time.sleep(0.05)
        ended.append(k)

    with pytest.raises(KeyError, match=f"from {failing}"):
        threads.run_threads(3, work)
    assert len(ended) == 2


def test_an_interrupt_in_a_thread_is_an_interrupt_of_the_caller():
    def work(k):
        if k == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.run_threads(2, work)


@pytest.mark.parametrize("refusal", [RuntimeError("can't start new thread"), KeyboardInterrupt()])
def test_where_a_thread_cannot_be_started_no_other_is_left_waiting_for_it(refusal, monkeypatch):
    start, entered, release = threading.Thread.start, [], threading.Event()

    def limited(thread):
        if threading.active_count() > before + 1:
            raise refusal
        start(thread)

    def work(k):
        entered.append(k)
        release.wait(5)  # as for the other threads, which will never come

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", limited)
    try:
        with pytest.raises(type(refusal)):
            threads.run_threads(4, work)
        time.sleep(0.1)
        left = threading.active_count() - before
    finally:
        release.set()
    assert left == 0
    assert entered == []


def test_who_waits_at_a_barrier_leaves_when_another_fails():
    barrier, left = np.zeros(2, np.int64), []

    def work(k):
        if k == 1:
            time.sleep(0.05)
            raise KeyError("from 1")
        left.append(meet(barrier, 3))

    with pytest.raises(KeyError, match="from 1"):
        threads.run_threads(3, work, barrier)
    assert left == [False, False]


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_an_interrupt_while_the_others_end_is_raised_once_they_have():
    barrier, left = np.zeros(2, np.int64), []

    def work(k):
        if k == 1:
            time.sleep(0.1)
            # Python loses an interrupt that comes during the callback of a weak reference: say it again.
            while barrier[threads.ROUND] >= 0:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                time.sleep(0.1)
        if k == 2:
            left.append(meet(barrier, 3))

    with pytest.raises(KeyboardInterrupt):
        threads.run_threads(3, work, barrier)
    assert left == [False]


# wait_for_all


@njit(nogil=True)
def meet(barrier, count):
    return threads.wait_for_all(barrier, count)


@njit(nogil=True)
def rounds(barrier, count, thread, table):
    """In every round all write, all wait, and all read what every other wrote."""
    wrong = 0
    for k in range(table.shape[0]):
        table[k, thread] = k + 1
        threads.wait_for_all(barrier, count)
        for other in range(count):
            wrong += table[k, other] != k + 1
    return wrong


@pytest.mark.parametrize("count", [1, 2, 8])
def test_nobody_passes_before_all_have_arrived_in_thousands_of_rounds(count):
    barrier = np.zeros(2, np.int64)
    table = np.zeros((3000, count), np.int64)
    wrong = np.full(count, -1)

    def work(thread):
        wrong[thread] = rounds(barrier, count, thread, table)

    threads.run_threads(count, work)
    assert not wrong.any()
    assert barrier[0] == 0


def test_an_aborted_barrier_holds_nobody_whoever_comes_and_however_often():
    barrier = np.zeros(2, np.int64)
    barrier[threads.ROUND] = threads.ABORTED
    assert [meet(barrier, 2) for _ in range(5)] == [False] * 5
    barrier[:] = 0
    assert meet(barrier, 1)


# Denormal numbers


@njit
def divide_inside_and_outside(x, out, flush):
    """Through memory, or LLVM may move a division, or make one of both."""
    state = np.int64(0)
    if flush:
        state = denormals.flush_denormals()
    out[0] = x[0] / x[1]
    if flush:
        denormals.restore_denormals(state)
    out[1] = x[2] / x[3]


def quotients(x, flush):
    out = np.zeros(2, x.dtype)
    divide_inside_and_outside(np.tile(x, 2), out, flush)
    return tuple(out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denormals_are_0_between_flush_and_restore_and_numbers_again_after(dtype):
    x = np.array([np.finfo(dtype).tiny, 4], dtype)
    quarter = x[0] / dtype(4)
    assert quarter > 0
    assert quotients(x, False) == (quarter, quarter)
    assert quotients(x, True) == (0, quarter)
    assert quotients(np.array([quarter, 0.25], dtype), True)[0] == 0, "a denormal operand counts as 0"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_denormals_are_as_before_after_training_and_prediction(threads):
    fc.set_num_threads(threads)
    tiny = np.full(100, np.finfo(np.float32).tiny, np.float32)
    before = tiny / 8
    assert (before > 0).all()
    model = fc.models.reference_cnn()
    X = np.random.default_rng(0).random((40, 1, 6, 6), dtype=np.float32)
    trainer = fc.Trainer(model, loss="bce")
    for call in (
        lambda: trainer.fit(X, np.arange(40) % 2, epochs=1),
        lambda: trainer.evaluate(X, np.arange(40) % 2),
        lambda: model.predict(X),
        lambda: model.loss_and_gradients(X, np.arange(40) % 2, loss="bce"),
    ):
        call()
        assert np.array_equal(tiny / 8, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_network_computes_with_0_where_a_product_is_denormal_in_every_thread(threads):
    fc.set_num_threads(threads)
    model = fc.Sequential([fc.Dense(1, bias=False)], input_shape=(1,))
    model.parameters()["0.weight"][:] = 1e-30
    X = np.full((64, 1), 1e-10, np.float32)
    assert (X * np.float32(1e-30) > 0).all(), "NumPy gives denormals here"
    assert not model.predict(X).any()


def test_weights_that_are_denormal_do_not_slow_training_down():
    X, y = np.zeros((512, 1, 28, 28), np.float32), np.zeros(512, np.int64)
    X += np.random.default_rng(0).random(X.shape, dtype=np.float32)

    def seconds(scale):
        model = fc.models.lenet5()
        for array in model.parameters().values():
            array *= np.float32(scale)
        trainer = fc.Trainer(model, optimizer=fc.SGD(lr=1e-12))
        times = []
        for _ in range(5):
            started = time.perf_counter()
            trainer.fit(X, y, epochs=1, batch_size=128)
            times.append(time.perf_counter() - started)
        return min(times)

    fc.set_num_threads(1)
    seconds(1)
    assert seconds(1e-39) < 2 * seconds(1)


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
