"""Ground the lines of an invoice: each of their numbers beside its description, in the order of the table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal

from pipeline.invoice.checks import is_product, warning
from pipeline.invoice.evidence import Money, Text, find_description, find_money
from pipeline.invoice.grounding import Grounding
from pipeline.invoice.model import ExtractedLine, LineItem, Severity

# A table row may wrap over this many lines; XML spreads it over many more.
_ROW_LINES = 6
_XML_ROW_LINES = 40


def ground_lines(grounding: Grounding, claims: Sequence[ExtractedLine]) -> tuple[LineItem, ...]:
    """Return the lines in their order; a number that does not stand beside its description is told."""
    rows = _Rows(grounding)
    after = -1
    lines = []
    for number, claim in enumerate(claims):
        found = claim.description and find_description(grounding.index, claim.description, after=after)
        if found:
            after = found.last_line
            grounding.rows[number] = found
        lines.append(rows.line(f"line_items.{number}", claim, found or None))
    return tuple(lines)


class _Rows:
    """Ground one line after the other, and know which printed totals are taken."""

    def __init__(self, grounding: Grounding) -> None:
        self._grounding = grounding
        self._used: set[tuple[int, int]] = set()

    def line(self, path: str, claim: ExtractedLine, found: Text | None) -> LineItem:
        """Ground one line whose description stands there, if it does."""
        grounding = self._grounding
        description = claim.description and grounding.keep_text(
            f"{path}.description", claim.description, found, Severity.WARNING
        )
        row = range(found.first_line, found.last_line + 1) if found else None
        total = grounding.keep_money(f"{path}.total", self._beside(f"{path}.total", claim.total, row, Severity.ERROR))
        if total:
            self._used.add((total.line, total.start))
            row = range(min(total.line, row.start), max(total.line + 1, row.stop)) if row else None
            row = row or range(total.line, total.line + 1)
        prices = self._readings_beside(f"{path}.unit_price", claim.unit_price, row, Severity.WARNING, total=total)
        quantities = self._readings_beside(f"{path}.quantity", claim.quantity, row, Severity.WARNING, total=total)
        if total:
            prices, quantities = _settle_by_product(prices, quantities, total, has_quantity=claim.quantity is not None)
        unit_price = grounding.keep_money(f"{path}.unit_price", grounding.settled(f"{path}.unit_price", prices))
        quantity = grounding.keep_money(f"{path}.quantity", grounding.settled(f"{path}.quantity", quantities))
        return LineItem(
            description=description or None,
            quantity=quantity.value if quantity else None,
            unit_price=unit_price.value if unit_price else None,
            total=total.value if total else None,
        )

    def _beside(self, path: str, claim: Decimal | str | None, row: range | None, severity: Severity) -> Money | None:
        return self._grounding.settled(path, self._readings_beside(path, claim, row, severity))

    def _readings_beside(
        self,
        path: str,
        claim: Decimal | str | None,
        row: range | None,
        severity: Severity,
        *,
        total: Money | None = None,
    ) -> list[Money]:
        """Return the readings of a table row's number: near the row, else as money anywhere, else none."""
        if claim is None:
            return []
        grounding, index = self._grounding, self._grounding.index
        values = grounding.values(path, claim)
        reach = _XML_ROW_LINES if index.is_xml else _ROW_LINES
        near: list[Money] = []
        if row is not None:
            lines = range(row.start - reach, row.stop + reach)
            near = [place for value in values for place in find_money(index, value, lines=lines, loose=True)]
        anchor = total.line if total else row.start if row else 0
        if near:
            # Of equal numbers in a row the last is its total: `1  80.00  80.00`.
            side = -1 if path.endswith("total") else 1
            best = min(near, key=lambda place: (*self._fit(place, row, anchor), side * place.start))
            return [place for place in near if (place.line, place.start) == (best.line, best.start)]
        if not path.endswith("quantity"):
            far = [place for value in values for place in grounding.places(value)[:1]]
            if far and row is not None:
                grounding.findings.append(
                    warning("not_beside_line", path, f"{far[0].value} is printed, but not beside its line.")
                )
            if far:
                return far[:1]
        if values:
            grounding.absent(path, str(claim), severity)
        return []

    def _fit(self, place: Money, row: range | None, anchor: int) -> tuple[bool, bool, bool, int]:
        """Return how well a place fits a row, best first: sign, not taken by an earlier row, within the row, near."""
        used = (place.line, place.start) in self._used
        outside = row is None or place.line not in row
        return place.sign_differs, used, outside, abs(place.line - anchor)


def _settle_by_product(
    prices: list[Money], quantities: list[Money], total: Money, *, has_quantity: bool
) -> tuple[list[Money], list[Money]]:
    """Return the one reading of price and quantity whose product is the line's total; all of them where none is."""
    if not has_quantity:
        alike = [price for price in prices if is_product(Decimal(1), price.value, total.value)]
        return (alike or prices), quantities
    fitting = [
        (price, quantity)
        for price, quantity in itertools.product(prices, quantities)
        if is_product(quantity.value, price.value, total.value)
    ]
    if len({(price.value, quantity.value) for price, quantity in fitting}) != 1:
        return prices, quantities
    return [fitting[0][0]], [fitting[0][1]]
