"""Remember what was worked out: of a document as long as a job holds it, of words that many documents share for good."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

K = TypeVar("K")
V = TypeVar("V")
P = ParamSpec("P")

# Longer texts are hardly met again, and would stay in memory behind their documents.
_LONGEST_KEPT = 48
_MOST_KEPT = 8192


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


def kept_if_short(function: Callable[Concatenate[str, P], V]) -> Callable[Concatenate[str, P], V]:
    """Remember the values for the short texts that were asked for last, such as labels; longer ones leave no trace."""
    kept = functools.lru_cache(maxsize=_MOST_KEPT)(function)

    @functools.wraps(function)
    def remembered(text: str, *args: P.args, **named: P.kwargs) -> V:
        if len(text) > _LONGEST_KEPT:
            return function(text, *args, **named)
        return kept(text, *args, **named)

    return remembered
