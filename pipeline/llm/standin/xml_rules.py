"""Read an XML e-invoice that is shown as text: UBL, CII and ZUGFeRD 1.0 by the ends of their paths."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.llm.standin.invoice_facts import FurtherFacts, InvoiceFacts, Kind, LineFacts, PartyFacts, TaxFacts

_TOKEN = re.compile(
    r"<!--.*?-->|<[?!][^>]*>|<(?P<close>/)?(?:[\w.-]+:)?(?P<name>[\w.-]+)[^<>]*?(?P<empty>/)?>|[^<]+", re.S
)
_ROOTS = ("Invoice", "CreditNote", "CrossIndustryInvoice", "CrossIndustryDocument")
_LINES = frozenset({"InvoiceLine", "CreditNoteLine", "IncludedSupplyChainTradeLineItem"})
_TAXES = frozenset({"TaxSubtotal", "ApplicableTradeTax"})
_CREDIT_CODES = frozenset({"381", "384", "396", "83", "308"})

# Each field: path ends, the first that is there counts; "A…/B" wants A anywhere above B.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "number": ("Invoice/ID", "CreditNote/ID", "ExchangedDocument/ID", "HeaderExchangedDocument/ID"),
    "type": ("InvoiceTypeCode", "CreditNoteTypeCode", "ExchangedDocument/TypeCode", "HeaderExchangedDocument/TypeCode"),
    "date": (
        "IssueDate",
        "ExchangedDocument/IssueDateTime/DateTimeString",
        "HeaderExchangedDocument/IssueDateTime/DateTimeString",
    ),
    "due_date": ("Invoice/DueDate", "PaymentDueDate", "DueDateDateTime/DateTimeString"),
    "currency": ("DocumentCurrencyCode", "InvoiceCurrencyCode"),
    "total": ("LegalMonetaryTotal/TaxInclusiveAmount", "GrandTotalAmount"),
    "net": ("LegalMonetaryTotal/TaxExclusiveAmount", "TaxBasisTotalAmount"),
    "tax": ("TaxTotal/TaxAmount", "TaxTotalAmount"),
    "delivery_date": (
        "Delivery/ActualDeliveryDate",
        "ActualDeliverySupplyChainEvent/OccurrenceDateTime/DateTimeString",
    ),
    "order_reference": (
        "OrderReference/ID",
        "BuyerOrderReferencedDocument/IssuerAssignedID",
        "BuyerOrderReferencedDocument/ID",
    ),
    "buyer_reference": ("BuyerReference",),
    "prepaid": ("LegalMonetaryTotal/PrepaidAmount", "TotalPrepaidAmount"),
    "payable": ("LegalMonetaryTotal/PayableAmount", "DuePayableAmount"),
    "bic": ("FinancialInstitutionBranch/ID", "PayeeSpecifiedCreditorFinancialInstitution/BICID"),
    "vendor_name": (
        "AccountingSupplierParty…/RegistrationName",
        "AccountingSupplierParty…/PartyName/Name",
        "SellerTradeParty/Name",
    ),
    "vendor_vat_id": (
        "AccountingSupplierParty…/PartyTaxScheme/CompanyID",
        "SellerTradeParty…/SpecifiedTaxRegistration/ID",
    ),
    "vendor_iban": ("PayeeFinancialAccount/ID", "IBANID"),
    "buyer_name": (
        "AccountingCustomerParty…/RegistrationName",
        "AccountingCustomerParty…/PartyName/Name",
        "BuyerTradeParty/Name",
    ),
    "buyer_vat_id": (
        "AccountingCustomerParty…/PartyTaxScheme/CompanyID",
        "BuyerTradeParty…/SpecifiedTaxRegistration/ID",
    ),
}
_LINE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "description": ("Item/Name", "SpecifiedTradeProduct/Name"),
    "quantity": ("InvoicedQuantity", "CreditedQuantity", "BilledQuantity"),
    "unit_price": ("Price/PriceAmount", "NetPriceProductTradePrice/ChargeAmount"),
    "total": ("InvoiceLine/LineExtensionAmount", "CreditNoteLine/LineExtensionAmount", "LineTotalAmount"),
}
_TAX_FIELDS: Mapping[str, tuple[str, ...]] = {
    "rate": ("TaxCategory/Percent", "RateApplicablePercent", "ApplicablePercent"),
    "amount": ("TaxSubtotal/TaxAmount", "CalculatedAmount"),
    "base": ("TaxableAmount", "BasisAmount"),
}


@dataclass(frozen=True)
class _Leaf:
    """Hold an element's text, its path and which repeated block it is in (0: none)."""

    path: tuple[str, ...]
    value: str
    line: int
    tax: int


