"""Tell what a printed number or date is, by the words beside it; the words are data in `labels.json`.

Labels only steer: they choose among several places that show the same value, and raise doubts. They never make a value.
"""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from importlib import resources
from typing import NamedTuple

from pipeline.invoice.memo import kept_by_text
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


AMOUNT_GROUPS = ("grand_total", "gross", "total", "due", "net", "tax", "other")
_WORD_END = 40
_DATE_GROUPS = (Label.DATE, Label.DUE_DATE, Label.OTHER_DATE, "date_preposition")


@kept_by_text
def amount_label(text: str) -> Label | None:
    """Return what an amount is, from the words that stand before it.

    The order matters: `total without tax` names tax and total and is a net amount.
    """
    if said(text).groups.isdisjoint(AMOUNT_GROUPS):
        return None
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


@kept_by_text
def date_label(text: str) -> Label | None:
    """Return what a date is, from the words that stand before it; the label nearest to the date counts."""
    words, begun = said(text)
    if begun.isdisjoint(_DATE_GROUPS):
        return None
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
    return group in said(text).groups and last_place(text, group) >= 0


def mentions_any(text: str, names: Iterable[str]) -> bool:
    """Say whether a text has a phrase of any of these groups."""
    begun = said(text).groups
    return not begun.isdisjoint(names) and any(mentions(text, name) for name in names)


def names_amount(text: str) -> bool:
    """Say whether a text has a phrase that may be the label of an amount."""
    return mentions_any(text, AMOUNT_GROUPS)


@kept_by_text
def last_place(text: str, group: str) -> int:
    """Return where the last phrase of a group ends, in the words of the text; -1 where it has none."""
    here = said(text)
    if group not in here.groups:
        return -1
    return max((match.end() for match in _pattern(group).finditer(here.words)), default=-1)


def leading(text: str, *names: str) -> str:
    """Return the phrase of one of these groups that a text begins with, folded; empty where it begins otherwise."""
    here = said(text)
    patterns = (_pattern(name) for name in names if name in here.groups)
    return next((found.group() for pattern in patterns if (found := pattern.match(here.words))), "")


def groups() -> tuple[str, ...]:
    """Return the names of all groups of phrases."""
    return tuple(_phrases())


def is_label(text: str, names: Iterable[str]) -> bool:
    """Say whether a text consists of phrases of one of these groups and nothing else."""
    here = said(text)
    return any(_run_of_phrases(name).fullmatch(here.words) for name in names if name in here.groups)


class Said(NamedTuple):
    """Hold the folded words of a text, and the groups that may have a phrase in it: one begins with such a word."""

    words: str
    groups: frozenset[str]


@kept_by_text
def said(text: str) -> Said:
    """Return what a text says; to look the words up first spares most searches for phrases."""
    words = words_of(text)
    return Said(" ".join(words), frozenset[str]().union(*map(_groups_begun_by, map(_ends_of, words))))


def _ending(words: str, group: str) -> str:
    """Return the phrase of a group that ends a text of folded words; empty where none does."""
    found = _phrase_at_end(group).search(words) if group in said(words).groups else None
    return found.group() if found else ""


def _ends_of(word: str) -> str:
    """Return a word, of an endless one its two ends: no phrase asks for more, and it is kept in memory."""
    return word if len(word) <= 2 * _WORD_END else word[:_WORD_END] + word[-_WORD_END:]


@functools.lru_cache(maxsize=8192)
def _groups_begun_by(word: str) -> frozenset[str]:
    firsts, word = _first_words(), word.casefold()
    cuts = [length for length in _star_lengths() if length <= len(word)]
    stems = (f"{word[:length]}*" for length in cuts)
    ends = (f"*{word[len(word) - length :]}" for length in cuts)
    return frozenset(group for first in (word, *stems, *ends) for group in firsts.get(first, ()))


@functools.cache
def _first_words() -> dict[str, list[str]]:
    """Return the groups by the first words of their phrases; a star at either end stands for any letters."""
    found: dict[str, list[str]] = defaultdict(list)
    for group, phrases in _phrases().items():
        for phrase in phrases:
            first = phrase.partition(" ")[0]
            is_simple = first.count("*") <= 1 and "*" not in first[1:-1]
            found[first if is_simple else "*"].append(group)
    return found


@functools.cache
def _star_lengths() -> tuple[int, ...]:
    return tuple({len(first) - 1 for first in _first_words() if "*" in first})


@functools.cache
def _phrase_at_end(group: str) -> re.Pattern[str]:
    return re.compile(rf"{_pattern(group).pattern}\Z")


@functools.cache
def _run_of_phrases(group: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{_pattern(group).pattern}\s?)+")


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
