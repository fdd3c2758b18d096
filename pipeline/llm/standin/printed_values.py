"""Dates, amounts and numbers as they are printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache

from babel.dates import get_month_names

from pipeline.llm.standin.invoice_labels import LANGUAGES
from pipeline.llm.standin.layout import fold

_NUMERIC_DATE = re.compile(
    r"(?<![\w./-])(?:(?P<y>(?:19|20)\d{2})(?P<s1>[-./])(?P<m>\d{1,2})(?P=s1)(?P<d>\d{1,2})"
    r"|(?P<a>\d{1,2})(?P<s2>[-./]) ?(?P<b>\d{1,2})(?P=s2) ?(?P<c>(?:19|20)?\d{2})"
    r"|(?P<cy>(?:19|20)\d{2})(?P<cm>0[1-9]|1[0-2])(?P<cd>0[1-9]|[12]\d|3[01]))(?![\w-]|[./]\d)"
)
_AMOUNT = re.compile(
    r"(?<![\w.,/])(?P<sign>[-\u2212+] ?)?(?:(?P<before>[€$£¥₹]|R\$|US\$|[A-Z]{3}(?!-))(?: ?))?(?P<sign2>[-\u2212] ?)?"
    r"(?P<number>\d{1,3}(?:(?P<group>[ .,'\u2019\u00a0])\d{3})(?:(?P=group)\d{3})*(?:[.,]\d{1,4})?|\d+(?:[.,]\d{1,4})?)"
    r"(?P<sign3>-(?![\w]))?(?: ?(?P<after>€|\$|£|zł|Kč|kr\.?|%|[A-Z]{3}\b))?(?![\w]|[.,/]\d)"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_VAT_ID = re.compile(
    r"\b(?:ATU ?\d{8}|BE ?[01]?[\d.]{9,12}|CHE[- ]?[\d.]{9,11}|DE ?\d{3} ?\d{3} ?\d{3}|DK ?\d{8}|"
    r"ES ?[A-Z]\d{7}[A-Z0-9]|FR ?[A-Z0-9]{2} ?\d{3} ?\d{3} ?\d{3}|GB ?\d{3} ?\d{4} ?\d{2}|IE\d[A-Z0-9]\d{5}[A-Z]{1,2}|"
    r"IT ?\d{11}|LU ?\d{8}|NL ?\d{9} ?B\d{2}|NL ?[\d.]{9,12}B\.?\d{2}|PL ?\d{10}|PT ?\d{9}|SE ?\d{12})\b"
)
# Words and signs between the first and the last day of a period, and what a first day may look like.
_TO = r"(?:bis|to|until|till|through|au|al|a|t/m|tot|do)(?: (?:zum|einschlie\u00dflich))?|[-\u2013\u2014]"
_FIRST_DAY = (
    r"\b\d{1,2}(?:\.|st|nd|rd|th)?(?: [^\W\d]{3,10})?|\d[./-]\d{1,2}[./-](?:\d{4}|\d{2})?"
    r"|[^\W\d]{3} \d{1,2},? \d{4}|[^\W\d]{3} (?:19|20)\d\d"
)
_PERIOD_BEFORE = re.compile(rf"(?:{_FIRST_DAY}) ?(?:{_TO}) ?$", re.IGNORECASE)
_PERIOD_AFTER = re.compile(rf" ?(?:{_TO}) ?", re.IGNORECASE)
_ID = re.compile(r"[A-Za-z0-9][\w./\\-]*")


@dataclass(frozen=True)
class PrintedAmount:
    """Hold an amount as it is printed, its value and where it stands in its text."""

    text: str
    value: Decimal
    start: int
    end: int
    has_cents: bool
    currency: str


@dataclass(frozen=True)
class PrintedDate:
    """Hold a date as it is printed and where it stands in its text."""

    text: str
    start: int


def dates_in(text: str) -> Iterator[PrintedDate]:
    """Yield the dates of a text from left to right."""
    numeric = (match for match in _NUMERIC_DATE.finditer(text) if _may_be_date(match))
    for match in sorted([*numeric, *_worded_date().finditer(fold(text))], key=lambda each: each.start()):
        yield PrintedDate(text[match.start() : match.end()], match.start())


def in_period(text: str, printed: PrintedDate) -> bool:
    """Tell whether a date is the first or the last day of a period."""
    if _PERIOD_BEFORE.search(text[: printed.start]):
        return True
    rest = _PERIOD_AFTER.match(text, printed.start + len(printed.text))
    return rest is not None and any(later.start == rest.end() for later in dates_in(text))


def amounts_in(text: str) -> Iterator[PrintedAmount]:
    """Yield the amounts of a text from left to right; percentages, dates and VAT ids are none."""
    others = [range(*match.span()) for pattern in (_NUMERIC_DATE, _VAT_ID) for match in pattern.finditer(text)]
    for match in _AMOUNT.finditer(text):
        if match["after"] == "%" or any(match.start("number") in span for span in others):
            continue
        value = amount_value(match["number"])
        if value is None:
            continue
        negative = any((match[name] or "").strip() in ("-", "\u2212") for name in ("sign", "sign2", "sign3"))
        printed = ("-" if negative else "") + match["number"]
        has_cents = bool(re.search(r"[.,]\d{2,4}$", match["number"]))
        currency = (match["before"] or match["after"] or "").strip()
        yield PrintedAmount(printed, -value if negative else value, match.start(), match.end(), has_cents, currency)


def amount_value(printed: str) -> Decimal | None:
    """Return the value of a printed amount; the last separator is the decimal one unless three digits follow it."""
    digits = re.sub(r"[^\d.,-]", "", printed)
    last = max(digits.rfind("."), digits.rfind(","))
    if last >= 0:
        whole, part = digits[:last], digits[last + 1 :]
        separator = digits[last]
        groups = len(part) == 3 and whole not in ("0", "-0", "") and (digits.count(separator) > 1 or len(whole) <= 4)
        one_kind = separator not in whole
        digits = re.sub(r"[.,]", "", whole) + ("" if groups and (one_kind or part) else ".") + part
    try:
        return Decimal(digits)
    except InvalidOperation:
        return None


def identifiers_in(text: str) -> Iterator[str]:
    """Yield the words of a text that may be an invoice's number: they hold a digit."""
    for match in _ID.finditer(text):
        word = match.group().rstrip(".-/\\")
        if any(character.isdigit() for character in word):
            yield word


