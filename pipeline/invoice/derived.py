"""Keep a value that no page prints where the other values prove it: a net amount, a tax, the total of a line.

A model often works out what a document leaves out. Its word alone is not enough; arithmetic over values that do stand
in the document is, and the result says what the value was derived from.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from pipeline.invoice.checks import CENT, NOT_IN_DOCUMENT, error, info, is_product
from pipeline.invoice.model import Evidence, Extraction, Finding, Invoice, LineItem
from pipeline.invoice.numbers import candidates


class Derived(NamedTuple):
    """Hold an invoice with what could be derived, where it comes from, and the findings that are left."""

    invoice: Invoice
    evidence: dict[str, Evidence]
    findings: tuple[Finding, ...]


class _Value(NamedTuple):
    path: str
    amount: Decimal
    sources: tuple[str, ...]


def derive(
    invoice: Invoice, extraction: Extraction, evidence: Mapping[str, Evidence], findings: Iterable[Finding]
) -> Derived:
    """Return the invoice with the values that were read, are not printed, and follow from others that are.

    A value that was not read at all stays unknown, and the total of the invoice is never derived.
    """
    left = list(findings)
    absent = {finding.field for finding in left if finding.code == NOT_IN_DOCUMENT}
    found = [one for one in _candidates(invoice, extraction, absent) if all(path in evidence for path in one.sources)]
    paths = {one.path for one in found}
    kept = [_graver(one, invoice) for one in left if not (one.code == NOT_IN_DOCUMENT and one.field in paths)]
    places = {one.path: _place(one, evidence) for one in found}
    return Derived(_with(invoice, found), {**evidence, **places}, (*kept, *map(_told, found)))


def _candidates(invoice: Invoice, extraction: Extraction, absent: set[str]) -> Iterator[_Value]:
    net, tax, total = invoice.net_amount, invoice.tax_amount, invoice.total_amount
    if "net_amount" in absent and total is not None and tax is not None:
        yield from _proved("net_amount", extraction.net_amount, total - tax, "total_amount", "tax_amount")
    if "tax_amount" in absent and total is not None and net is not None:
        yield from _proved("tax_amount", extraction.tax_amount, total - net, "total_amount", "net_amount")
    for number, (line, read) in enumerate(zip(invoice.line_items, extraction.line_items, strict=True)):
        path = f"line_items.{number}"
        if f"{path}.total" in absent and line.quantity is not None and line.unit_price is not None:
            product = (line.quantity * line.unit_price).quantize(CENT)
            yield from _proved(f"{path}.total", read.total, product, f"{path}.quantity", f"{path}.unit_price")
        if f"{path}.unit_price" in absent and line.quantity and line.total is not None:
            fitting = (one for one in _claims(read.unit_price) if is_product(line.quantity, one, line.total))
            for price in itertools.islice(fitting, 1):
                yield _Value(f"{path}.unit_price", price, (f"{path}.total", f"{path}.quantity"))


def _proved(path: str, read: Decimal | str | None, amount: Decimal, *sources: str) -> Iterator[_Value]:
    """Yield the amount if it is what was read."""
    if amount in _claims(read):
        yield _Value(path, amount, sources)


def _claims(read: Decimal | str | None) -> tuple[Decimal, ...]:
    return (read,) if isinstance(read, Decimal) else candidates(read or "")


def _graver(finding: Finding, invoice: Invoice) -> Finding:
    """Make an error of a price that is neither printed nor fits its line: something was misread there."""
    group, _, name = finding.field.partition(".")
    if finding.code != NOT_IN_DOCUMENT or group != "line_items" or not name.endswith(".unit_price"):
        return finding
    line = invoice.line_items[int(name.partition(".")[0])]
    return error(NOT_IN_DOCUMENT, finding.field, finding.message) if line.quantity and line.total else finding


def _place(one: _Value, evidence: Mapping[str, Evidence]) -> Evidence:
    """Show the first of the values it comes from."""
    source = evidence[one.sources[0]]
    return Evidence(page=source.page, quote=source.quote, box=source.box, derived_from=one.sources)


def _told(one: _Value) -> Finding:
    words = " and ".join(one.sources)
    return info("derived", one.path, f"{one.amount} is not printed; it follows from {words}.")


def _with(invoice: Invoice, found: Iterable[_Value]) -> Invoice:
    changes: dict[str, Any] = {}
    lines: list[LineItem] = list(invoice.line_items)
    for one in found:
        if one.path.startswith("line_items."):
            _, number, name = one.path.split(".")
            lines[int(number)] = lines[int(number)].model_copy(update={name: one.amount})
        else:
            changes[one.path] = one.amount
    return invoice.model_copy(update={**changes, "line_items": tuple(lines)})
