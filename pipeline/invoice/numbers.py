"""Read printed amounts without knowing the locale: every token has all the values it can mean.

`1.234` may be a thousand or a little over one. A token is settled by how the rest of the document prints amounts
(`Convention`), never by a guess; what stays open is for the caller to settle by arithmetic, or to report.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from pipeline.invoice.currencies import currencies_of, is_currency_word, sign_alternation, sign_ends, sign_heads

_BLANKS = " \u00a0\u202f\u2009\u2007"
_APOSTROPHES = "'’٬"
_MINUS = "-−–"
# A longer run of digits is an account or a serial number, not money.
_MAX_DIGITS = 18
# Digits with a separator between any two of them; what is longer is not kept in memory to be compared.
_MAX_CHARACTERS = 2 * _MAX_DIGITS

_RUN = re.compile(rf"\d+(?:[.,{_APOSTROPHES}{_BLANKS}]\d+)*")
_PLAIN = re.compile(r"\d+(?:[.,]\d+)*")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([.,'])\d{3})(?:\1\d{3})*\Z")
_INDIAN = re.compile(r"[1-9]\d?(?:,\d{2})+,\d{3}\Z")
_LEAD = re.compile(r"[1-9]\d{0,2}\Z")
_REST = re.compile(r"\d{3}(?:[.,]\d{1,4})?\Z")
_PIECE = re.compile(rf"[^{_BLANKS}]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_LETTERS_AT_END = re.compile(r"[^\W\d_]+\Z")
_JOINED_BEFORE = re.compile(r"[^\W_][/–-]\Z|\d:\Z|[\w@]\Z")
_JOINED_BEHIND = re.compile(r"_|[^\W\d_]+\d")
_WORD_BEFORE = re.compile(rf"(?<![\w])([^\W\d_]{{1,4}})[{_MINUS}]?\Z")
_LOOSE_MINUS = re.compile(rf"[{_MINUS}][{_BLANKS}]")
# What belongs to a number stands so near; blanks, signs, a point and a colon may stand between it and its currency.
_REACH_BEFORE, _REACH_BEHIND = 16, 24
_WIDEST_GAP = 7


class Amount(NamedTuple):
    """Hold one printed number; `start` and `end` are its span with sign and currency left out.

    `values` are all readings, likeliest first; `mark` is the decimal mark where it is certain. `money` says that it
    is printed like money: with decimals, grouping or currency. A number grouped by a plain blank (`spaced`) comes
    with its pieces (`part`), since the blank may as well stand between two columns.
    """

    start: int
    end: int
    text: str
    values: tuple[Decimal, ...]
    mark: str = ""
    currency: str = ""
    percent: bool = False
    money: bool = False
    spaced: bool = False
    part: bool = False
    framed: bool = False


@dataclass(frozen=True)
class Convention:
    """Say how a document prints amounts; None where it does not show."""

    decimal_mark: str | None = None
    spaces_group: bool | None = None
    prints_decimals: bool = False

    def readings(self, amount: Amount) -> tuple[Decimal, ...]:
        """Return the readings that agree with the convention; all of them where it cannot tell."""
        if amount.part and self.spaces_group is not False:
            return ()
        if amount.spaced and self.spaces_group is False:
            return ()
        if len(amount.values) == 1:
            return amount.values
        separator = _single_separator(amount.text)
        if len(_magnitudes(amount.text)) < 2 or self.decimal_mark is None or separator is None:
            return amount.values
        grouped, fraction = _magnitudes(amount.text)
        wanted = fraction if separator == self.decimal_mark else grouped
        return tuple(value for value in amount.values if abs(value) == wanted)


def candidates(text: str) -> tuple[Decimal, ...]:
    """Return every value that a text holding one printed amount can mean; empty if it holds none or several."""
    if _PLAIN.fullmatch(text):
        return _magnitudes(text) if len(text) <= _MAX_CHARACTERS else ()
    numbers = [amount for amount in find_amounts(text) if not amount.part]
    amounts = [amount for amount in numbers if not amount.percent] or numbers
    return amounts[0].values if len(amounts) == 1 else ()


def find_amounts(text: str) -> tuple[Amount, ...]:
    """Return all numbers of a text that are not part of a date, a time or an identifier, in order."""
    found: list[Amount] = []
    for run in _RUN.finditer(text):
        for start, end, spaced, part in _pieces(run.group(), run.start()):
            amount = _amount(text, start, end, spaced=spaced, part=part)
            if amount is not None:
                found.append(amount)
    return tuple(found)


def convention_of(amounts: Iterable[Amount]) -> Convention:
    """Tell from the unambiguous amounts of a document how it prints the others."""
    marks, other_marks = {".": 0, ",": 0}, {".": 0, ",": 0}
    blanks = against = 0
    for amount in amounts:
        if amount.percent or amount.part:
            continue
        if amount.mark:
            # Two decimals are money; one or four may be a version, a weight or a price per piece.
            votes = marks if amount.text[-3:-2] == amount.mark else other_marks
            votes[amount.mark] += 1
        if amount.spaced:
            blanks += amount.framed or bool(amount.currency)
        elif amount.mark and abs(amount.values[0]) >= 1000:
            # NBSP and its narrow kin never separate columns, so they speak for blanks as grouping.
            grouped_by_blank = any(blank in amount.text for blank in _BLANKS)
            blanks, against = blanks + grouped_by_blank, against + (not grouped_by_blank)
    printed = marks if any(marks.values()) else other_marks
    return Convention(_majority(printed), _vote(blanks, against), sum(marks.values()) >= 2)


def _majority(marks: dict[str, int]) -> str | None:
    total = sum(marks.values())
    # Some documents mix marks (rates, embedded prices); a clear majority is asked for.
    return next((mark for mark, count in marks.items() if total and count >= 0.75 * total), None)


def _vote(for_: int, against: int) -> bool | None:
    return None if for_ == against == 0 else for_ >= against


def _pieces(run: str, offset: int) -> Iterator[tuple[int, int, bool, bool]]:
    """Yield start, end, spaced, part of the numbers in a run of digits, separators and blanks."""
    words = [match.span() for match in _PIECE.finditer(run)]
    position = 0
    while position < len(words):
        last = _chain_end(run, words, position)
        start, end = words[position][0], words[last][1]
        plain = " " in run[start:end]
        yield start + offset, end + offset, plain, False
        if plain:
            for piece_start, piece_end in words[position : last + 1]:
                yield piece_start + offset, piece_end + offset, False, True
        position = last + 1


def _chain_end(run: str, words: list[tuple[int, int]], first: int) -> int:
    """Return the index of the last word that may belong to the number starting at `first`, grouped by blanks."""
    if not _LEAD.match(run[slice(*words[first])]):
        return first
    last = first
    while last + 1 < len(words) and _REST.match(run[slice(*words[last + 1])]):
        last += 1
        if not run[slice(*words[last])].isdigit():
            break
    return last


def _amount(text: str, start: int, end: int, *, spaced: bool, part: bool) -> Amount | None:
    core = text[start:end]
    values = _magnitudes(core) if len(core) <= _MAX_CHARACTERS else ()
    if not values or not _stands_free(text, start, end):
        return None
    left, right = _left(text, start), _right(text, end)
    currency = (left and left["currency"]) or (right and right["currency"]) or ""
    return Amount(
        start=start,
        end=end,
        text=core,
        values=_signed(values, left, right),
        mark=_certain_mark(core),
        currency=currency,
        percent=bool(right and right["percent"]),
        money=bool(not core.isdigit() or currency or (right and right["dash"])),
        spaced=spaced,
        part=part,
        framed=_framed(text, start, end),
    )


def _stands_free(text: str, start: int, end: int) -> bool:
    """Say whether a number is no part of a date, a time, a ratio or an identifier."""
    last, after = text[start - 1 : start] if start else "", text[end : end + 2]
    if last.isalnum() or last in ("/", "-", "–", ":", "_", "@"):
        before = text[max(0, start - 6) : start]
        if _JOINED_BEFORE.search(before) and not _is_currency_before(before):
            return False
    if after[:1] in ("/", ":", "-", "–") and after[1:2].isdigit():
        return False
    may_go_on = after[:1] == "_" or after[:1].isalnum()
    return not (may_go_on and _JOINED_BEHIND.match(text[end : end + 12]))


def _is_currency_before(text: str) -> bool:
    """Say whether a text ends with a currency, as in `EUR5` and `EUR-5`."""
    letters = _WORD_BEFORE.search(text)
    return letters is not None and bool(currencies_of(letters[1]))


def _left(text: str, start: int) -> re.Match[str] | None:
    """Return the signs and the currency before a number; None where nothing there can be one."""
    begin = max(0, start - _REACH_BEFORE)
    near = text[begin:start]
    bare = near.rstrip(_BLANKS + _MINUS + ".:+(")
    is_near = len(near) - len(bare) <= _WIDEST_GAP
    word = _LETTERS_AT_END.search(bare) if is_near and bare[-1:].isalnum() else None
    if word and is_currency_word(word.group()):
        named = _left_pattern("word").search(text, begin, start)
        if named is not None:
            return named
    has_sign = bool(near[len(bare) :].strip(_BLANKS + ".:")) or bare[-1:].casefold() in sign_ends()
    if not has_sign:
        return None
    return _left_pattern("sign").search(text, begin, start)


def _right(text: str, end: int) -> re.Match[str] | None:
    """Return the signs and the currency behind a number; None where nothing there can be one."""
    near = text[end : end + _REACH_BEHIND].lstrip(_BLANKS)
    word = _LETTERS.match(near.lstrip(_BLANKS + _MINUS + "—.,%"))
    if word and is_currency_word(word.group()):
        return _right_pattern("word").match(text, end)
    head = word.group().casefold() if word and near[0].isalpha() else near[:1]
    if head not in (*_MINUS, ".", ",", "%", ")", "cr") and head not in sign_heads():
        return None
    return _right_pattern("sign").match(text, end)


def _framed(text: str, start: int, end: int) -> bool:
    """Say whether a number fills its cell: no other word within a blank's distance."""
    return not text[max(0, start - 2) : start].strip() and not text[end : end + 2].strip()


