"""Who sells and who buys, by the words above their names or by the letterhead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.llm.standin import invoice_labels as words
from pipeline.llm.standin.invoice_facts import PartyFacts
from pipeline.llm.standin.labels import Labels, contains_word
from pipeline.llm.standin.layout import Cell, Layout
from pipeline.llm.standin.printed_values import ibans_in, vat_ids_in

_LETTERHEAD_LINES = 15
_BLOCK_LINES = 8
_ADDRESS_LINES = 3
_TABLE_CELLS = 4
_SHORTEST_LINE = 4
_BUYERS_WORDS = ("ihre", "client", "kunde", "customer", "buyer", "your", "nabywc", "cliente", "klant")


def read_parties(layout: Layout) -> tuple[PartyFacts, PartyFacts]:
    """Return the vendor and the buyer."""
    buyer = _announced(layout, Labels({1: words.BUYER}))
    vendor = _announced(layout, Labels({1: words.VENDOR})) or _letterhead(layout, buyer)
    vendor_vat, buyer_vat = _vat_ids(layout)
    iban = next((iban for cell in layout.cells for iban in ibans_in(cell.text)), None)
    return (
        PartyFacts(_name(vendor), _address(layout, vendor), vendor_vat, iban),
        PartyFacts(_name(buyer), _address(layout, buyer), buyer_vat),
    )


def _announced(layout: Layout, labels: Labels) -> Cell | None:
    for hit in labels.hits(layout):
        if not hit.at_start or not (hit.is_whole_cell or hit.after.lstrip().startswith(":")):
            continue
        rest = hit.after.lstrip(" :")
        if _is_name(rest):
            return Cell(hit.cell.line, hit.cell.start + hit.cell.text.index(rest, hit.end), rest)
        beside = layout.right_of(hit.cell)[:1] if hit.after.strip().startswith(":") else []
        if beside and _is_name(beside[0].text) and not beside[0].text.endswith(":"):
            return beside[0]
        if found := _first_name(layout, layout.beneath(hit.cell, lines=_BLOCK_LINES)):
            return found
    return None


def _first_name(layout: Layout, block: list[Cell]) -> Cell | None:
    """Return the cell behind a `Name:` if the block has one, else its first cell that may be a name."""
    for hit in Labels({1: words.NAME}).hits_in(block):
        rest = hit.after.lstrip(" :")
        if hit.at_start and ":" in hit.after and rest:
            return Cell(hit.cell.line, hit.cell.start, rest)
        if hit.is_whole_cell and (right := layout.right_of(hit.cell)):
            return right[0]
    return next((cell for cell in block if _is_name(cell.text)), None)


def _letterhead(layout: Layout, buyer: Cell | None) -> Cell | None:
    """Return the first company at the top, else the first words that may be a name."""
    # What stands beside or below the buyer is another address of the buyer.
    depth = min(_LETTERHEAD_LINES, buyer.line) if buyer and buyer.line > 1 else _LETTERHEAD_LINES
    candidates = [
        cell
        for line in layout.lines[:depth]
        for cell in line
        if _is_name(cell.text) and (buyer is None or cell.text != buyer.text)
    ]
    company = next((cell for cell in candidates if _has_legal_form(cell)), None)
    found = company or next(iter(candidates), None)
    if found is None:
        return None
    # Letterheads put name and address on one line with a sign between them.
    name = re.split(r" +[-–|•●·] +| {2,}", found.text)[0]
    return Cell(found.line, found.start, name)


def _is_name(text: str) -> bool:
    folded = Cell(0, 0, text).folded
    letters = sum(character.isalpha() for character in text)
    if letters < 3 or letters < len(text) / 2 or text.rstrip().endswith(":"):
        return False
    return not contains_word(folded, words.NO_NAMES) and "@" not in text


def _has_legal_form(cell: Cell) -> bool:
    tokens = re.split(r"[\s,]+", cell.folded)
    return any(token.rstrip(".") in words.LEGAL_FORMS for token in tokens[1:])


def _name(cell: Cell | None) -> str | None:
    return cell.text.strip(" ,;") if cell else None


def _address(layout: Layout, name: Cell | None) -> str | None:
    if name is None:
        return None
    lines = list(_address_lines(layout, name))
    return ", ".join(lines) if lines else None


def _address_lines(layout: Layout, name: Cell) -> Iterator[str]:
    for line in layout.lines[name.line + 1 : name.line + 1 + _ADDRESS_LINES]:
        cell = next((cell for cell in line if abs(cell.start - name.start) <= 3), None)
        # A row of many or of short cells is a table.
        if cell is None or len(line) >= _TABLE_CELLS or len(cell.text) < _SHORTEST_LINE:
            return
        if ":" in cell.text or "@" in cell.text or "www" in cell.folded:
            return
        yield cell.text


def _vat_ids(layout: Layout) -> tuple[str | None, str | None]:
    vendors: list[str] = []
    buyers: list[str] = []
    for cell in layout.cells:
        for vat_id in vat_ids_in(cell.text):
            line = " ".join(other.folded for other in layout.lines[cell.line] if other.start <= cell.start)
            (buyers if contains_word(line, _BUYERS_WORDS) else vendors).append(vat_id)
    vendor = vendors[0] if vendors else None
    others = [*buyers, *(vat_id for vat_id in vendors if vat_id != vendor)]
    return vendor, others[0] if others else None
