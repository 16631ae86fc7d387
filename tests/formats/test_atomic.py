import errno
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import fastconv as fc
from fastconv.formats import atomic
from fastconv.formats.atomic import replaced, write_bytes

PACKAGE = Path(fc.__file__).parent

posix = pytest.mark.skipif(os.name != "posix", reason="permissions, links and pipes are those of POSIX")


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_any_new_file_and_the_mask_is_never_changed(tmp_path, monkeypatch, mask):
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda mask: pytest.fail("another thread may create a file now"))
            write_bytes(tmp_path / "new", b"1")
        assert mode(tmp_path / "new") == 0o666 & ~mask
    finally:
        os.umask(before)


@posix
@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o755, 0o666])
def test_a_file_keeps_its_mode(tmp_path, permissions):
    write_bytes(tmp_path / "file", b"1")
    os.chmod(tmp_path / "file", permissions)
    write_bytes(tmp_path / "file", b"2")
    assert mode(tmp_path / "file") == permissions
    assert (tmp_path / "file").read_bytes() == b"2"


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(tmp_path):
    write_bytes(tmp_path / "file", b"1")
    os.chown(tmp_path / "file", 1234, 4321)
    write_bytes(tmp_path / "file", b"2")
    status = os.stat(tmp_path / "file")
    assert (status.st_uid, status.st_gid) == (1234, 4321)


@posix
@pytest.mark.parametrize("kind", ["relative", "absolute", "chain", "dangling"])
def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path, kind):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    if kind != "dangling":
        target.write_bytes(b"old")
    if kind == "chain":
        (tmp_path / "middle").symlink_to("folder/target")
        link.symlink_to(tmp_path / "middle")
    else:
        link.symlink_to(target if kind == "absolute" else "folder/target")
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path / "folder") == ["target"]


@posix
def test_other_hard_links_keep_the_old_content(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    os.link(tmp_path / "file", tmp_path / "other")
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "other").read_bytes() == b"old"


@posix
def test_a_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"through it")
    reader.join(10)
    assert found == [b"through it"]
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


@posix
def test_a_device_is_written_into_and_stays_one(tmp_path):
    link = tmp_path / "null.npz"
    link.symlink_to(os.devnull)
    fc.models.reference_cnn().save(link)
    write_bytes(os.devnull, b"nothing")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert os.listdir(tmp_path) == ["null.npz"]


STDOUT = """
import sys
from fastconv.formats.atomic import write_bytes
write_bytes(sys.argv[1], b"first;")
write_bytes(sys.argv[1], b"second;")
"""


@posix
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("kind", ["a pipe", "a file"])
def test_standard_output_is_written_into_whatever_it_is(path, kind, tmp_path):
    if not os.path.exists(path) and path != "link":
        pytest.skip("there is none here")
    if path == "link":
        (tmp_path / "link").symlink_to("/dev/stdout")
    command = [sys.executable, "-c", STDOUT, path]
    settings = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}, "check": True}
    if kind == "a pipe":
        found = subprocess.run(command, stdout=subprocess.PIPE, **settings).stdout
    else:
        with open(tmp_path / "output", "wb") as file:
            subprocess.run(command, stdout=file, **settings)
        found = (tmp_path / "output").read_bytes()
    assert found == b"first;second;"


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("ä" * 125)
    write_bytes(path, b"1")
    assert os.listdir(tmp_path) == [path.name]


FAILURES = {
    "in the block": lambda patch: None,
    "at the flush": lambda patch: patch.setattr(os, "fsync", full),
    "at the rename": lambda patch: patch.setattr(os, "replace", full),
    "at the check": lambda patch: None,
}


def full(*arguments, **settings):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_in_full(path, moment):
    with replaced(path, full if moment == "at the check" else None) as file:
        file.write(b"new")
        if moment == "in the block":
            full()


@pytest.mark.parametrize("moment", FAILURES)
def test_a_full_disk_names_the_file_and_leaves_the_old_one_and_nothing_else(tmp_path, moment, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        FAILURES[moment](patch)
        with pytest.raises(OSError, match=re.escape(repr(str(path)))) as caught:
            write_in_full(path, moment)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@posix
@pytest.mark.parametrize("path", ["none/file", "file/inner", "folder"])
def test_where_nothing_can_be_written_the_error_names_the_path(tmp_path, path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=re.escape(repr(str(tmp_path / path)))):
        write_bytes(tmp_path / path, b"new")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@posix
def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, kind: False)
    with pytest.raises(PermissionError, match="the file is read-only"):
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_threads_that_write_one_file_leave_one_of_their_contents(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([65 + k]) * 100_000 for k in range(4)]
    threads = [
        threading.Thread(target=lambda c=c: [write_bytes(path, c) for _ in range(5)]) for c in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]


# CSVLogger adds lines to a file; all others write a file as a whole.
# One appends, the other writes to os.devnull.
APPENDING = {"training/callbacks/csv_logger.py", "cli/launch.py"}
WRITING = re.compile(
    r"""write_text|(?<!atomic)\.write_bytes|open\([^()]*["'][wax]b?\+?["']|savefig\((?!file)"""
)


EXAMPLES = re.compile(r"^\s*(>>>|\.\.\.).*$", re.MULTILINE)


def test_every_file_that_the_package_writes_is_written_here():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if WRITING.search(EXAMPLES.sub("", path.read_text(encoding="utf-8")))
        and path != Path(atomic.__file__)
    }
    assert found <= APPENDING, "use formats/atomic.py"
