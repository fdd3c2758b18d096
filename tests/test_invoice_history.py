"""What a vendor's earlier invoices say of a new one."""

from __future__ import annotations

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.invoice.database import open_engine
from pipeline.invoice.history import PastInvoice, VendorHistory, history_findings
from pipeline.invoice.keeping import keep, kept_findings
from pipeline.invoice.model import Finding, Invoice, Kind, Party, Severity
from pipeline.invoice.store import InvoiceStore
from pipeline.invoice.verify import Verified

VENDOR = Party(name="Acme", vat_id="DE136695976", iban="DE89370400440532013000")
EARLIER = [
    Invoice(invoice_number=f"RE-{n}", currency="EUR", total_amount=Decimal(100 + n), vendor=VENDOR) for n in range(4)
]
HISTORY = VendorHistory(tuple(PastInvoice(f"job-{n}", EARLIER[n]) for n in reversed(range(4))))
NEXT = EARLIER[0].model_copy(update={"invoice_number": "RE-9", "total_amount": Decimal("120.00")})


def found(**changes: object) -> dict[str, Finding]:
    findings = history_findings(NEXT.model_copy(update=changes), HISTORY)
    return {finding.code: finding for finding in findings}


def vendor(**changes: str) -> Party:
    return VENDOR.model_copy(update=changes)


def test_usual_invoice_has_no_findings() -> None:
    """An invoice like the earlier ones, and a vendor's first one, raise nothing."""
    assert found() == {}
    assert history_findings(NEXT, VendorHistory()) == ()


def test_same_number_and_total_is_a_duplicate() -> None:
    """Vendor, number and total of an earlier job are an error that names that job, and the only finding."""
    twice = found(invoice_number="re 2", total_amount=Decimal("102.00"), vendor=vendor(iban="DE02120300000000202051"))
    assert list(twice) == ["duplicate_invoice"]
    assert twice["duplicate_invoice"].severity is Severity.ERROR
    assert "job-2" in twice["duplicate_invoice"].message


def test_same_number_with_another_total_shows_both() -> None:
    """A known number over another amount is an error that shows the old amount."""
    message = found(invoice_number="RE-2")["duplicate_number"].message
    assert "102" in message
    assert "120.00" in message


def test_new_account_is_an_error_that_shows_the_old_one() -> None:
    """A vendor that suddenly wants to be paid elsewhere is the usual fraud."""
    finding = found(vendor=vendor(iban="DE02120300000000202051"))["iban_changed"]
    assert finding.severity is Severity.ERROR
    assert "DE89370400440532013000" in finding.message


def test_new_tax_number_is_doubted_by_its_form() -> None:
    """Another VAT number is an error, a national tax number in its place only a warning."""
    assert found(vendor=vendor(vat_id="DE811569869"))["vat_id_changed"].severity is Severity.ERROR
    assert found(vendor=vendor(vat_id="201/113/40209"))["vat_id_changed"].severity is Severity.WARNING
    assert found(vendor=vendor(vat_id="DE 136 695 976")) == {}


def test_breaks_with_habit_are_warnings() -> None:
    """Another currency, numbers of another form and an amount far above the usual are told with the old value."""
    assert "EUR" in found(currency="USD")["currency_changed"].message
    assert "RE-3" in found(invoice_number="2026/7")["number_pattern_changed"].message
    assert "101.5" in found(total_amount=Decimal(5000))["amount_unusual"].message
    assert {one.severity for one in found(currency="USD", invoice_number="2026/7").values()} == {Severity.WARNING}


def test_short_history_shows_no_habit() -> None:
    """Two invoices are no habit of numbering or of amounts."""
    short = VendorHistory(HISTORY.past[:2])
    odd = NEXT.model_copy(update={"invoice_number": "X", "total_amount": Decimal(99999)})
    assert history_findings(odd, short) == ()


def test_a_number_of_another_year_is_only_a_warning() -> None:
    """Many vendors begin anew with each year; within one year another total is an error."""
    dated = [one.model_copy(update={"date": datetime.date(2024, 1, 9)}) for one in EARLIER]
    history = VendorHistory(tuple(PastInvoice(f"job-{n}", one) for n, one in enumerate(dated)))
    later = NEXT.model_copy(update={"invoice_number": "RE-2", "date": datetime.date(2025, 1, 9)})
    sooner = later.model_copy(update={"date": datetime.date(2024, 3, 1)})
    assert [one.severity for one in history_findings(later, history)] == [Severity.WARNING]
    assert [one.severity for one in history_findings(sooner, history)] == [Severity.ERROR]


def test_another_name_with_the_same_tax_number_is_hardly_the_same_vendor() -> None:
    """A new account is an error for a name that looks like the known one, and a warning for quite another."""
    account = "DE02120300000000202051"
    assert found(vendor=vendor(name="Acme Ltd", iban=account))["iban_changed"].severity is Severity.ERROR
    assert found(vendor=vendor(name="Zephyr", iban=account))["iban_changed"].severity is Severity.WARNING
    assert "duplicate_number" not in found(invoice_number="RE-2", vendor=vendor(name="Zephyr"))


def test_doubtful_invoices_prove_no_habit() -> None:
    """A forged account does not become a known one by being sent twice."""
    forged = vendor(iban="DE02120300000000202051")
    doubtful = PastInvoice("job-9", NEXT.model_copy(update={"invoice_number": "RE-8", "vendor": forged}), is_done=False)
    history = VendorHistory((doubtful, *HISTORY.past))
    (finding,) = history_findings(NEXT.model_copy(update={"vendor": forged}), history)
    assert finding.code == "iban_changed"
    assert history_findings(NEXT, history) == ()


def test_of_jobs_that_store_one_number_at_once_all_but_the_first_are_told(tmp_path: Path) -> None:
    """History and store are one transaction: however close two jobs are, the later one sees the earlier one."""
    database = open_engine(tmp_path / "invoices.sqlite")
    shared = InvoiceStore(database)
    begin = threading.Barrier(6)

    def work(number: int) -> dict[str, Any]:
        invoice = Invoice(
            invoice_number="Q-1", total_amount=Decimal(20 + number), currency="GBP", vendor=Party(name="Lantern Works")
        )
        begin.wait()
        return keep(
            shared, Verified(Kind.INVOICE, invoice), job=f"job-{number:012x}", at=datetime.datetime.now(datetime.UTC)
        )

    with ThreadPoolExecutor(6) as threads:
        kept = list(threads.map(work, range(6)))
    told = [{one.code for one in kept_findings(one)} & {"duplicate_number", "duplicate_invoice"} for one in kept]
    statuses = sorted(record.status for record in shared.rows())
    database.dispose()
    assert sum(bool(codes) for codes in told) == 5
    assert statuses == ["done", *["review"] * 5]