def ibans_in(text: str) -> Iterator[str]:
    """Yield the IBANs of a text; only those with right check digits."""
    for match in _IBAN.finditer(text):
        words = match.group().split(" ")
        # The pattern may have swallowed a word behind the number.
        for count in range(len(words), 0, -1):
            candidate = " ".join(words[:count])
            if _is_iban(candidate.replace(" ", "")):
                yield candidate
                break


def vat_ids_in(text: str) -> Iterator[str]:
    """Yield the VAT ids of a text."""
    for match in _VAT_ID.finditer(text):
        yield match.group()


@cache
def _worded_date() -> re.Pattern[str]:
    words = "|".join(sorted(map(re.escape, _months()), key=len, reverse=True))
    year = r"(?:19|20)\d{2}"
    return re.compile(
        rf"(?<!\w)(?:\d{{1,2}}(?:\.|st|nd|rd|th|er)?[ -](?:de )?(?:{words})\.?,?[ -](?:de )?{year}"
        rf"|(?:{words})\.? \d{{1,2}}(?:st|nd|rd|th)?,? {year})(?!\w)"
    )


@cache
def _months() -> frozenset[str]:
    """Return the folded names of the months, whole and abbreviated."""
    return frozenset(
        fold(name).rstrip(".")
        for language in LANGUAGES
        for width in ("wide", "abbreviated")
        for context in ("format", "stand-alone")
        for name in get_month_names(width, context, language).values()
    )


def _may_be_date(match: re.Match[str]) -> bool:
    """Say whether two numbers can be month and day, in either order where it is open."""
    if match["a"]:
        low, high = sorted((int(match["a"]), int(match["b"])))
        return 1 <= low <= 12 and high <= 31
    month, day = int(match["m"] or match["cm"]), int(match["d"] or match["cd"])
    return 1 <= month <= 12 and 1 <= day <= 31


def _is_iban(text: str) -> bool:
    turned = text[4:] + text[:4]
    return 15 <= len(text) <= 34 and int("".join(str(int(character, 36)) for character in turned)) % 97 == 1
