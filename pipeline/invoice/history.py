"""Compare an invoice with what the same vendor sent before: payment fraud and slips show as a break with habit."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from statistics import median

from pipeline.invoice.checks import error, info, sort_findings, warning
from pipeline.invoice.model import Finding, Invoice
from pipeline.invoice.words import squeeze

# So many earlier invoices show a habit of numbering, and of amounts.
_FEWEST_NUMBERS = 3
_FEWEST_AMOUNTS = 4
# An amount is unusual beyond this many times the usual one.
_FAR = 10
# Names this alike are one vendor's, or are meant to look so; a VAT number alone may be a sample's or a group's.
_ALIKE = 0.6
# Many vendors begin their numbers anew with each year.
_NUMBERS_REPEAT_AFTER = datetime.timedelta(days=300)


@dataclass(frozen=True)
class PastInvoice:
    """Hold one earlier invoice of a vendor and the job that read it; one that is not done proves no habit."""

    job: str
    invoice: Invoice
    is_done: bool = True


@dataclass(frozen=True)
class VendorHistory:
    """Hold the invoices of one vendor from other jobs, latest first."""

    past: tuple[PastInvoice, ...] = ()


def history_findings(invoice: Invoice, history: VendorHistory) -> tuple[Finding, ...]:
    """Return what is new or repeated against a vendor's earlier invoices; each finding shows the old value."""
    duplicate = _duplicate(invoice, history.past)
    if duplicate is not None:
        return (duplicate,)
    habits = [
        *_account(invoice, history.past),
        *_tax_number(invoice, history.past),
        *_currency(invoice, history.past),
        *_numbering(invoice, history.past),
        *_amount(invoice, history.past),
    ]
    return sort_findings(habits)


def _duplicate(invoice: Invoice, past: tuple[PastInvoice, ...]) -> Finding | None:
    """Return the finding that another file with the same number was read: the same invoice, or a changed one."""
    number = squeeze(invoice.invoice_number or "")
    numbered = (one for one in past if number and squeeze(one.invoice.invoice_number or "") == number)
    same = [one for one in numbered if _names_alike(invoice, one.invoice)]
    if not same:
        return None
    # The first one is what a second copy is a duplicate of.
    first = same[-1]
    old, new = first.invoice.total_amount, invoice.total_amount
    if old == new:
        message = f"Invoice {invoice.invoice_number} of this vendor over {old} was already read in job {first.job}."
        return error("duplicate_invoice", "invoice_number", message)
    message = f"Job {first.job} read invoice {invoice.invoice_number} of this vendor with a total of {old}, not {new}."
    make = warning if _of_another_year(invoice, first.invoice) else error
    return make("duplicate_number", "invoice_number", message)


def _account(invoice: Invoice, past: tuple[PastInvoice, ...]) -> Iterator[Finding]:
    known = _known(one.invoice.vendor.iban for one in _proven(past))
    if invoice.vendor.iban and known and invoice.vendor.iban not in known:
        message = f"The account {invoice.vendor.iban} is new for this vendor; so far it was {_listed(known)}."
        names = {one.invoice.vendor.name: one.invoice for one in past}
        make = error if any(_names_alike(invoice, one) for one in names.values()) else warning
        yield make("iban_changed", "vendor.iban", f"{message} Ask the vendor on a known number before paying.")


def _tax_number(invoice: Invoice, past: tuple[PastInvoice, ...]) -> Iterator[Finding]:
    known = _known(one.invoice.vendor.vat_id for one in _proven(past))
    number = squeeze(invoice.vendor.vat_id or "")
    if number and known and number not in {squeeze(one) for one in known}:
        message = f"The VAT number {invoice.vendor.vat_id} is new for this vendor; so far it was {_listed(known)}."
        # A tax number where a VAT number used to be makes no other vendor.
        make = error if _shape(number) in {_shape(squeeze(one)) for one in known} else warning
        yield make("vat_id_changed", "vendor.vat_id", message)


def _currency(invoice: Invoice, past: tuple[PastInvoice, ...]) -> Iterator[Finding]:
    known = _known(one.invoice.currency for one in past)
    if invoice.currency and known and invoice.currency not in known:
        message = f"This vendor invoiced in {_listed(known)} so far, now in {invoice.currency}."
        yield warning("currency_changed", "currency", message)


def _numbering(invoice: Invoice, past: tuple[PastInvoice, ...]) -> Iterator[Finding]:
    """Find a number that is built unlike all earlier ones: other letters, marks or blocks."""
    numbers = [one.invoice.invoice_number for one in past if one.invoice.invoice_number]
    if not invoice.invoice_number or len(numbers) < _FEWEST_NUMBERS:
        return
    shape = _shape(invoice.invoice_number)
    if all(_shape(number) != shape for number in numbers):
        message = f"{invoice.invoice_number} is built unlike this vendor's earlier numbers, such as {numbers[0]}."
        yield warning("number_pattern_changed", "invoice_number", message)


def _amount(invoice: Invoice, past: tuple[PastInvoice, ...]) -> Iterator[Finding]:
    same_currency = (one.invoice for one in past if one.invoice.currency == invoice.currency)
    sizes = [abs(one.total_amount) for one in same_currency if one.total_amount]
    if not invoice.total_amount or len(sizes) < _FEWEST_AMOUNTS:
        return
    usual, size = median(sizes), abs(invoice.total_amount)
    if size > max(_FAR * usual, 2 * max(sizes)):
        message = f"{invoice.total_amount} is far above this vendor's usual {usual} (at most {max(sizes)} so far)."
        yield warning("amount_unusual", "total_amount", message)
    elif size < min(usual / _FAR, min(sizes) / 2):
        message = f"{invoice.total_amount} is far below this vendor's usual {usual} (at least {min(sizes)} so far)."
        yield info("amount_unusual", "total_amount", message)


def _proven(past: tuple[PastInvoice, ...]) -> tuple[PastInvoice, ...]:
    """Return the invoices that ended without doubts, where there are any: the others may be forged themselves."""
    return tuple(one for one in past if one.is_done) or past


def _names_alike(one: Invoice, other: Invoice) -> bool:
    first, second = squeeze(one.vendor.name or ""), squeeze(other.vendor.name or "")
    return not first or first == second or not second or SequenceMatcher(None, first, second).ratio() >= _ALIKE


def _of_another_year(one: Invoice, other: Invoice) -> bool:
    return one.date is not None and other.date is not None and abs(one.date - other.date) > _NUMBERS_REPEAT_AFTER


def _known(values: Iterator[str | None]) -> dict[str, None]:
    """Return the values that were seen, latest first."""
    return dict.fromkeys(value for value in values if value)


def _listed(values: dict[str, None]) -> str:
    return " or ".join(list(values)[:2])


def _shape(number: str) -> str:
    """Return how a number is built: letters stay, runs of digits are alike; blanks do not count."""
    return re.sub(r"\d+", "9", "".join(number.split()).upper())
