"""How many calls a model server gets at once: by slots, and by the tokens its one context can hold.

All slots of LM Studio share one context. When the sum of what runs overflows it, every running call dies, not only
the last; so a call waits until it fits beside the others.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from pipeline.llm.protocol import ModelRequest, Usage, parts_of

_SHARE_OF_CONTEXT = 0.9
_TOKENS_PER_IMAGE = 1200
_TOKENS_PER_MESSAGE = 8


@dataclass(frozen=True)
class Capacity:
    """Hold what a host can do at once; an unknown context admits by slots alone.

    `ahead` calls more than there are slots are let in, to wait inside the host: a slot that becomes free goes on at
    once, instead of standing still while a reply is read and the next request is on its way.
    """

    slots: int
    context_tokens: int | None = None
    ahead: int = 0


def admits(capacity: Capacity, running: Sequence[float], wanted: float) -> bool:
    """Say whether a call of so many tokens may start beside the running ones; alone it always may.

    Infinitely many tokens leave no room for any other call, also where the context is not known.
    """
    if not running:
        return True
    if math.isinf(wanted) or math.inf in running:
        return False
    if len(running) >= capacity.slots + capacity.ahead:
        return False
    return capacity.context_tokens is None or sum(running) + wanted <= _SHARE_OF_CONTEXT * capacity.context_tokens


class TokenEstimate:
    """Guess the tokens of a request from its characters, and learn from what the server counted."""

    # Numbers, codes and languages other than English come near 3; prose rarely exceeds 5.
    _CAUTIOUS, _HOPEFUL = 3.0, 5.0

    def __init__(self) -> None:
        self._learned: float | None = None

    def expected(self, request: ModelRequest) -> int:
        """Return the likely size of the prompt in tokens, rather too large than too small."""
        return _tokens(request, self._learned or self._CAUTIOUS)

    def at_least(self, request: ModelRequest) -> int:
        """Return a size that the prompt has almost surely, in tokens."""
        return _tokens(request, max((self._learned or self._HOPEFUL) * 1.1, self._CAUTIOUS))

    def learn(self, request: ModelRequest, usage: Usage) -> None:
        """Take a counted prompt into account."""
        text_tokens = usage.prompt_tokens - _fixed_tokens(request)
        if text_tokens < 50:  # too small a sample, or a server that counts nothing
            return
        observed = min(max(request.characters / text_tokens, 1.0), 6.0)
        self._learned = observed if self._learned is None else 0.8 * self._learned + 0.2 * observed


@dataclass(eq=False)
class Place:
    """Hold one running call; `cool_off_seconds` keeps its place taken for that long after it is left."""

    tokens: float
    cool_off_seconds: float = 0.0
    free_at: float = math.inf


class Gate:
    """Let calls in, first come first served, as far as the capacity admits them."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._places: list[Place] = []
        self._queue: deque[_Waiter] = deque()

    @property
    def running(self) -> int:
        """Return how many places are taken, those that cool off among them."""
        now = anyio.current_time()
        return sum(place.free_at > now for place in self._places)

    @property
    def waiting(self) -> int:
        """Return how many calls wait for a place."""
        return len(self._queue)

    def resize(self, capacity: Capacity) -> None:
        """Change the capacity; calls that run go on."""
        self._capacity = capacity
        self._admit()

    @asynccontextmanager
    async def place(self, tokens: float) -> AsyncIterator[Place]:
        """Wait for a place of so many tokens and hold it; infinitely many means: alone."""
        place = await self._enter(tokens)
        try:
            yield place
        finally:
            self._leave(place)

    async def _enter(self, tokens: float) -> Place:
        waiter = _Waiter(Place(tokens))
        self._queue.append(waiter)
        self._admit()
        try:
            while not waiter.admitted.is_set():
                with anyio.move_on_after(self._seconds_to_next_end()):
                    await waiter.admitted.wait()
                self._admit()
        except anyio.get_cancelled_exc_class():
            if waiter in self._queue:
                self._queue.remove(waiter)
            self._leave(waiter.place)
            raise
        return waiter.place

    def _leave(self, place: Place) -> None:
        if place.cool_off_seconds:
            place.free_at = anyio.current_time() + place.cool_off_seconds
        elif place in self._places:
            self._places.remove(place)
        self._admit()

    def _admit(self) -> None:
        now = anyio.current_time()
        self._places = [place for place in self._places if place.free_at > now]
        while self._queue:
            wanted = self._queue[0].place
            if not admits(self._capacity, [place.tokens for place in self._places], wanted.tokens):
                return
            self._places.append(wanted)
            self._queue.popleft().admitted.set()

    def _seconds_to_next_end(self) -> float:
        return max(min((place.free_at for place in self._places), default=math.inf) - anyio.current_time(), 0.0)


@dataclass(eq=False)
class _Waiter:
    place: Place
    admitted: anyio.Event = field(default_factory=anyio.Event)


def _tokens(request: ModelRequest, characters_per_token: float) -> int:
    return _fixed_tokens(request) + math.ceil(request.characters / characters_per_token)


def _fixed_tokens(request: ModelRequest) -> int:
    images = sum(1 for message in request.messages for part in parts_of(message) if part.get("type") == "image_url")
    return images * _TOKENS_PER_IMAGE + len(request.messages) * _TOKENS_PER_MESSAGE
