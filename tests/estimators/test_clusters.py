"""Searches in workers of joblib, Dask and Ray: the bits of one process, threads shared, data sent once."""

import contextlib
import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest

pytest.importorskip("sklearn")
import joblib
from joblib.externals import loky
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - it is imported below
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import fastconv as fc
from fastconv.engine import threads, workers
from tests.estimators.digits import DIGITS, IMAGES, LABELS, classifier, regressor

FEW = 120
IMAGES_OF_FEW, LABELS_OF_FEW = IMAGES[:FEW], LABELS[:FEW]
PROCESSORS = threads._default_threads()


@contextlib.contextmanager
def cluster_of(**settings):
    """The client of a Dask cluster on this machine, for a while."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(dashboard_address=":0", **settings) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def dask():
    """A cluster of two processes with a thread each."""
    with cluster_of(n_workers=2, threads_per_worker=1) as client:
        yield client


@pytest.fixture(scope="module")
def ray():
    """Two processes of Ray, as a backend of joblib."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.util.joblib").register_ray()
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()


# Results


def two_layers(input_shape, n_outputs):
    return [fc.Flatten(), fc.Dense(8), fc.ReLU(), fc.Dense(n_outputs)]


def own_network(input_shape, n_outputs):
    return fc.Sequential([fc.Conv2d(4, 3), fc.ReLU(), fc.Flatten(), fc.Dense(n_outputs)], input_shape)


