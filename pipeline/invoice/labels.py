"""Tell what a printed number or date is, by the words beside it; the words are data in `labels.json`.

Labels only steer: they choose among several places that show the same value, and raise doubts. They never make a value.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from enum import StrEnum
from importlib import resources

from pipeline.invoice.words import words_of


class Label(StrEnum):
    """Name what the words beside a value say it is."""

    GRAND_TOTAL = "grand_total"
    TOTAL = "total"
    NET = "net"
    TAX = "tax"
    DUE = "due"
    OTHER = "other"
    DATE = "date"
    DUE_DATE = "due_date"
    OTHER_DATE = "other_date"


@functools.lru_cache(maxsize=8192)
def amount_label(text: str) -> Label | None:
    """Return what an amount is, from the words that stand before it.

    The order matters: `total without tax` names tax and total and is a net amount.
    """
    has = functools.partial(mentions, text)
    if has("other"):
        return Label.OTHER
    if has("net") and not has("due"):
        return Label.NET
    if has("gross") and (has("total") or has("grand_total")):
        return Label.GRAND_TOTAL
    if has("due"):
        return Label.DUE
    if has("grand_total"):
        return Label.GRAND_TOTAL
    if has("tax"):
        return Label.TAX
    return Label.TOTAL if has("total") else None


@functools.lru_cache(maxsize=8192)
def date_label(text: str) -> Label | None:
    """Return what a date is, from the words that stand before it; the label nearest to the date counts."""
    words = " ".join(words_of(text))
    preposition = _ending(words, "date_preposition")
    if preposition:
        # `order of` and `delivery of 3 May` say more than their preposition.
        noun = date_label(words[: -len(preposition)])
        return noun or (Label.DATE if mentions(preposition, Label.DATE) else None)
    places = {label: last_place(text, label) for label in (Label.DATE, Label.DUE_DATE, Label.OTHER_DATE)}
    best = max(places.values())
    if best < 0:
        return None
    # `due date` is a date as well, so the narrower label wins a tie.
    return next(label for label in (Label.DUE_DATE, Label.OTHER_DATE, Label.DATE) if places[label] == best)


def mentions(text: str, group: str) -> bool:
    """Say whether a text has one of a group's phrases, as whole words."""
    return last_place(text, group) >= 0


@functools.lru_cache(maxsize=8192)
def last_place(text: str, group: str) -> int:
    """Return where the last phrase of a group ends, in the words of the text; -1 where it has none."""
    joined = " ".join(words_of(text))
    return max((match.end() for match in _pattern(group).finditer(joined)), default=-1)


def leading(text: str, *names: str) -> str:
    """Return the phrase of one of these groups that a text begins with, folded; empty where it begins otherwise."""
    words = " ".join(words_of(text))
    return next((found.group() for name in names if (found := _pattern(name).match(words))), "")


def groups() -> tuple[str, ...]:
    """Return the names of all groups of phrases."""
    return tuple(_phrases())


def is_label(text: str, names: Iterable[str]) -> bool:
    """Say whether a text consists of phrases of one of these groups and nothing else."""
    words = " ".join(words_of(text))
    return any(re.fullmatch(rf"(?:{_pattern(name).pattern}\s?)+", words) for name in names)


def _ending(words: str, group: str) -> str:
    """Return the phrase of a group that ends a text of folded words; empty where none does."""
    found = re.search(rf"{_pattern(group).pattern}\Z", words)
    return found.group() if found else ""


@functools.cache
def _pattern(group: str) -> re.Pattern[str]:
    phrases = sorted(_phrases()[group], key=len, reverse=True)
    # `delivery date` is one label, of which `date` is no more than the end.
    tail = r"(?: (?:date|datum|data|fecha|dato))?" if group in (Label.DUE_DATE, Label.OTHER_DATE) else ""
    return re.compile(r"\b(?:" + "|".join(_wildcards(phrase) for phrase in phrases) + rf")\b{tail}\b")


def _wildcards(phrase: str) -> str:
    return re.escape(phrase).replace(r"\*", r"\w*")


@functools.cache
def _phrases() -> dict[str, list[str]]:
    text = resources.files(__package__).joinpath("labels.json").read_text(encoding="utf-8")
    data: dict[str, list[str]] = json.loads(text)
    return data
