"""Hold total, net amount and tax against the amounts that the document labels as such."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

from pipeline.invoice.checks import adds_up, adjustments, any_adds_up, error, info, warning
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import Label, mentions_any, names_amount
from pipeline.invoice.memo import kept_while_it_lives
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.roles import is_table_head

Labelled = dict[Label, set[Decimal]]
_HEADING_REACH = 4
_LINE_HEADS = ("quantity", "price")
# The head of a table is no longer than this, in characters with its gaps.
_LONGEST_HEAD = 600
# So many allowances and charges may stand between a subtotal and the total; with more, any sum can be explained.
_MOST_OTHERS = 6
_MOST_TAXES = 5
# So many different amounts may have the same label; sums of more of them would prove anything.
_MOST_LABELLED = 500
_LABELS = {"net_amount": Label.NET, "tax_amount": Label.TAX}
_WORDS = {"net_amount": "net amount", "tax_amount": "tax"}


def sum_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find totals, net amounts and taxes that are other amounts of the page, and printed sums that do not add up."""
    if has_too_many_sums(index):
        message = (
            f"The document labels more than {_MOST_LABELLED} amounts as sums; they were not held against each other."
        )
        yield error("too_many_sums", "total_amount", message)
        return
    labelled = labelled_sizes(index)
    yield from _total(labelled, invoice)
    for field in _LABELS:
        yield from _part(index, labelled, invoice, field)
    yield from _before_charges(index, invoice)
    yield from _printed_sum(index, invoice)
    yield from _derived(invoice)


@kept_while_it_lives
def labelled_sizes(index: DocumentIndex) -> Labelled:
    """Return the sizes of all money amounts by the label beside or above them.

    The totals of the lines stand below a `total` as well, the head of their column; they are left out.
    """
    lines = {
        number + down
        for number, line in enumerate(index.lines)
        if not line.plain and names_amount(line.text)
        for down in range(_HEADING_REACH)
    }
    below_heads = _below_heads_of_lines(index)
    sizes: dict[Label, set[Decimal]] = defaultdict(set)
    for seen in index.all_amounts():
        readings = index.convention.readings(seen.token)
        if seen.line in lines and seen.token.money and not seen.token.percent and len(readings) == 1:
            label = index.label_of_amount(seen)
            if label is Label.TOTAL and seen.line in below_heads:
                label = index.label_before(seen.line, seen.token.start)
            if label is not None:
                sizes[label].add(abs(readings[0]))
    return sizes


def has_too_many_sums(index: DocumentIndex) -> bool:
    """Say whether far more amounts are labelled as totals, net amounts or taxes than an invoice ever has."""
    return any(len(sizes) > _MOST_LABELLED for sizes in labelled_sizes(index).values())


def size_of(value: Decimal | None) -> set[Decimal]:
    """Return the size of an amount, nothing where it is not known."""
    return set() if value is None else {abs(value)}


def sums_of_choices(amounts: Sequence[Decimal]) -> set[Decimal]:
    """Return the sums of all choices of at least one amount; there are twice as many with each amount more."""
    choices = (itertools.combinations(amounts, count) for count in range(1, len(amounts) + 1))
    return {sum(choice, Decimal(0)) for choice in itertools.chain.from_iterable(choices)}


def _below_heads_of_lines(index: DocumentIndex) -> set[int]:
    """Return the lines of the document so close below the head of a table of lines that it speaks for their amounts."""
    heads = (
        number
        for number, line in enumerate(index.lines)
        if len(line.text) <= _LONGEST_HEAD and mentions_any(line.text, _LINE_HEADS) and is_table_head(line.text)
    )
    return {head + down for head in heads for down in range(1, _HEADING_REACH)}


def _total(labelled: Labelled, invoice: Invoice) -> Iterator[Finding]:
    """Compare the total with the amounts that the document labels as totals.

    A label alone makes a warning; an error needs the document's own arithmetic on the label's side, or nothing at all
    on the other.
    """
    total, net, tax = invoice.total_amount, invoice.net_amount, invoice.tax_amount
    if total is None or abs(total) in labelled[Label.GRAND_TOTAL]:
        return
    at_total = abs(total) in labelled[Label.TOTAL]
    totals = labelled[Label.GRAND_TOTAL] | labelled[Label.TOTAL]
    if abs(total) not in labelled[Label.DUE]:
        # Nothing is due of what was paid; its total is another amount.
        totals |= labelled[Label.DUE] - {Decimal(0)}
    # Beside a plain “total” the only doubt left is that it is the total before tax.
    nets = set() if at_total else labelled[Label.NET] | labelled[Label.OTHER] | size_of(net)
    taxes = labelled[Label.TAX] | size_of(tax)
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


def _part(index: DocumentIndex, labelled: Labelled, invoice: Invoice, field: str) -> Iterator[Finding]:
    """Find a net amount or a tax that stands at no label for one, while another amount does."""
    value, label = getattr(invoice, field), _LABELS[field]
    net, tax, total = invoice.net_amount, invoice.tax_amount, invoice.total_amount
    if not value or (net is not None and tax is not None and total is not None and adds_up(net, tax, total)):
        return
    likely = labelled[label] - {Decimal(0)}
    if likely and abs(value) not in _sums_of_some(likely) and not _is_subtotal(index, field, value):
        words = " or ".join(format(one, "f") for one in sorted(likely)[:3])
        message = f"The document prints {words} as its {_WORDS[field]}, but {value} was read."
        yield error("part_not_at_label", field, message)


