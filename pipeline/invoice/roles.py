"""Tell vendor and buyer apart: by the labels at their names, and by what else stands around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.invoice.checks import error, warning
from pipeline.invoice.currencies import is_currency
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import groups, is_label, mentions
from pipeline.invoice.memo import kept_while_it_lives
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.numbers import Amount, find_amounts
from pipeline.invoice.words import fold, squeeze, words_of

# A title is short; longer cells are sentences that merely mention the word.
_TITLE_WORDS = 5
_DOMAIN = re.compile(r"(?:@|https?://|www\.)([\w.-]+)\.[a-z]{2,}", re.IGNORECASE)
_ADDRESS_MARKS = ("@", "://", "www.")
# `Acme Ltd · 5 Main Street` in one line, above an address window: who sends the letter.
_SENDER = re.compile(r"\s{0,6}[|·•●,;–-]\s+\S.*\d")
_COLON = re.compile(r"\s*:")
_IDENTITY_LINES = 10
_FEWEST_LETTERS = 4
_HEADS = ("column", "quantity", "price", "total", "net", "tax")
_MOST_WORDS = 14
# By this much the buyer has to look more like the vendor than the vendor does.
_MARGIN = 2


def role_doubts(index: DocumentIndex, invoice: Invoice) -> Iterator[Finding]:
    """Find a vendor that is the buyer, or no name at all."""
    vendor, buyer = invoice.vendor.name, invoice.buyer.name
    for path, name in (("vendor.name", vendor), ("buyer.name", buyer)):
        yield from _no_name(index, path, name or "")
    if not vendor:
        return
    if buyer and squeeze(vendor) == squeeze(buyer):
        yield error("vendor_is_buyer", "vendor.name", f"{vendor} was read as both the vendor and the buyer.")
    elif not index.is_xml:
        yield from _exchanged(index, vendor, buyer)


def holds_money(text: str) -> bool:
    """Say whether a text holds an amount of money, as no name does."""
    return any(amount.money and _is_priced(amount) for amount in find_amounts(text))


def is_table_head(text: str) -> bool:
    """Say whether a text has two heads of a table's columns, one of them for quantity or price."""
    heads = [word for word in words_of(text) if any(mentions(word, group) for group in _HEADS)]
    return len(heads) > 1 and any(mentions(word, group) for word in heads for group in ("quantity", "price"))


def _is_priced(amount: Amount) -> bool:
    """Say whether a number is printed with cents or a currency: `Studio 2.0` is a name."""
    has_currency = is_currency(amount.currency) or (bool(amount.currency) and not amount.currency.isalpha())
    return amount.text[-3:-2] in (".", ",") or (has_currency and len(amount.text) > 1)


def _no_name(index: DocumentIndex, path: str, name: str) -> Iterator[Finding]:
    if name and _is_label(index, name):
        yield error("name_is_label", path, f"“{name}” is a label of the page and no name.")
    elif len(words_of(name)) > _MOST_WORDS:
        yield error("name_too_long", path, f"“{name[:60]}…” is a sentence rather than a name.")


def _is_label(index: DocumentIndex, name: str) -> bool:
    """Say whether a name consists of label phrases, or is followed by a colon wherever it stands."""
    if is_label(name, groups()):
        return True
    folded = fold(name)
    ends = [_COLON.match(line, at + len(folded)) for line, at in _folded_places(index, folded)]
    return bool(ends) and all(ends)


def _exchanged(index: DocumentIndex, vendor: str, buyer: str | None) -> Iterator[Finding]:
    names = {fold(name) for name in (vendor, buyer) if name}
    roles = _roles_of(index, vendor, names)
    is_labelled_buyer = bool(roles) and set(roles) == {"buyer"}
    if buyer is None:
        if is_labelled_buyer:
            yield warning("vendor_doubtful", "vendor.name", f"{vendor} seems to be printed as the buyer.")
        return
    counter_roles = _roles_of(index, buyer, names)
    if is_labelled_buyer and "buyer" not in counter_roles:
        yield error("parties_exchanged", "vendor.name", f"{vendor} is printed as the buyer, {buyer} is not.")
    elif _likeness(index, buyer, counter_roles) - _likeness(index, vendor, roles) >= _MARGIN:
        message = f"{buyer} looks more like the sender of this document than {vendor}."
        yield error("parties_exchanged", "vendor.name", message)


