"""Hold the lines of an invoice against the rows of its table: lines left out, read twice, invented or mixed up."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from pipeline.invoice.checks import adjustments, error, lines_fit, quoted, sum_of_lines, warning
from pipeline.invoice.evidence import Money, Text, find_description
from pipeline.invoice.index import DocumentIndex, Seen
from pipeline.invoice.labels import Label, amount_label, mentions
from pipeline.invoice.model import Finding, Invoice, LineItem
from pipeline.invoice.numbers import Amount
from pipeline.invoice.products import ALIGNED, Product, discounted_products, products_of
from pipeline.invoice.words import squeeze

_SUMS = frozenset({Label.GRAND_TOTAL, Label.TOTAL, Label.NET, Label.TAX, Label.DUE})
# An allowance, a charge or the tax is the reason why lines do not make the total.
_EXPLANATIONS = frozenset({Label.TAX, Label.OTHER})
_ADJUSTMENTS = ("allowances", "charges", "paid", "earlier_payment", "earlier_balance", "subtotal")
_ROWS_BELOW = 4
_MOST_OCCURRENCES = 60


@dataclass(frozen=True)
class Table:
    """Hold where the lines of an invoice were found: descriptions by line number, amounts by field path.

    `absent` are the paths of values that were read, but are not in the document.
    """

    index: DocumentIndex
    rows: Mapping[int, Text]
    money: Mapping[str, Money]
    absent: frozenset[str] = frozenset()

    def place(self, number: int, name: str) -> Money | None:
        """Return where a number of a line stands."""
        return self.money.get(f"line_items.{number}.{name}")


def row_doubts(table: Table, invoice: Invoice) -> Iterator[Finding]:
    """Find lines that the table does not have, and rows of it that no line was read from."""
    yield from _sums_as_lines(table, invoice)
    yield from _extra(invoice)
    if table.index.is_xml:
        return
    products = products_of(table.index)
    yield from _repeated(table.index, invoice)
    yield from _unread(table, invoice, products)
    yield from _mixed_up(table, invoice, products)
    yield from _total_of_row(table, invoice, products)


def _sums_as_lines(table: Table, invoice: Invoice) -> Iterator[Finding]:
    """Find lines that are the tax, or called a sum, or whose amount is printed as a sum and nowhere else."""
    lines = sum_of_lines(invoice)
    if lines is None or len(invoice.line_items) < 2:
        return
    sums = {invoice.net_amount, invoice.tax_amount, invoice.total_amount} - {None}
    for number, line in enumerate(invoice.line_items):
        named = line.description is not None and amount_label(line.description) in _SUMS
        # The one line with an amount is no sum of others, whatever it is called: `Tax advice`.
        is_named = named and line.total in sums and line.total != lines
        if is_named or _is_tax(invoice, line, lines) or _stands_as_sum(table, number, line):
            message = f"This line of {line.total} is a sum of the invoice, not one of its lines."
            yield error("line_is_sum", f"line_items.{number}", message)


def _is_tax(invoice: Invoice, line: LineItem, lines: Decimal) -> bool:
    """Say whether a line is the tax: the others make the net amount, by themselves or with charges and allowances."""
    if not line.total or line.total != invoice.tax_amount:
        return False
    others = lines - line.total
    return invoice.net_amount in (others, others + adjustments(invoice))


def _stands_as_sum(table: Table, number: int, line: LineItem) -> bool:
    """Say whether nothing of a line is in the document but an amount, and that only with the label of a sum."""
    if number in table.rows or line.total is None or line.quantity is not None or line.unit_price is not None:
        return False
    index = table.index
    printed = [seen for seen in index.amounts(line.total) if not index.lines[seen.line].plain]
    return bool(printed) and all(index.label_before(seen.line, seen.token.start) in _SUMS for seen in printed)


def _repeated(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find lines that were read more often than they are printed."""
    keys = [(squeeze(line.description or ""), line.total) for line in invoice.line_items]
    read = Counter(keys)
    for number, (key, line) in enumerate(zip(keys, invoice.line_items, strict=True)):
        if line.description and line.total is not None and read[key] > 1 and keys.index(key) == number:
            printed = _printed(index, line.description, line.total)
            if 0 < printed < read[key]:
                message = f"The line “{line.description}” was read {read[key]} times, but is printed {printed} times."
                yield error("line_repeated", f"line_items.{number}", message)


