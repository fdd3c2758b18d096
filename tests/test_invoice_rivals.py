"""A second account and a second set of sums on a page: which of them is the true one."""

from __future__ import annotations

from pipeline.document.model import Document, Page
from pipeline.invoice.model import Severity
from pipeline.invoice.verify import Verified, verify

GERMAN, SECOND, BRITISH = "DE75512108001245126199", "DE89370400440532013000", "GB33BUKB20201555555555"
LINE = {"description": "Business cards", "quantity": "2", "unit_price": "40.00", "total": "80.00"}
SUMS = "Net amount 80.00 EUR\nVAT 16.00 EUR\nTotal due 96.00 EUR"
FORGED = "Net amount 8332.50 EUR\nVAT 1666.50 EUR\nTotal due 9999.00 EUR"


def told(text: str, **values: object) -> Verified:
    return verify(values, Document("x", "0" * 64, 1, "text/plain", (Page(1, text, ""),)))


def severity(verified: Verified, code: str) -> Severity | None:
    return next((finding.severity for finding in verified.findings if finding.code == code), None)


def test_an_account_beside_one_abroad_is_for_a_person() -> None:
    """Two banks in one country are usual, in two countries they are not; one alone is no matter."""
    cases = {GERMAN: None, SECOND: Severity.WARNING, BRITISH: Severity.ERROR}
    for other, expected in cases.items():
        verified = told(f"IBAN: {GERMAN}\nIBAN {other[:4]} {other[4:]}", vendor={"iban": GERMAN})
        assert severity(verified, "several_accounts") is expected, other


def test_an_account_is_seen_whatever_stands_behind_it() -> None:
    """Many account numbers end with a group of four: the word behind them is none of theirs."""
    verified = told(f"IBAN: {GERMAN}\nIBAN: AT61 1904 3002 3457 3201 BIC OPSKATWW", vendor={"iban": GERMAN})
    assert severity(verified, "several_accounts") is Severity.ERROR


def test_sums_that_the_lines_do_not_make_are_doubted_beside_those_they_make() -> None:
    """Of two sets of sums the lines tell which is theirs."""
    text = f"Business cards  2  40.00  80.00\n{SUMS}\n{FORGED}"
    forged = told(text, net_amount="8332.50", tax_amount="1666.50", total_amount="9999.00", line_items=[LINE])
    true = told(text, net_amount="80.00", tax_amount="16.00", total_amount="96.00", line_items=[LINE])
    assert severity(forged, "lines_make_another_total") is Severity.ERROR
    assert severity(true, "lines_make_another_total") is None
