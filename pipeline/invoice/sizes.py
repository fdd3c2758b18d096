"""Find amounts such as `1.500` that mean a thousand or a fraction, with nothing on the page to settle which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from pipeline.invoice.checks import adds_up, error, is_product, warning
from pipeline.invoice.currencies import cash_decimals_of
from pipeline.invoice.evidence import Money
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import mentions
from pipeline.invoice.model import Finding, Invoice

_TOTALS = ("total_amount", "net_amount", "tax_amount")
# So many different amounts with three digits behind their separator show that it groups: nobody prints thousandths.
_ENOUGH_ALIKE = 3


def size_doubts(index: DocumentIndex, invoice: Invoice, money: Mapping[str, Money]) -> Iterator[Finding]:
    """Find totals of two readings; for the total itself that is an error, as a thousand times too much may be paid."""
    open_fields = [field for field in _TOTALS if field in money and money[field].other_sizes]
    if not open_fields or cash_decimals_of(invoice.currency) != 2 or _settles(index, invoice, money):
        return
    is_usual = _groups_as_usual(index, money[open_fields[0]], invoice.currency)
    for field in open_fields:
        sizes = {abs(money[field].value), *money[field].other_sizes}
        words = " or ".join(format(size, "f") for size in sorted(sizes))
        make = error if field == "total_amount" and not is_usual else warning
        yield make("amount_ambiguous", field, f"The printed amount can mean {words}; nothing on the page tells which.")


def _settles(index: DocumentIndex, invoice: Invoice, money: Mapping[str, Money]) -> bool:
    """Say whether a sum or a product with an amount of one reading fits, or many amounts are printed alike."""
    alike = {seen.token.text for seen in index.all_amounts() if _has_two_sizes(index.convention.readings(seen.token))}
    return len(alike) >= _ENOUGH_ALIKE or _sum_settles(invoice, money) or _lines_settle(invoice, money)


def _groups_as_usual(index: DocumentIndex, place: Money, currency: str | None) -> bool:
    """Say whether the language of the page groups thousands by the printed mark: `Gesamtbetrag 1.500 EUR`.

    English pages group by a comma, but in euros they may come from where a comma is the decimal mark.
    """
    words = " ".join(index.words)
    if "." in index.lines[place.line].text[place.start : place.end]:
        return mentions(words, "dot_groups")
    return currency != "EUR" and mentions(words, "comma_groups")


def _has_two_sizes(readings: tuple[Decimal, ...]) -> bool:
    return len({abs(value) for value in readings}) > 1


def _sum_settles(invoice: Invoice, money: Mapping[str, Money]) -> bool:
    net, tax, total = invoice.net_amount, invoice.tax_amount, invoice.total_amount
    is_whole = net is not None and tax and total is not None and adds_up(net, tax, total)
    return bool(is_whole) and any(field in money and not money[field].other_sizes for field in _TOTALS)


def _lines_settle(invoice: Invoice, money: Mapping[str, Money]) -> bool:
    """Say whether a line's product, from a price of one reading, or the lines together make the net amount or total."""
    targets = {abs(value) for value in (invoice.net_amount, invoice.total_amount) if value is not None}
    totals = [line.total for line in invoice.line_items]
    paths = [f"line_items.{number}" for number in range(len(totals))]
    if None not in totals and abs(sum((one for one in totals if one is not None), Decimal(0))) in targets:
        return any(
            _is_sure(money, f"{path}.total") or _has_sure_product(money, path, invoice, number)
            for number, path in enumerate(paths)
        )
    return False


def _is_sure(money: Mapping[str, Money], path: str) -> bool:
    return path in money and not money[path].other_sizes


def _has_sure_product(money: Mapping[str, Money], path: str, invoice: Invoice, number: int) -> bool:
    line = invoice.line_items[number]
    if line.quantity is None or line.unit_price is None or line.total is None:
        return False
    is_read = _is_sure(money, f"{path}.unit_price") and _is_sure(money, f"{path}.quantity")
    return is_read and is_product(line.quantity, line.unit_price, line.total)
