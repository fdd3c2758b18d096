"""Which way an invoice's money goes: what makes sums over invoices and credit notes right.

Values keep the sign of their source: EN 16931 has credit notes (type 381) with positive amounts, a credit may as well
be written as an invoice over less than nothing, and on paper both are found.
"""

from __future__ import annotations

from decimal import Decimal

from pipeline.invoice.model import Invoice, Kind


def booking_factor(invoice: Invoice, kind: Kind) -> int:
    """Return what to multiply every amount of an invoice by before adding it up: -1 for a credit note in plus."""
    total = invoice.total_amount
    return -1 if kind is Kind.CREDIT_NOTE and total is not None and total > 0 else 1


def booked_amount(amount: Decimal | None, invoice: Invoice, kind: Kind) -> Decimal | None:
    """Return one of the invoice's amounts as it counts for the buyer: less than nothing is money back."""
    # Adding nothing makes a zero of a negative zero.
    return None if amount is None else booking_factor(invoice, kind) * amount + 0
