"""Remember what was worked out: of a document for as long as a job holds it, and for good of short texts alone."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])
Memory = dict[tuple[Hashable, ...], Any]

# Longer texts are hardly met in another document, and would stay in memory behind their own.
_LONGEST_SHARED = 120
_LONGEST_KEPT = 500
_MOST_KEPT = 8192
_memory: ContextVar[Memory | None] = ContextVar("memory", default=None)


def kept_while_it_lives(function: Callable[[K], V]) -> Callable[[K], V]:
    """Call the function once for each argument; its value goes when the argument goes, so it must not hold that.

    A cache of a fixed size would keep the largest documents of the last hours in memory.
    """
    values: weakref.WeakKeyDictionary[K, V] = weakref.WeakKeyDictionary()

    @functools.wraps(function)
    def remembered(key: K) -> V:
        try:
            return values[key]
        except KeyError:
            value = values[key] = function(key)
            return value

    return remembered


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """Keep in a document's own memory what is worked out of its texts."""
    before = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(before)


def kept_by_text(function: F) -> F:
    """Remember the values for the short texts that were asked for last, such as labels.

    Longer ones are kept in the memory of the document that is looked at, so they go with it; endless ones nowhere.
    """
    shared = functools.lru_cache(maxsize=_MOST_KEPT)(function)

    @functools.wraps(function)
    def remembered(text: str, *more: str) -> Any:
        if len(text) <= _LONGEST_SHARED:
            return shared(text, *more)
        memory = _memory.get()
        if memory is None or len(text) > _LONGEST_KEPT:
            return function(text, *more)
        key = (function, text, *more)
        if key not in memory:
            if len(memory) >= _MOST_KEPT:
                memory.clear()
            memory[key] = function(text, *more)
        return memory[key]

    return remembered  # type: ignore[return-value]
