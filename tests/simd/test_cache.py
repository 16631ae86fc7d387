"""Compiled code on disk: found again by later processes, shared by processes at once, never wrong.

Every test runs scripts in processes of their own, with cache folders of their own.
"""

import compileall
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc
from fastconv.simd import compiling

PACKAGE = Path(fc.__file__).parent

# Every script ends by printing, as JSON, the functions that Numba compiled and a digest of its results.
BEGIN = """
import hashlib, json, sys
import numpy as np
from numba.core import event

class Compilations(event.Listener):
    functions = set()
    def on_start(self, happening):
        self.functions.add(f"{happening.data['module']}.{happening.data['qualname']}")
    def on_end(self, happening):
        pass

event.register("numba:run_pass", Compilations())
digest = hashlib.sha256()
rng = np.random.default_rng(0)
import fastconv as fc
from fastconv import kernels
"""
END = """
print(json.dumps({"compiled": sorted(Compilations.functions), "digest": digest.hexdigest()}))
"""
TRAIN = """
def train(model, loss, classes):
    X = rng.random((40, *model.input_shape), dtype=np.float32)
    trainer = fc.Trainer(model, loss, fc.SGD(lr=0.1))
    trainer.fit(X, rng.integers(0, classes, 40), epochs=1)
    for array in (*model.parameters().values(), model.predict(X)):
        digest.update(array.tobytes())

train(fc.models.reference_cnn(), "bce", 2)
"""
LENET = """
train(fc.models.lenet5(), "cross_entropy", 10)
"""
CONVOLUTIONS = """
x, weight = rng.random((2, 3, 9, 9), dtype=np.float32), rng.random((4, 3, 3, 3), dtype=np.float32)
y = kernels.conv2d(x, weight, padding=1)
for array in (
    y, kernels.conv2d_grad_weight(x, y, 3, padding=1),
    kernels.conv2d_grad_input(y, weight, (9, 9), padding=1),
):
    digest.update(array.tobytes())
"""
KERNELS = """
x = rng.random((2, 3, 9, 9), dtype=np.float32)
pooled, argmax = kernels.max_pool2d(x, 2)
labels = np.array([0, 2])
for array in (
    pooled, kernels.max_pool2d_grad(pooled, argmax, (9, 9)), kernels.dense(x[0, 0], x[0, 1]),
    kernels.relu(x), kernels.softmax(x), kernels.cross_entropy_grad(x[0, 0, :2], labels),
    kernels.batch_norm2d(x, np.ones(3, "f4"), np.ones(3, "f4"), np.zeros(3, "f4"), np.ones(3, "f4"), True)[0],
):
    digest.update(array.tobytes())
"""
PREDICT = """
model = fc.Sequential([fc.ReLU()], input_shape=(5,))
digest.update(model.predict(rng.random((3, 5))).tobytes())
"""
ACTIVATION = """
values = kernels.sigmoid(np.linspace(-3, 3, 40, dtype=sys.argv[1]))
digest.update(values.tobytes())
"""