def _printed(index: DocumentIndex, description: str, total: Decimal) -> int:
    """Return how often a description stands beside a total, in the view with columns.

    Where one place has more of its words than another, the other is the row of something like it.
    """
    found: list[Text] = []
    after = -1
    while len(found) < _MOST_OCCURRENCES:
        place = find_description(index, description, after=after)
        if place is None or place.first_line <= after or index.lines[place.first_line].plain:
            break
        found.append(place)
        after = place.last_line
    best = max((place.share for place in found), default=None)
    alike = [place for place in found if place.share == best]
    totals = {seen.line for seen in index.amounts(total)}
    beside = [one for one in alike if not totals.isdisjoint(range(one.first_line - 1, one.last_line + 3))]
    return len(beside or alike)


def _extra(invoice: Invoice) -> Iterator[Finding]:
    """Find the one line without which the others add up."""
    total = sum_of_lines(invoice)
    if total is None or len(invoice.line_items) < 2 or lines_fit(invoice, total):
        return
    for number, line in enumerate(invoice.line_items):
        if line.total and lines_fit(invoice, total - line.total):
            message = f"The lines add up without this one of {line.total}: it may be no line of its own."
            yield error("line_extra", f"line_items.{number}", message)
            return


def _unread(table: Table, invoice: Invoice, products: list[Product]) -> Iterator[Finding]:
    """Find rows with quantity, price and total from which no line was read, or one whose amount is missing."""
    total = sum_of_lines(invoice)
    if total is not None and lines_fit(invoice, total):
        return
    ends = _column_ends(table, invoice) or _likely_ends(invoice, products)
    unread = _unread_rows(invoice, _line_rows(table.index, products, ends))
    if unread:
        message = f"The document prints {_shown(table.index, unread[0].line)}, which no line was read from."
        with_them = (total or Decimal(0)) + sum(one.total for one in unread)
        # A table with far more rows than lines prints something else beside them.
        is_proven = not invoice.line_items or len(unread) <= len(invoice.line_items) or lines_fit(invoice, with_them)
        yield (error if is_proven else warning)("line_not_read", "line_items", message)
    elif not invoice.line_items and (head := _head(table.index)) is not None:
        message = f"No lines were read, but the document prints a table: {_shown(table.index, head)}."
        yield error("line_not_read", "line_items", message)
    if total is not None:
        yield from _missing_amount(table, invoice, total, ends)


def _line_rows(index: DocumentIndex, products: list[Product], ends: set[int]) -> list[Product]:
    """Return the rows that are lines by their product, or by their product less a discount."""
    rows = [one for one in products if _is_line(index, one, ends)]
    known = {one.line for one in rows}
    discounted = (one for one in discounted_products(index, ends) if one.line not in known)
    return [*rows, *(one for one in discounted if _is_line(index, one, ends))]


def _unread_rows(invoice: Invoice, rows: list[Product]) -> list[Product]:
    """Return the rows whose totals are printed more often than lines have them."""
    read = Counter(abs(line.total) for line in invoice.line_items if line.total is not None)
    unread = []
    for row in rows:
        if read[abs(row.total)]:
            read[abs(row.total)] -= 1
        else:
            unread.append(row)
    # Rows of lines whose total was not read cannot be told from rows that were not read at all.
    open_lines = sum(1 for line in invoice.line_items if line.total is None)
    return unread if len(unread) > open_lines else []