def grid_search():
    pipeline = make_pipeline(MinMaxScaler(), classifier(input_shape=(8, 8), layers=two_layers))
    grid = {"convclassifier__learning_rate": [1e-5, 0.01], "convclassifier__batch_size": [16, 32]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(DIGITS[:FEW], LABELS[:FEW])
    return {**scores_of(search.cv_results_), "proba": search.predict_proba(DIGITS)}


def halving_search():
    search = HalvingGridSearchCV(
        classifier(model=own_network, input_shape=(1, 8, 8)),
        {"learning_rate": [1e-5, 0.001, 0.01], "class_weight": [None, "balanced"]},
        resource="epochs", min_resources=1, max_resources=9, cv=2, random_state=0, error_score="raise",
    ).fit(IMAGES_OF_FEW, LABELS_OF_FEW)  # fmt: skip
    return {**scores_of(search.cv_results_), "proba": search.predict_proba(IMAGES)}


def cross_validation():
    network = fc.Sequential([fc.Conv1d(4, 3), fc.Tanh(), fc.Flatten(), fc.Dropout(0.2), fc.Dense(2)], (1, 64))
    estimator = regressor(model=network, random_state=np.random.RandomState(3), early_stopping=True)
    y = np.stack([DIGITS[:FEW].mean(axis=1), DIGITS[:FEW].std(axis=1)], axis=1)
    found = cross_validate(
        estimator, DIGITS[:FEW], y, cv=3, return_estimator=True, return_train_score=True, error_score="raise"
    )
    fitted = found["estimator"]
    fitted[0].partial_fit(DIGITS[:FEW], y)  # what has come back trains on
    return {**scores_of(found), "predictions": np.array([one.predict(DIGITS) for one in fitted])}


def scores_of(results):
    return {name: values for name, values in results.items() if "score" in name and "time" not in name}


SEARCHES = [grid_search, halving_search, cross_validation]


@pytest.fixture(scope="module")
def serial():
    """What the searches find in one process."""
    return {search: search() for search in SEARCHES}


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_on_a_dask_cluster_has_the_bits_of_one_in_a_process(search, dask, serial):
    with joblib.parallel_config(backend="dask"):
        assert_same(search(), serial[search])


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_in_joblibs_workers_has_the_bits_of_one_in_a_process(search, backend, serial):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_same(search(), serial[search])


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_on_ray_has_the_bits_of_one_in_a_process_and_a_thread_in_each(search, ray, serial):
    with joblib.parallel_config(backend="ray", n_jobs=2):
        assert set(joblib.Parallel()(joblib.delayed(fc.get_num_threads)() for _ in range(4))) == {1}
        assert_same(search(), serial[search])


def test_searches_within_a_search_have_the_bits_of_one_in_a_process(dask):
    def nested():
        inner = GridSearchCV(classifier(layers=two_layers), {"learning_rate": [1e-5, 0.01]}, cv=2)
        return scores_of(cross_validate(inner, IMAGES_OF_FEW, LABELS_OF_FEW, cv=2, error_score="raise"))

    wanted = nested()
    with joblib.parallel_config(backend="dask"):
        assert_same(nested(), wanted)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert_same(nested(), wanted)


def test_functions_of_a_script_are_sent_to_the_workers(dask):
    """As those of a notebook, which no worker can import."""
    numba = pytest.importorskip("numba")
    names = {"__name__": "__main__", "fc": fc, "numba": numba}
    exec(compile(SCRIPT, "script.py", "exec"), names)
    wanted = names["search"]()
    with joblib.parallel_config(backend="dask"):
        assert_same(names["search"](), wanted)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert_same(names["search"](), wanted)


SCRIPT = """
from sklearn.model_selection import cross_validate
from tests.estimators.digits import IMAGES, LABELS

@numba.njit
def softsign(x):
    return x / (1 + abs(x))

@numba.njit
def softsign_grad(x):
    return 1 / (1 + abs(x)) ** 2

def layers(input_shape, n_outputs):
    return [fc.Flatten(), fc.Dense(8), fc.Elementwise(softsign, softsign_grad), fc.Dense(n_outputs)]

def search():
    estimator = fc.estimators.ConvClassifier(layers=layers, epochs=2, random_state=0)
    found = cross_validate(estimator, IMAGES[:120], LABELS[:120], cv=2, error_score="raise")
    return {"test_score": found["test_score"]}
"""


# Threads


def processors_in_use(seconds=0.8):
    """How many processors a process keeps busy while it trains what has work for many threads."""
    rng = np.random.default_rng(0)
    X, y = rng.random((512, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 512)
    estimator = fc.estimators.ConvClassifier(epochs=1, batch_size=256, warm_start=True, random_state=0)
    estimator.fit(X, y)  # compiled, or read
    cpu, wall = time.process_time(), time.perf_counter()
    while time.perf_counter() - wall < seconds:
        estimator.fit(X, y)
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


def test_workers_of_one_thread_keep_one_processor_busy_each(dask):
    assert set(dask.run(fc.get_num_threads).values()) == {1}
    assert max(dask.run(processors_in_use).values()) < 1.2


def test_workers_have_the_threads_that_were_asked_for(dask):
    settings = {"FASTCONV_NUM_THREADS": "3"}
    with cluster_of(n_workers=1, threads_per_worker=1, env=settings) as client:
        assert set(client.run(fc.get_num_threads).values()) == {3}


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_joblibs_processes_have_as_many_threads_as_there_are_processors_for_each(backend, monkeypatch):
    # Nobody has asked for a number: neither tests before this one, nor those that joblib's workers served.
    monkeypatch.setattr(threads, "_asked_for", False)
    loky.get_reusable_executor().shutdown(wait=True)
    found = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(fc.get_num_threads)() for _ in range(4))
    assert max(found) <= max(1, PROCESSORS // 2)


@pytest.fixture
def at_work(monkeypatch):
    """How many threads all calls at one time have had together, at most; there are four processors."""
    monkeypatch.setattr(threads, "_threads", 4)
    monkeypatch.setattr(threads, "_asked_for", False)
    running, seen, lock, run = [0], [], threading.Lock(), workers._Team.run

    def counted(team, job, count):
        with lock:
            running[0] += 1 + count
            seen.append((running[0], len(threads._training)))
        try:
            run(team, job, count)
        finally:
            with lock:
                running[0] -= 1 + count

    monkeypatch.setattr(workers._Team, "run", counted)
    return seen


def train_for_a_while(seconds=0.5):
    estimator = fc.estimators.ConvClassifier(epochs=1, batch_size=128, warm_start=True, random_state=0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        estimator.fit(np.repeat(IMAGES, 2, axis=0), np.repeat(LABELS, 2))


@pytest.mark.parametrize("kind", ["joblib", "dask"])
def test_tasks_in_threads_of_one_process_share_its_processors(kind, at_work):
    if kind == "joblib":
        joblib.Parallel(2, backend="threading")(joblib.delayed(train_for_a_while)() for _ in range(2))
    else:
        with cluster_of(n_workers=1, threads_per_worker=2, processes=False) as client:
            client.gather([client.submit(train_for_a_while, pure=False) for _ in range(2)])
    together = [total for total, training in at_work if training == 2]
    assert len(together) > 5
    # A call of one that was alone has all, and the other one a share until it ends.
    assert np.mean(np.array(together) <= 4) > 0.9
    assert max(together) <= 4 + 2


# Data


def test_data_go_to_each_worker_once(dask):
    import distributed.protocol.numpy as protocol

    sent, serialize = [], protocol.serialize_numpy_ndarray

    def noted(x, *args, **kwargs):
        sent.append(x.nbytes)
        return serialize(x, *args, **kwargs)

    protocol.dask_serialize.register(np.ndarray, noted)
    try:
        X = np.random.default_rng(0).random((4000, 8, 8), dtype=np.float32)
        y = np.arange(4000) % 2
        estimator = fc.estimators.ConvClassifier(layers=two_layers, epochs=1, random_state=0)
        grid = {"learning_rate": [1e-4, 1e-3, 1e-2, 1e-1]}
        with joblib.parallel_config(backend="dask", scatter=[X, y]):
            GridSearchCV(estimator, grid, cv=3, refit=False, error_score="raise").fit(X, y)
    finally:
        protocol.dask_serialize.register(np.ndarray, serialize)
    assert X.nbytes in sent
    assert sent.count(X.nbytes) <= 2


def test_large_data_are_mapped_into_joblibs_processes_and_trained_on(tmp_path):
    X = np.random.default_rng(0).random((6000, 8, 8), dtype=np.float32)
    y = np.arange(6000) % 2
    assert X.nbytes > 1 << 20, "what joblib maps"
    estimator = fc.estimators.ConvClassifier(layers=two_layers, epochs=1, random_state=0)
    wanted = cross_validate(estimator, X, y, cv=2, error_score="raise")["test_score"]
    found = cross_validate(estimator, X, y, cv=2, n_jobs=2, error_score="raise")["test_score"]
    np.testing.assert_array_equal(found, wanted)


# Failures


def dies_once(marker, input_shape, n_outputs):
    """Layers; the first process that asks for them is killed."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return two_layers(input_shape, n_outputs)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(dask, tmp_path):
    def search(layers):
        grid = {"learning_rate": [1e-5, 0.001, 0.01]}
        search = GridSearchCV(classifier(layers=layers), grid, cv=2, refit=False, error_score="raise")
        return scores_of(search.fit(IMAGES_OF_FEW, LABELS_OF_FEW).cv_results_)

    wanted = search(two_layers)
    marker = tmp_path / "died"
    # Without `scatter`, joblib gives the data to one worker, and they are lost with it.
    with joblib.parallel_config(backend="dask", scatter=[IMAGES_OF_FEW, LABELS_OF_FEW]):
        assert_same(search(partial(dies_once, str(marker))), wanted)
    assert marker.exists()
