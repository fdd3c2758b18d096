"""Reading what an invoice does not label plainly: its currency, several taxes, a letter's date and its two parties."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.llm.standin.invoice_facts import TaxFacts
from pipeline.llm.standin.invoice_rules import read_invoice
from pipeline.llm.standin.printed_values import amount_value

LETTER = """                                                  Tischlerei Abendroth
                                                  Mühlweg 3
                                                  01067 Dresden
Wohnbau Lindenhof GmbH
Frau Ada Kern
Ringstraße 9
01069 Dresden
                                                  Dresden, den 24. Juni 2025
Rechnung Nr. 17
für Arbeiten vom 10. bis 13. Juni 2025 berechnen wir 100,00 Euro.
Hinzu kommen 19 % Umsatzsteuer, das sind 19,00 Euro.
Der Gesamtbetrag ist 119,00 Euro.
"""
TWO_RATES = """Rechnung Nr. 5
Summe netto                          146,70
zzgl. 7 % MwSt. auf 103,70             7,26
zzgl. 19 % MwSt. auf 43,00             8,17
Rechnungsbetrag                  162,13 EUR
"""
TAX_TABLE = """Invoice No. 6
Net total: 496.00 €
VAT                  Net amount         VAT amount
7%                   160.00 €          11.20 €
19%                  336.00 €          63.84 €
                         VAT total:    75.04 €
Total due: 571.04 €
"""


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("Total  £12.00", "GBP"),
        ("Gesamtbetrag  12,00 Euro", "EUR"),
        ("Gesamtbetrag in €      12,00", "EUR"),
        ("Summe  12,00 Pfund", "GBP"),
        ("Razem  12,00 zł", "PLN"),
        ("Total  R$ 12,00", "BRL"),
        ("Leistung     Anzahl    Betrag CHF\nPutzen      2     12.00", "CHF"),
        ("TOTAL GBP          15.95", "GBP"),
        ("Total   GBP   15.95", "GBP"),
        ("Price  $10.00\nTotal (CAD)    $10.00", "CAD"),
        ("Totalt  120,00 kr\nIBAN NO93 8601 1117 947", "NOK"),
        ("Totalt  120,00 kr", None),
        ("Alle Beträge in Euro.\nSumme  12,00", "EUR"),
        ("CHE-123.456.788 MWST\nTotal  12.00", None),
        ("Order ABC 1234\nINV 2024\nTotal  12.00", None),
        ("312 pounds of apples\nTotal  12.00", None),
    ],
)
def test_finds_the_currency(text: str, currency: str | None) -> None:
    """A code, a sign or a word beside money tells the currency; identifiers, weights and doubtful signs do not."""
    assert read_invoice(f"Invoice\n{text}\n").currency == currency


def test_gives_each_rate_its_own_tax() -> None:
    """Several rates are several taxes; where their sum is not printed there is no tax amount."""
    facts = read_invoice(TWO_RATES)
    assert facts.taxes == (TaxFacts("7", "7,26", "103,70"), TaxFacts("19", "8,17", "43,00"))
    assert (facts.tax, facts.net, facts.total) == (None, "146,70", "162,13")


def test_gives_the_printed_sum_of_several_taxes() -> None:
    """The tax amount of a tax table is the sum that is printed beneath it."""
    facts = read_invoice(TAX_TABLE)
    assert facts.taxes == (TaxFacts("7", "11.20", "160.00"), TaxFacts("19", "63.84", "336.00"))
    assert facts.tax == "75.04"


def test_takes_a_single_tax_for_the_whole() -> None:
    """One rate's tax is the tax amount, and what the rate is on is not taken for the tax."""
    facts = read_invoice("Invoice\nSubtotal  100.00\nVAT 20%  20.00\nTotal  120.00\n")
    assert (facts.tax, facts.taxes) == ("20.00", (TaxFacts("20", "20.00"),))


