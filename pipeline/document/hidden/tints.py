"""Work out what a special ink looks like: the functions of PDF that turn a tint into ordinary colours."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def tint(function: Any, numbers: Sequence[float]) -> list[float]:
    """Return the components of the ordinary colour; ValueError for a function that is not understood."""
    match function["/FunctionType"]:
        case 0:
            return _sampled(function, numbers)
        case 2:
            return _between(function, numbers)
        case 4:
            return _calculated(function, numbers)
    raise ValueError("a function of another kind")


_MOST_WORDS = 400
_WORD = re.compile(r"[^\s{}]+")
_SUMS: dict[str, Callable[[float, float], float]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "exp": operator.pow,
}


def _sampled(function: Any, numbers: Sequence[float]) -> list[float]:
    """Return the nearest entry of a table over one ink."""
    if len(numbers) != 1 or function.get("/BitsPerSample") != 8:
        raise ValueError("a table of another kind")
    data, size = function.get_data(), int(function["/Size"][0])
    bounds = [float(each) for each in function.get("/Decode", function["/Range"])]
    count = len(bounds) // 2
    at = round(min(1.0, max(0.0, numbers[0])) * (size - 1)) * count
    parts = zip(data[at : at + count], bounds[::2], bounds[1::2], strict=True)
    return [low + byte / 255 * (high - low) for byte, low, high in parts]


def _between(function: Mapping[str, Any], numbers: Sequence[float]) -> list[float]:
    low = [float(each) for each in function.get("/C0", (0.0,))]
    high = [float(each) for each in function.get("/C1", (1.0,))]
    share = min(1.0, max(0.0, numbers[0])) ** float(function.get("/N", 1))
    return [a + share * (b - a) for a, b in zip(low, high, strict=True)]


def _calculated(function: Any, numbers: Sequence[float]) -> list[float]:
    """Return what a small stack program makes of the tints; one with conditions is not understood."""
    words = _WORD.findall(function.get_data().decode("latin-1"))
    if len(words) > _MOST_WORDS:
        raise ValueError("a long program")
    stack = list(numbers)
    for word in words:
        _step(stack, word)
    return stack


def _step(stack: list[float], word: str) -> None:
    if word in _SUMS:
        second, first = stack.pop(), stack.pop()
        stack.append(_SUMS[word](first, second))
        return
    match word:
        case "dup":
            stack.append(stack[-1])
        case "pop":
            stack.pop()
        case "exch":
            stack[-2:] = stack[:-3:-1]
        case "neg":
            stack.append(-stack.pop())
        case "index":
            stack.append(stack[-1 - int(stack.pop())])
        case "roll":
            _roll(stack)
        case "cvr":
            pass
        case _:
            stack.append(float(word))


def _roll(stack: list[float]) -> None:
    steps, count = int(stack.pop()), int(stack.pop())
    if not 0 < count <= len(stack):
        raise ValueError("a program that fails")
    part = stack[-count:]
    steps %= count
    stack[-count:] = part[-steps:] + part[:-steps] if steps else part