def is_xml_invoice(text: str) -> bool:
    """Tell whether the text is an XML document with an invoice's root."""
    head = text.lstrip("\ufeff \t\r\n")[:2000]
    return head.startswith("<") and bool(re.search(rf"<(?:[\w.-]+:)?(?:{'|'.join(_ROOTS)})[\s>]", head))


def read_xml_invoice(text: str) -> InvoiceFacts:
    """Return what the known paths hold."""
    leaves = list(_leaves(text))
    top = [leaf for leaf in leaves if not leaf.line]
    found = {name: _first(top, ends) for name, ends in _FIELDS.items()}
    credit = found["type"] in _CREDIT_CODES or any(leaf.path[0] == "CreditNote" for leaf in leaves[:1])
    return InvoiceFacts(
        kind=Kind.CREDIT_NOTE if credit else Kind.INVOICE,
        number=found["number"],
        date=found["date"],
        due_date=found["due_date"],
        currency=found["currency"],
        total=found["total"],
        net=found["net"],
        tax=found["tax"],
        taxes=tuple(TaxFacts(**_block(top, _TAX_FIELDS, "tax", each)) for each in _numbers(leaf.tax for leaf in top)),
        vendor=PartyFacts(found["vendor_name"], None, found["vendor_vat_id"], found["vendor_iban"]),
        buyer=PartyFacts(found["buyer_name"], None, found["buyer_vat_id"]),
        further=FurtherFacts(
            delivery_date=found["delivery_date"],
            order_reference=found["order_reference"],
            buyer_reference=found["buyer_reference"],
            prepaid=found["prepaid"],
            payable=found["payable"],
            bic=found["bic"],
        ),
        lines=tuple(
            LineFacts(**_block(leaves, _LINE_FIELDS, "line", each)) for each in _numbers(x.line for x in leaves)
        ),
    )


def _leaves(text: str) -> Iterator[_Leaf]:
    path: list[str] = []
    line = tax = 0
    value = ""
    for token in _TOKEN.finditer(text):
        name = token["name"]
        if name is None:
            value += token.group() if not token.group().startswith("<") else ""
        elif token["close"]:
            if value.strip() and path:
                in_line, in_tax = not _LINES.isdisjoint(path), not _TAXES.isdisjoint(path)
                yield _Leaf(tuple(path), html.unescape(value.strip()), line * in_line, tax * in_tax)
            del path[-1:]
            value = ""
        elif not token["empty"]:
            path.append(name)
            line += name in _LINES
            tax += name in _TAXES
            value = ""


def _first(leaves: Iterable[_Leaf], ends: tuple[str, ...]) -> str | None:
    known = list(leaves)
    for end in ends:
        for leaf in known:
            if _ends(leaf.path, end):
                return leaf.value
    return None


def _ends(path: tuple[str, ...], end: str) -> bool:
    above, _, tail = end.rpartition("…/")
    joined = "/" + "/".join(path)
    return joined.endswith(f"/{tail}") and (not above or above in path)


def _block(
    leaves: list[_Leaf], fields: Mapping[str, tuple[str, ...]], group: Literal["line", "tax"], number: int
) -> dict[str, str | None]:
    own = [leaf for leaf in leaves if getattr(leaf, group) == number]
    return {name: _first(own, ends) for name, ends in fields.items()}


def _numbers(seen: Iterable[int]) -> list[int]:
    return sorted(set(seen) - {0})
