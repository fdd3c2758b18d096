"""For how long a session's calls have waited, for their server or for a place at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    @contextmanager
    def call(self) -> Iterator[None]:
        """Have a call open for the length of the block."""
        self._count()
        self._open += 1
        try:
            yield
        finally:
            self._count()
            self._open -= 1

    @contextmanager
    def work(self) -> Iterator[None]:
        """Have an open call worked on for the length of the block."""
        self._count()
        self._at_work += 1
        try:
            yield
        finally:
            self._count()
            self._at_work -= 1

    def _count(self) -> None:
        now = self._clock()
        if self._open and not self._at_work:
            self._seconds += now - self._since
        self._since = now