@functools.lru_cache(maxsize=8192)
def _magnitudes(core: str) -> tuple[Decimal, ...]:
    """Return what the digits and separators can mean: grouping first, then fraction."""
    if core.isdigit():
        return (Decimal(core),) if len(core) <= _MAX_DIGITS else ()
    if len(core) > _MAX_DIGITS and sum(map(str.isdigit, core)) > _MAX_DIGITS:
        return ()
    text = core
    for separator in _APOSTROPHES:
        text = text.replace(separator, "'")
    for blank in _BLANKS:
        text = text.replace(blank, "'")
    head, mark, tail = _split_at_last_mark(text)
    if not mark:
        return (Decimal(text.replace("'", "")),) if "'" not in text or _GROUPED.match(text) else ()
    # Nothing groups the digits behind a decimal mark.
    integer = _integer(head, not_by=mark) if tail.isdigit() else None
    whole = _integer(text, not_by="")
    if whole is not None:
        return (whole,) if integer is None else (whole, Decimal(f"{integer}.{tail}"))
    return () if integer is None else (Decimal(f"{integer}.{tail}"),)


def _split_at_last_mark(text: str) -> tuple[str, str, str]:
    position = max(text.rfind("."), text.rfind(","))
    return (text, "", "") if position < 0 else (text[:position], text[position], text[position + 1 :])


