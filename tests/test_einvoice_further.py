"""Delivery, references, allowances, charges and payments of e-invoices, exactly as the XML has them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from einvoice_files import Facts, cii, ubl, zugferd_1

from pipeline.invoice.checks import check
from pipeline.invoice.einvoice.reading import EInvoice, read_xml
from pipeline.invoice.model import Adjustment, Kind

# One line of 1000.00, less 50.00, plus 25.50.
FACTS = Facts(net="975.50", tax="185.35", total="1160.85")


def cii_adjustment(is_charge: str, amount: str, reason: str) -> str:
    """Return an allowance or a charge of CII."""
    return f"""<ram:SpecifiedTradeAllowanceCharge>
<ram:ChargeIndicator><udt:Indicator>{is_charge}</udt:Indicator></ram:ChargeIndicator>
<ram:ActualAmount>{amount}</ram:ActualAmount><ram:Reason>{reason}</ram:Reason></ram:SpecifiedTradeAllowanceCharge>"""


def ubl_adjustment(is_charge: str, amount: str, reason: str) -> str:
    """Return an allowance or a charge of UBL."""
    return f"""<cac:AllowanceCharge><cbc:ChargeIndicator>{is_charge}</cbc:ChargeIndicator>
<cbc:AllowanceChargeReason>{reason}</cbc:AllowanceChargeReason>
<cbc:Amount currencyID="EUR">{amount}</cbc:Amount></cac:AllowanceCharge>"""


def in_cii(xml: str, *, draft: bool = False) -> str:
    """Put the further values into CII, or into the draft of it that ZUGFeRD 1.0 is."""
    level = "ApplicableSupplyChainTrade" if draft else "ApplicableHeaderTrade"
    number = "ID" if draft else "IssuerAssignedID"
    totals = "SpecifiedTradeSettlementMonetarySummation" if draft else "SpecifiedTradeSettlementHeaderMonetarySummation"
    agreement = "<ram:BuyerReference>04011000-1234512345-06</ram:BuyerReference>"
    order = f"<ram:BuyerOrderReferencedDocument><ram:{number}>PO 77</ram:{number}></ram:BuyerOrderReferencedDocument>"
    delivered = """<ram:ActualDeliverySupplyChainEvent><ram:OccurrenceDateTime>
<udt:DateTimeString format="102">20250901</udt:DateTimeString></ram:OccurrenceDateTime>
</ram:ActualDeliverySupplyChainEvent>"""
    freight = """<ram:SpecifiedLogisticsServiceCharge><ram:Description>Fracht</ram:Description>
<ram:AppliedAmount>5.50</ram:AppliedAmount></ram:SpecifiedLogisticsServiceCharge>"""
    adjustments = cii_adjustment("false", "50.00", "Treuerabatt") + cii_adjustment("true", "20.00", "Verpackung")
    bank = """<ram:PayeeSpecifiedCreditorFinancialInstitution><ram:BICID>SOLADEST600</ram:BICID>
</ram:PayeeSpecifiedCreditorFinancialInstitution></ram:SpecifiedTradeSettlementPaymentMeans>"""
    paid = """<ram:RoundingAmount>0.15</ram:RoundingAmount><ram:TotalPrepaidAmount>161.00</ram:TotalPrepaidAmount>
