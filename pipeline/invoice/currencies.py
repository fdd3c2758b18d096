"""Know the currencies: codes of ISO 4217, and the signs and words that stand for them, which are data in `signs.json`.

A sign may mean several currencies, likeliest first; which of them is meant, others decide.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

from babel.core import get_global
from babel.numbers import get_currency_precision, list_currencies

_LETTERS = re.compile(r"[^\W\d_]+")


def is_currency(code: str) -> bool:
    """Say whether a code is in ISO 4217."""
    return code in _currency_codes()


def decimals_of(currency: str | None) -> int:
    """Return how many decimals amounts in a currency have; two if it is not known."""
    return int(get_currency_precision(currency)) if currency else 2


def cash_decimals_of(currency: str | None) -> int:
    """Return how many decimals are in daily use: none for forints, though their code has two; two if not known."""
    if currency is None or currency not in get_global("currency_fractions"):
        return decimals_of(currency)
    _, _, cash_decimals, _ = get_global("currency_fractions")[currency]
    return min(int(cash_decimals), decimals_of(currency))


def currencies_of(sign: str) -> tuple[str, ...]:
    """Return the ISO codes that a printed sign or code can mean, likeliest first."""
    if sign in _currency_codes():
        return (sign,)
    return _signs().get(sign.casefold().rstrip("."), ())


class PrintedCurrency(NamedTuple):
    """Hold a currency's sign or code as printed, and where it begins."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def find_currencies(text: str) -> Iterator[PrintedCurrency]:
    """Yield the currency signs, and the codes and names that stand free of letters, in order."""
    end = 0
    for head in _head_pattern().finditer(text):
        word = head.group()
        if head.start() < end or not (is_currency_word(word) or word.casefold() in sign_heads()):
            continue
        printed = _currency_pattern().match(text, head.start())
        if printed is not None and (printed["word"] is None or is_currency_word(word)):
            end = printed.end()
            yield PrintedCurrency(printed.group(), printed.start())


def is_currency_word(word: str) -> bool:
    """Say whether a word is the code or the name of a currency."""
    return word in _currency_codes() or word.casefold() in _currency_words()


@functools.cache
def sign_alternation() -> str:
    """Return a pattern for the signs that are no words; those with letters stand free of others."""
    signs = sorted((sign for sign in _signs() if not sign.isalpha()), key=len, reverse=True)
    return rf"(?:(?<![^\W\d_])(?i:{'|'.join(map(re.escape, signs))})|[€£¥$])"


@functools.cache
def sign_heads() -> frozenset[str]:
    """Return what signs begin with: all their letters, else one character."""
    signs = (sign for sign in _signs() if not sign.isalpha())
    return frozenset(found.group() if (found := _LETTERS.match(sign)) else sign[0] for sign in signs)


@functools.cache
def sign_ends() -> frozenset[str]:
    """Return what signs end with: one character."""
    return frozenset(sign[-1] for sign in _signs() if not sign.isalpha())


@functools.cache
def _head_pattern() -> re.Pattern[str]:
    """Return a pattern for what may begin a currency: to look words up is faster than to try all codes everywhere."""
    signs = "".join(re.escape(head) for head in sign_heads() if not head.isalpha())
    return re.compile(rf"[^\W\d_]+|[{signs}]")


@functools.cache
def _currency_pattern() -> re.Pattern[str]:
    """Return a pattern for signs and for all words."""
    return re.compile(rf"{sign_alternation()}|(?<![^\W\d_])(?P<word>[^\W\d_]+)")


@functools.cache
def _currency_words() -> frozenset[str]:
    return frozenset(sign for sign in _signs() if sign.isalpha())


@functools.cache
def _currency_codes() -> frozenset[str]:
    return frozenset(list_currencies())


@functools.cache
def _signs() -> dict[str, tuple[str, ...]]:
    data = json.loads(resources.files(__package__).joinpath("signs.json").read_text(encoding="utf-8"))
    return {sign: tuple(codes) for sign, codes in data.items()}
