"""Files that are replaced as a whole or not at all."""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

# Where a process finds its open files by their numbers; /dev/stdout leads there.
_OPEN_FILES = re.compile(r"/dev/fd|/proc/.*/fd")


@contextlib.contextmanager
def replaced(
    path: "str | os.PathLike[str]", check: Callable[[Path], Any] | None = None
) -> Iterator[BinaryIO]:
    """A binary file to write; it takes the place of `path` when the block ends without an error.

    It is written beside the old one, flushed and renamed, and its folder is flushed too. A symbolic link
    stays and what it leads to is replaced; a device, a pipe or /dev/stdout is written into. A file that is
    replaced keeps its mode, and its owner where that is allowed; other hard links to it keep the old content.

    Parameters
    ----------
    path : str or path
        The file.
    check : callable, optional
        Called with the path of the new file before it takes its place; if it raises an error, the old one
        stays. It is not called for what is written into.

    Raises
    ------
    OSError
        If it can't be written; the error names `path`. Nothing is left behind then.
    """
    path = Path(path)
    old = _status(path)
    if _is_open_file(path) or (old is not None and not stat.S_ISREG(old.st_mode)):
        with path.open("ab" if _is_open_file(path) else "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    if old is not None and not os.access(target, os.W_OK):
        raise PermissionError(13, "the file is read-only", str(path))
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with _named(path, temporary):
            # A new file gets what the user's umask leaves of 0666, which the system knows.
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o666)) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if check is not None:
                check(temporary)
            if old is not None:
                _become(temporary, old)
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(target.parent)


def write_bytes(path: "str | os.PathLike[str]", content: bytes) -> None:
    """Replace a file by `content`; raises as `replaced` does.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "note.txt")
    >>> write_bytes(path, b"all of it")
    >>> Path(path).read_bytes()
    b'all of it'
    """
    with replaced(path) as file:
        file.write(content)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_open_file(path: Path) -> bool:
    """Whether a path such as /dev/stdout stands for a file that this process has open already."""
    place = os.path.abspath(path)
    for _ in range(40):  # the longest chain of links that Linux follows
        folder = os.path.realpath(os.path.dirname(place))
        if _OPEN_FILES.fullmatch(folder):
            return True
        if not os.path.islink(place):
            return False
        place = os.path.join(folder, os.readlink(place))
    return False


@contextlib.contextmanager
def _named(path: Path, temporary: Path) -> Iterator[None]:
    """An error of the system in this block names `path`, instead of the file beside it or of none."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary), temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _become(temporary: Path, old: os.stat_result) -> None:
    """Give the new file the owner and the mode of the old one; the owner only where the system allows it."""
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(temporary, old.st_uid, old.st_gid)
    with contextlib.suppress(OSError):
        os.chmod(temporary, stat.S_IMODE(old.st_mode))


def _flush_folder(folder: Path) -> None:
    """See to it that the new name is on the disk, where a folder can be flushed."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
