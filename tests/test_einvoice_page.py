from __future__ import annotations

from dataclasses import replace

import pytest
from einvoice_files import Facts, Item, cii, ubl

from pipeline.document.model import Attachment, Document, Page
from pipeline.invoice.einvoice.found import FoundInvoice, find_einvoice
from pipeline.invoice.model import Severity
from pipeline.invoice.verify import Verified

FACTS = Facts()
PAGE = """
Vogt & Grimm GmbH                     Rechnung
Am Speicher 4, 24103 Kiel             Rechnungsnummer:  VG-2025-118
USt-IdNr. DE136695976                 Rechnungsdatum:   04.09.2025
                                      Zahlbar bis:      18.09.2025
Reederei Harmsen KG

Pos  Bezeichnung          Menge    Einzelpreis      Gesamt
1    Bootslack, 10 l          8         125,00    1.000,00

                          Summe netto             1.000,00 EUR
                          zzgl. 19 % MwSt.          190,00 EUR
                          Rechnungsbetrag         1.190,00 EUR

IBAN DE75 5121 0800 1245 1261 99
"""


def pdf(*xmls: str, page: str = PAGE) -> Document:
    """Return a PDF as it is read: a page, and e-invoices in it."""
    attachments = tuple(Attachment(f"{number}.xml", xml) for number, xml in enumerate(xmls))
    return Document("rechnung.pdf", "ab" * 32, 1, "application/pdf", (Page(1, page),), attachments=attachments)


def values(found: FoundInvoice) -> Verified:
    assert found.verified is not None
    return found.verified


def mismatches(verified: Verified) -> dict[str, Severity]:
    return {one.field: one.severity for one in verified.findings if one.code == "xml_page_mismatch"}


def test_a_page_that_says_the_same_is_done() -> None:
    """Where page and XML agree there is nothing to look at, and the evidence names element and page."""
    verified = values(find_einvoice(pdf(cii(FACTS))))
    assert verified.findings == ()
    assert verified.evidence["total_amount"].quote == "ram:GrandTotalAmount 1190.00"
    assert {one.page for one in verified.evidence.values()} == {1}


def test_the_page_of_a_value_is_where_it_is_shown() -> None:
    """A total on the second page is found there."""
    first, _, second = PAGE.partition("Pos  Bez")
    document = replace(pdf(cii(FACTS)), pages=(Page(1, first), Page(2, second)))
    verified = values(find_einvoice(document))
    assert verified.evidence["invoice_number"].page == 1
    assert verified.evidence["total_amount"].page == 2


def test_a_total_ten_times_that_of_the_page_is_an_error() -> None:
    """The page says 1,190.00 and the XML 11,900.00: both figures are named."""
    tenfold = replace(
        FACTS, net="10000.00", tax="1900.00", total="11900.00", lines=(Item("Lack", "8", "1250", "10000.00"),)
    )
    verified = values(find_einvoice(pdf(cii(tenfold))))
    assert mismatches(verified)["total_amount"] is Severity.ERROR
    message = next(one.message for one in verified.findings if one.field == "total_amount")
    assert "11900.00" in message
    assert "1190.00" in message
    assert verified.needs_review


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        (replace(FACTS, number="VG-2025-811"), "invoice_number"),
        (replace(FACTS, date="2025-09-14"), "date"),
        (replace(FACTS, date="2025-09-18", due="2025-09-04"), "date"),
        (replace(FACTS, iban="DE89370400440532013000"), "vendor.iban"),
    ],
)
def test_number_date_and_account_have_to_agree(facts: Facts, field: str) -> None:
    """One of them in the XML and another on the page sends the job to review."""
    assert mismatches(values(find_einvoice(pdf(cii(facts))))).get(field) is Severity.ERROR


def test_what_a_page_often_leaves_out_is_only_a_warning() -> None:
    """A receipt without net and tax is no contradiction."""
    page = "\n".join(
        line for line in PAGE.splitlines() if "netto" not in line and "MwSt" not in line and "8 " not in line
    )
    verified = values(find_einvoice(pdf(cii(FACTS), page=page)))
    assert set(mismatches(verified).values()) == {Severity.WARNING}
    assert not verified.needs_review


def test_a_scan_is_not_compared() -> None:
    """Pictures show nothing to code; that is told, and the values of the XML stand."""
    verified = values(find_einvoice(pdf(cii(FACTS), page="")))
    assert [one.code for one in verified.findings] == ["page_not_compared"]
    assert verified.evidence["total_amount"].page == 1


def test_a_wrong_sum_in_the_xml_is_found() -> None:
    """The checks of every invoice hold for e-invoices as well."""
    verified = values(find_einvoice(pdf(cii(replace(FACTS, tax="91.00")))))
    assert "sum_mismatch" in {one.code for one in verified.findings}


def test_an_xml_file_is_its_own_page() -> None:
    """There is nothing to compare an XRechnung with."""
    document = replace(pdf(ubl(FACTS), page=ubl(FACTS)), media_type="application/xml")
    verified = values(find_einvoice(document))
    assert verified.findings == ()
    assert verified.evidence["invoice_number"].quote == "cbc:ID VG-2025-118"


def test_two_syntaxes_of_one_invoice_agree() -> None:
    """A file may hold the same invoice as CII and as UBL."""
    assert values(find_einvoice(pdf(cii(FACTS), ubl(FACTS)))).findings == ()


def test_two_differing_einvoices_go_to_review() -> None:
    """Nobody can say which of two totals counts."""
    other = replace(FACTS, net="900.00", tax="171.00", total="1071.00")
    verified = values(find_einvoice(pdf(cii(FACTS), cii(other))))
    differing = {one.field for one in verified.findings if one.code == "einvoices_differ"}
    assert differing == {"total_amount", "net_amount", "tax_amount", "payable_amount"}
    assert verified.needs_review


def test_of_two_that_agree_the_fuller_one_counts() -> None:
    """A short profile beside a full one contradicts nothing."""
    short = cii(FACTS, with_lines=False)
    verified = values(find_einvoice(pdf(short, ubl(FACTS))))
    assert verified.findings == ()
    assert verified.invoice is not None
    assert len(verified.invoice.line_items) == 1


def test_an_account_with_wrong_check_digits_is_still_found_on_the_page() -> None:
    """The page shows the vendor's account as the XML has it, and another one beside it."""
    wrong = "DE12123456789012345678"
    page = PAGE.replace("DE75 5121 0800 1245 1261 99", "DE12 1234 5678 9012 3456 78 oder DE89 3704 0044 0532 0130 00")
    verified = values(find_einvoice(pdf(cii(replace(FACTS, iban=wrong)), page=page)))
    assert mismatches(verified) == {}


def test_a_broken_einvoice_beside_a_whole_one_is_told() -> None:
    """The whole one counts, with a warning."""
    verified = values(find_einvoice(pdf("<broken", cii(FACTS))))
    assert [(one.code, one.severity) for one in verified.findings] == [("einvoice_unreadable", Severity.WARNING)]


def test_a_broken_einvoice_alone_gives_no_values() -> None:
    """The page is then for the model, and the warning goes with it."""
    found = find_einvoice(pdf(cii(FACTS)[:500]))
    assert found.verified is None
    assert [(one.code, one.severity) for one in found.findings] == [("einvoice_unreadable", Severity.WARNING)]
