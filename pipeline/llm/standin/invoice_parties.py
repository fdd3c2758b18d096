"""Who sells and who buys, by the words above their names or by the letterhead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from pipeline.llm.standin import invoice_labels as words
from pipeline.llm.standin.invoice_blocks import block_heads, has_postcode
from pipeline.llm.standin.invoice_facts import PartyFacts
from pipeline.llm.standin.labels import Hit, Labels, contains_word
from pipeline.llm.standin.layout import Cell, Layout, fold
from pipeline.llm.standin.printed_values import ibans_in, vat_ids_in

_LETTERHEAD_LINES = 15
_BLOCK_LINES = 8
_BELOW = 2
_ADDRESS_LINES = 3
_TABLE_CELLS = 4
_SHORTEST_LINE = 4
_BUYERS_WORDS = ("ihre", "client", "kunde", "customer", "buyer", "your", "nabywc", "cliente", "klant")


def read_parties(layout: Layout) -> tuple[PartyFacts, PartyFacts]:
    """Return the vendor and the buyer; what is not labelled is told by its place at the top of the letter."""
    buyer = _announced(layout, _labels("BUYER"))
    vendor = _announced(layout, _labels("VENDOR"))
    if vendor is None and buyer is None:
        vendor, buyer = _from_letter(layout)
    elif vendor is None:
        vendor = _letterhead(layout, buyer)
    if vendor and buyer and fold(vendor.text) == fold(buyer.text):
        buyer = None
    vendor_vat, buyer_vat = _vat_ids(layout)
    iban = next((iban for cell in layout.cells for iban in ibans_in(cell.text)), None)
    return (
        PartyFacts(_name(vendor), _address(layout, vendor), vendor_vat, iban),
        PartyFacts(_name(buyer), _address(layout, buyer), buyer_vat),
    )


@cache
def _labels(name: str) -> Labels:
    return Labels({1: getattr(words, name)})


def _announced(layout: Layout, labels: Labels) -> Cell | None:
    for hit in labels.hits(layout):
        colon = hit.after.lstrip().startswith(":")
        if not hit.at_start or not (colon or (hit.is_whole_cell and hit.phrase not in words.LABELS_WITH_COLON)):
            continue
        rest = hit.after.lstrip(" :")
        if _is_name(rest):
            return Cell(hit.cell.line, hit.cell.start + hit.cell.text.index(rest, hit.end), rest)
        if (beside := _beside(layout, hit)) is not None:
            return beside
        if found := _first_name(layout, layout.beneath(hit.cell, lines=_BLOCK_LINES)):
            return found
    return None


def _beside(layout: Layout, hit: Hit) -> Cell | None:
    """Return the name right of a label with a colon, or of one with another label or nothing beneath."""
    right = layout.right_of(hit.cell)[:1]
    if not right or not _is_name(right[0].text):
        return None
    following = layout.lines[hit.cell.line + 1 : hit.cell.line + 2]
    under = [cell for line in following for cell in line if cell.shares_column(hit.cell)]
    alone = not under or _is_label(under[0].text)
    return right[0] if hit.after.strip().startswith(":") or alone else None


def _is_label(text: str) -> bool:
    """Tell whether a text is the label of something, whatever it is."""
    words_only = fold(text).strip(" .:#*")
    return text.rstrip().endswith(":") or words_only in _all_labels()


@cache
def _all_labels() -> frozenset[str]:
    weighted = (words.NUMBER, words.DATE, words.DUE_DATE, words.TOTAL, words.NET, words.TAX)
    phrases = [phrase for table in weighted for group in table.values() for phrase in group]
    plain = (words.VENDOR, words.BUYER, words.NAME, words.CURRENCY, words.OTHER_LABELS, words.INVOICE_WORDS)
    return frozenset([*phrases, *(phrase for group in plain for phrase in group)])


def _from_letter(layout: Layout) -> tuple[Cell | None, Cell | None]:
    """Return sender and addressee of a letter: the sender's block stands first or at the same height."""
    heads = [_first_part(head) for head in block_heads(layout, is_name=_is_name)]
    names = list(dict.fromkeys(fold(head.text) for head in heads))
    if len(names) > 1:
        first, second = heads[0], next(head for head in heads if fold(head.text) == names[1])
        if second.line - first.line >= _BELOW:
            return first, second
        # Side by side either may be the sender; the sender's name comes again, in the foot for instance.
        again = [head for head in (first, second) if _occurrences(layout, head) > 1]
        return (again[0], second if again[0] is first else first) if len(again) == 1 else (None, None)
    vendor = _letterhead(layout, None)
    if heads and vendor and vendor.line < heads[0].line and fold(vendor.text) != names[0]:
        return vendor, heads[0]
    return vendor, None


def _occurrences(layout: Layout, name: Cell) -> int:
    return sum(fold(name.text) in cell.folded for cell in layout.cells)


def _first_name(layout: Layout, block: list[Cell]) -> Cell | None:
    """Return the cell behind a `Name:` if the block has one, else its first cell that may be a name."""
    for hit in _labels("NAME").hits_in(block):
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
    return _first_part(found) if found else None


def _first_part(cell: Cell) -> Cell:
    """Return the name of a line that holds the address too, with a sign between them."""
    return Cell(cell.line, cell.start, re.split(r" +[-–|•●·] +| {2,}", cell.text)[0])


def _is_name(text: str) -> bool:
    folded = Cell(0, 0, text).folded
    letters = sum(character.isalpha() for character in text)
    if letters < 3 or letters < len(text) / 2:
        return False
    last = text.split()[-1]
    if last.endswith(".") and last[0].islower() and "." not in last[:-1]:
        return False  # the end of a sentence
    return not contains_word(folded, words.NO_NAMES) and "@" not in text and not _is_label(text)


def _has_legal_form(cell: Cell) -> bool:
    tokens = re.split(r"[\s,]+", cell.folded)
    return any(token.rstrip(".") in words.LEGAL_FORMS for token in tokens[1:])


def _name(cell: Cell | None) -> str | None:
    return _split_line(cell.text)[0] if cell else None


def _split_line(text: str) -> tuple[str, str]:
    """Return name and address of a line that holds both: the address begins with the first part with a number."""
    parts = text.strip(" ,;").split(", ")
    end = next((number for number, part in enumerate(parts) if re.search(r"\d", part)), len(parts))
    if end == 0 or end == len(parts) or (not has_postcode(", ".join(parts[end:])) and end + 1 == len(parts)):
        return text.strip(" ,;"), ""
    return ", ".join(parts[:end]), ", ".join(parts[end:])


def _address(layout: Layout, name: Cell | None) -> str | None:
    if name is None:
        return None
    if rest := _split_line(name.text)[1]:
        return rest
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
        if any(vat_ids_in(cell.text)) or _is_label(cell.text):
            return
        yield cell.text
        # A house number of four digits looks like a postcode until the postcode follows.
        below = layout.lines[cell.line + 1 : cell.line + 2]
        if has_postcode(cell.text) and not any(has_postcode(other.text) for line in below for other in line):
            return


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