def _integer(text: str, *, not_by: str) -> Decimal | None:
    """Read whole digits, grouped or not; grouping by the decimal mark is none."""
    if text.isdigit():
        return Decimal(text)
    grouped = _GROUPED.match(text) or _INDIAN.match(text)
    if not grouped or (not_by and not_by in text):
        return None
    return Decimal(re.sub(r"\D", "", text))


def _single_separator(core: str) -> str | None:
    separators = [character for character in core if character in ".,"]
    return separators[0] if len(separators) == 1 else None


def _certain_mark(core: str) -> str:
    """Return the decimal mark where the number can be read in one way and has one, or groups by one."""
    if core.isdigit() or len(_magnitudes(core)) != 1:
        return ""
    _, mark, tail = _split_at_last_mark(core)
    if not mark:
        return ""
    if core.count(mark) > 1:
        return "," if mark == "." else "."
    return mark if tail else ""


def _signed(
    values: tuple[Decimal, ...], left: re.Match[str] | None, right: re.Match[str] | None
) -> tuple[Decimal, ...]:
    """Return the readings with their sign; both signs where a dash or bracket may be mere punctuation."""
    if left is None and right is None:
        return values
    signs = left["outer"] + left["inner"] if left else ""
    is_behind = bool(right and right["minus"])
    if any(minus in signs for minus in _MINUS) or is_behind:
        loose = left and _LOOSE_MINUS.search(left.group()) and not is_behind
        negative = tuple(-value for value in values)
        return negative + values if loose else negative
    if right and (("(" in signs and right["close"]) or right["credit"]):
        return tuple(-value for value in values) + values
    return values


@functools.cache
def _left_pattern(currency: Literal["sign", "word"]) -> re.Pattern[str]:
    printed = r"(?<![^\W\d_])[^\W\d_]+" if currency == "word" else sign_alternation()
    return re.compile(
        rf"(?P<outer>[{_MINUS}+(]{{0,2}})[{_BLANKS}]?(?P<currency>{printed}){'' if currency == 'word' else '?'}"
        rf"\.?:?[{_BLANKS}]{{0,2}}(?P<inner>[{_MINUS}+(]{{0,2}})[{_BLANKS}]?\Z"
    )


@functools.cache
def _right_pattern(currency: Literal["sign", "word"]) -> re.Pattern[str]:
    printed = sign_alternation() + (r"|[^\W\d_]+" if currency == "word" else "")
    return re.compile(
        rf"(?P<dash>[.,][-–—]{{1,2}})?(?P<percent>[{_BLANKS}]{{0,2}}%)?(?P<minus>[-−](?![\w-]))?"
        rf"[{_BLANKS}]{{0,2}}(?P<currency>{printed})?[{_BLANKS}]?(?P<close>\))?(?P<credit>CR\b)?"
    )
