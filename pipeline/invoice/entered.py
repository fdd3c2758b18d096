"""Read values as a person types them: as the document prints them, as ISO dates, or as plain decimals.

What can be read in two ways is settled by what the document prints, else refused: nothing is guessed.
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal

from stdnum import iban as iban_numbers

from pipeline.invoice.currencies import currencies_of, is_currency
from pipeline.invoice.dates import find_dates
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.locale_hints import expected_order
from pipeline.invoice.model import Kind
from pipeline.invoice.numbers import find_amounts
from pipeline.invoice.paths import Leaf, leaf_of
from pipeline.invoice.words import squeeze

_MAX_CHARACTERS = 1000
_PLAIN = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,8})?")
# Such a number may as well be a thousand and something.
_MAY_BE_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

_BESIDE = " +-−()%"

EnteredValue = str | Decimal | None


class NotReadable(ValueError):
    """A value that cannot be meant as it was typed; the message is for the person, `hint` says how to write it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def read_entered(
    path: str, text: str, index: DocumentIndex | None, *, leaf: Leaf | None = None, currency: str | None
) -> EnteredValue:
    """Return the value as plain JSON; an empty text is null. `leaf` says what a field of the user's own holds.

    Raises NotReadable for what no such field can hold.
    """
    text = " ".join(text.split())
    if not text:
        return None
    if len(text) > _MAX_CHARACTERS:
        raise NotReadable(f"{path}: {len(text)} characters are too many", hint=f"at most {_MAX_CHARACTERS}")
    match leaf or leaf_of(path):
        case Leaf.AMOUNT:
            return _amount(path, text, index)
        case Leaf.DAY:
            return _day(path, text, index, currency).isoformat()
        case Leaf.KIND:
            return _kind(text)
    if path == "currency":
        return _currency(text)
    return _iban(path, text) if path.endswith(".iban") else text


def _amount(path: str, text: str, index: DocumentIndex | None) -> Decimal:
    if _PLAIN.fullmatch(text) and not _MAY_BE_GROUPED.fullmatch(text):
        return Decimal(text)
    values = _signed(text)
    if len(values) > 1 and index is not None:
        values = tuple(value for value in values if index.amounts(value) and _is_printed(index, value)) or values
    if len(values) == 1:
        return values[0]
    if not values:
        raise NotReadable(f"{path}={text}: that is no number", hint="write it as 1234.56, or as the document prints it")
    words = " or ".join(format(value, "f") for value in values)
    raise NotReadable(f"{path}={text} can mean {words}", hint=f"write {values[0]:.2f} or {values[1]:.4f}")


def _signed(text: str) -> tuple[Decimal, ...]:
    """Return what a typed number can mean; nothing may stand beside it but signs, a currency and a percent sign."""
    numbers = [number for number in find_amounts(text) if not number.part]
    if len(numbers) != 1:
        return ()
    (number,) = numbers
    beside = (text[: number.start] + text[number.end :]).replace(number.currency, "", 1)
    if beside.strip(_BESIDE):
        return ()
    values = number.values
    if beside.strip()[:1] in ("-", "−"):
        values = tuple(-abs(value) for value in values)
    return tuple(dict.fromkeys(values))


def _is_printed(index: DocumentIndex, value: Decimal) -> bool:
    """Say whether the document prints the value itself, and not only digits that can mean it as well."""
    return any(value in index.convention.readings(seen.token)[:1] for seen in index.amounts(value))


def _day(path: str, text: str, index: DocumentIndex | None, currency: str | None) -> datetime.date:
    if _ISO_DAY.fullmatch(text):
        try:
            return datetime.date.fromisoformat(text)
        except ValueError as error:
            raise NotReadable(f"{path}={text}: {error}", hint="write it as 2026-01-31") from error
    dates = find_dates(text)
    if len(dates) != 1 or dates[0].text.strip() != text:
        raise NotReadable(f"{path}={text}: that is no date", hint="write it as 2026-01-31")
    days = dates[0].readings(expected_order(index, currency) if index is not None else None)
    if len(days) != 1:
        words = " or ".join(day.isoformat() for day in days)
        raise NotReadable(f"{path}={text} can mean {words}", hint=f"write {days[0].isoformat()} if that is meant")
    return days[0]


def _kind(text: str) -> str:
    if text not in set(Kind):
        raise NotReadable(f"kind={text}: there is no such kind", hint=f"one of {', '.join(Kind)}")
    return text


def _currency(text: str) -> str:
    if is_currency(text.upper()):
        return text.upper()
    codes = currencies_of(text)
    if len(codes) == 1:
        return codes[0]
    told = f"that can be {', '.join(codes)}" if codes else "that is no currency code"
    raise NotReadable(f"currency={text}: {told}", hint="write its ISO code, such as EUR")


def _iban(path: str, text: str) -> str:
    number = squeeze(text).upper()
    if not iban_numbers.is_valid(number):
        hint = "compare it with the document; blanks do not matter"
        raise NotReadable(f"{path}={text}: the check digits of this IBAN are wrong", hint=hint)
    return number
