"""Fill any JSON Schema: with the invoice's facts where a property's name is known, else as emptily as it allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.checks import resolve
from pipeline.llm.standin.invoice_facts import FurtherFacts, InvoiceFacts, LineFacts, PartyFacts, TaxFacts
from pipeline.llm.standin.printed_values import amount_value

_DEEPEST = 12

# Other names for the same things.
_ALIASES: Mapping[str, str] = {
    "number": "invoice_number",
    "invoice_date": "date",
    "issue_date": "date",
    "total": "total_amount",
    "gross_amount": "total_amount",
    "net": "net_amount",
    "subtotal": "net_amount",
    "tax": "tax_amount",
    "vat_amount": "tax_amount",
    "seller": "vendor",
    "supplier": "vendor",
    "customer": "buyer",
    "items": "line_items",
    "lines": "line_items",
    "document_type": "kind",
}
_MISSING = object()


def fill_schema(schema: JsonObject, facts: InvoiceFacts, own_fields: Mapping[str, str] | None = None) -> Any:
    """Return a value that fits the schema, with what is known about the invoice in it.

    `own_fields` is what was found for fields that the asking side invented.
    """
    return _Filler(schema).fill(schema, {**_tree(facts), "own_fields": own_fields or {}}, 0)


def fill_arguments(parameters: JsonObject, message: str) -> JsonObject:
    """Return arguments for a tool: the required ones, and the first text gets the message."""
    filler = _Filler(parameters)
    required = parameters.get("required") or []
    filled: JsonObject = {}
    said = False
    for name, schema in (parameters.get("properties") or {}).items():
        if name not in required:
            continue
        value = filler.fill(schema, _MISSING, 0)
        if value == "" and not said:
            value, said = message[: schema.get("maxLength", len(message))], True
        filled[name] = value
    return filled


class _Filler:
    """Walk one schema; `known` is what the facts hold at the place, or nothing."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root

    def fill(self, schema: JsonObject, known: Any, depth: int) -> Any:
        schema = self._chosen(resolve(schema, self._root), known)
        kinds = _kinds(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return _of_enum(schema["enum"], known)
        if known in (None, _MISSING, ()) and "null" in kinds:
            return None
        if depth > _DEEPEST:
            return None
        match kinds[0]:
            case "object":
                return self._object(schema, known, depth)
            case "array":
                return self._array(schema, known, depth)
            case "string":
                return _text(schema, known)
            case "number" | "integer":
                return _number(schema, known, whole=kinds[0] == "integer")
            case "boolean":
                return bool(known) if isinstance(known, bool) else False
            case _:
                return None

    def _chosen(self, schema: JsonObject, known: Any) -> JsonObject:
        """Return the alternative that holds a value if there is a value, else the one for null."""
        alternatives = [resolve(each, self._root) for each in schema.get("anyOf") or schema.get("oneOf") or ()]
        if not alternatives:
            return schema
        nulls = [each for each in alternatives if _kinds(each) == ["null"]]
        others = [each for each in alternatives if each not in nulls]
        return nulls[0] if nulls and (known in (None, _MISSING, ()) or not others) else others[0]

    def _object(self, schema: JsonObject, known: Any, depth: int) -> JsonObject:
        properties: Mapping[str, JsonObject] = schema.get("properties") or {}
        required = schema.get("required", properties)
        filled = {name: self.fill(each, _known(known, name, each), depth + 1) for name, each in properties.items()}
        # What may be left out and is not known is left out.
        return {name: value for name, value in filled.items() if name in required or value not in (None, [])}

    def _array(self, schema: JsonObject, known: Any, depth: int) -> list[Any]:
        items = schema.get("items") or {}
        values = [self.fill(items, each, depth + 1) for each in known] if isinstance(known, tuple) else []
        while len(values) < schema.get("minItems", 0):
            values.append(self.fill(items, _MISSING, depth + 1))
        return values[: schema.get("maxItems", len(values))]


def _known(known: Any, name: str, schema: JsonObject) -> Any:
    if not isinstance(known, Mapping):
        return _MISSING
    key = name if name in known else _ALIASES.get(name, name)
    if key in known:
        return known[key]
    # An object of another name is taken for a wrapper around the same facts.
    return known if "properties" in schema and "invoice_number" in known else _MISSING


def _kinds(schema: JsonObject) -> list[str]:
    kinds = schema.get("type")
    if kinds is None:
        return ["object"] if "properties" in schema else ["null"]
    listed = [kinds] if isinstance(kinds, str) else list(kinds)
    return sorted(listed, key=lambda kind: kind == "null")


def _of_enum(choices: list[Any], known: Any) -> Any:
    if known in choices:
        return known
    return None if None in choices else choices[0]


def _text(schema: JsonObject, known: Any) -> str:
    text = "" if known in (None, _MISSING) or isinstance(known, Mapping | tuple) else str(known)
    if len(text) < schema.get("minLength", 0):
        text = (text + " (not known)").ljust(schema["minLength"])
    return text[: schema.get("maxLength", len(text))]


def _number(schema: JsonObject, known: Any, *, whole: bool) -> int | float:
    value = amount_value(known) if isinstance(known, str) else None
    number = value if value is not None else Decimal(0)
    number = max(number, Decimal(str(schema.get("minimum", number))))
    number = min(number, Decimal(str(schema.get("maximum", number))))
    return int(number) if whole or number == int(number) else float(number)


def _tree(facts: InvoiceFacts) -> Mapping[str, Any]:
    return {
        "kind": facts.kind.value,
        "invoice_number": facts.number,
        "date": facts.date,
        "due_date": facts.due_date,
        "currency": facts.currency,
        "total_amount": facts.total,
        "net_amount": facts.net,
        "tax_amount": facts.tax,
        "taxes": tuple(_tax(tax) for tax in facts.taxes),
        "vendor": {**_party(facts.vendor), "bic": facts.further.bic},
        "buyer": _party(facts.buyer),
        "line_items": tuple(_line(line) for line in facts.lines),
        **_further(facts.further),
    }


def _further(further: FurtherFacts) -> Mapping[str, Any]:
    return {
        "delivery_date": further.delivery_date,
        "order_reference": further.order_reference,
        "buyer_reference": further.buyer_reference,
        "allowances": tuple(asdict(one) for one in further.allowances),
        "charges": tuple(asdict(one) for one in further.charges),
        "prepaid_amount": further.prepaid,
        "payable_amount": further.payable,
    }


def _party(party: PartyFacts) -> Mapping[str, Any]:
    return {"name": party.name, "address": party.address, "vat_id": party.vat_id, "iban": party.iban}


def _line(line: LineFacts) -> Mapping[str, Any]:
    return {
        "description": line.description,
        "quantity": line.quantity,
        "unit_price": line.unit_price,
        "total": line.total,
        "total_amount": line.total,
    }


def _tax(tax: TaxFacts) -> Mapping[str, Any]:
    names = {
        "rate": tax.rate,
        "percent": tax.rate,
        "base": tax.base,
        "net_amount": tax.base,
        "taxable_amount": tax.base,
    }
    return {**names, "amount": tax.amount, "tax_amount": tax.amount}
