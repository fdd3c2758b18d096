"""Make one reading of the readings of a document's parts, by rule: nothing is lost, doubled or silently chosen.

Parts overlap. A line of the invoice that two parts read is recognised by the printed row it stands on, not by its
values alone: the same thing may be sold twice on one page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from pipeline.document.parts import PageLine, Part, pages_of
from pipeline.invoice.checks import error, info
from pipeline.invoice.model import ExtractedParty, Extraction, Finding, Kind
from pipeline.invoice.roles import holds_money, is_table_head
from pipeline.invoice.words import squeeze, words_of

_FROM_THE_FIRST = (
    "invoice_number",
    "date",
    "due_date",
    "currency",
    "delivery_date",
    "order_reference",
    "buyer_reference",
)
_FROM_THE_LAST = ("total_amount", "net_amount", "tax_amount", "prepaid_amount", "payable_amount")
_LISTS_OF_THE_LAST = ("taxes", "allowances", "charges")
_PARTIES = ("vendor", "buyer")
# Said in words of ours, so not to be looked for.
_UNPRINTED = frozenset({"kind", "currency"})
# Below this a printed line is no row of an invoice line; a row has 2 for its total, 1 for its price, up to 2 for words.
_LEAST_LIKENESS = 1.0
_SHARE_OF_WORDS = 0.5
_SHORTEST_NUMBER = 3
_SHORTEST_NAME_WORD = 4
_LEGAL_FORMS = frozenset({"gmbh", "limited", "company", "corporation", "group", "holding", "sarl", "societe"})


@dataclass(frozen=True)
class Reading:
    """Hold what a model said of one part, as plain JSON."""

    part: Part
    values: Mapping[str, Any]


class Merged(NamedTuple):
    """Hold one reading of the whole document, and what its parts do not agree on."""

    values: dict[str, Any]
    findings: tuple[Finding, ...]


def merge(readings: Sequence[Reading], lines: Sequence[PageLine]) -> Merged:
    """Return the header from the first part that has it, totals from the last, and every line once, in order."""
    parts = [_Read(one.part, one.values, Extraction.model_validate(dict(one.values))) for one in readings]
    values: dict[str, Any] = {"kind": _kind(parts).value}
    values |= {name: _found(parts, name) for name in _FROM_THE_FIRST}
    values |= {name: _found(parts[::-1], name) for name in _FROM_THE_LAST}
    values |= {name: _list_of_the_last(parts, name) for name in _LISTS_OF_THE_LAST}
    values["own_fields"] = _own_fields(parts)
    values |= {role: {name: _found(parts, role, name) for name in ExtractedParty.model_fields} for role in _PARTIES}
    values["line_items"] = [row.item for row in _all_rows(parts, lines)]
    return Merged(values, (*_disagreements(parts, lines), _told(len(readings))))


@dataclass(frozen=True)
class _Read:
    part: Part
    values: Mapping[str, Any]
    read: Extraction


@dataclass(frozen=True)
class _Row:
    """Hold an invoice line and the printed line it stands on, or between which two it must where it was not found."""

    line: int
    latest: int
    item: Mapping[str, Any]
    exact: bool


def _found(parts: Sequence[_Read], *path: str) -> Any:
    """Return the value of the first of these parts that has one, as it was said."""
    for one in parts:
        read: Any = one.read
        for name in path:
            read = getattr(read, name)
        if read is not None:
            return _said(one.values, path)
    return None


def _list_of_the_last(parts: Sequence[_Read], name: str) -> list[Any]:
    return next((list(one.values[name]) for one in reversed(parts) if getattr(one.read, name)), [])


def _own_fields(parts: Sequence[_Read]) -> dict[str, Any]:
    """Return each field of the user's own from the first part that has it."""
    found: dict[str, Any] = {}
    for one in parts:
        found |= {name: value for name, value in one.read.own_fields.items() if found.get(name) is None}
    return found