<ram:DuePayableAmount>1000.00</ram:DuePayableAmount>"""
    xml = xml.replace("<ram:DuePayableAmount>1160.85</ram:DuePayableAmount>", "")
    if draft:
        start = "<ram:ApplicableSupplyChainTradeSettlement>"
        xml = xml.replace(start, f"<ram:{level}Delivery>{delivered}</ram:{level}Delivery>{start}")
    else:
        xml = xml.replace(
            "<ram:ApplicableHeaderTradeDelivery/>", f"<ram:{level}Delivery>{delivered}</ram:{level}Delivery>"
        )
    xml = xml.replace(f"<ram:{level}Agreement>", f"<ram:{level}Agreement>{agreement}")
    xml = xml.replace(f"</ram:{level}Agreement>", f"{order}</ram:{level}Agreement>")
    xml = xml.replace("</ram:SpecifiedTradeSettlementPaymentMeans>", bank)
    # The line's own sums have the same name in the draft, but come after those of the whole invoice.
    return xml.replace(f"<ram:{totals}>", f"{adjustments}{freight}<ram:{totals}>{paid}", 1)


def in_ubl(xml: str) -> str:
    """Put the further values into UBL."""
    head = "<cbc:BuyerReference>04011000-1234512345-06</cbc:BuyerReference>"
    order = "<cac:OrderReference><cbc:ID>PO 77</cbc:ID></cac:OrderReference>"
    delivery = "<cac:Delivery><cbc:ActualDeliveryDate>2025-09-01</cbc:ActualDeliveryDate></cac:Delivery>"
    bank = "<cac:FinancialInstitutionBranch><cbc:ID>SOLADEST600</cbc:ID></cac:FinancialInstitutionBranch>"
    made = [("false", "50.00", "Treuerabatt"), ("true", "20.00", "Verpackung"), ("true", "5.50", "Fracht")]
    adjustments = "".join(ubl_adjustment(*one) for one in made)
    paid = """<cbc:PrepaidAmount currencyID="EUR">161.00</cbc:PrepaidAmount>
<cbc:PayableRoundingAmount currencyID="EUR">0.15</cbc:PayableRoundingAmount>
<cbc:PayableAmount currencyID="EUR">1000.00</cbc:PayableAmount>"""
    xml = xml.replace('<cbc:PayableAmount currencyID="EUR">1160.85</cbc:PayableAmount>', paid)
    xml = xml.replace("<cac:AccountingSupplierParty>", f"{head}{order}<cac:AccountingSupplierParty>")
    xml = xml.replace("<cac:PaymentMeans>", f"{delivery}<cac:PaymentMeans>")
    xml = xml.replace("</cac:PayeeFinancialAccount>", f"{bank}</cac:PayeeFinancialAccount>")
    return xml.replace("<cac:TaxTotal>", f"{adjustments}<cac:TaxTotal>")


SYNTAXES = {
    "CII": in_cii(cii(FACTS)),
    "ZUGFeRD 1.0": in_cii(zugferd_1(FACTS), draft=True),
    "UBL Invoice": in_ubl(ubl(FACTS)),
}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_further_value_is_read_exactly(syntax: str) -> None:
    """All syntaxes say the same, with the element of each value as its quote."""
    read = read_xml(SYNTAXES[syntax])
    invoice = read.invoice
    assert read.syntax == syntax
    assert invoice.delivery_date == date(2025, 9, 1)
    assert (invoice.order_reference, invoice.buyer_reference) == ("PO 77", "04011000-1234512345-06")
    assert invoice.allowances == (Adjustment(reason="Treuerabatt", amount=Decimal("50.00")),)
    charges = {(one.reason, str(one.amount)) for one in invoice.charges}
    assert charges == {("Verpackung", "20.00"), ("Fracht", "5.50")}
    amounts = (invoice.prepaid_amount, invoice.rounding_amount, invoice.payable_amount)
    assert list(map(str, amounts)) == ["161.00", "0.15", "1000.00"]
    assert invoice.vendor.bic == "SOLADEST600"
    assert read.quotes["payable_amount"].endswith("PayableAmount 1000.00")
    assert read.quotes["allowances.0.reason"].endswith("Reason Treuerabatt")


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_they_enter_the_sums(syntax: str) -> None:
    """Lines, charges and allowances make the net amount; total, payment and rounding make what is left to pay."""
    read = read_xml(SYNTAXES[syntax])
    assert (*read.findings, *check(read.invoice, read.kind)) == ()


def test_what_is_left_to_pay_is_checked() -> None:
    """Another amount to pay than the sums make is an error."""
    wrong = SYNTAXES["UBL Invoice"].replace(">1000.00</cbc:PayableAmount>", ">1160.85</cbc:PayableAmount>")
    found = check(read_xml(wrong).invoice, Kind.INVOICE)
    assert [(one.code, one.field) for one in found] == [("payable_mismatch", "payable_amount")]


def test_a_credit_note_keeps_them_in_the_same_places() -> None:
    """UBL has another root for it and the same elements."""
    read: EInvoice = read_xml(in_ubl(ubl(FACTS, document="CreditNote")))
    assert read.kind is Kind.CREDIT_NOTE
    assert (read.invoice.payable_amount, len(read.invoice.charges)) == (Decimal("1000.00"), 2)
