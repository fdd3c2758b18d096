"""What the words beside a value say it is."""

from __future__ import annotations

import pytest

from pipeline.invoice.labels import Label, amount_label, date_label, groups, is_label, mentions


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Grand Total:", Label.GRAND_TOTAL),
        ("TOTAL", Label.TOTAL),
        ("Subtotal", Label.OTHER),
        ("Total before tax", Label.NET),
        ("Total HT", Label.NET),
        ("Total TTC", Label.GRAND_TOTAL),
        ("Rechnungssumme Brutto (inkl. USt.)", Label.GRAND_TOTAL),
        ("Rechnungssumme ohne USt.", Label.NET),
        ("zzgl. Umsatzsteuer", Label.NET),
        ("Total taxes", Label.TAX),
        ("BTW 21%", Label.TAX),
        ("Net à payer", Label.DUE),
        ("Balance due", Label.DUE),
        ("Należność ogółem:", Label.GRAND_TOTAL),
        ("Valor total da nota", Label.GRAND_TOTAL),
        ("Screws, galvanised", None),
    ],
)
def test_amounts(text: str, label: Label | None) -> None:
    """An amount is named by the words before it."""
    assert amount_label(text) is label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Invoice date:", Label.DATE),
        ("Due date", Label.DUE_DATE),
        ("Fällig am", Label.DUE_DATE),
        ("Date d'échéance", Label.DUE_DATE),
        ("Lieferdatum", Label.OTHER_DATE),
        ("Nr. 4711 vom", Label.DATE),
        ("hello", None),
    ],
)
def test_dates(text: str, label: Label | None) -> None:
    """A date is named by the nearest label before it, the narrower one of two."""
    assert date_label(text) is label


def test_phrases_are_whole_words() -> None:
    """A label inside another word is none."""
    assert mentions("Invoice No. 5", "invoice_number")
    assert not mentions("Denote", "number")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Bestellung vom", Label.OTHER_DATE),
        ("Ihr Angebot vom", Label.OTHER_DATE),
        ("Date de facture associée", Label.OTHER_DATE),
        ("Facture du", Label.DATE),
        ("Zahlbar bis", Label.DUE_DATE),
    ],
)
def test_prepositions_take_the_noun_before_them(text: str, label: Label) -> None:
    """An order's or another invoice's date is no issue date, whatever preposition ends its label."""
    assert date_label(text) is label


def test_text_of_labels_only_is_a_label() -> None:
    """A label, also a pair of one group, is told from a name that merely contains one."""
    assert is_label("Payment terms:", groups())
    assert is_label("CNPJ/CPF", groups())
    assert not is_label("Deutsche Bank AG", groups())
    assert not is_label("Order of Malta", groups())