def _missing_amount(table: Table, invoice: Invoice, total: Decimal, ends: set[int]) -> Iterator[Finding]:
    """Find the amount of a row that the lines lack to add up.

    With charges and allowances counted in, an amount alone may be one of those: only a row with a price is proof.
    """
    places = [table.place(number, "total") for number in range(len(invoice.line_items))]
    used = {(place.line, place.start) for place in places if place}
    targets = [target for target in (invoice.net_amount, invoice.total_amount) if target is not None]
    lacks = [target - total for target in targets]
    for lack in dict.fromkeys((*lacks, *(lack - adjustments(invoice) for lack in lacks))):
        printed = table.index.amounts(lack) if lack else ()
        free = [seen for seen in printed if (seen.line, seen.token.start) not in used and seen.token.money]
        rows = [seen for seen in free if _is_in_column(table.index, seen, ends) and _is_row(table.index, seen)]
        is_explained = any(table.index.label_of_amount(seen) in _EXPLANATIONS for seen in printed)
        whole = [seen for seen in rows if _is_whole_row(table.index, seen)]
        for seen in itertools.islice(rows if lack in lacks and not is_explained else whole, 1):
            message = f"The lines lack {abs(lack)}, as printed in {_shown(table.index, seen.line)}."
            yield error("line_not_read", "line_items", message)
            return


def _mixed_up(table: Table, invoice: Invoice, products: list[Product]) -> Iterator[Finding]:
    """Find lines with a number that is not their row's: the rest of the row proves it, or another row has it."""
    by_line = {one.line: one for one in products}
    ends = _column_ends(table, invoice)
    for number, line in enumerate(invoice.line_items):
        found = table.rows.get(number)
        if found is None or table.index.lines[found.first_line].plain:
            continue
        span = range(found.first_line, found.last_line + 1)
        row = next((by_line[at] for at in span if at in by_line), None)
        if row and _contradicts(table, number, line, row):
            message = f"Its row says {row.quantity} times {row.price} is {row.total}."
            yield error("line_not_as_printed", f"line_items.{number}", message)
        elif line.total is not None and _is_of_other_row(table, number, span) and _in_span(table.index, span, ends):
            message = f"{line.total} does not stand in the row of “{line.description}”."
            yield error("line_not_as_printed", f"line_items.{number}.total", message)


def _total_of_row(table: Table, invoice: Invoice, products: list[Product]) -> Iterator[Finding]:
    """Find a total that is printed as the amount of a row, and nowhere else."""
    total, lines = invoice.total_amount, sum_of_lines(invoice)
    if not total or len(invoice.line_items) < 2 or (lines is not None and lines_fit(invoice, lines)):
        return
    rows = {one.line for one in _line_rows(table.index, products, _column_ends(table, invoice))}
    places = {seen.line for seen in table.index.amounts(total) if not table.index.lines[seen.line].plain}
    if places and places <= rows:
        message = (
            f"{total} is printed as the amount of a line, and nowhere as the total: {_shown(table.index, min(places))}."
        )
        yield error("total_is_line", "total_amount", message)


def _contradicts(table: Table, number: int, line: LineItem, row: Product) -> bool:
    """Say whether all but one number of a line are those of its row, and the row does not print that one as well."""
    pairs = {
        "quantity": (line.quantity, row.quantity),
        "unit_price": (line.unit_price, row.price),
        "total": (line.total, row.total),
    }
    wrong = [name for name, (own, printed) in pairs.items() if own is None or abs(own) != abs(printed)]
    if len(wrong) != 1:
        return False
    value = pairs[wrong[0]][0]
    if value is None:
        return f"line_items.{number}.{wrong[0]}" in table.absent
    printed = sum(abs(value) in map(abs, one.values) for one in table.index.amounts_in(row.line))
    # One printed number is not the price and the total as well.
    return printed < sum(own is not None and abs(own) == abs(value) for own, _ in pairs.values())


def _is_of_other_row(table: Table, number: int, span: range) -> bool:
    """Say whether a line's total stands in the row of another line."""
    place = table.place(number, "total")
    if place is None or place.line in span:
        return False
    return any(other != number and row.first_line <= place.line <= row.last_line for other, row in table.rows.items())


def _in_span(index: DocumentIndex, span: range, ends: set[int]) -> bool:
    return any(_in_column(index, at, ends) for at in span)


