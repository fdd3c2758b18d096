"""Tell from a document's country and language what its signs mean: who writes the month first, whose dollar it is."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from babel import Locale

from pipeline.invoice.currencies import currencies_of, is_currency
from pipeline.invoice.dates import DateOrder
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.memo import kept_while_it_lives
from pipeline.invoice.words import words_of

_NAME_LANGUAGES = ("en", "de", "fr", "es", "pt", "nl", "it", "sv", "da", "nb", "pl")
# A United States address ends in a state and a postal code, and its invoices say sales tax, never VAT.
_STATE_AND_CODE = re.compile(r"\b[A-Z]{2},?\s{1,3}\d{5}(?:-\d{4})?\b")
# Each label for a currency has one of these words, folded.
_CURRENCY_WORDS = ("currency", "wahrung", "devise", "valuta", "moneda", "moeda", "waluta", "mena")
# Where both orders are in daily use a currency says nothing.
_MIXED_ORDER = frozenset({"CAD", "PHP"})
_MONTH_FIRST_WORDS = frozenset({("united", "states"), ("sales", "tax")})
_DAY_FIRST_WORDS = frozenset(
    {
        "vat",
        "ust",
        "mwst",
        "tva",
        "btw",
        "iva",
        "moms",
        "mva",
        "dph",
        "gst",
        "nip",
        "kvk",
        "siret",
        "siren",
        "cnpj",
        "rechnung",
        "facture",
        "factuur",
        "fattura",
        "factura",
        "faktura",
        "fatura",
    }
)


def expected_order(index: DocumentIndex, currency: str | None) -> DateOrder | None:
    """Return the order of day and month: as other dates show it, else as country, currency and language have it.

    None where nothing tells, or where the signs contradict each other, as on a dollar invoice from Europe.
    """
    if index.date_order is not None:
        return index.date_order
    if currency in _MIXED_ORDER:
        return None
    signs = _signs(index)
    american, day_first = signs.american, signs.day_first or (currency is not None and currency != "USD")
    if day_first and not american:
        return DateOrder.DAY_FIRST
    if not day_first and (american or currency == "USD"):
        return DateOrder.MONTH_FIRST
    return None


def currency_rivals(index: DocumentIndex, code: str) -> tuple[str, ...]:
    """Return other currencies that the document's signs may mean instead; empty where the code itself is printed.

    A shared sign such as `$` means the first country on its list unless the text names another one of them.
    """
    printed = index.currencies
    if any(currencies_of(sign) == (code,) for sign in printed):
        return ()
    shared = [codes for sign in printed if code in (codes := currencies_of(sign)) and len(codes) > 1]
    words = " ".join(index.words)
    rivals = {other for codes in shared for other in codes if other != code and _is_named(other, words)}
    rivals |= {other for codes in shared for other in codes if other != code and other in printed}
    if not rivals and all(codes[0] != code for codes in shared) and not _is_named(code, words):
        rivals = {codes[0] for codes in shared}
    return tuple(sorted(rivals))


def labelled_currencies(index: DocumentIndex) -> set[str]:
    """Return the ISO codes that stand behind a label such as `Currency:`."""
    if not any(word in index.squeezed for word in _CURRENCY_WORDS):
        return set()
    pattern = _currency_label()
    found: set[str] = set()
    for line in index.lines:
        match = pattern.search(line.text)
        if match and is_currency(match["code"]):
            found.add(match["code"])
    return found


class _Signs(NamedTuple):
    american: bool
    day_first: bool


@kept_while_it_lives
def _signs(index: DocumentIndex) -> _Signs:
    """Return what the words of a document say of its country."""
    pairs = zip(index.words, index.words[1:], strict=False)
    lines = (index.lines[number].text for number in index.lines_with_digits)
    american = not _MONTH_FIRST_WORDS.isdisjoint(pairs) or any(map(_STATE_AND_CODE.search, lines))
    return _Signs(american, not _DAY_FIRST_WORDS.isdisjoint(index.words))


def _is_named(code: str, words: str) -> bool:
    return any(f" {name} " in f" {words} " for name in _country_names(code[:2]))


@functools.cache
def _country_names(territory: str) -> frozenset[str]:
    """Return the folded names of a country; an ISO currency code starts with its country's code."""
    names = (Locale.parse(language).territories.get(territory) for language in _NAME_LANGUAGES)
    return frozenset(" ".join(words_of(name)) for name in names if name)


@functools.cache
def _currency_label() -> re.Pattern[str]:
    words = "currency|currency code|w[äa]hrung|rechnungsw[äa]hrung|devise|valuta|moneda|moeda|waluta|m[ěe]na"
    return re.compile(rf"(?:\b(?:{words})\b\s*[:=]?|CurrencyCode>)\s{{0,40}}(?:\w+\s\()?(?P<code>[A-Z]{{3}})\b", re.I)
