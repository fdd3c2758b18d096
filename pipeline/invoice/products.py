"""Find the printed rows whose numbers multiply: a quantity times a price, less a discount, is the total of the row."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import NamedTuple

from pipeline.invoice.checks import CENT, is_product
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.numbers import Amount

# Right ends of the amounts of one column differ by no more characters than this.
ALIGNED = 2
_MOST_NUMBERS = 10


class Product(NamedTuple):
    """Hold three numbers of one printed row of which the last is the product of the others."""

    line: int
    quantity: Decimal
    price: Decimal
    total: Decimal
    start: int
    end: int
    is_money: bool


class _Number(NamedTuple):
    """Hold a printed number with what it can mean."""

    token: Amount
    values: tuple[Decimal, ...]


def products_of(index: DocumentIndex) -> list[Product]:
    """Return what the rows of a document multiply to, in their order."""
    found = (_product(index, number) for number in index.lines_with_digits)
    return [one for one in found if one is not None]


def discounted_products(index: DocumentIndex, ends: Collection[int]) -> Iterator[Product]:
    """Yield the rows with a discount in per cent whose totals stand in such a column."""
    for line in index.lines_with_digits:
        if not index.lines[line].plain and (found := _discounted(index, line, ends)):
            yield found


def _product(index: DocumentIndex, line: int) -> Product | None:
    """Return the first three numbers of a row that multiply, preferably a price and a total printed like money.

    Positions, article numbers and names with a digit multiply as well: `1   Cable 101`.
    """
    if index.lines[line].plain:
        return None
    best: Product | None = None
    best_likeness = -1
    for quantity, price, total in itertools.combinations(_numbers(index, line, percent=False), 3):
        likeness = price.token.money + total.token.money
        if likeness > best_likeness and (found := _as_product(line, quantity, price, total)):
            best, best_likeness = found, likeness
            if likeness == 2:
                break
    return best


def _as_product(line: int, quantity: _Number, price: _Number, total: _Number) -> Product | None:
    token = total.token
    for one, two, three in itertools.product(quantity.values, price.values, total.values):
        # A price of nothing would be the rounded one of any article number.
        if one and two and three and is_product(one, two, three):
            return Product(line, one, two, three, token.start, token.end, token.money)
    return None


def _discounted(index: DocumentIndex, line: int, ends: Collection[int]) -> Product | None:
    """Return the row's quantity, price and total where a fourth number is the discount between them."""
    numbers = _numbers(index, line, percent=True)
    for at, total in enumerate(numbers):
        if not total.token.money or not any(abs(total.token.end - end) <= ALIGNED for end in ends):
            continue
        for quantity, price, discount in itertools.combinations(numbers[:at], 3):
            if price.token.money and not price.token.percent and _is_discounted(quantity, price, discount, total):
                token = total.token
                return Product(line, quantity.values[0], price.values[0], total.values[0], token.start, token.end, True)
    return None


def _is_discounted(quantity: _Number, price: _Number, discount: _Number, total: _Number) -> bool:
    if any(len(one.values) != 1 for one in (quantity, price, discount, total)):
        return False
    share = 1 - abs(discount.values[0]) / 100
    full = quantity.values[0] * price.values[0]
    return 0 < share < 1 and bool(total.values[0]) and abs(abs(full * share) - abs(total.values[0])) <= CENT


def _numbers(index: DocumentIndex, line: int, *, percent: bool) -> list[_Number]:
    found = [one for one in index.amounts_in(line) if not one.part and (percent or not one.percent)]
    return [_Number(one, index.convention.readings(one)) for one in found[:_MOST_NUMBERS]]
