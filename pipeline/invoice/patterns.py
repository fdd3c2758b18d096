"""Regular expressions that a user writes, accepted only where no text can make them slow.

Python's engine tries every way of dividing a text among repeats, so a repeat within a repeat can take for ever on
thirty characters, and nothing can stop it from outside. What is left here takes milliseconds on the longest text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

LONGEST_PATTERN = 200
LONGEST_MATCHED = 100
_MOST_REPEATS = 4
_TOKEN = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<open>\((?:\?(?::|P<\w+>|[=!]|<[=!]))?)|(?P<close>\))"
    r"|(?P<repeat>[*+?]\??|\{\d*,?\d*\}\??)|(?P<other>.)",
    re.DOTALL,
)
_FIXED = re.compile(r"\{\d+\}\??")


def pattern_problem(pattern: str) -> str | None:
    """Return in a few words why a pattern is not taken; None where it is."""
    if len(pattern) > LONGEST_PATTERN:
        return f"it is longer than {LONGEST_PATTERN} characters"
    try:
        re.compile(pattern)
    except (re.error, OverflowError) as error:
        return f"it is no regular expression: {error}"
    tokens = list(_tokens(pattern))
    if any(one.text == "(" and after.text.startswith("?") for one, after in pairwise(tokens)):
        return "of the (?…) forms only (?:…), (?P<name>…) and looks ahead or behind are taken"
    if any(one.kind == "escape" and one.text[1] in "123456789" for one in tokens):
        return "it refers back to a group, which can take for ever"
    return _repeats_problem(tokens)


def fits(pattern: str, text: str) -> bool:
    """Say whether the whole text fits; one that is too long does not."""
    return len(text) <= LONGEST_MATCHED and re.fullmatch(pattern, text) is not None


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


@dataclass
class _Group:
    """Count what a group holds, to know whether it may be repeated."""

    varies: bool = False


def _tokens(pattern: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(pattern):
        yield _Token(match.lastgroup or "", match.group())


def _repeats_problem(tokens: list[_Token]) -> str | None:
    """Refuse a repeated group with a repeat or a choice in it, and too many repeats side by side."""
    groups = [_Group()]
    closed: _Group | None = None
    repeats = 0
    for token in tokens:
        last, closed = closed, None
        match token.kind:
            case "open":
                groups.append(_Group())
            case "close":
                closed = groups.pop()
                groups[-1].varies |= closed.varies
            case "repeat" if not _FIXED.fullmatch(token.text) or last is not None:
                if last is not None and last.varies and not token.text.startswith("?"):
                    return "a repeated group holds a repeat or a choice itself, which can take for ever"
                groups[-1].varies = True
                repeats += 1
            case "other" if token.text == "|":
                groups[-1].varies = True
    return f"it has more than {_MOST_REPEATS} repeats" if repeats > _MOST_REPEATS else None
