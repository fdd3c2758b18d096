"""What an invoice is: the values that leave the pipeline, and the words a model gave for them.

`Invoice` holds exact values. `Extraction` holds what a model said, read liberally: it proves nothing, and only
`verify` turns one into the other. Field descriptions name the business terms (BT) of EN 16931.
"""

from __future__ import annotations

import datetime
import functools
import json
import secrets
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from importlib import resources
from itertools import chain
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

Amount = Annotated[Decimal, WithJsonSchema({"type": "number"})]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
OwnValue = Annotated[str | Decimal | None, WithJsonSchema({"type": ["string", "number", "null"]})]

# So much of a document is shown as the evidence of a value.
QUOTE_CHARACTERS = 160
# What models write where they know nothing; compared in lower case.
_NOTHING = frozenset(
    {"", "-", "--", "—", "n/a", "na", "n.a.", "null", "none", "nil", "unknown", "not found", "not given"}
)


class Kind(StrEnum):
    """Say what a document is; `other` is no invoice at all."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    OTHER = "other"


class Severity(StrEnum):
    """Say what a finding asks for: error a person, warning a glance, info nothing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Party(BaseModel):
    """Hold a seller (BG-4) or buyer (BG-7)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(None, description="Name as printed (BT-27 seller, BT-44 buyer)")
    address: str | None = Field(None, description="Postal address in one line (BG-5 seller, BG-8 buyer)")
    vat_id: str | None = Field(None, description="VAT or tax registration number (BT-31 or BT-32 seller, BT-48 buyer)")
    iban: str | None = Field(None, description="Account to pay to, without blanks (BT-84)")
    bic: str | None = Field(None, description="The account's bank, without blanks (BT-86)")


class Tax(BaseModel):
    """Hold one line of the tax breakdown (BG-23)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: Amount | None = Field(None, description="Tax rate in percent (BT-119)")
    base: Amount | None = Field(None, description="Taxable amount (BT-116)")
    amount: Amount | None = Field(None, description="Tax amount (BT-117)")


class Adjustment(BaseModel):
    """Hold one allowance (BG-20) or charge (BG-21) on the whole invoice; which of the two, its list says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str | None = Field(None, description="What it is for (BT-97 allowance, BT-104 charge)")
    amount: Amount | None = Field(
        None, description="Amount without tax, signed like the total (BT-92 allowance, BT-99 charge)"
    )


class LineItem(BaseModel):
    """Hold one invoice line (BG-25), amounts as printed: net in most countries, gross on many receipts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str | None = Field(None, description="What was delivered (BT-153)")
    quantity: Amount | None = Field(None, description="Invoiced quantity (BT-129)")
    unit_price: Amount | None = Field(None, description="Price of one unit (BT-146)")
    total: Amount | None = Field(None, description="Line amount (BT-131)")


class Invoice(BaseModel):
    """Hold one invoice or credit note; what is not known is null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    invoice_number: str | None = Field(None, description="Invoice number (BT-1)")
    date: datetime.date | None = Field(None, description="Issue date (BT-2)")
    due_date: datetime.date | None = Field(None, description="Payment due date (BT-9)")
    currency: Currency | None = Field(None, description="ISO 4217 code (BT-5)")
    total_amount: Amount | None = Field(
        None, description="Total with tax, before payments already made and without older balances (BT-112)"
    )
    net_amount: Amount | None = Field(None, description="Total without tax (BT-109)")
    tax_amount: Amount | None = Field(None, description="Total tax (BT-110)")
    taxes: tuple[Tax, ...] = Field((), description="Tax breakdown (BG-23)")
    vendor: Party = Field(Party(), description="Seller (BG-4)")
    buyer: Party = Field(Party(), description="Buyer (BG-7)")
    line_items: tuple[LineItem, ...] = Field((), description="Invoice lines (BG-25)")
    delivery_date: datetime.date | None = Field(None, description="Day of delivery or service (BT-72)")
    order_reference: str | None = Field(None, description="Number of the buyer's order (BT-13)")
    buyer_reference: str | None = Field(None, description="What the buyer wants its invoices sorted by (BT-10)")
    allowances: tuple[Adjustment, ...] = Field((), description="Allowances on the whole invoice (BG-20)")
    charges: tuple[Adjustment, ...] = Field((), description="Charges on the whole invoice (BG-21)")
    prepaid_amount: Amount | None = Field(None, description="What was paid before, signed like the total (BT-113)")
    rounding_amount: Amount | None = Field(None, description="Added to round what is left to pay (BT-114)")
    payable_amount: Amount | None = Field(None, description="What is left to pay (BT-115)")
    own_fields: Mapping[str, OwnValue] = Field(
        default_factory=dict, description="The fields that the agent's file adds, by name; dates as ISO text"
    )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, dates as ISO text; amounts stay Decimal: write them with `dumps`."""
        data = self.model_dump()
        for key in ("date", "due_date", "delivery_date"):
            data[key] = data[key].isoformat() if data[key] else None
        for key in ("taxes", "line_items", "allowances", "charges"):
            data[key] = list(data[key])
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Invoice:
        """Rebuild an invoice from `to_json`, or from JSON text read with `loads`."""
        return cls.model_validate(data)


