"""Read printed dates of many languages; a date that can mean two days has both readings.

`03/04/2026` is settled by the dates around it and by what is known of the document's country (`DateOrder`); where
nothing tells, both readings stay and the caller has to say so.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from babel.dates import get_month_names

from pipeline.invoice.words import fold

# Languages whose month names are read; all that CLDR calls modern in Europe and the Americas.
_LANGUAGES = (
    "en",
    "de",
    "fr",
    "nl",
    "it",
    "es",
    "pt",
    "pl",
    "da",
    "sv",
    "nb",
    "nn",
    "fi",
    "is",
    "cs",
    "sk",
    "hu",
    "ro",
    "bg",
    "el",
    "et",
    "lv",
    "lt",
    "sl",
    "hr",
    "sr_Latn",
    "tr",
    "uk",
    "ru",
    "ca",
    "eu",
    "gl",
    "ga",
    "mt",
    "sq",
    "id",
)
_FIRST_YEAR, _LAST_YEAR = 1950, 2099
# Two digits from 70 on are the last century; invoices of the 1960s are not expected.
_PIVOT = 70

_SUFFIX = r"(?:\.|(?:st|nd|rd|th|er|re|e|de|o|ère|º|ª|°)\b\.?)?"
# Two blanks are a gap between columns, across which no date goes on.
_GLUE = r"[.,]?\s?(?:[/-]\s?)?(?:\b(?:(?:de|del|of)\s|d'))?"
_YEAR = r"(?P<y>\d{4}|'?\d{2})(?:\s?[гp]\.)?"
_PATTERNS, _NAMED_PATTERNS = (
    tuple(re.compile(rf"(?<![\w]){pattern}(?![^\W_])", re.IGNORECASE) for pattern in patterns)
    for patterns in (
        (
            r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})(?:T\d{2}:\d{2}[\d:.]*Z?)?",
            r"(?P<y>\d{4})\s?[年년]\s?(?P<m>\d{1,2})\s?[月월]\s?(?P<d>\d{1,2})\s?[日일]",
            r"(?P<a>\d{1,2})(?P<s>[-/.])\s?(?P<b>\d{1,2})(?P=s)\s?(?P<y>\d{4}|\d{2})",
            r"(?P<y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})",
        ),
        (
            rf"(?P<d>\d{{1,2}}){_SUFFIX}{_GLUE}(?P<name>[^\W\d_]{{3,}}){_GLUE}{_YEAR}",
            rf"(?P<name>[^\W\d_]{{3,}})\.?\s?(?P<d>\d{{1,2}}){_SUFFIX}(?:,\s?|\s)(?:de\s|del\s)?{_YEAR}",
            rf"{_YEAR}[.,/-]?\s?(?P<name>[^\W\d_]{{3,}})[./-]?\s?(?P<d>\d{{1,2}}){_SUFFIX}",
        ),
    )
)
# What the first four have in common: a text without it needs no search for any of them.
_NUMBERS = re.compile(r"\d[-/.]\s?\d{1,2}[-/.]|\d\s?[年년]|(?:19|20)\d{6}")
# What the last three have in common: a name with a number behind it, and another one before or behind that.
_NAMES = re.compile(
    rf"(?<!\w)[^\W\d_]{{3,}}\.?\s?\d{{1,2}}{_SUFFIX}(?:,\s?|\s)(?:de\s|del\s)?'?\d"
    rf"|\d\D{{0,12}}[^\W\d_]{{3,}}{_GLUE}'?\d",
    re.IGNORECASE,
)


class DateOrder(StrEnum):
    """Say which number of `03/04/2026` is the day."""

    DAY_FIRST = "day_first"
    MONTH_FIRST = "month_first"


@dataclass(frozen=True, slots=True)
class PrintedDate:
    """Hold one printed date and its span; `day_first` and `month_first` are its two readings, equal where it has one.

    With `by_order` false two readings come from a month name that two languages use for two months.
    """

    start: int
    end: int
    text: str
    day_first: datetime.date | None
    month_first: datetime.date | None
    by_order: bool = True

    def readings(self, order: DateOrder | None = None) -> tuple[datetime.date, ...]:
        """Return the days it can mean, under an order where that is known."""
        both = [day for day in (self.day_first, self.month_first) if day is not None]
        if not self.by_order:
            return tuple(dict.fromkeys(both))
        if order is DateOrder.DAY_FIRST and self.day_first:
            both = [self.day_first]
        elif order is DateOrder.MONTH_FIRST and self.month_first:
            both = [self.month_first]
        return tuple(dict.fromkeys(both))


def find_dates(text: str) -> tuple[PrintedDate, ...]:
    """Return all dates of a text, in order, without overlaps."""
    found: list[PrintedDate] = []
    for date in sorted(_matches(text), key=lambda date: (date.start, -date.end)):
        if not found or date.start >= found[-1].end:
            found.append(date)
    return tuple(found)


def date_candidates(text: str) -> tuple[datetime.date, ...]:
    """Return the days that a text holding one date can mean; empty if it holds none or several."""
    dates = find_dates(text)
    return dates[0].readings() if len(dates) == 1 else ()


def order_of(dates: Iterable[PrintedDate]) -> DateOrder | None:
    """Tell from dates that can be read in one way how a document writes them; None if they tell nothing or disagree."""
    orders = {
        DateOrder.DAY_FIRST if date.day_first else DateOrder.MONTH_FIRST
        for date in dates
        if (date.day_first is None) != (date.month_first is None)
    }
    return orders.pop() if len(orders) == 1 else None


def _matches(text: str) -> Iterator[PrintedDate]:
    numbered = _PATTERNS if _NUMBERS.search(text) else ()
    named = _NAMED_PATTERNS if _NAMES.search(text) else ()
    for pattern in (*numbered, *named):
        match = pattern.search(text)
        while match:
            parts = match.groupdict()
            days = _numeric(parts) if "a" in parts else _named(parts)
            if any(days):
                yield PrintedDate(match.start(), match.end(), match.group(), *days, by_order="a" in parts)
            # What only looks like a date may hide the start of one: `10. bis 13. Juni 2025`.
            match = pattern.search(text, match.end() if any(days) else match.start() + 1)


def _numeric(parts: dict[str, str]) -> tuple[datetime.date | None, datetime.date | None]:
    """Read day, month and year by numbers; dots are always day first."""
    first, second, year = int(parts["a"]), int(parts["b"]), _year(parts["y"])
    day_first = _day(year, second, first)
    month_first = None if parts["s"] == "." else _day(year, first, second)
    if day_first == month_first or (parts["s"] == "." and day_first):
        return day_first, day_first
    return day_first, month_first


def _named(parts: dict[str, str]) -> tuple[datetime.date | None, datetime.date | None]:
    """Read a date whose order is certain; a month name that two languages use for two months gives two readings."""
    months = _months().get(fold(parts["name"]).strip("."), ()) if parts.get("name") else (int(parts["m"]),)
    found = (_day(_year(parts["y"]), month, int(parts["d"])) for month in months)
    days = [day for day in found if day is not None]
    return (days[0], days[-1]) if days else (None, None)


def _year(digits: str) -> int:
    year = int(digits.lstrip("'"))
    if year >= 100:
        return year
    return year + (1900 if year >= _PIVOT else 2000)


def _day(year: int, month: int, day: int) -> datetime.date | None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


@functools.cache
def _months() -> dict[str, tuple[int, ...]]:
    """Return month numbers by folded name, the more widespread language's meaning first."""
    names: dict[str, dict[int, None]] = {}
    for language in _LANGUAGES:
        for width in ("wide", "abbreviated"):
            for context in ("format", "stand-alone"):
                for month, name in get_month_names(width, context, language).items():
                    names.setdefault(fold(name).strip("."), {})[month] = None
    return {name: tuple(months) for name, months in names.items()}
