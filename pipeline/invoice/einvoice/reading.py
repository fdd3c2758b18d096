"""Read an e-invoice: every value exactly as its XML has it, with the element it stands in."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pipeline.invoice.checks import error, info, quoted, warning
from pipeline.invoice.einvoice.syntaxes import SYNTAXES, Paths, Rows, Syntax, kind_of
from pipeline.invoice.einvoice.xml import Node, XmlRefused, parse, qualified_name
from pipeline.invoice.model import Adjustment, Finding, Invoice, Kind, LineItem, Party, Tax
from pipeline.invoice.words import squeeze


@dataclass(frozen=True)
class EInvoice:
    """Hold what an XML says: `quotes` are element and text by field path, `accounts` all account numbers in it."""

    syntax: str
    kind: Kind
    invoice: Invoice
    quotes: Mapping[str, str]
    findings: tuple[Finding, ...] = ()
    accounts: frozenset[str] = frozenset()


def read_xml(text: str) -> EInvoice:
    """Return what an e-invoice says; raise XmlRefused where the XML is broken, hostile or no invoice we know."""
    root = parse(text)
    # Peppol's network puts an envelope around the invoice.
    for element in (root, *root):
        syntax = SYNTAXES.get(qualified_name(element))
        if syntax is not None:
            return _Reading(syntax, Node(element, syntax.names)).einvoice()
    raise XmlRefused("it is no invoice of a known format")


# Digits enough for any money; an exponent or endless digits would make a number of any size.
_NUMBER = re.compile(r"[+-]?(?:\d{1,18}(?:\.\d{0,12})?|\.\d{1,12})")
_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:T.*|Z|[+-]\d\d:\d\d|\d{4,6})?")
_IBAN = re.compile(r"[A-Z]{2}\d\d[A-Z0-9]{10,30}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_MAX_CHARACTERS = 5_000
_MAX_ROWS = 10_000


def _amount(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _day(text: str) -> datetime.date | None:
    match = _DAY.fullmatch(text)
    if match is None:
        return None
    try:
        return datetime.date(*map(int, match.groups()))
    except ValueError:
        return None


def _text(text: str) -> str | None:
    return text if len(text) <= _MAX_CHARACTERS else None


def _currency(text: str) -> str | None:
    return text if _CURRENCY.fullmatch(text) else None


_READERS: Mapping[str, Callable[[str], Any]] = {
    "date": _day,
    "due_date": _day,
    "delivery_date": _day,
    "currency": _currency,
    **dict.fromkeys(
        ("total_amount", "net_amount", "tax_amount", "prepaid_amount", "rounding_amount", "payable_amount"), _amount
    ),
    **dict.fromkeys(("rate", "base", "amount", "quantity", "unit_price", "total"), _amount),
}
# These can be said only once.
_SINGLE = frozenset(
    {"invoice_number", "date", "currency", "total_amount", "net_amount", "tax_amount", "payable_amount"}
)


@dataclass
class _Reading:
    """Collect values, quotes and findings of one XML."""

    syntax: Syntax
    root: Node
    quotes: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def einvoice(self) -> EInvoice:
        syntax = self.syntax
        fields = {path: self._value(self.root, path, paths) for path, paths in syntax.fields.items()}
        header = {path: value for path, value in fields.items() if "." not in path}
        self._further_due_dates()
        invoice = Invoice(
            **header,
            vendor=self._party("vendor", fields),
            buyer=self._party("buyer", fields),
            taxes=tuple(Tax(**row) for row in self._rows("taxes", syntax.taxes)),
            line_items=tuple(LineItem(**row) for row in self._rows("line_items", syntax.lines)),
            allowances=tuple(Adjustment(**row) for row in self._rows("allowances", syntax.allowances)),
            charges=tuple(Adjustment(**row) for row in self._rows("charges", syntax.charges)),
        )
        accounts = frozenset(squeeze(node.text) for node in self.root.find(syntax.accounts))
        return EInvoice(syntax.name, self._kind(), invoice, self.quotes, tuple(self.findings), accounts)

    def _value(self, node: Node, path: str, paths: Paths) -> Any:
        """Return the value at the first of the paths that has one; what cannot be read is None and a finding."""
        found = next((nodes for one in paths if (nodes := [n for n in node.find(one) if n.text])), [])
        if not found:
            return None
        name = path.rpartition(".")[2]
        if name == "iban":
            return self._iban(path, found)
        read = _READERS.get(name, _text)
        value = read(found[0].text)
        if path in _SINGLE and any(read(other.text) != value for other in found[1:]):
            words = " and ".join(quoted(node.text) for node in found[:3])
            self.findings.append(error("xml_value_ambiguous", path, f"The XML says it twice: {words}."))
        if value is not None:
            self.quotes[path] = found[0].quote
            return value
        make = error if path in _SINGLE else warning
        message = f"The XML says {quoted(found[0].text)}, which cannot be read."
        self.findings.append(make("xml_value_unreadable", path, message))
        return None

    def _iban(self, path: str, nodes: list[Node]) -> str | None:
        """Return the first account number that is an IBAN; domestic ones stand in the same element."""
        for node in nodes:
            number = squeeze(node.text).upper()
            if _IBAN.fullmatch(number):
                self.quotes[path] = node.quote
                return number
        return None

    def _party(self, role: str, fields: Mapping[str, Any]) -> Party:
        values = {name: fields.get(f"{role}.{name}") for name in ("name", "vat_id", "iban", "bic")}
        return Party(**values, address=self._address(role))

    def _address(self, role: str) -> str | None:
        groups = []
        quotes = []
        for paths in self.syntax.addresses[role]:
            nodes = [node for path in paths for node in self.root.find(path) if node.text]
            groups.append(" ".join(node.text for node in nodes))
            quotes += [node.quote for node in nodes]
        address = _text(", ".join(filter(None, groups)))
        if not address:
            return None
        self.quotes[f"{role}.address"] = ", ".join(quotes)
        return address

    def _rows(self, name: str, rows: Rows) -> Iterator[dict[str, Any]]:
        """Yield the entries that say something."""
        number = 0
        nodes = list(self.root.find(rows.path))
        if len(nodes) > _MAX_ROWS:
            message = f"Of {len(nodes)} entries only {_MAX_ROWS} were read."
            self.findings.append(error("xml_too_long", name, message))
        for node in nodes[:_MAX_ROWS]:
            values = {key: self._value(node, f"{name}.{number}.{key}", paths) for key, paths in rows.fields.items()}
            if any(value is not None for value in values.values()):
                self._price_base(node, f"{name}.{number}.unit_price", values.get("unit_price"))
                number += 1
                yield values

    def _price_base(self, node: Node, path: str, price: Decimal | None) -> None:
        """Tell of a price for more than one unit, as of screws by the hundred."""
        units = next((base.text for paths in self.syntax.price_base for base in node.find(paths)), "1")
        if price is not None and _amount(units) not in (None, Decimal(0), Decimal(1)):
            self.findings.append(info("price_per_quantity", path, f"The price of {price} is for {units} units."))

    def _further_due_dates(self) -> None:
        """Tell of later terms of payment: the first is taken, which loses no discount."""
        days = [node.text for path in self.syntax.fields["due_date"] for node in self.root.find(path)]
        further = [day.isoformat() for text in dict.fromkeys(days[1:]) if text != days[0] and (day := _day(text))]
        if further:
            message = f"The invoice has further terms of payment, until {' and '.join(further[:3])}."
            self.findings.append(info("further_due_dates", "due_date", message))

    def _kind(self) -> Kind:
        code = next((node.text for node in self.root.find(self.syntax.type_code)), "")
        kind = kind_of(code)
        if code and kind is None:
            message = f"The document type {code[:20]} is none of an invoice; it was read as {self.syntax.kind.value}."
            self.findings.append(warning("type_code_unknown", "kind", message))
        return kind if kind and self.syntax.kind is Kind.INVOICE else self.syntax.kind