@pytest.mark.parametrize(
    ("line", "date"),
    [
        ("Leipzig, den 24. Juni 2025", "24. Juni 2025"),
        ("Bath, 24 June 2025", "24 June 2025"),
        ("Lyon, le 24 juin 2025", "24 juin 2025"),
        ("Work done from 1 to 13 June 2025", None),
        ("Service 01.06.2025 - 30.06.2025", None),
        ("Januar bis 13. Juni 2025\nRechnungsdatum 24.06.2025", "24.06.2025"),
    ],
)
def test_tells_the_issue_date_from_periods(line: str, date: str | None) -> None:
    """A letter's date behind its place counts, the days of a period do not."""
    assert read_invoice(f"ausgeführt vom 10. bis 13. Juni 2025\n{line}\n").date == date


def test_tells_sender_and_addressee_of_a_letter() -> None:
    """Without labels the upper address block is the vendor's, in whichever column, and the next one is the buyer's."""
    facts = read_invoice(LETTER)
    assert (facts.vendor.name, facts.vendor.address) == ("Tischlerei Abendroth", "Mühlweg 3, 01067 Dresden")
    assert (facts.buyer.name, facts.buyer.address) == (
        "Wohnbau Lindenhof GmbH",
        "Frau Ada Kern, Ringstraße 9, 01069 Dresden",
    )
    assert (facts.date, facts.currency, facts.total, facts.tax) == ("24. Juni 2025", "EUR", "119,00", "19,00")


def test_separates_blocks_in_one_column() -> None:
    """A postcode ends an address: the next block of the same column is another party."""
    facts = read_invoice("Laden Nord\nAm Tor 1 · 38640 Goslar\nBücherei Süd\nAnger 3\n38871 Altenrode\nRechnung 7\n")
    assert (facts.vendor.name, facts.buyer.name) == ("Laden Nord", "Bücherei Süd")


def test_leaves_blocks_side_by_side_open() -> None:
    """Two unlabelled blocks at the same height do not tell who sells."""
    facts = read_invoice(
        "Firma Ost              Firma West\nWeg 1                  Weg 2\n10115 Berlin           80331 München\n"
    )
    assert (facts.vendor.name, facts.buyer.name) == (None, None)


def test_reads_parties_right_of_their_labels() -> None:
    """Names stand right of `From` and `To` with their addresses behind them; the next label is nobody's name."""
    facts = read_invoice(
        "From             Marsh & Co. Ltd, 9 Canal Walk, Galway H91 X2Y3\n"
        "To               Nordkante GmbH, Hafenstr. 4, 28195 Bremen\n"
        "Payment terms    14 days\n"
    )
    assert (facts.vendor.name, facts.vendor.address) == ("Marsh & Co. Ltd", "9 Canal Walk, Galway H91 X2Y3")
    assert (facts.buyer.name, facts.buyer.address) == ("Nordkante GmbH", "Hafenstr. 4, 28195 Bremen")


def test_takes_no_label_for_a_name() -> None:
    """A label with nothing beneath it but another label announces nobody, and nobody sells to himself."""
    facts = read_invoice("Von:\nPayment terms:\nAn:\nPayment terms\n")
    assert (facts.vendor.name, facts.buyer.name) == (None, None)
    same = read_invoice("Seller: Blue Door Ltd\nBuyer: Blue Door Ltd\n")
    assert (same.vendor.name, same.buyer.name) == ("Blue Door Ltd", None)


@pytest.mark.parametrize(
    "label", ["Zwischensumme", "Zwischentotal", "Total excl. VAT", "Nettobetrag", "Sous-total HT", "Total hors TVA"]
)
def test_knows_the_labels_of_net_amounts(label: str) -> None:
    """The net amount has many names and is never the total."""
    facts = read_invoice(f"Invoice\n{label}     100,00\nMwSt. 19 %     19,00\nGesamtbetrag     119,00\n")
    assert [amount_value(printed or "") for printed in (facts.net, facts.total)] == [Decimal(100), Decimal(119)]


def test_skips_carried_over_sums() -> None:
    """The sum that a long list carries to its next page is no item."""
    facts = read_invoice(
        "Artikel      Menge    Betrag EUR\nSchraube     2        28,00\nÜbertrag auf Seite 2     28,00\n"
        "Mutter       1         2,00\nNettobetrag           30,00\n"
    )
    assert [line.total for line in facts.lines] == ["28,00", "2,00"]
