"""What the rules know about an invoice: everything as printed, None where nothing was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """Name what a document is."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    OTHER = "other"


@dataclass(frozen=True)
class PartyFacts:
    """Hold what is printed about a vendor or a buyer."""

    name: str | None = None
    address: str | None = None
    vat_id: str | None = None
    iban: str | None = None


@dataclass(frozen=True)
class LineFacts:
    """Hold one item."""

    description: str | None = None
    quantity: str | None = None
    unit_price: str | None = None
    total: str | None = None


@dataclass(frozen=True)
class TaxFacts:
    """Hold one line of the tax table."""

    rate: str | None = None
    amount: str | None = None
    base: str | None = None


@dataclass(frozen=True)
class AdjustmentFacts:
    """Hold one allowance or charge on the whole invoice."""

    reason: str | None = None
    amount: str | None = None


@dataclass(frozen=True)
class FurtherFacts:
    """Hold what goes beyond the header."""

    delivery_date: str | None = None
    order_reference: str | None = None
    buyer_reference: str | None = None
    allowances: tuple[AdjustmentFacts, ...] = ()
    charges: tuple[AdjustmentFacts, ...] = ()
    prepaid: str | None = None
    payable: str | None = None
    bic: str | None = None


@dataclass(frozen=True)
class InvoiceFacts:
    """Hold what was found in one document."""

    kind: Kind = Kind.OTHER
    number: str | None = None
    date: str | None = None
    due_date: str | None = None
    currency: str | None = None
    total: str | None = None
    net: str | None = None
    tax: str | None = None
    taxes: tuple[TaxFacts, ...] = ()
    vendor: PartyFacts = field(default_factory=PartyFacts)
    buyer: PartyFacts = field(default_factory=PartyFacts)
    lines: tuple[LineFacts, ...] = ()
    further: FurtherFacts = field(default_factory=FurtherFacts)
