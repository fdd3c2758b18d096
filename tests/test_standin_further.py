"""What the stand-in's rules find beyond an invoice's header."""

from __future__ import annotations

import pytest
from test_invoice_further import PAGE

from pipeline.invoice.asking import Asked, FurtherField
from pipeline.llm.standin.invoice_facts import AdjustmentFacts
from pipeline.llm.standin.invoice_rules import read_invoice
from pipeline.llm.standin.schema_answers import fill_schema

FRENCH = """Menuiserie du Lac SARL
FACTURE N° F-2024-009                    Date de facture : 14 mars 2024
Date de livraison : 12/03/2024           Votre commande : CMD-5512
Votre référence : Chantier 7
                                         Total HT          1 250,00 €
                                         TVA 20 %          250,00 €
                                         Total TTC         1 500,00 €
                                         Acompte versé     500,00 €
                                         Net à payer       1 000,00 €
BIC : AGRIFRPP
"""


def test_a_german_page_with_rebate_and_freight() -> None:
    """Allowances and charges are taken where the lines need them to add up."""
    further = read_invoice(PAGE).further
    assert (further.delivery_date, further.order_reference) == ("03.03.2026", "B-7788")
    assert further.allowances == (AdjustmentFacts("abzgl. Rabatt", "50,00"),)
    assert further.charges == (AdjustmentFacts("zzgl. Versandkosten", "20,00"),)
    assert (further.prepaid, further.payable, further.bic) == ("-154,30", "1.000,00", "COBADEFFXXX")


def test_a_french_page_with_a_deposit() -> None:
    """Labels of other languages lead to the same fields."""
    further = read_invoice(FRENCH).further
    assert (further.delivery_date, further.order_reference) == ("12/03/2024", "CMD-5512")
    assert (further.prepaid, further.payable, further.bic) == ("500,00", "1 000,00", "AGRIFRPP")


@pytest.mark.parametrize("line", ["PO-3333", "Order date: 2026-01-02", "Order total: 35.00"])
def test_what_only_looks_like_an_order_number_is_none(line: str) -> None:
    """A number that begins with the label's letters, a date and a sum are no references."""
    assert read_invoice(f"Acme Ltd\nInvoice number: 7\n{line}\nTotal 35.00 GBP\n").further.order_reference is None


def test_unadjusted_lines_need_no_freight() -> None:
    """Freight that is a line already is not taken twice."""
    page = PAGE.replace("970,00", "1.000,00")
    assert read_invoice(page).further.charges == ()


def test_what_may_be_left_out_is_left_out() -> None:
    """An answer holds a further field only where something is known."""
    schema = Asked(tuple(FurtherField)).schema()
    empty = fill_schema(schema, read_invoice("Acme Ltd\nInvoice number: 7\nTotal 35.00 GBP\n"))
    assert set(empty) == set(schema["required"])
    assert "bic" not in empty["vendor"]
    full = fill_schema(schema, read_invoice(PAGE))
    assert full["allowances"] == [{"reason": "abzgl. Rabatt", "amount": "50,00"}]
    assert full["vendor"]["bic"] == "COBADEFFXXX"
