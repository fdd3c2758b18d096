"""Raise doubts that only the document can raise: a value that is printed, but beside another label.

`checks` looks at the values alone; here a total that is really a subtotal, exchanged dates, a currency that is not the
one beside the total, or a credit note taken for an invoice come to light.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from pipeline.invoice.checks import adds_up, error, warning
from pipeline.invoice.evidence import Money
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import Label, last_place, mentions, words_behind
from pipeline.invoice.locale_hints import currency_rivals, expected_order, labelled_currencies
from pipeline.invoice.model import Finding, Invoice, Kind
from pipeline.invoice.numbers import currencies_of
from pipeline.invoice.words import fold, squeeze

# A title is short; longer cells are sentences that merely mention the word.
_TITLE_WORDS = 5
_HEADING_REACH = 4
_CELL = re.compile(r"\S+(?: \S+)*")


def doubts(index: DocumentIndex, invoice: Invoice, kind: Kind, money: dict[str, Money]) -> Iterator[Finding]:
    """Yield findings about values that stand in the document, but seem to be something else there."""
    yield from _total(index, invoice)
    yield from _dates(index, invoice)
    yield from _number(index, invoice)
    yield from _currency(index, invoice, money.get("total_amount"))
    yield from _kind(index, invoice, kind)
    if not index.is_xml:
        yield from _roles(index, invoice)


def invoice_signs(index: DocumentIndex) -> bool:
    """Say whether a document that was called no invoice has an invoice's title and a labelled total."""
    titles = any(mentions(cell, "invoice") or mentions(cell, "credit_note") for cell in _titles(index))
    return titles and any(
        index.label_of_amount(seen) in (Label.GRAND_TOTAL, Label.DUE, Label.TOTAL)
        for seen in index.all_amounts()
        if seen.token.money
    )


