"""Check an invoice against itself: sums, rates, dates, check digits.

Each check is a pure function from an invoice to findings. Errors are what a bookkeeper must look at before paying;
lines that do not add up are only a warning, because allowances, charges and gross prices are common.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from stdnum import bic as bic_numbers
from stdnum import iban as iban_numbers
from stdnum.eu import vat as vat_numbers
from stdnum.exceptions import InvalidLength, ValidationError

from pipeline.invoice.currencies import is_currency
from pipeline.invoice.model import Adjustment, Finding, Invoice, Kind, LineItem, Party, Severity, Tax
from pipeline.invoice.words import beginning_of

# The code of what was read, but does not stand in the document.
NOT_IN_DOCUMENT = "not_in_document"
# EN 16931 rounds per tax line; sums may be off by half a cent each, a whole one is what invoices show.
CENT = Decimal("0.01")
# Cash is rounded to five hundredths in some countries.
_ROUNDED = Decimal("0.05")
_GRAVITY = {severity: place for place, severity in enumerate(Severity)}
# So much of a document or an answer, in characters, is shown in a message.
_MOST_QUOTED = 80
_FAR_DELIVERY = timedelta(days=400)
_SLIPS = (Decimal(10), Decimal(100), Decimal(1000))
_REQUIRED = {
    "invoice_number": "invoice number",
    "date": "invoice date",
    "currency": "currency",
    "total_amount": "total amount",
    "vendor.name": "vendor's name",
}


def check(invoice: Invoice, kind: Kind) -> tuple[Finding, ...]:
    """Return all findings about an invoice, errors first."""
    findings = [
        *_required(invoice),
        *_sums(invoice),
        *_taxes(invoice),
        *_lines(invoice),
        *_slips(invoice),
        *_payment(invoice),
        *_dates(invoice),
        *_signs(invoice, kind),
        *_currency(invoice),
        *_identifiers("vendor", invoice.vendor),
        *_identifiers("buyer", invoice.buyer),
    ]
    return sort_findings(findings)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by severity, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: _GRAVITY[finding.severity]))


def error(code: str, field: str, message: str) -> Finding:
    """Make a finding that sends the job to review."""
    return Finding(code=code, severity=Severity.ERROR, field=field, message=message)


def warning(code: str, field: str, message: str) -> Finding:
    """Make a finding worth a glance."""
    return Finding(code=code, severity=Severity.WARNING, field=field, message=message)


def info(code: str, field: str, message: str) -> Finding:
    """Make a finding that explains."""
    return Finding(code=code, severity=Severity.INFO, field=field, message=message)


def quoted(text: str) -> str:
    """Return a text in quotation marks for a message; of a long one its beginning, up to the end of a word."""
    beginning = beginning_of(text, _MOST_QUOTED)
    return f"“{beginning}”" if beginning == text else f"“{beginning}…”"


def adds_up(net: Decimal, tax: Decimal, total: Decimal, *, tax_lines: int = 1) -> bool:
    """Say whether net plus tax is the total, within a cent for each tax line."""
    return abs(net + tax - total) <= CENT * max(1, tax_lines)


def any_adds_up(net: Decimal, taxes: Sequence[Decimal], total: Decimal) -> bool:
    """Say whether net plus one of the taxes, which are in order, is the total, within a cent."""
    at = bisect_left(taxes, total - net - CENT)
    return at < len(taxes) and taxes[at] <= total - net + CENT


def is_product(quantity: Decimal, price: Decimal, total: Decimal) -> bool:
    """Say whether a quantity times a price is a total, whatever their signs.

    The price is rounded as printed: half of its last digit, times the quantity.
    """
    difference = abs(abs(quantity * price) - abs(total))
    if difference <= CENT or difference > abs(quantity) * CENT / 2:
        return difference <= CENT
    exponent = price.as_tuple().exponent
    last_digit = Decimal(1).scaleb(exponent) if isinstance(exponent, int) else CENT
    return difference <= abs(quantity) * min(last_digit, CENT) / 2


def is_rate(rate: Decimal, tax: Tax, *, lines: int = 1) -> bool:
    """Say whether a rate leads from a tax line's base to its amount.

    Many programs round the tax of each line and then add, so the tolerance grows with the lines.
    """
    if tax.base is None or tax.amount is None:
        return False
    return abs(tax.base * rate / 100 - tax.amount) <= CENT * max(1, lines)


def sum_of_lines(invoice: Invoice) -> Decimal | None:
    """Return the sum of the lines; None where one of them has no total."""
    totals = [line.total for line in invoice.line_items]
    known = [total for total in totals if total is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(totals) else None


def adjustments(invoice: Invoice) -> Decimal:
    """Return the charges less the allowances on the whole invoice."""
    return _sum_of(invoice.charges) - _sum_of(invoice.allowances)


def lines_fit(invoice: Invoice, total: Decimal) -> bool:
    """Say whether a sum of lines is the net amount or the total, within a cent for each line.

    Charges and allowances may come on top; some documents print them among the lines as well.
    """
    tolerance = CENT * max(1, len(invoice.line_items))
    targets = (invoice.net_amount, invoice.total_amount)
    sums = {abs(total), abs(total + adjustments(invoice))}
    return any(target is not None and abs(one - abs(target)) <= tolerance for target in targets for one in sums)


def _sum_of(adjustments: Iterable[Adjustment]) -> Decimal:
    return sum((one.amount for one in adjustments if one.amount is not None), Decimal(0))


def _required(invoice: Invoice) -> Iterator[Finding]:
    for path, words in _REQUIRED.items():
        value = invoice.vendor.name if path == "vendor.name" else getattr(invoice, path)
        if value is None:
            yield error(f"{path.replace('.', '_')}_missing", path, f"The {words} was not found.")


def _sums(invoice: Invoice) -> Iterator[Finding]:
    net, tax, total = invoice.net_amount, invoice.tax_amount, invoice.total_amount
    if net is not None and total is not None and tax is None and abs(net) > abs(total):
        yield error("net_above_total", "total_amount", f"The net amount {net} is more than the total {total}.")
    if net is None or tax is None or total is None:
        return
    if net and abs(tax) > abs(net):
        yield error("tax_above_net", "tax_amount", f"The tax {tax} is more than the net amount {net}.")
    extra = adjustments(invoice)
    if adds_up(net, tax, total, tax_lines=len(invoice.taxes)):
        return
    if extra and adds_up(net + extra, tax, total, tax_lines=len(invoice.taxes)):
        message = f"Net {net} and tax {tax} make the total {total} with charges less allowances of {extra}."
        yield info("sum_with_charges", "total_amount", message)
    else:
        yield error(
            "sum_mismatch", "total_amount", f"Net {net} and tax {tax} make {net + tax}, but the total says {total}."
        )


def _taxes(invoice: Invoice) -> Iterator[Finding]:
    for number, tax in enumerate(invoice.taxes):
        if tax.rate is None or tax.base is None or tax.amount is None:
            continue
        expected = tax.base * tax.rate / 100
        if not is_rate(tax.rate, tax, lines=len(invoice.line_items)):
            yield error(
                "tax_rate_mismatch",
                f"taxes.{number}.amount",
                f"{tax.rate} % of {tax.base} is {expected.quantize(CENT)}, but the tax line says {tax.amount}.",
            )
    amounts = [tax.amount for tax in invoice.taxes if tax.amount is not None]
    if invoice.tax_amount is None or not amounts or len(amounts) != len(invoice.taxes):
        return
    if abs(sum(amounts) - invoice.tax_amount) > CENT * len(amounts):
        yield warning(
            "tax_sum_mismatch",
            "tax_amount",
            f"The tax lines make {sum(amounts)}, but the total tax is {invoice.tax_amount}.",
        )


def _lines(invoice: Invoice) -> Iterator[Finding]:
    for number, line in enumerate(invoice.line_items):
        yield from _line_product(number, line)
    yield from _line_sum(invoice)
    seen = Counter(line for line in invoice.line_items if line.description is not None and line.total is not None)
    for line, count in seen.items():
        if count > 1:
            number = invoice.line_items.index(line)
            yield info("duplicate_line", f"line_items.{number}", f"The line “{line.description}” stands {count} times.")


def _line_product(number: int, line: LineItem) -> Iterator[Finding]:
    product = _product(line)
    if product is None or line.unit_price is None or line.quantity is None or line.total is None:
        return
    if not is_product(line.quantity, line.unit_price, line.total):
        yield warning(
            "line_mismatch",
            f"line_items.{number}.total",
            f"{line.quantity} times {line.unit_price} is {product}, but the line says {line.total}.",
        )


def _product(line: LineItem) -> Decimal | None:
    return None if line.quantity is None or line.unit_price is None else line.quantity * line.unit_price


def _line_sum(invoice: Invoice) -> Iterator[Finding]:
    total = sum_of_lines(invoice)
    if total is None or (invoice.net_amount is None and invoice.total_amount is None) or lines_fit(invoice, total):
        return
    for number, line in enumerate(invoice.line_items):
        product = _product(line)
        if product is None or line.total is None or product == line.total:
            continue
        if lines_fit(invoice, total - line.total + product):
            yield error(
                "line_total_wrong",
                f"line_items.{number}.total",
                f"The lines add up if this one is {product}, which is quantity times price, instead of {line.total}.",
            )
            return
    extra = adjustments(invoice)
    made = f"{total}, with charges less allowances {total + extra}" if extra else f"{total}"
    yield warning(
        "lines_mismatch",
        "line_items",
        f"The lines make {made}; that is neither the net amount nor the total. "
        "Allowances, charges or a missing line may be the reason.",
    )


def _slips(invoice: Invoice) -> Iterator[Finding]:
    """Find a total that is ten, a hundred or a thousand times what the rest says: a decimal mark read wrongly."""
    lines, total = sum_of_lines(invoice), invoice.total_amount
    if total is None or not total:
        return
    tax = invoice.tax_amount or Decimal(0)
    others = {
        "lines": lines,
        "lines with tax": None if lines is None else lines + tax,
        "net amount": invoice.net_amount,
    }
    for words, other in others.items():
        if not other:
            continue
        ratio = abs(total / other)
        if any(_close(ratio, slip) or _close(ratio, 1 / slip) for slip in _SLIPS):
            yield error(
                "separator_slip",
                "total_amount",
                f"The total {total} looks like the {words} ({other}) with the decimal mark in another place.",
            )
            return


def _payment(invoice: Invoice) -> Iterator[Finding]:
    """Hold what is left to pay against the total less what was paid."""
    total, payable, prepaid = invoice.total_amount, invoice.payable_amount, invoice.prepaid_amount
    if total is None:
        return
    if prepaid is not None and abs(prepaid) > abs(total) + _ROUNDED:
        yield warning("prepaid_above_total", "prepaid_amount", f"{prepaid} was paid, more than the total {total}.")
    if payable is None:
        return
    rounding = invoice.rounding_amount
    expected = total - (prepaid or Decimal(0)) + (rounding or Decimal(0))
    tolerance = _ROUNDED if rounding is None else CENT
    if abs(payable - expected) <= tolerance or abs(payable) == abs(total) == abs(expected):
        return
    if prepaid is None:
        message = f"{payable} is left to pay of {total}; the document may count earlier payments or balances in."
        yield warning("payable_not_total", "payable_amount", message)
    else:
        message = f"The total {total} less {prepaid} paid leaves {expected}, but {payable} is to be paid."
        yield error("payable_mismatch", "payable_amount", message)


def _close(ratio: Decimal, wanted: Decimal) -> bool:
    return abs(ratio / wanted - 1) < Decimal("0.002")


def _dates(invoice: Invoice) -> Iterator[Finding]:
    if invoice.date and invoice.due_date and invoice.due_date < invoice.date:
        yield warning(
            "due_before_date", "due_date", f"It is due on {invoice.due_date}, before its own date {invoice.date}."
        )
    if invoice.date and invoice.delivery_date and abs(invoice.delivery_date - invoice.date) > _FAR_DELIVERY:
        message = f"It was delivered on {invoice.delivery_date}, far from its own date {invoice.date}."
        yield warning("delivery_date_far", "delivery_date", message)


def _signs(invoice: Invoice, kind: Kind) -> Iterator[Finding]:
    total = invoice.total_amount
    if total is None:
        return
    if kind is Kind.INVOICE and total < 0:
        yield warning("negative_total", "total_amount", f"The total {total} is negative; this may be a credit note.")
    mixed = [value for value in (invoice.net_amount, invoice.tax_amount) if value and value * total < 0]
    if mixed:
        yield error("mixed_signs", "total_amount", f"The total {total} and {mixed[0]} have different signs.")


def _currency(invoice: Invoice) -> Iterator[Finding]:
    if invoice.currency is not None and not is_currency(invoice.currency):
        yield error("currency_unknown", "currency", f"{invoice.currency} is no currency code.")


def _identifiers(role: str, party: Party) -> Iterator[Finding]:
    if party.iban is not None and not _is_valid_iban(party.iban):
        yield warning("iban_check_digits", f"{role}.iban", f"The check digits of the IBAN {party.iban} are wrong.")
    if party.bic is not None and not bic_numbers.is_valid(party.bic):
        yield warning("bic_form", f"{role}.bic", f"{party.bic} has not the form of a BIC.")
    slip = _vat_slip(party.vat_id) if party.vat_id is not None else None
    if isinstance(slip, InvalidLength):
        yield error("vat_length", f"{role}.vat_id", f"{party.vat_id} has not as many signs as its country's VAT ids.")
    elif slip is not None:
        yield warning("vat_check_digits", f"{role}.vat_id", f"The VAT number {party.vat_id} fails its country's check.")


def _is_valid_iban(number: str) -> bool:
    return bool(iban_numbers.is_valid(number))


def _vat_slip(number: str) -> ValidationError | None:
    """Check EU numbers with their country prefix; others are not known well enough to doubt."""
    prefix = number.strip()[:2].upper()
    if prefix.lower() not in vat_numbers.MEMBER_STATES and prefix != "EL":
        return None
    try:
        vat_numbers.validate(number)
    except ValidationError as slip:
        return slip
    return None