class Evidence(BaseModel):
    """Say where the document shows a value; `quote` is the printed text with runs of blanks made one.

    `page` counts from 1; `box` is left, top, right, bottom in points, where the reader knows it. A value that is not
    printed itself names the fields it is `derived_from`; the quote is then the first of those.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: int
    quote: str = Field(max_length=QUOTE_CHARACTERS)
    box: tuple[float, float, float, float] | None = None
    derived_from: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `box` and `derived_from` only where there are any."""
        return self.model_dump(exclude_none=True, mode="json")


class Finding(BaseModel):
    """Tell a bookkeeper one thing about one field; `code` is stable, `field` is a dotted path or empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    severity: Severity
    field: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")


def _printed(value: object) -> str | None:
    """Read a text, also from a number; what means nothing is None."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    text = " ".join(str(value).split())
    return None if text.casefold() in _NOTHING else text


def _printed_amount(value: object) -> Decimal | str | None:
    """Read an amount: a JSON number is exact and so keeps its kind, a text is still to be read as printed."""
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = Decimal(repr(value))
        return number if number.is_finite() else None
    return _printed(value)


def _objects(value: object) -> list[Any]:
    """Read a list of objects, leaving out what is none."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _party(value: object) -> object:
    """Read a party, also where the model gave only its name."""
    return value if isinstance(value, Mapping | BaseModel) else {"name": value}


def _kind(value: object) -> Kind:
    """Read the kind; a document is an invoice unless the model says otherwise in words we know."""
    text = (_printed(value) or "").casefold().replace(" ", "_").replace("-", "_")
    return Kind(text) if text in set(Kind) else Kind.INVOICE


Printed = Annotated[str | None, BeforeValidator(_printed)]
PrintedAmount = Annotated[Decimal | str | None, PlainValidator(_printed_amount)]


class _Lax(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ExtractedParty(_Lax):
    """Hold what a model said of a party."""

    name: Printed = None
    address: Printed = None
    vat_id: Printed = None
    iban: Printed = None
    bic: Printed = None


class ExtractedTax(_Lax):
    """Hold what a model said of a tax line."""

    rate: PrintedAmount = None
    base: PrintedAmount = None
    amount: PrintedAmount = None


class ExtractedLine(_Lax):
    """Hold what a model said of an invoice line."""

    description: Printed = None
    quantity: PrintedAmount = None
    unit_price: PrintedAmount = None
    total: PrintedAmount = None


class ExtractedAdjustment(_Lax):
    """Hold what a model said of an allowance or a charge."""

    reason: Printed = None
    amount: PrintedAmount = None


class Extraction(_Lax):
    """Hold what a model said of a document, under the field names of `Invoice`; any mapping can be read."""

    kind: Annotated[Kind, BeforeValidator(_kind)] = Kind.INVOICE
    invoice_number: Printed = None
    date: Printed = None
    due_date: Printed = None
    currency: Printed = None
    total_amount: PrintedAmount = None
    net_amount: PrintedAmount = None
    tax_amount: PrintedAmount = None
    taxes: Annotated[tuple[ExtractedTax, ...], BeforeValidator(_objects)] = ()
    vendor: Annotated[ExtractedParty, BeforeValidator(_party)] = ExtractedParty()
    buyer: Annotated[ExtractedParty, BeforeValidator(_party)] = ExtractedParty()
    line_items: Annotated[tuple[ExtractedLine, ...], BeforeValidator(_objects)] = ()
    delivery_date: Printed = None
    order_reference: Printed = None
    buyer_reference: Printed = None
    allowances: Annotated[tuple[ExtractedAdjustment, ...], BeforeValidator(_objects)] = ()
    charges: Annotated[tuple[ExtractedAdjustment, ...], BeforeValidator(_objects)] = ()
    prepaid_amount: PrintedAmount = None
    payable_amount: PrintedAmount = None
    own_fields: Annotated[Mapping[str, PrintedAmount], BeforeValidator(_mapping)] = Field(default_factory=dict)


def extraction_schema() -> dict[str, Any]:
    """Return the JSON Schema of what a model is always asked; small, because servers turn it into a grammar."""
    schema: dict[str, Any] = json.loads(_extraction_schema())
    return schema


@functools.cache
def _extraction_schema() -> str:
    return resources.files(__package__).joinpath("extraction_schema.json").read_text(encoding="utf-8")


# What stands for a number until the text is written. Nobody can know it, so no text of a document holds it.
_NUMBER = secrets.token_hex(16)


def dumps(value: object, *, indent: int | None = None) -> str:
    """Write JSON with every Decimal as a number of exactly its digits; no value passes through a float."""
    numbers: list[str] = []

    def plain(one: object) -> object:
        if isinstance(one, Mapping):
            return dict(one)
        numbers.append(_digits(one))
        return _NUMBER

    # The library's encoder, written in C, is many times as fast as any written here, but has no exact numbers.
    text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=indent, default=plain).encode(value)
    between = text.split(f'"{_NUMBER}"')
    return "".join(chain.from_iterable(zip(between, (*numbers, ""), strict=True)))


def loads(text: str) -> Any:
    """Read JSON with fractions as Decimal."""
    return json.loads(text, parse_float=Decimal)


def _digits(value: object) -> str:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} does not go into JSON")
    if not value.is_finite():
        raise ValueError(f"{value} is no JSON number")
    return format(value, "f")
