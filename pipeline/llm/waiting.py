"""For how long a session's calls have waited, for their server or for a place at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import anyio


class Waiting:
    """Measure the time in which calls of one session were open, and none of them was worked on."""

    def __init__(self, clock: Callable[[], float] = anyio.current_time) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._open = 0
        self._at_work = 0
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """Return that time so far."""
        self._count()
        return self._seconds

    def call(self) -> AbstractContextManager[None]:
        """Have a call open for the length of the block."""
        return self._during(calls=1)

    def work(self) -> AbstractContextManager[None]:
        """Have an open call worked on for the length of the block."""
        return self._during(works=1)

    @contextmanager
    def _during(self, *, calls: int = 0, works: int = 0) -> Iterator[None]:
        self._change(calls, works)
        try:
            yield
        finally:
            self._change(-calls, -works)

    def _change(self, calls: int, works: int) -> None:
        self._count()
        self._open += calls
        self._at_work += works

    def _count(self) -> None:
        now = self._clock()
        if self._open and not self._at_work:
            self._seconds += now - self._since
        self._since = now