def _likeness(index: DocumentIndex, name: str, roles: list[str]) -> int:
    """Return how much a name looks like the sender's: its labels count most."""
    places = list(_places(index, name))
    points = 3 * ("vendor" in roles) - 3 * ("buyer" in roles)
    points += 2 * _owns_domain(index, name)
    points += 2 * any(_is_sender(index, line, end) for line, _, end in places)
    points += 2 * any(_has_identity(index, line, start) for line, start, _ in places)
    points += any(line == _first_line(index) for line, _, _ in places)
    return points


def _folded_places(index: DocumentIndex, folded: str) -> Iterator[tuple[str, int]]:
    for text in index.folded:
        at = text.find(folded)
        while at >= 0:
            yield text, at
            at = text.find(folded, at + 1)


def _places(index: DocumentIndex, name: str) -> Iterator[tuple[int, int, int]]:
    """Yield line, start and end of a name in the view with columns."""
    wanted = name.casefold()
    for number, line in enumerate(index.lines):
        start = -1 if line.plain else line.text.casefold().find(wanted)
        if start >= 0:
            yield number, start, start + len(name)


def _owns_domain(index: DocumentIndex, name: str) -> bool:
    """Say whether a web or mail address of the page is made of the name's words."""
    words = words_of(name)
    keys = {word for word in words[:2] if len(word) >= _FEWEST_LETTERS} | {squeeze(" ".join(words[:2]))}
    keys = {key for key in keys if len(key) >= _FEWEST_LETTERS}
    return any(key in domain for domain in _domains(index) for key in keys)


@kept_while_it_lives
def _domains(index: DocumentIndex) -> list[str]:
    """Return the letters of the web and mail addresses."""
    lines = zip(index.lines, index.folded, strict=True)
    likely = (line.text for line, folded in lines if any(mark in folded for mark in _ADDRESS_MARKS))
    return [squeeze(match[1]) for text in likely for match in _DOMAIN.finditer(text)]


def _is_sender(index: DocumentIndex, line: int, end: int) -> bool:
    """Say whether an address follows the name in its line."""
    return bool(_SENDER.match(index.lines[line].text, end))


def _has_identity(index: DocumentIndex, line: int, start: int) -> bool:
    """Say whether the block below a name gives a tax number or an account, as a sender's does."""
    page = index.lines[line].page
    for number in range(line, min(len(index.lines), line + _IDENTITY_LINES)):
        below = index.lines[number]
        if below.page != page or below.plain:
            break
        for cell in index.cells(number):
            is_below = cell.start <= start + 2 and cell.end >= start - 2
            if is_below and any(map(str.isdigit, cell.text)) and mentions(cell.text, "identity"):
                return True
    return False


def _first_line(index: DocumentIndex) -> int:
    return next((number for number, line in enumerate(index.lines) if line.text.strip()), -1)


def _roles_of(index: DocumentIndex, name: str, names: set[str]) -> list[str]:
    """Return the role at each place of a name, empty where no label stands beside or above it; names are no labels."""
    roles = []
    wanted = fold(name)
    for number, line in enumerate(index.lines):
        start = -1 if line.plain else index.folded[number].find(wanted)
        if start >= 0:
            cells = index.cells_before(number, start)
            beside = [*reversed(cells[-2:]), *index.headings(number, start, start + len(name))]
            roles.append(next((role for text in beside if fold(text) not in names and (role := _role(text))), ""))
    return roles


def _role(text: str) -> str:
    """Return the role that a label names; none for sentences, for both at once, and where a value stands behind it."""
    if len(text.split()) > _TITLE_WORDS or any(character.isdigit() for character in text):
        return ""
    named = [role for role in ("buyer", "vendor") if mentions(text, role)]
    return named[0] if len(named) == 1 else ""