def _said(values: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = values
    for name in path:
        # A party given as a bare text is its name.
        value = value.get(name) if isinstance(value, Mapping) else value
    return value


def _all_rows(parts: Sequence[_Read], lines: Sequence[PageLine]) -> list[_Row]:
    found = [_rows(one, lines) for one in parts]
    rows = found[0]
    for (before, after), new in zip(pairwise(parts), found[1:], strict=True):
        rows = _joined(rows, new, first=after.part.start, end=before.part.end)
    return rows


def _joined(before: list[_Row], after: list[_Row], *, first: int, end: int) -> list[_Row]:
    """Put two runs of rows together that share the printed lines from `first` up to `end`."""
    kept = [row for row in before if row.latest < first]
    left = [row for row in before if row.latest >= first]
    right = [row for row in after if row.line < end]
    new = [row for row in after if row.line >= end]
    partners = _partners(left, right)
    middle = (first + end) / 2
    shared: list[_Row] = []
    for number, row in enumerate(left):
        other = partners.get(number)
        # Each part knows best what stands well inside it.
        shared.append(row if other is None or row.line < middle else right[other])
    alone = [row for number, row in enumerate(right) if number not in partners.values()]
    return [*kept, *sorted([*shared, *alone], key=lambda row: row.line), *new]


def _partners(left: Sequence[_Row], right: Sequence[_Row]) -> dict[int, int]:
    """Find the rows that both parts read: those on the same printed line, then those equal where no line is known."""
    partners: dict[int, int] = {}

    def pair(same: Callable[[_Row, _Row], bool]) -> None:
        for number, row in enumerate(left):
            free = (n for n in range(len(right)) if n not in partners.values() and same(row, right[n]))
            if number not in partners and (other := next(free, None)) is not None:
                partners[number] = other

    pair(lambda one, other: one.exact and other.exact and one.line == other.line)
    pair(lambda one, other: not (one.exact and other.exact) and _key(one.item) == _key(other.item))
    return partners


def _key(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(squeeze(str(item.get(name) or "")) for name in ("description", "quantity", "total"))


def _rows(one: _Read, lines: Sequence[PageLine]) -> list[_Row]:
    """Find the printed line of each invoice line, in order, so that most of them are found."""
    items = [item for item in one.values.get("line_items") or () if isinstance(item, Mapping)]
    places = _aligned(items, [line.text for line in lines[one.part.start : one.part.end]])
    rows: list[_Row] = []
    at = one.part.start
    for number, (item, place) in enumerate(zip(items, places, strict=True)):
        at = at if place is None else one.part.start + place
        behind = next((one.part.start + later for later in places[number:] if later is not None), one.part.end - 1)
        rows.append(_Row(at, behind, item, exact=place is not None))
    return rows


def _aligned(items: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> list[int | None]:
    """Return for each item the number of its line, None where none is like it; numbers only grow."""
    seen = [_seen(text) for text in texts]
    likeness = [[_likeness(item, line) for line in seen] for item in map(_wanted, items)]
    # best[i][j]: what the items from i on can reach on the lines from j on.
    best = [[0.0] * (len(texts) + 1) for _ in range(len(items) + 1)]
    for i in range(len(items) - 1, -1, -1):
        for j in range(len(texts) - 1, -1, -1):
            taken = likeness[i][j] + best[i + 1][j + 1] if likeness[i][j] else 0.0
            best[i][j] = max(taken, best[i + 1][j], best[i][j + 1])
    places: list[int | None] = []
    j = 0
    for i in range(len(items)):
        while best[i][j] > best[i + 1][j] and best[i][j] == best[i][j + 1]:
            j += 1
        is_here = best[i][j] > best[i + 1][j]
        places.append(j if is_here else None)
        j += is_here
    return places


@dataclass(frozen=True)
class _Wanted:
    words: tuple[str, ...]
    total: str
    price: str


@dataclass(frozen=True)
class _Seen:
    words: frozenset[str]
    chunks: frozenset[str]


def _wanted(item: Mapping[str, Any]) -> _Wanted:
    total, price = (squeeze(str(item.get(name) or "")) for name in ("total", "unit_price"))
    return _Wanted(tuple(words_of(str(item.get("description") or ""))), total, price)


def _seen(text: str) -> _Seen:
    return _Seen(frozenset(words_of(text)), frozenset(squeeze(chunk) for chunk in text.split()))


def _likeness(item: _Wanted, line: _Seen) -> float:
    share = sum(word in line.words for word in item.words) / len(item.words) if item.words else 0.0
    points = 2.0 * share if share >= _SHARE_OF_WORDS else 0.0
    points += 2.0 * (bool(item.total) and item.total in line.chunks)
    points += 1.0 * (bool(item.price) and item.price in line.chunks)
    return points if points > _LEAST_LIKENESS else 0.0


def _disagreements(parts: Sequence[_Read], lines: Sequence[PageLine]) -> Iterator[Finding]:
    yield from _disagreement("kind", parts, lines, value=_kind_of(parts, lines), same=lambda one, other: one == other)
    yield from _disagreement("invoice_number", parts, lines, value=lambda one: one.invoice_number, same=_same_number)
    yield from _disagreement("currency", parts, lines, value=_code, same=lambda one, other: one == other)
    yield from _disagreement("vendor.vat_id", parts, lines, value=lambda one: one.vendor.vat_id, same=_same_number)
    number = next((one.read.invoice_number for one in parts if one.read.invoice_number), "")
    yield from _disagreement("vendor.name", parts, lines, value=_vendor_of(number), same=_same_name)


def _disagreement(
    field: str,
    parts: Sequence[_Read],
    lines: Sequence[PageLine],
    *,
    value: Callable[[Extraction], str | None],
    same: Callable[[str, str], bool],
) -> Iterator[Finding]:
    """Find the first part that says something else than the first that says anything, and shows it.

    What that first part shows as well is nothing new: the model only took something else for the same thing.
    """
    said = [(one, text) for one in parts if (text := value(one.read)) and _is_shown(field, text, lines, one.part)]
    for one, text in said[1:]:
        first, first_text = said[0]
        alone = Part(first.part.start, min(first.part.end, one.part.start))
        is_new = field in _UNPRINTED or not _is_shown(field, text, lines, alone)
        if is_new and not same(first_text, text):
            where, there = (pages_of(lines, each.part) for each in (first, one))
            message = f"“{first_text}” on {where}, but “{text}” on {there}: this may be more than one invoice."
            yield error("parts_disagree", field, message)
            return


def _is_shown(field: str, text: str, lines: Sequence[PageLine], part: Part) -> bool:
    """Say whether a part prints what it is said to; what is not there proves nothing, and is found out later."""
    printed = " ".join(line.text for line in lines[part.start : part.end])
    return field in _UNPRINTED or squeeze(text) in squeeze(printed)


def _kind(parts: Sequence[_Read]) -> Kind:
    """Return the first part's kind; where that is none, the kind of the first invoice with a number behind it."""
    first = parts[0].read.kind
    if first is not Kind.OTHER:
        return first
    return next((one.read.kind for one in parts if _is_numbered(one.read)), first)


def _is_numbered(read: Extraction) -> bool:
    """Say whether it is an invoice by more than its rows: pages of terms are none, and rows alone do not make one."""
    return read.kind is not Kind.OTHER and read.invoice_number is not None


def _kind_of(parts: Sequence[_Read], lines: Sequence[PageLine]) -> Callable[[Extraction], str | None]:
    """Return how to read a kind off a part, where it says something of the document as a whole."""
    first = parts[0]
    numbers = [one.read.invoice_number for one in parts if _is_numbered(one.read)]
    # Pages of rows under the invoice's own number belong to it, whatever they were taken for.
    goes_on = any(number and _is_shown("invoice_number", number, lines, first.part) for number in numbers)

    def kind_of(read: Extraction) -> str | None:
        if read.kind is Kind.OTHER:
            return read.kind.value if read is first.read and not goes_on else None
        return read.kind.value if first.read.kind is not Kind.OTHER or _is_numbered(read) else None

    return kind_of


def _code(read: Extraction) -> str | None:
    code = (read.currency or "").upper()
    return code if len(code) == 3 and code.isalpha() else None


def _vendor_of(number: str) -> Callable[[Extraction], str | None]:
    """Return how to read the vendor's name; neither a page's title, “Invoice 4711, continued”, nor a row is one."""
    known = squeeze(number)

    def vendor_of(read: Extraction) -> str | None:
        name = read.vendor.name
        if name is None or is_table_head(name) or holds_money(name) or (known and known in squeeze(name)):
            return None
        return name

    return vendor_of


def _same_number(one: str, other: str) -> bool:
    """Compare identifiers; one may be printed with a prefix that the other lacks."""
    shorter, longer = sorted((squeeze(one), squeeze(other)), key=len)
    return shorter == longer or (len(shorter) >= _SHORTEST_NUMBER and longer.endswith(shorter))


def _same_name(one: str, other: str) -> bool:
    """Compare names of firms, which are printed in many ways: one telling word in common is enough."""
    first, second = ({word for word in words_of(name) if len(word) >= _SHORTEST_NAME_WORD} for name in (one, other))
    return bool(first & second - _LEGAL_FORMS) or squeeze(one) in squeeze(other) or squeeze(other) in squeeze(one)


def _told(count: int) -> Finding:
    return info("read_in_parts", "", f"The document was too long to be read at once; it was read in {count} parts.")