# Root may write to read-only folders; this takes that right away and then runs Python with its arguments.
WITHOUT_OVERRIDE = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def start(script, *arguments, package=PACKAGE, cache=None, cwd=None, **environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    if cache is not None:
        inherited["NUMBA_CACHE_DIR"] = str(cache)
    inherited["PYTHONPATH"] = str(package.parent)
    command = ["-c", BEGIN + script + END, *arguments]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and sys.platform == "linux":
        command = ["-c", WITHOUT_OVERRIDE, *command]
    return subprocess.Popen(
        [sys.executable, *command],
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        cwd=cwd or package.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors[-3000:]
    answer = json.loads(output.splitlines()[-1])
    return answer["compiled"], answer["digest"]


def run(script, *arguments, **settings):
    return result(start(script, *arguments, **settings))


def set_writable(folder, writable):
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755 if writable else 0o555)


@pytest.fixture
def read_only():
    """Makes folders read-only, and writable again at the end, so that they can be removed."""
    folders = []

    def make(folder):
        folders.append(folder)
        set_writable(folder, False)
        return folder

    yield make
    for folder in folders:
        set_writable(folder, True)


@pytest.fixture
def package(tmp_path):
    """A copy of the package without compiled code, as it is just after installation."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(PACKAGE, tmp_path / "site" / "fastconv", ignore=ignored))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache folder that one process has filled, and what that process compiled and computed."""
    folder = tmp_path_factory.mktemp("cache")
    compiled, digest = run(TRAIN + LENET + KERNELS, cache=folder)
    return folder, compiled, digest


@pytest.fixture(scope="module")
def trained(filled):
    """What training the reference network gives."""
    return run(TRAIN, cache=filled[0])[1]


def test_a_second_process_compiles_nothing_and_computes_the_same_bits(filled):
    folder, compiled, digest = filled
    assert len(compiled) > 20, "compilations are noticed"
    assert any("contract" in name for name in compiled), "those of lane kernels too"
    again, same = run(TRAIN + LENET + KERNELS, cache=folder)
    assert again == []
    assert same == digest


def test_convolutions_are_found_by_a_second_process_too():
    """In the cache of this run, since other tests need them: they compile for a minute."""
    around = os.environ.get("NUMBA_CACHE_DIR")
    _, digest = run(CONVOLUTIONS, cache=around)
    assert run(CONVOLUTIONS, cache=around) == ([], digest)


def test_another_network_compiles_nothing_that_is_known(filled):
    folder, _, _ = filled
    wider = 'train(fc.models.lenet5(num_classes=7, input_shape=(3, 32, 32), seed=5), "cross_entropy", 7)'
    compiled, _ = run(TRAIN + wider, cache=folder)
    assert compiled == []


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_number_of_threads_compiles_nothing(threads, filled):
    compiled, _ = run(TRAIN, cache=filled[0], FASTCONV_NUM_THREADS=threads)
    assert compiled == []


def test_two_processes_that_start_at_once_with_an_empty_cache_compute_the_same_bits(trained, tmp_path):
    processes = [start(TRAIN, cache=tmp_path) for _ in range(2)]
    for process in processes:
        compiled, digest = result(process)
        assert compiled
        assert digest == trained
    assert run(TRAIN, cache=tmp_path)[1] == trained


# Numba's cache reads the index of a kernel's dtypes, adds one, and then writes the data file that it names.
# Here a float64 process reads the index, a float32 process writes it, and both choose one name.
INTERLEAVED = """
import os, pathlib, time
from numba.core.caching import IndexDataCacheFile as CacheFile
flags = pathlib.Path(os.environ["FLAGS"])

def wait_for(name):
    deadline = time.monotonic() + 6
    while not (flags / name).exists() and time.monotonic() < deadline:
        time.sleep(0.002)

def hold(name, before=None, after=None):
    method = getattr(CacheFile, name)
    def replacement(self, *arguments):
        ours = "_forward" in self._index_name
        if ours and before:
            wait_for(before)
        value = method(self, *arguments)
        if ours and after:
            (flags / after).touch()
        return value
    setattr(CacheFile, name, replacement)

if sys.argv[1] == "float32":
    hold("_save_index", "64 read", "32 indexed")
    hold("_save_data", "64 saved")
else:
    hold("_save_index", "32 indexed")
    hold("_save_data", None, "64 saved")
    save = CacheFile.save
    def save_after_reading(self, *arguments):
        hold("_load_index", None, "64 read")
        save(self, *arguments)
    CacheFile.save = save_after_reading
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_processes_that_save_two_dtypes_of_a_kernel_at_one_moment_leave_a_cache_that_is_right(dtype, race):
    folder, digests = race
    assert run(ACTIVATION, dtype, cache=folder)[1] == digests[dtype]


@pytest.fixture(scope="module")
def race(tmp_path_factory):
    folder, flags = tmp_path_factory.mktemp("race"), tmp_path_factory.mktemp("flags")
    dtypes = ("float32", "float64")
    processes = [start(INTERLEAVED + ACTIVATION, dtype, cache=folder, FLAGS=str(flags)) for dtype in dtypes]
    return folder, {dtype: result(process)[1] for dtype, process in zip(dtypes, processes, strict=True)}


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut off"])
def test_damaged_files_in_the_cache_are_replaced(damage, filled, trained, tmp_path):
    cache = Path(shutil.copytree(filled[0], tmp_path / "cache"))
    damaged = [file for name in ("run_steps", "gather") for file in cache.rglob(f"*{name}*.nb?")]
    assert len(damaged) >= 2
    for file in damaged:
        content = file.read_bytes()
        file.write_bytes({"garbage": b"\x00\xffgarbage", "empty": b"", "cut off": content[:-20]}[damage])
    compiled, digest = run(TRAIN, cache=cache)
    assert compiled
    assert digest == trained
    assert run(TRAIN, cache=cache) == ([], trained), "the damage is repaired"


def test_foreign_files_in_the_cache_do_no_harm(filled, tmp_path):
    folder, _, _ = filled
    shutil.copytree(folder, tmp_path / "cache")
    for inner in [*(tmp_path / "cache").iterdir(), tmp_path / "cache"]:
        (inner / "notes.txt").write_text("not ours")
        (inner / "engine.run_steps-1.py311.1.nbc.tmp.0123456789abcdef").write_bytes(b"left behind")
    assert run(TRAIN, cache=tmp_path / "cache")[0] == []


def test_an_installation_that_is_read_only_caches_in_the_users_folder(package, read_only, tmp_path):
    read_only(package)
    home = tmp_path / "home"
    home.mkdir()
    settings = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "LOCALAPPDATA": str(home)}
    compiled, digest = run(PREDICT, package=package, **settings)
    assert compiled
    assert run(PREDICT, package=package, **settings) == ([], digest)
    assert not list(package.rglob("*.nbc"))
    assert list(home.rglob("*.nbc"))


def test_where_the_named_cache_folder_is_read_only_another_is_used(package, read_only, tmp_path):
    (tmp_path / "cache").mkdir()
    read_only(tmp_path / "cache")
    compiled, digest = run(ACTIVATION, "float64", package=package, cache=tmp_path / "cache")
    assert compiled
    assert run(ACTIVATION, "float64", package=package, cache=tmp_path / "cache") == ([], digest)


def only_readable(folder, read_only, tmp_path):
    """Settings under which nothing can be written: the folder of a process's home is read-only as well."""
    home = tmp_path / "home"
    home.mkdir()
    read_only(home)
    return {"HOME": str(home), "XDG_CACHE_HOME": str(home), "LOCALAPPDATA": str(home)}


def test_a_filled_cache_beside_the_sources_is_read_where_nothing_can_be_written(package, read_only, tmp_path):
    compiled, digest = run(ACTIVATION, "float64", package=package)
    assert compiled
    read_only(package)
    settings = only_readable(package, read_only, tmp_path)
    assert run(ACTIVATION, "float64", package=package, **settings) == ([], digest)


def test_a_filled_cache_that_is_read_only_is_read_and_what_it_lacks_goes_elsewhere(
    package, read_only, tmp_path
):
    digest = run(ACTIVATION, "float32", package=package)[1]
    read_only(package)
    folder = tmp_path / "named"
    assert run(ACTIVATION, "float32", package=package, cache=folder) == ([], digest)
    assert not list(folder.rglob("*.nbc")), "what is there is not written again"
    compiled, more = run(ACTIVATION, "float64", package=package, cache=folder)
    assert compiled
    assert list(folder.rglob("*.nbc"))
    assert run(ACTIVATION, "float64", package=package, cache=folder) == ([], more)


MOVES = """
import os
os.chdir(sys.argv.pop(1))
"""


def test_a_relative_folder_is_where_the_process_has_begun(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(MOVES + ACTIVATION, str(elsewhere), "float64", cache="named", cwd=tmp_path)
    assert list((tmp_path / "named").rglob("*.nbc"))
    assert not list(elsewhere.iterdir())


COMPILES = """
assert "numba.np.arrayobj" not in sys.modules
import numba

@numba.njit
def twice(x):
    return 2 * kernels.relu(x)

digest.update(twice(np.linspace(-1, 1, 7)).tobytes())
"""


def test_code_of_the_cache_needs_nothing_of_what_compiles_and_leaves_it_able_to(tmp_path):
    assert run(PREDICT, cache=tmp_path)[0]
    assert any("twice" in name for name in run(PREDICT + COMPILES, cache=tmp_path)[0])


def test_a_user_without_a_home_gets_no_folder_called_tilde(monkeypatch):
    monkeypatch.setattr(compiling.config, "CACHE_DIR", "")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    function = fc.kernels.relu if hasattr(fc.kernels.relu, "py_func") else compiling.compiled
    assert all(os.path.isabs(folder) for folder in compiling.cache_folders(function))


INFO = """
from fastconv.cli import facts
found = facts.facts()["cache"]
digest.update(json.dumps(found).encode())
print("\\n".join(facts.lines(facts.facts())), file=sys.stderr)
print(json.dumps(found), file=sys.stderr)
"""


def test_the_facts_say_where_the_cache_is_and_what_may_be_done_with_it(package, read_only, tmp_path):
    run(ACTIVATION, "float64", package=package)
    read_only(package)
    process = start(
        ACTIVATION + INFO, "float64", package=package, **only_readable(package, read_only, tmp_path)
    )
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors[-3000:]
    found = json.loads(errors.splitlines()[-1])
    filled = [folder for folder in found if folder["files"]]
    assert filled
    assert all(folder["readable"] and not folder["writable"] for folder in filled)
    assert all(str(package) in folder["folder"] for folder in filled)
    assert "MB, read-only)" in errors


def as_zip(package, name):
    """The package in an archive, in the place of the folder that holds it."""
    folder = package.parent
    archive = folder.parent / name
    shutil.make_archive(str(folder.parent / "packed"), "zip", folder, "fastconv")
    (folder.parent / "packed.zip").replace(archive)
    return archive / "fastconv"


def as_bytecode(package, folder):
    """The package as .pyc files without sources."""
    copy = Path(shutil.copytree(package, folder / "fastconv"))
    compileall.compile_dir(copy, quiet=1, legacy=True, stripdir=str(copy))
    for path in copy.rglob("*.py"):
        path.unlink()
    for path in copy.rglob("__pycache__"):
        shutil.rmtree(path)
    return copy


FORMS = {
    "zip": lambda package, place: as_zip(package, "site.zip"),
    "zipapp": lambda package, place: as_zip(package, "app.pyz"),
    "bytecode": lambda package, place: as_bytecode(package, place / "bytecode"),
    "zip of bytecode": lambda package, place: as_zip(as_bytecode(package, place / "bytecode"), "../site.zip"),
}


@pytest.mark.parametrize("form", FORMS)
def test_new_code_is_new_and_old_code_is_found_in_every_form_of_installation(form, package, tmp_path):
    def computed(place):
        (tmp_path / place).mkdir()
        installed = FORMS[form](package, tmp_path / place)
        process = start(ACTIVATION, "float64", cache=tmp_path / "cache", cwd=tmp_path, package=installed)
        answer = result(process)
        (tmp_path / place / "again").mkdir()
        again = result(
            start(ACTIVATION, "float64", cache=tmp_path / "cache", cwd=tmp_path, package=installed)
        )
        for path in (installed.parent, tmp_path / place):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return answer, again

    (compiled, before), again = computed("first")
    assert compiled
    assert again == ([], before)
    with (package / "simd" / "__init__.py").open("a") as file:
        file.write("\n\nadd = subtract  # 1 / (1 - exp(-x)) is no sigmoid\n")
    (compiled, after), again = computed("second")
    assert compiled
    assert after != before
    assert again == ([], after)


def test_where_no_folder_can_be_written_to_everything_still_works(package, read_only, tmp_path):
    read_only(package)
    (tmp_path / "home").mkdir()
    home = str(read_only(tmp_path / "home"))
    wanted = run(PREDICT)[1]
    assert run(PREDICT, package=package, HOME=home, XDG_CACHE_HOME=home, LOCALAPPDATA=home)[1] == wanted


def test_a_change_of_one_source_file_reaches_the_kernels_of_the_others(package, tmp_path):
    _, before = run(ACTIVATION, "float64", package=package, cache=tmp_path / "cache")
    with (package / "simd" / "__init__.py").open("a") as file:
        file.write("\n\nadd = subtract  # 1 / (1 - exp(-x)) is no sigmoid\n")
    _, after = run(ACTIVATION, "float64", package=package, cache=tmp_path / "cache")
    assert after != before


FOLDERS = sorted(path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py"))


def test_every_folder_of_the_package_is_changed_below():
    assert {path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")} == set(FOLDERS)
    assert len(FOLDERS) > 15


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_change_in_a_package_changes_the_hash_of_those_that_may_compile_it(folder, package):
    before = hashes_of(package)
    assert before == hashes_of(PACKAGE), "it does not depend on where the package lies"
    changed = sorted((package / folder).glob("*.py"))[-1]
    with changed.open("a") as file:
        file.write("# a comment\n")
    after = hashes_of(package)
    first = folder.parts[0] if folder.parts else compiling.ORDER[0]
    later = compiling.ORDER[compiling.ORDER.index(first) :] if first in compiling.ORDER else ()
    assert {name for name in before if before[name] != after[name]} == {*later, ""}
    changed.rename(changed.with_name("renamed.py"))
    assert all(hashes_of(package)[name] not in (before[name], after[name]) for name in (*later, ""))


def hashes_of(package):
    return compiling.sources_hashes(package)


def test_the_packages_of_kernels_are_the_first_ones_of_those_that_import_one_way():
    """A later package may import from an earlier one only, so its sources can't be in the other's code."""
    from ..test_structure import PACKAGES

    assert list(compiling.ORDER) == PACKAGES[: len(compiling.ORDER)]


def test_code_of_others_is_keyed_by_all_sources():
    def own(x):
        return x

    assert compiling.sources_of(own) == compiling.SOURCES[""]
    assert compiling.sources_of(fc.kernels.relu) == compiling.SOURCES["kernels"]


def test_what_is_no_source_file_does_not_count(package):
    before = hashes_of(package)
    (package / "py.typed").write_text("partial")
    (package / "kernels" / "notes.txt").write_text("...")
    assert hashes_of(package) == before


@pytest.mark.parametrize("package_name", ["numpy", "numba", "llvmlite"])
def test_the_versions_of_what_compiles_are_in_the_hash(package_name, monkeypatch):
    before = hashes_of(PACKAGE)
    monkeypatch.setattr(sys.modules[package_name], "__version__", "99.0")
    assert hashes_of(PACKAGE) != before


def test_a_change_in_a_package_that_kernels_import_is_a_cache_miss(package, tmp_path):
    compiled, digest = run(PREDICT, package=package, cache=tmp_path / "cache")
    assert compiled
    assert run(PREDICT, package=package, cache=tmp_path / "cache") == ([], digest)
    with (package / "cli" / "train.py").open("a") as file:
        file.write("# a comment\n")
    assert run(PREDICT, package=package, cache=tmp_path / "cache") == ([], digest), "it has no kernels"
    with (package / "checks" / "text.py").open("a") as file:
        file.write("# a comment\n")
    again, same = run(PREDICT, package=package, cache=tmp_path / "cache")
    assert same == digest
    assert any("relu" in name for name in again)
