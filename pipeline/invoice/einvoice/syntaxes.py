"""Where each syntax of e-invoices keeps what: tables of XPaths, by field of `Invoice`.

Of several paths of a field the first that finds something counts. CII is UN/CEFACT's syntax, as in Factur-X, ZUGFeRD 2
and XRechnung; ZUGFeRD 1.0 is an older draft of it with other names; UBL is the syntax of Peppol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.invoice.model import Kind

Paths = tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Hold a list: the path of its entries, and the paths of fields within an entry."""

    path: str
    fields: Mapping[str, Paths]


@dataclass(frozen=True)
class Syntax:
    """Hold one syntax: its root element and the paths below it.

    `addresses` are groups of elements: those of a group are joined by a blank, the groups by a comma. `accounts` finds
    every account in it, whoever owns it; `price_base` how many units the price of a line is for. `kind` is what a
    document without a known type code is.
    """

    name: str
    root: str
    names: Mapping[str, str]
    type_code: str
    fields: Mapping[str, Paths]
    addresses: Mapping[str, tuple[Paths, ...]]
    taxes: Rows
    lines: Rows
    allowances: Rows
    charges: Rows
    accounts: str
    price_base: Paths
    kind: Kind = Kind.INVOICE


def kind_of(type_code: str) -> Kind | None:
    """Return what a document type of UNTDID 1001 is, as EN 16931 sorts them; None for one it does not list."""
    if type_code in _CREDIT_NOTES:
        return Kind.CREDIT_NOTE
    return Kind.INVOICE if type_code in _INVOICES else None


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CREDIT_NOTES = _codes("81 83 261 262 296 308 381 396 420 458 502 503 532")
_INVOICES = _codes(
    "71 80 82 84 102 130 202 203 204 211 218 219 295 325 326 331 380 382 383 384 385 386 387 388 389 390 393 394 395 "
    "456 457 471 472 473 500 501 527 553 575 623 633 751 780 817 870 875 876 877 935"
)

_TRADE = "rsm:SupplyChainTradeTransaction"
_AGREEMENT = f"{_TRADE}/ram:ApplicableHeaderTradeAgreement"
_SETTLEMENT = f"{_TRADE}/ram:ApplicableHeaderTradeSettlement"
_TOTALS = f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementHeaderMonetarySummation"
_SELLER = f"{_AGREEMENT}/ram:SellerTradeParty"
_BUYER = f"{_AGREEMENT}/ram:BuyerTradeParty"
_MEANS = f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementPaymentMeans"
_DELIVERY = f"{_TRADE}/ram:ApplicableHeaderTradeDelivery"
_IN_CURRENCY = "[@currencyID=normalize-space(../../ram:InvoiceCurrencyCode)]"


def _cii_party(party: str) -> dict[str, Paths]:
    return {
        "name": (f"{party}/ram:Name", f"{party}/ram:SpecifiedLegalOrganization/ram:TradingBusinessName"),
        "vat_id": (
            f"{party}/ram:SpecifiedTaxRegistration/ram:ID[@schemeID='VA']",
            f"{party}/ram:SpecifiedTaxRegistration/ram:ID",
        ),
    }


def _cii_address(party: str) -> tuple[Paths, ...]:
    groups = (
        ("LineOne",),
        ("LineTwo",),
        ("LineThree",),
        ("PostcodeCode", "CityName"),
        ("CountrySubDivisionName",),
        ("CountryID",),
    )
    return tuple(tuple(f"{party}/ram:PostalTradeAddress/ram:{name}" for name in group) for group in groups)


def _of(party: str, fields: Mapping[str, Paths]) -> dict[str, Paths]:
    return {f"{party}.{name}": paths for name, paths in fields.items()}


# A yes or no is written in two ways.
_IS_CHARGE = "ChargeIndicator[normalize-space()='true' or normalize-space()='1']"
_IS_ALLOWANCE = "ChargeIndicator[normalize-space()='false' or normalize-space()='0']"
_CII_ADJUSTMENT = {"reason": ("ram:Reason", "ram:Description"), "amount": ("ram:ActualAmount", "ram:AppliedAmount")}

