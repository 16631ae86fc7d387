"""A door that lets in one thread at a time, and tells the others so at once."""

import os
import threading


class OneThread:
    """Entered by `with`: by one thread as often as it likes, while another gets a RuntimeError.

    A lock would make the other wait, perhaps for hours, or for ever where it waits within a callback. Copies
    and pickles of it are free, and so is that of a child that was forked while a thread was inside.
    """

    def __init__(self) -> None:
        self._holder: dict[str, tuple[int, int]] = {}
        self._depth = 0

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return OneThread, ()

    def __enter__(self) -> None:
        me = os.getpid(), threading.get_ident()
        if self._holder.get("thread", me)[0] != me[0]:
            self._holder, self._depth = {}, 0
        if self._holder.setdefault("thread", me) != me:  # one operation, which no thread can interrupt
            self._refuse()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._holder.pop("thread", None)

    @property
    def taken(self) -> bool:
        """Whether a thread of this process is inside."""
        return self._holder.get("thread", (0, 0))[0] == os.getpid()

    def check_free(self) -> None:
        """Raise RuntimeError if another thread is inside."""
        if self.taken and self._holder.get("thread", (0, 0))[1] not in (0, threading.get_ident()):
            self._refuse()

    def _refuse(self) -> None:
        raise RuntimeError(
            "the network is training in another thread: wait for its end, or train a copy of it, as "
            "copy.deepcopy makes one"
        )