def _total(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Compare the total with the amounts that the document labels as totals.

    A label alone makes a warning; an error needs the document's own arithmetic on the label's side, or nothing at all
    on the other.
    """
    total, net, tax = invoice.total_amount, invoice.net_amount, invoice.tax_amount
    labelled = _labelled_sizes(index)
    if total is None or abs(total) in labelled[Label.GRAND_TOTAL]:
        return
    at_total = abs(total) in labelled[Label.TOTAL]
    totals = labelled[Label.GRAND_TOTAL] | labelled[Label.TOTAL]
    if abs(total) not in labelled[Label.DUE]:
        totals |= labelled[Label.DUE]
    # Beside a plain “total” the only doubt left is that it is the total before tax.
    nets = set() if at_total else labelled[Label.NET] | labelled[Label.OTHER] | _sizes(net)
    taxes = labelled[Label.TAX] | _sizes(tax)
    proven = totals & {base + part for base in nets | {abs(total)} for part in taxes if base and part} - {abs(total)}
    agreed = net is not None and tax is not None and adds_up(net, tax, total)
    # Neither a label nor net plus tax speaks for it: some number of the document that is no total.
    unsupported = not agreed and not at_total and abs(total) not in labelled[Label.DUE]
    suspects = proven or (set() if at_total else labelled[Label.GRAND_TOTAL]) or (totals if unsupported else set())
    if suspects:
        words = " or ".join(format(value, "f") for value in sorted(suspects))
        make = error if (proven or unsupported) and not agreed else warning
        message = f"The document prints {words} as its total, but {total} was read."
        yield make("total_not_at_label", "total_amount", message)


def _sizes(value: Decimal | None) -> set[Decimal]:
    return set() if value is None else {abs(value)}


def _labelled_sizes(index: DocumentIndex) -> dict[Label, set[Decimal]]:
    """Return the sizes of all money amounts by the label beside or above them."""
    groups = ("grand_total", "gross", "total", "due", "net", "tax", "other")
    lines = {
        number + down
        for number, line in enumerate(index.lines)
        if not line.plain and any(mentions(line.text, group) for group in groups)
        for down in range(_HEADING_REACH)
    }
    sizes: dict[Label, set[Decimal]] = defaultdict(set)
    for seen in index.all_amounts():
        readings = index.convention.readings(seen.token)
        if seen.line in lines and seen.token.money and not seen.token.percent and len(readings) == 1:
            label = index.label_of_amount(seen)
            if label is not None:
                sizes[label].add(abs(readings[0]))
    return sizes


def _dates(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find dates whose labels say that they are something else."""
    order = expected_order(index, invoice.currency)
    labels: dict[date, set[Label]] = defaultdict(set)
    for seen in index.dates():
        label = index.label_of_date(seen)
        for day in seen.token.readings(order):
            labels[day] |= {label} if label else set()
    issued = {day for day, found in labels.items() if Label.DATE in found and Label.DUE_DATE not in found}
    payable = {day for day, found in labels.items() if Label.DUE_DATE in found and Label.DATE not in found}
    issue, due = invoice.date, invoice.due_date
    if issue in payable and due in issued:
        message = f"By their labels {issue} is the date to pay by and {due} is the invoice's own date."
        yield error("dates_exchanged", "date", message)
    elif issue in payable and issued:
        yield error("date_not_at_label", "date", f"{issue} is printed as the date to pay by.")
    elif due in issued and payable:
        yield error("date_not_at_label", "due_date", f"{due} is printed as the invoice's own date.")
    elif issue and labels.get(issue) == {Label.OTHER_DATE} and len(issued) == 1:
        yield error("date_not_at_label", "date", f"{issue} is printed as a date of delivery or order.")


def _number(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find an invoice number that stands elsewhere, while another one stands at the label."""
    if invoice.invoice_number is None:
        return
    claim = squeeze(invoice.invoice_number)
    rivals = []
    for line in index.lines:
        words = words_behind(line.text, "invoice_number") if not line.plain else []
        if words and claim in squeeze(line.text):
            return
        rivals += [word for word in words[:2] if any(character.isdigit() for character in word)]
    if rivals:
        message = f"Another number stands at the label for the invoice number than {invoice.invoice_number}."
        yield error("number_not_at_label", "invoice_number", message)


def _currency(index: DocumentIndex, invoice: Invoice, total: Money | None) -> Iterator[Finding]:
    code = invoice.currency
    if code is None:
        return
    beside = currencies_of(total.currency) if total and total.currency else ()
    if beside and code not in beside:
        message = f"The total is printed with {total.currency if total else ''}, but {code} was read."
        yield error("currency_mismatch", "currency", message)
        return
    labelled = labelled_currencies(index)
    if not beside and labelled and code not in labelled:
        words = " and ".join(sorted(labelled))
        yield error("currency_mismatch", "currency", f"The document names {words} as its currency, not {code}.")
        return
    rivals = currency_rivals(index, code)
    if rivals and not (beside and len(beside) == 1):
        words = ", ".join(rivals)
        yield warning("currency_assumed", "currency", f"The sign printed can also mean {words}; {code} was assumed.")


def _kind(index: DocumentIndex, invoice: Invoice, kind: Kind) -> Iterator[Finding]:
    titles = list(_titles(index))
    credit = any(mentions(cell, "credit_note") for cell in titles)
    plain = any(mentions(cell, "invoice") and not mentions(cell, "credit_note") for cell in titles)
    if kind is Kind.INVOICE and credit:
        make = warning if plain else error
        yield make("kind_doubtful", "kind", "The document calls itself a credit note, but was read as an invoice.")
    if kind is Kind.CREDIT_NOTE and plain and not credit and (invoice.total_amount or 0) > 0:
        yield error("kind_doubtful", "kind", "The document calls itself an invoice, but was read as a credit note.")


def _roles(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find a vendor and a buyer that were exchanged; one label alone may belong to something else beside it."""
    vendor, buyer = invoice.vendor.name, invoice.buyer.name
    names = {fold(name) for name in (vendor, buyer) if name}
    if not vendor or set(_roles_of(index, vendor, names)) != {"buyer"}:
        return
    if buyer and "buyer" not in _roles_of(index, buyer, names):
        yield error("parties_exchanged", "vendor.name", f"{vendor} is printed as the buyer, {buyer} is not.")
    else:
        yield warning("vendor_doubtful", "vendor.name", f"{vendor} seems to be printed as the buyer.")


def _roles_of(index: DocumentIndex, name: str, names: set[str]) -> list[str]:
    """Return the role at each place of a name, empty where no label stands beside or above it; names are no labels."""
    roles = []
    for number, line in enumerate(index.lines):
        start = -1 if line.plain else fold(line.text).find(fold(name))
        if start >= 0:
            cells = [cell.group() for cell in _CELL.finditer(line.text, 0, start)]
            beside = [*reversed(cells[-2:]), *index.headings(number, start, start + len(name))]
            roles.append(next((role for text in beside if fold(text) not in names and (role := _role(text))), ""))
    return roles


def _role(text: str) -> str:
    """Return the role that a label names; sentences name none, nor does a label that has its own value behind it."""
    if len(text.split()) > _TITLE_WORDS or any(character.isdigit() for character in text):
        return ""
    places = {role: last_place(text, role) for role in ("buyer", "vendor")}
    best = max(places, key=lambda role: places[role])
    return best if places[best] >= 0 else ""


def _titles(index: DocumentIndex) -> Iterator[str]:
    """Yield the short cells of the first page."""
    for line in index.lines:
        if line.page != 1 or line.plain:
            continue
        for cell in _CELL.finditer(line.text):
            if 1 <= len(cell.group().split()) <= _TITLE_WORDS:
                yield cell.group()