_CII = Syntax(
    name="CII",
    root="{urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100}CrossIndustryInvoice",
    names={
        "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
        "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    },
    type_code="rsm:ExchangedDocument/ram:TypeCode",
    fields={
        "invoice_number": ("rsm:ExchangedDocument/ram:ID",),
        "date": ("rsm:ExchangedDocument/ram:IssueDateTime/*",),
        "due_date": (f"{_SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:DueDateDateTime/*",),
        "currency": (f"{_SETTLEMENT}/ram:InvoiceCurrencyCode",),
        "total_amount": (f"{_TOTALS}/ram:GrandTotalAmount{_IN_CURRENCY}", f"{_TOTALS}/ram:GrandTotalAmount"),
        "net_amount": (f"{_TOTALS}/ram:TaxBasisTotalAmount{_IN_CURRENCY}", f"{_TOTALS}/ram:TaxBasisTotalAmount"),
        "tax_amount": (
            f"{_TOTALS}/ram:TaxTotalAmount{_IN_CURRENCY}",
            f"{_TOTALS}/ram:TaxTotalAmount[not(@currencyID)]",
        ),
        "delivery_date": (f"{_DELIVERY}/ram:ActualDeliverySupplyChainEvent/ram:OccurrenceDateTime/*",),
        "order_reference": (
            f"{_AGREEMENT}/ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID",
            f"{_AGREEMENT}/ram:BuyerOrderReferencedDocument/ram:ID",
        ),
        "buyer_reference": (f"{_AGREEMENT}/ram:BuyerReference",),
        "prepaid_amount": (f"{_TOTALS}/ram:TotalPrepaidAmount",),
        "rounding_amount": (f"{_TOTALS}/ram:RoundingAmount",),
        "payable_amount": (f"{_TOTALS}/ram:DuePayableAmount",),
        **_of("vendor", _cii_party(_SELLER)),
        "vendor.iban": (f"{_MEANS}/ram:PayeePartyCreditorFinancialAccount/ram:IBANID",),
        "vendor.bic": (f"{_MEANS}/ram:PayeeSpecifiedCreditorFinancialInstitution/ram:BICID",),
        **_of("buyer", _cii_party(_BUYER)),
        "buyer.iban": (f"{_MEANS}/ram:PayerPartyDebtorFinancialAccount/ram:IBANID",),
    },
    addresses={"vendor": _cii_address(_SELLER), "buyer": _cii_address(_BUYER)},
    taxes=Rows(
        f"{_SETTLEMENT}/ram:ApplicableTradeTax",
        {
            "rate": ("ram:RateApplicablePercent",),
            "base": ("ram:BasisAmount",),
            "amount": ("ram:CalculatedAmount",),
        },
    ),
    lines=Rows(
        # Lines that group others, or only inform, are not charged.
        f"{_TRADE}/ram:IncludedSupplyChainTradeLineItem"
        "[not(ram:AssociatedDocumentLineDocument/ram:LineStatusReasonCode[.='GROUP' or .='INFORMATION'])]",
        {
            "description": ("ram:SpecifiedTradeProduct/ram:Name", "ram:SpecifiedTradeProduct/ram:Description"),
            "quantity": ("ram:SpecifiedLineTradeDelivery/ram:BilledQuantity",),
            "unit_price": ("ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice/ram:ChargeAmount",),
            "total": (
                "ram:SpecifiedLineTradeSettlement/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount",
            ),
        },
    ),
    allowances=Rows(f"{_SETTLEMENT}/ram:SpecifiedTradeAllowanceCharge[ram:{_IS_ALLOWANCE}]", _CII_ADJUSTMENT),
    charges=Rows(
        f"{_SETTLEMENT}/ram:SpecifiedTradeAllowanceCharge[ram:{_IS_CHARGE}]"
        f" | {_SETTLEMENT}/ram:SpecifiedLogisticsServiceCharge",
        _CII_ADJUSTMENT,
    ),
    accounts="//ram:IBANID",
    price_base=("ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice/ram:BasisQuantity",),
)

_ZUGFERD_1_NAMES = {
    "rsm:ExchangedDocument": "rsm:HeaderExchangedDocument",
    "rsm:SupplyChainTradeTransaction": "rsm:SpecifiedSupplyChainTradeTransaction",
    "ram:ApplicableHeaderTradeAgreement": "ram:ApplicableSupplyChainTradeAgreement",
    "ram:ApplicableHeaderTradeSettlement": "ram:ApplicableSupplyChainTradeSettlement",
    "ram:ApplicableHeaderTradeDelivery": "ram:ApplicableSupplyChainTradeDelivery",
    "ram:SpecifiedTradeSettlementHeaderMonetarySummation": "ram:SpecifiedTradeSettlementMonetarySummation",
    "ram:SpecifiedTradeSettlementLineMonetarySummation": "ram:SpecifiedTradeSettlementMonetarySummation",
    "ram:SpecifiedLineTradeAgreement": "ram:SpecifiedSupplyChainTradeAgreement",
    "ram:SpecifiedLineTradeDelivery": "ram:SpecifiedSupplyChainTradeDelivery",
    "ram:SpecifiedLineTradeSettlement": "ram:SpecifiedSupplyChainTradeSettlement",
    "ram:RateApplicablePercent": "ram:ApplicablePercent",
}


def _renamed(path: str) -> str:
    for new, old in _ZUGFERD_1_NAMES.items():
        path = path.replace(new, old)
    return path


def _all_renamed(paths: Paths) -> Paths:
    return tuple(map(_renamed, paths))


def _rows_renamed(rows: Rows) -> Rows:
    return Rows(_renamed(rows.path), {name: _all_renamed(paths) for name, paths in rows.fields.items()})


_ZUGFERD_1 = replace(
    _CII,
    name="ZUGFeRD 1.0",
    root="{urn:ferd:CrossIndustryDocument:invoice:1p0}CrossIndustryDocument",
    names={
        "rsm": "urn:ferd:CrossIndustryDocument:invoice:1p0",
        "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:12",
    },
    type_code=_renamed(_CII.type_code),
    fields={name: _all_renamed(paths) for name, paths in _CII.fields.items()},
    addresses={role: tuple(map(_all_renamed, groups)) for role, groups in _CII.addresses.items()},
    taxes=_rows_renamed(_CII.taxes),
    lines=_rows_renamed(_CII.lines),
    allowances=_rows_renamed(_CII.allowances),
    charges=_rows_renamed(_CII.charges),
    price_base=_all_renamed(_CII.price_base),
)

_UBL_CURRENCY = "[@currencyID=normalize-space(../../cbc:DocumentCurrencyCode)]"
_UBL_SELLER = "cac:AccountingSupplierParty/cac:Party"
_UBL_BUYER = "cac:AccountingCustomerParty/cac:Party"
_UBL_ADJUSTMENT = {"reason": ("cbc:AllowanceChargeReason",), "amount": ("cbc:Amount",)}


def _ubl_party(party: str) -> dict[str, Paths]:
    return {
        "name": (f"{party}/cac:PartyLegalEntity/cbc:RegistrationName", f"{party}/cac:PartyName/cbc:Name"),
        "vat_id": (
            f"{party}/cac:PartyTaxScheme[normalize-space(cac:TaxScheme/cbc:ID)='VAT']/cbc:CompanyID",
            f"{party}/cac:PartyTaxScheme/cbc:CompanyID",
        ),
    }


def _ubl_address(party: str) -> tuple[Paths, ...]:
    groups = (
        ("cbc:StreetName",),
        ("cbc:AdditionalStreetName",),
        ("cac:AddressLine/cbc:Line",),
        ("cbc:PostalZone", "cbc:CityName"),
        ("cbc:CountrySubentity",),
        ("cac:Country/cbc:IdentificationCode",),
    )
    return tuple(tuple(f"{party}/cac:PostalAddress/{name}" for name in group) for group in groups)


_UBL_FIELDS: dict[str, Paths] = {
    "invoice_number": ("cbc:ID",),
    "date": ("cbc:IssueDate",),
    "due_date": (
        "cbc:DueDate",
        "cac:PaymentMeans/cbc:PaymentDueDate",
        "cac:PaymentTerms/cbc:PaymentDueDate",
    ),
    "currency": ("cbc:DocumentCurrencyCode",),
    "total_amount": ("cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount",),
    "net_amount": ("cac:LegalMonetaryTotal/cbc:TaxExclusiveAmount",),
    "tax_amount": (f"cac:TaxTotal/cbc:TaxAmount{_UBL_CURRENCY}",),
    "delivery_date": ("cac:Delivery/cbc:ActualDeliveryDate",),
    "order_reference": ("cac:OrderReference/cbc:ID",),
    "buyer_reference": ("cbc:BuyerReference",),
    "prepaid_amount": ("cac:LegalMonetaryTotal/cbc:PrepaidAmount",),
    "rounding_amount": ("cac:LegalMonetaryTotal/cbc:PayableRoundingAmount",),
    "payable_amount": ("cac:LegalMonetaryTotal/cbc:PayableAmount",),
    **_of("vendor", _ubl_party(_UBL_SELLER)),
    "vendor.iban": ("cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID",),
    "vendor.bic": (
        "cac:PaymentMeans/cac:PayeeFinancialAccount/cac:FinancialInstitutionBranch/cbc:ID",
        "cac:PaymentMeans/cac:PayeeFinancialAccount/cac:FinancialInstitutionBranch/cac:FinancialInstitution/cbc:ID",
    ),
    **_of("buyer", _ubl_party(_UBL_BUYER)),
    "buyer.iban": ("cac:PaymentMeans/cac:PaymentMandate/cac:PayerFinancialAccount/cbc:ID",),
}
_UBL_TAXES = Rows(
    "cac:TaxTotal[cbc:TaxAmount/@currencyID=normalize-space(../cbc:DocumentCurrencyCode)]/cac:TaxSubtotal",
    {
        "rate": ("cac:TaxCategory/cbc:Percent", "cbc:Percent"),
        "base": ("cbc:TaxableAmount",),
        "amount": ("cbc:TaxAmount",),
    },
)


def _ubl(document: str, *, line: str, quantity: str) -> Syntax:
    return Syntax(
        name=f"UBL {document}",
        root=f"{{urn:oasis:names:specification:ubl:schema:xsd:{document}-2}}{document}",
        names={
            "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
            "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
        },
        type_code=f"cbc:{document}TypeCode",
        fields=_UBL_FIELDS,
        addresses={"vendor": _ubl_address(_UBL_SELLER), "buyer": _ubl_address(_UBL_BUYER)},
        taxes=_UBL_TAXES,
        lines=Rows(
            f"cac:{line}",
            {
                "description": ("cac:Item/cbc:Name", "cac:Item/cbc:Description"),
                "quantity": (f"cbc:{quantity}",),
                "unit_price": ("cac:Price/cbc:PriceAmount",),
                "total": ("cbc:LineExtensionAmount",),
            },
        ),
        allowances=Rows(f"cac:AllowanceCharge[cbc:{_IS_ALLOWANCE}]", _UBL_ADJUSTMENT),
        charges=Rows(f"cac:AllowanceCharge[cbc:{_IS_CHARGE}]", _UBL_ADJUSTMENT),
        accounts="cac:PaymentMeans//cbc:ID",
        price_base=("cac:Price/cbc:BaseQuantity",),
        kind=Kind.CREDIT_NOTE if document == "CreditNote" else Kind.INVOICE,
    )


SYNTAXES: Mapping[str, Syntax] = {
    syntax.root: syntax
    for syntax in (
        _CII,
        _ZUGFERD_1,
        _ubl("Invoice", line="InvoiceLine", quantity="InvoicedQuantity"),
        _ubl("CreditNote", line="CreditNoteLine", quantity="CreditedQuantity"),
    )
}
