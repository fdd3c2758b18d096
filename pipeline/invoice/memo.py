"""Remember what was worked out of a document for as long as a job holds the document, and no longer."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


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
