"""What the words beside a value say it is."""

from __future__ import annotations

import pytest

from pipeline.invoice.labels import Label, amount_label, date_label, mentions, words_behind


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


def test_words_behind_a_label() -> None:
    """The words that follow a label are given back folded."""
    assert words_behind("Invoice No: INV-7", "invoice_number") == ["inv", "7"]
    assert words_behind("Hello 5", "invoice_number") == []
