"""The currency of an invoice: codes, signs and words beside its amounts and in the heads of its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import cache

from babel.core import get_global
from babel.numbers import get_territory_currencies

from pipeline.llm.standin import invoice_labels as words
from pipeline.llm.standin.labels import Labels, contains_word
from pipeline.llm.standin.layout import Cell, Layout
from pipeline.llm.standin.printed_values import amounts_in, ibans_in, vat_ids_in

_REACH = 16
_LONGEST_HEAD = 45
# Money that was in use since the euro began; older codes are more often other abbreviations.
_SINCE, _UNTIL = date(1999, 1, 1), date(2100, 1, 1)


def read_currency(layout: Layout) -> str | None:
    """Return the code of the currency that is named, else of the one that stands beside most amounts."""
    if named := Counter(_named(layout)):
        return named.most_common(1)[0][0]
    beside = list(_printed(layout))
    codes = Counter(code for printed in beside if (code := _code(printed)))
    territories = _territories(layout)
    votes = codes.copy()
    votes.update(code for printed in beside if (code := _meaning(printed, codes, territories)))
    if not beside:
        signs = (sign for sign in words.CURRENCY_SIGNS for cell in layout.cells if _is_sign(sign) and sign in cell.text)
        votes.update(code for sign in signs if (code := _meaning(sign, codes, territories)))
    return votes.most_common(1)[0][0] if votes else None


def without_currency(folded: str) -> str:
    """Return a column's title without the currency in it."""
    return re.sub(r"\s+(?:in )?$", "", _at_end().sub("", folded))


def _named(layout: Layout) -> Iterator[str]:
    """Yield the currencies behind words that announce one."""
    for hit in Labels({1: words.CURRENCY}).hits(layout):
        right = layout.right_of(hit.cell)[:1]
        for text in [hit.after, *(cell.text for cell in right)]:
            codes = [code for code in re.findall(r"\b[A-Z]{3}\b", text) if _code(code)]
            worded = [word for match in _token().finditer(text[:_REACH]) if (word := _meaning(match[0], Counter(), ()))]
            if codes or worded:
                yield from codes or worded[:1]
                break


def _printed(layout: Layout) -> Iterator[str]:
    """Yield what stands beside amounts, in the heads of columns and of sums, and alone in a cell."""
    for cell in layout.cells:
        identifiers = bool(list(vat_ids_in(cell.text)) or list(ibans_in(cell.text)))
        amounts = list(amounts_in(cell.text))
        for amount in amounts:
            before = _before().search(cell.text[max(0, amount.start - _REACH) : amount.start])
            after = _after().match(cell.text[amount.end : amount.end + _REACH])
            found = amount.currency or (before or after or [""])[0].strip()
            # Pounds are also weighed: a word counts beside an amount that looks like money.
            if found and not identifiers and (amount.has_cents or _is_sign(found) or _code(found)):
                yield found
        if not amounts and _is_head(cell) and (match := _at_end().search(cell.text)):
            yield match["token"]


def _is_head(cell: Cell) -> bool:
    """Tell whether a cell is the head of a column or a sum, or nothing but a currency."""
    if len(cell.text) > _LONGEST_HEAD:
        return False
    title = without_currency(cell.folded).strip(" .:*(")
    if not title:
        return True
    return contains_word(title, _heads())


def _code(printed: str) -> str:
    return printed if printed in _money() else ""


def _meaning(printed: str, codes: Counter[str], territories: tuple[str, ...]) -> str:
    """Return the code a sign or word stands for, "" where it may be several and nothing else tells which."""
    if _code(printed):
        return ""
    meanings = words.CURRENCY_SIGNS.get(printed) or words.CURRENCY_WORDS.get(printed.lower().rstrip(".")) or ()
    if len(meanings) < 2:
        return "".join(meanings)
    if coded := next((code for code, _ in codes.most_common() if code in meanings), ""):
        return coded
    local = {code for territory in territories for code in get_territory_currencies(territory) if code in meanings}
    if len(local) == 1:
        return local.pop()
    return meanings[0] if printed in words.DEFAULT_SIGNS else ""


def _territories(layout: Layout) -> tuple[str, ...]:
    """Return the countries of the bank accounts and VAT ids."""
    found = (number[:2] for cell in layout.cells for number in (*ibans_in(cell.text), *vat_ids_in(cell.text)))
    return tuple(sorted(set(found)))


@cache
def _heads() -> tuple[str, ...]:
    columns = (phrase for titles in words.COLUMNS.values() for phrase in titles)
    tables = (words.TOTAL, words.NET, words.TAX)
    return (*columns, *(phrase for table in tables for phrases in table.values() for phrase in phrases))


def _is_sign(printed: str) -> bool:
    return printed in words.CURRENCY_SIGNS and not printed.isalpha()


@cache
def _money() -> frozenset[str]:
    territories = get_global("territory_currencies")
    return frozenset(code for each in territories for code in get_territory_currencies(each, _SINCE, _UNTIL))


@cache
def _token_source() -> str:
    signs = [re.escape(sign) for sign in words.CURRENCY_SIGNS if not sign[0].isalpha()]
    worded = [sign for sign in words.CURRENCY_SIGNS if sign[0].isalpha()]
    others = [rf"(?i:{re.escape(word)})" for word in words.CURRENCY_WORDS]
    bounded = "|".join([*map(re.escape, sorted(worded, key=len, reverse=True)), *others, "[A-Z]{3}"])
    return rf"(?:{'|'.join(signs)}|(?<![^\W_])(?:{bounded})(?![^\W_]))"


@cache
def _token() -> re.Pattern[str]:
    return re.compile(_token_source())


@cache
def _before() -> re.Pattern[str]:
    return re.compile(rf"{_token_source()}\.?[ \u00a0]?$")


@cache
def _after() -> re.Pattern[str]:
    return re.compile(rf"[ \u00a0]?{_token_source()}")


@cache
def _at_end() -> re.Pattern[str]:
    codes = "|".join(sorted(_money()))
    plain = _token_source().replace("[A-Z]{3}", codes)
    folded = "|".join(sorted(code.lower() for code in _money()))
    return re.compile(rf"[(\[]?(?P<token>{plain}|(?<![^\W_])(?:{folded})(?![^\W_]))[)\]]?[ :.]*$")