def _head(index: DocumentIndex) -> int | None:
    """Return the line of a table's head: a cell for the quantity and one for amounts, and a row close below."""
    for number, line in enumerate(index.lines):
        if line.plain or not mentions(line.text, "quantity"):
            continue
        cells = [cell.text for cell in index.cells(number)]
        quantities = [cell for cell in cells if mentions(cell, "quantity")]
        amounts = [cell for cell in cells if mentions(cell, "price") or amount_label(cell) in _SUMS]
        is_head = quantities and set(amounts) - set(quantities) and not any(map(str.isdigit, line.text))
        if is_head and any(_starts_row(index, below) for below in range(number + 1, number + 1 + _ROWS_BELOW)):
            return number
    return None


def _starts_row(index: DocumentIndex, line: int) -> bool:
    """Say whether a line prints words and an amount without the label of a sum."""
    for one in index.amounts_in(line):
        before = index.text_so_far(line, one.start)
        if one.money and not one.percent and any(map(str.isalpha, before)):
            return index.label_before(line, one.start) is None
    return False


def _is_line(index: DocumentIndex, product: Product, ends: set[int]) -> bool:
    """Say whether a row is one of the table: in its column of totals, and with no label of a sum."""
    in_column = any(abs(product.end - end) <= ALIGNED for end in ends)
    before = index.text_so_far(product.line, product.start)
    is_telling = product.is_money and 1 not in (abs(product.quantity), abs(product.price))
    has_place = in_column or (not ends and is_telling)
    return has_place and any(map(str.isalpha, before)) and index.label_before(product.line, product.start) not in _SUMS


def _is_row(index: DocumentIndex, seen: Seen[Amount]) -> bool:
    """Say whether an amount is in a row without the label of a sum; units and such may be named in a whole row."""
    label = index.label_before(seen.line, seen.token.start)
    return label is None or (label is Label.OTHER and _is_whole_row(index, seen))


def _is_whole_row(index: DocumentIndex, seen: Seen[Amount]) -> bool:
    """Say whether words, a quantity and a price stand before an amount, and nothing that names a discount."""
    before = [one for one in index.amounts_in(seen.line) if one.end <= seen.token.start]
    numbers = [one for one in before if not one.part and not one.percent]
    has_words = any(map(str.isalpha, index.text_so_far(seen.line, seen.token.start)))
    is_adjustment = index.mentions_before(seen.line, seen.token.start, *_ADJUSTMENTS)
    return has_words and len(numbers) > 1 and any(one.money for one in numbers) and not is_adjustment


def _column_ends(table: Table, invoice: Invoice) -> set[int]:
    """Return where the totals of the lines end, in the view with columns."""
    places = [table.place(number, "total") for number in range(len(invoice.line_items))]
    return {place.end for place in places if place and not table.index.lines[place.line].plain}


def _likely_ends(invoice: Invoice, products: list[Product]) -> set[int]:
    """Return where totals end if no line was read: in two printed rows or more, or in one that is the whole sum."""
    count = Counter(one.end for one in products if one.is_money)
    sums = {abs(value) for value in (invoice.net_amount, invoice.total_amount) if value is not None}
    return {one.end for one in products if one.is_money and (count[one.end] > 1 or abs(one.total) in sums)}


def _in_column(index: DocumentIndex, line: int, ends: set[int]) -> list[Seen[Amount]]:
    amounts = (one for one in index.amounts_in(line) if not one.part and not one.percent)
    found = [Seen(line, one) for one in amounts if one.currency or (one.money and one.text[-3:-2] in ".,")]
    return [seen for seen in found if _is_in_column(index, seen, ends)]


def _is_in_column(index: DocumentIndex, seen: Seen[Amount], ends: set[int]) -> bool:
    return not index.lines[seen.line].plain and any(abs(seen.token.end - end) <= ALIGNED for end in ends)


def _shown(index: DocumentIndex, line: int) -> str:
    return quoted(" ".join(index.lines[line].text.split()))
