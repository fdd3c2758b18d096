"""What a model is asked beyond what every invoice has: further fields of EN 16931, and fields of the user's own."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any

from pipeline.invoice.model import extraction_schema
from pipeline.invoice.own_fields import OwnField, OwnType


class FurtherField(StrEnum):
    """Name a field that the model is asked for where the agent's file says so."""

    DELIVERY_DATE = "delivery_date"
    ORDER_REFERENCE = "order_reference"
    BUYER_REFERENCE = "buyer_reference"
    ALLOWANCES = "allowances"
    CHARGES = "charges"
    PREPAID_AMOUNT = "prepaid_amount"
    PAYABLE_AMOUNT = "payable_amount"
    VENDOR_BIC = "vendor.bic"


@dataclass(frozen=True)
class Asked:
    """Hold what is asked besides the fields of every invoice."""

    further: tuple[FurtherField, ...] = ()
    own: tuple[OwnField, ...] = ()

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema a model is asked to fill; what comes on top may be left out of an answer."""
        schema = extraction_schema()
        further = _further() if self.further else {}
        for name in self.further:
            group, _, field = name.rpartition(".")
            place = schema["properties"][group] if group else schema
            place["properties"][field] = further[name]
        if self.own:
            properties = {field.name: _own_schema(field) for field in self.own}
            schema["properties"]["own_fields"] = {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
            schema["required"].append("own_fields")
        return schema

    def prompt(self, prompt: str) -> str:
        """Return the prompt with the user's own fields: most servers show a model no word of the schema."""
        if not self.own:
            return prompt
        lines = [f"  - {field.name} ({_FORMS[field.type]}): {field.description}" for field in self.own]
        head = "- own_fields: null for each of these that the document does not show:"
        return "\n".join([prompt, head, *lines])


_FORMS = {
    OwnType.TEXT: "text as printed",
    OwnType.IDENTIFIER: "code or number as printed",
    OwnType.AMOUNT: "amount as printed",
    OwnType.NUMBER: "number as printed",
    OwnType.INTEGER: "whole number as printed",
    OwnType.DATE: "date as printed",
}


def _own_schema(field: OwnField) -> dict[str, Any]:
    return {"type": ["string", "null"], "maxLength": field.longest, "description": field.description}


@functools.cache
def _texts() -> str:
    return resources.files(__package__).joinpath("further_schema.json").read_text(encoding="utf-8")


def _further() -> dict[str, Any]:
    """Return the schemas of the further fields, made anew so that nobody's change stays."""
    schemas: dict[str, Any] = json.loads(_texts())
    return schemas