def _is_subtotal(index: DocumentIndex, field: str, value: Decimal) -> bool:
    """Say whether a net amount stands at a label such as `subtotal` or `total` instead."""
    beside, subtotals = _beside_labels(index)
    return field == "net_amount" and abs(value) in subtotals | beside[Label.TOTAL] | beside[Label.OTHER]


def _before_charges(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find a net amount without charges and allowances, where the one with them is printed as such."""
    net, tax, total, extra = invoice.net_amount, invoice.tax_amount, invoice.total_amount, adjustments(invoice)
    if net is None or tax is None or total is None or not extra or adds_up(net, tax, total):
        return
    nets = _beside_labels(index)[0][Label.NET]
    if adds_up(net + extra, tax, total) and abs(net + extra) in nets and abs(net) not in nets - _line_sums(index):
        message = f"The document prints {net + extra} as its net amount; {net} is without charges and allowances."
        yield error("net_before_charges", "net_amount", message)


def _line_sums(index: DocumentIndex) -> set[Decimal]:
    """Return the sizes of the amounts that are called the sum of the lines."""
    found = (seen for seen in index.all_amounts() if index.mentions_before(seen.line, seen.token.start, "line_sum"))
    return {abs(value) for seen in found for value in index.convention.readings(seen.token)}


def _printed_sum(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Add up the document's own amounts where net amount or tax were not read: they must lead to the total."""
    net, tax, total = invoice.net_amount, invoice.tax_amount, invoice.total_amount
    if total is None or (net is not None and tax is not None):
        return
    labelled, subtotals = _beside_labels(index)
    nets = size_of(net) or labelled[Label.NET] or subtotals
    taxes = size_of(tax) or labelled[Label.TAX]
    others = (labelled[Label.OTHER] | _between(index, nets, abs(total))) - nets - taxes - {abs(total)}
    if not nets or not taxes or len(taxes) > _MOST_TAXES or len(others) > _MOST_OTHERS or abs(total) in nets:
        return
    reachable = {base + part for base in nets for part in _sums_of_some(taxes)}
    differences = _differences(others)
    if not any(any_adds_up(start, differences, abs(total)) for start in reachable):
        base, part = max(nets), max(taxes)
        message = f"The document prints {base} and tax of {part}, which make {base + part}; the total says {total}."
        yield error("printed_sum_mismatch", "total_amount", message)


def _between(index: DocumentIndex, nets: set[Decimal], total: Decimal) -> set[Decimal]:
    """Return what is printed between net amount and total: allowances, charges and credits of any name."""
    first = min((seen.line for net in nets for seen in index.amounts(net)), default=0)
    last = max((seen.line for seen in index.amounts(total) if not index.lines[seen.line].plain), default=0)
    found = (one for line in range(first + 1, last) for one in index.amounts_in(line) if one.money and not one.percent)
    return {abs(value) for one in found for value in index.convention.readings(one)}


@kept_while_it_lives
def _beside_labels(index: DocumentIndex) -> tuple[Labelled, set[Decimal]]:
    """Return the sizes of the amounts by the label on their own line, and those of the subtotals among them.

    The head of a column is left out here: below `net` stand the lines.
    """
    labelled: Labelled = defaultdict(set)
    subtotals: set[Decimal] = set()
    for seen in index.all_amounts():
        readings = index.convention.readings(seen.token)
        label = index.label_before(seen.line, seen.token.start)
        if label and seen.token.money and not seen.token.percent and len(readings) == 1:
            labelled[label].add(abs(readings[0]))
            if index.mentions_before(seen.line, seen.token.start, "subtotal"):
                subtotals.add(abs(readings[0]))
    return labelled, subtotals


def _sums_of_some(amounts: Collection[Decimal]) -> set[Decimal]:
    """Return the amounts and the sums of all choices of the smallest ones."""
    return sums_of_choices(sorted(amounts)[:_MOST_TAXES]) | set(amounts)


def _differences(others: Collection[Decimal]) -> list[Decimal]:
    """Return how far allowances and charges can lead from net plus tax, in order."""
    signs = itertools.product((-1, 0, 1), repeat=len(others))
    sums = (sum((sign * one for sign, one in zip(choice, others, strict=True)), Decimal(0)) for choice in signs)
    return sorted(set(sums))


def _derived(invoice: Invoice) -> Iterator[Finding]:
    """Say what the third of net amount, tax and total would be; it is never filled in."""
    net, tax, total = invoice.net_amount, invoice.tax_amount, invoice.total_amount
    if total is None or (net is None) == (tax is None):
        return
    if net is None and tax is not None:
        yield info("derivable", "net_amount", f"The total less the tax makes {total - tax}; it was not read.")
    elif net is not None:
        yield info("derivable", "tax_amount", f"The total less the net amount makes {total - net}; it was not read.")
