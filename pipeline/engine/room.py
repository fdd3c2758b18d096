"""How many jobs are in flight: a semaphore whose size can change while it is in use."""

from __future__ import annotations

from collections import deque

import anyio


class Room:
    """Lend places, first come first served; where there are fewer than are lent, the next waits until they are back."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._lent = 0
        self._waiting: deque[anyio.Event] = deque()

    @property
    def is_lent(self) -> bool:
        """Say whether any place is taken."""
        return self._lent > 0

    def resize(self, places: int) -> None:
        """Change how many places there are; those that are lent stay lent."""
        self._places = places
        self._lend()

    async def acquire(self) -> None:
        """Wait for a place and take it."""
        turn = anyio.Event()
        self._waiting.append(turn)
        self._lend()
        try:
            await turn.wait()
        except anyio.get_cancelled_exc_class():
            if turn.is_set():
                self.release()
            else:
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        """Give a place back."""
        self._lent -= 1
        self._lend()

    def _lend(self) -> None:
        while self._waiting and self._lent < self._places:
            self._lent += 1
            self._waiting.popleft().set()
