"""The slots of a loaded model: how many requests are worked at a time, and the prompt each slot remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio


@dataclass
class Slot:
    """Hold a slot while a request has it; `cached_characters` is how much of the prompt it knew already."""

    number: int
    cached_characters: int
    scope: anyio.CancelScope
    overflowed: bool = False


class Slots:
    """Lend slots in the order of arrival, the one whose last prompt begins most like the new one first.

    With a shared context the requests at work may not need more tokens than there are: one too many ends them all,
    as a unified key-value cache does.
    """

    def __init__(self, count: int, *, shared_context_tokens: int | None = None) -> None:
        self._limiter = anyio.CapacityLimiter(count)
        self._prompts = [""] * count
        self._free = set(range(count))
        self._shared_context_tokens = shared_context_tokens
        self._running: dict[int, tuple[Slot, int]] = {}

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def waiting(self) -> int:
        return self._limiter.statistics().tasks_waiting

    @asynccontextmanager
    async def take(self, prompt: str, *, tokens: int) -> AsyncIterator[Slot]:
        """Wait for a slot and hold it; when the shared context runs out the body ends early with `overflowed` set."""
        # Each loan borrows for itself: one task may serve several requests of a connection.
        borrower = object()
        await self._limiter.acquire_on_behalf_of(borrower)
        slot = self._begin(prompt, tokens)
        try:
            with slot.scope:
                yield slot
        finally:
            self._prompts[slot.number] = prompt
            self._free.add(slot.number)
            del self._running[slot.number]
            self._limiter.release_on_behalf_of(borrower)

    def _begin(self, prompt: str, tokens: int) -> Slot:
        shared = {number: common_prefix(self._prompts[number], prompt) for number in sorted(self._free)}
        number = max(shared, key=lambda each: shared[each])
        self._free.remove(number)
        slot = Slot(number, shared[number], anyio.CancelScope())
        self._running[number] = (slot, tokens)
        needed = sum(each for _, each in self._running.values())
        if self._shared_context_tokens is not None and needed > self._shared_context_tokens:
            for running, _ in self._running.values():
                running.overflowed = True
                running.scope.cancel()
        return slot


def common_prefix(first: str, second: str) -> int:
    """Return how many characters two texts share at their start."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
