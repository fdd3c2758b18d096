"""E-invoices of every syntax, made of a few facts, alone and inside of PDFs."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import pypdf
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, StreamObject, TextStringObject

IBAN = "DE75512108001245126199"


@dataclass(frozen=True)
class Item:
    """Hold one line; `quantity` times `price` is `total`, all in the words of the XML."""

    name: str
    quantity: str
    price: str
    total: str


@dataclass(frozen=True)
class Facts:
    """Hold what an e-invoice says; the sums add up."""

    number: str = "VG-2025-118"
    date: str = "2025-09-04"
    due: str = "2025-09-18"
    currency: str = "EUR"
    net: str = "1000.00"
    tax: str = "190.00"
    total: str = "1190.00"
    rate: str = "19"
    type_code: str = "380"
    vendor: str = "Vogt & Grimm GmbH"
    street: str = "Am Speicher 4"
    postcode: str = "24103"
    city: str = "Kiel"
    vat_id: str = "DE136695976"
    iban: str = IBAN
    buyer: str = "Reederei Harmsen KG"
    lines: tuple[Item, ...] = field(default=(Item("Bootslack, 10 l", "8", "125.00", "1000.00"),))


def cii(facts: Facts, *, extra_lines: str = "", extra_totals: str = "", with_lines: bool = True) -> str:
    """Return UN/CEFACT's syntax, as in Factur-X, ZUGFeRD 2 and XRechnung."""
    lines = "".join(map(cii_line, facts.lines)) + extra_lines if with_lines else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
 xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
 xmlns:udt="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100">
<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>urn:cen.eu:en16931:2017</ram:ID>
</ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>
<rsm:ExchangedDocument><ram:ID>{facts.number}</ram:ID><ram:TypeCode>{facts.type_code}</ram:TypeCode>
<ram:IssueDateTime>{_cii_day(facts.date)}</ram:IssueDateTime></rsm:ExchangedDocument>
<rsm:SupplyChainTradeTransaction>{lines}
<ram:ApplicableHeaderTradeAgreement>{_cii_parties(facts)}</ram:ApplicableHeaderTradeAgreement>
<ram:ApplicableHeaderTradeDelivery/>
<ram:ApplicableHeaderTradeSettlement><ram:InvoiceCurrencyCode>{facts.currency}</ram:InvoiceCurrencyCode>
{_cii_payment(facts, rate="RateApplicablePercent")}
<ram:SpecifiedTradeSettlementHeaderMonetarySummation>
<ram:LineTotalAmount>{facts.net}</ram:LineTotalAmount><ram:TaxBasisTotalAmount>{facts.net}</ram:TaxBasisTotalAmount>
<ram:TaxTotalAmount currencyID="{facts.currency}">{facts.tax}</ram:TaxTotalAmount>{extra_totals}
<ram:GrandTotalAmount>{facts.total}</ram:GrandTotalAmount><ram:DuePayableAmount>{facts.total}</ram:DuePayableAmount>
</ram:SpecifiedTradeSettlementHeaderMonetarySummation></ram:ApplicableHeaderTradeSettlement>
</rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>
"""


def cii_line(item: Item, *, status: str = "") -> str:
    """Return one line of CII; `status` such as GROUP says that it is none to be paid."""
    code = f"<ram:LineStatusReasonCode>{status}</ram:LineStatusReasonCode>" if status else ""
    return f"""<ram:IncludedSupplyChainTradeLineItem>
<ram:AssociatedDocumentLineDocument><ram:LineID>1</ram:LineID>{code}</ram:AssociatedDocumentLineDocument>
<ram:SpecifiedTradeProduct><ram:Name>{escape(item.name)}</ram:Name></ram:SpecifiedTradeProduct>
<ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice><ram:ChargeAmount>{item.price}</ram:ChargeAmount>
</ram:NetPriceProductTradePrice></ram:SpecifiedLineTradeAgreement>
<ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="H87">{item.quantity}</ram:BilledQuantity>
</ram:SpecifiedLineTradeDelivery><ram:SpecifiedLineTradeSettlement>
<ram:SpecifiedTradeSettlementLineMonetarySummation><ram:LineTotalAmount>{item.total}</ram:LineTotalAmount>
</ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>
</ram:IncludedSupplyChainTradeLineItem>"""


def zugferd_1(facts: Facts) -> str:
    """Return ZUGFeRD 1.0, with the names of its draft."""
    lines = "".join(map(_zugferd_1_line, facts.lines))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryDocument xmlns:rsm="urn:ferd:CrossIndustryDocument:invoice:1p0"
 xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:12"
 xmlns:udt="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:15">
<rsm:HeaderExchangedDocument><ram:ID>{facts.number}</ram:ID><ram:Name>RECHNUNG</ram:Name>
<ram:TypeCode>{facts.type_code}</ram:TypeCode><ram:IssueDateTime>{_cii_day(facts.date)}</ram:IssueDateTime>
</rsm:HeaderExchangedDocument><rsm:SpecifiedSupplyChainTradeTransaction>
<ram:ApplicableSupplyChainTradeAgreement>{_cii_parties(facts)}</ram:ApplicableSupplyChainTradeAgreement>
<ram:ApplicableSupplyChainTradeSettlement><ram:InvoiceCurrencyCode>{facts.currency}</ram:InvoiceCurrencyCode>
{_cii_payment(facts, rate="ApplicablePercent")}<ram:SpecifiedTradeSettlementMonetarySummation>
<ram:TaxBasisTotalAmount currencyID="{facts.currency}">{facts.net}</ram:TaxBasisTotalAmount>
<ram:TaxTotalAmount currencyID="{facts.currency}">{facts.tax}</ram:TaxTotalAmount>
<ram:GrandTotalAmount currencyID="{facts.currency}">{facts.total}</ram:GrandTotalAmount>
</ram:SpecifiedTradeSettlementMonetarySummation></ram:ApplicableSupplyChainTradeSettlement>{lines}
</rsm:SpecifiedSupplyChainTradeTransaction></rsm:CrossIndustryDocument>
"""


def ubl(facts: Facts, *, document: str = "Invoice", extra: str = "") -> str:
    """Return UBL, as in Peppol and XRechnung; `document` is Invoice or CreditNote."""
    due = f"<cbc:DueDate>{facts.due}</cbc:DueDate>" if document == "Invoice" else ""
    lines = "".join(_ubl_line(item, facts.currency, document) for item in facts.lines)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ubl:{document} xmlns:ubl="urn:oasis:names:specification:ubl:schema:xsd:{document}-2"
 xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
 xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
<cbc:CustomizationID>urn:cen.eu:en16931:2017#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0</cbc:CustomizationID>
<cbc:ID>{facts.number}</cbc:ID>
<cbc:IssueDate>{facts.date}</cbc:IssueDate>{due}
<cbc:{document}TypeCode>{facts.type_code}</cbc:{document}TypeCode>
<cbc:DocumentCurrencyCode>{facts.currency}</cbc:DocumentCurrencyCode>
<cac:AccountingSupplierParty>{_ubl_party(facts.vendor, facts)}</cac:AccountingSupplierParty>
<cac:AccountingCustomerParty>{_ubl_party(facts.buyer, None)}</cac:AccountingCustomerParty>
<cac:PaymentMeans><cbc:PaymentMeansCode>58</cbc:PaymentMeansCode>
<cac:PayeeFinancialAccount><cbc:ID>{facts.iban}</cbc:ID></cac:PayeeFinancialAccount></cac:PaymentMeans>
<cac:TaxTotal><cbc:TaxAmount currencyID="{facts.currency}">{facts.tax}</cbc:TaxAmount>
<cac:TaxSubtotal><cbc:TaxableAmount currencyID="{facts.currency}">{facts.net}</cbc:TaxableAmount>
<cbc:TaxAmount currencyID="{facts.currency}">{facts.tax}</cbc:TaxAmount>
<cac:TaxCategory><cbc:ID>S</cbc:ID><cbc:Percent>{facts.rate}</cbc:Percent>
<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:TaxCategory></cac:TaxSubtotal></cac:TaxTotal>{extra}
<cac:LegalMonetaryTotal><cbc:LineExtensionAmount currencyID="{facts.currency}">{facts.net}</cbc:LineExtensionAmount>
<cbc:TaxExclusiveAmount currencyID="{facts.currency}">{facts.net}</cbc:TaxExclusiveAmount>
<cbc:TaxInclusiveAmount currencyID="{facts.currency}">{facts.total}</cbc:TaxInclusiveAmount>
<cbc:PayableAmount currencyID="{facts.currency}">{facts.total}</cbc:PayableAmount></cac:LegalMonetaryTotal>{lines}
</ubl:{document}>
"""


def enveloped(xml: str) -> str:
    """Return an e-invoice in the envelope of Peppol's network."""
    body = xml.partition("?>")[2]
    namespace = "http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader"
    name = "StandardBusinessDocument"
    return f'<{name} xmlns="{namespace}"><{name}Header/>{body}</{name}>'


def attach(pdf: bytes, *files: tuple[str, str | bytes]) -> bytes:
    """Return the PDF with files of these names in its list of embedded files."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf))
    for name, content in files:
        writer.add_attachment(name, content.encode() if isinstance(content, str) else content)
    return _written(writer)


def associate(pdf: bytes, name: str, xml: str, *, as_note: bool = False) -> bytes:
    """Return the PDF with a file that hangs on the document alone, or on a note of its first page."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf))
    stream = StreamObject()
    stream.set_data(xml.encode())
    kept = writer._add_object(stream)
    spec = _dictionary(Type=NameObject("/Filespec"), UF=TextStringObject(name), EF=_dictionary(UF=kept))
    if as_note:
        note = _dictionary(Type=NameObject("/Annot"), Subtype=NameObject("/FileAttachment"), FS=spec)
        writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(note)])
    else:
        writer.root_object[NameObject("/AF")] = ArrayObject([writer._add_object(spec)])
    return _written(writer)


def _cii_day(day: str) -> str:
    return f'<udt:DateTimeString format="102">{day.replace("-", "")}</udt:DateTimeString>'


def _cii_parties(facts: Facts) -> str:
    return f"""<ram:SellerTradeParty><ram:Name>{escape(facts.vendor)}</ram:Name><ram:PostalTradeAddress>
<ram:PostcodeCode>{facts.postcode}</ram:PostcodeCode><ram:LineOne>{facts.street}</ram:LineOne>
<ram:CityName>{facts.city}</ram:CityName><ram:CountryID>DE</ram:CountryID></ram:PostalTradeAddress>
<ram:SpecifiedTaxRegistration><ram:ID schemeID="FC">20/123/45678</ram:ID></ram:SpecifiedTaxRegistration>
<ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">{facts.vat_id}</ram:ID></ram:SpecifiedTaxRegistration>
</ram:SellerTradeParty><ram:BuyerTradeParty><ram:Name>{escape(facts.buyer)}</ram:Name></ram:BuyerTradeParty>"""


def _cii_payment(facts: Facts, *, rate: str) -> str:
    return f"""<ram:SpecifiedTradeSettlementPaymentMeans><ram:TypeCode>58</ram:TypeCode>
<ram:PayeePartyCreditorFinancialAccount><ram:IBANID>{facts.iban}</ram:IBANID></ram:PayeePartyCreditorFinancialAccount>
</ram:SpecifiedTradeSettlementPaymentMeans><ram:ApplicableTradeTax>
<ram:CalculatedAmount>{facts.tax}</ram:CalculatedAmount><ram:TypeCode>VAT</ram:TypeCode>
<ram:BasisAmount>{facts.net}</ram:BasisAmount><ram:{rate}>{facts.rate}</ram:{rate}></ram:ApplicableTradeTax>
<ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime>{_cii_day(facts.due)}</ram:DueDateDateTime>
</ram:SpecifiedTradePaymentTerms>"""


def _zugferd_1_line(item: Item) -> str:
    return f"""<ram:IncludedSupplyChainTradeLineItem><ram:SpecifiedSupplyChainTradeAgreement>
<ram:NetPriceProductTradePrice><ram:ChargeAmount currencyID="EUR">{item.price}</ram:ChargeAmount>
</ram:NetPriceProductTradePrice></ram:SpecifiedSupplyChainTradeAgreement><ram:SpecifiedSupplyChainTradeDelivery>
<ram:BilledQuantity unitCode="C62">{item.quantity}</ram:BilledQuantity></ram:SpecifiedSupplyChainTradeDelivery>
<ram:SpecifiedSupplyChainTradeSettlement><ram:SpecifiedTradeSettlementMonetarySummation>
<ram:LineTotalAmount currencyID="EUR">{item.total}</ram:LineTotalAmount>
</ram:SpecifiedTradeSettlementMonetarySummation></ram:SpecifiedSupplyChainTradeSettlement>
<ram:SpecifiedTradeProduct><ram:Name>{escape(item.name)}</ram:Name></ram:SpecifiedTradeProduct>
</ram:IncludedSupplyChainTradeLineItem>"""


def _ubl_party(name: str, facts: Facts | None) -> str:
    more = ""
    if facts is not None:
        more = f"""<cac:PostalAddress><cbc:StreetName>{facts.street}</cbc:StreetName>
<cbc:CityName>{facts.city}</cbc:CityName><cbc:PostalZone>{facts.postcode}</cbc:PostalZone>
<cac:Country><cbc:IdentificationCode>DE</cbc:IdentificationCode></cac:Country></cac:PostalAddress>
<cac:PartyTaxScheme><cbc:CompanyID>20/123/45678</cbc:CompanyID><cac:TaxScheme><cbc:ID>FC</cbc:ID></cac:TaxScheme>
</cac:PartyTaxScheme><cac:PartyTaxScheme><cbc:CompanyID>{facts.vat_id}</cbc:CompanyID>
<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme>"""
    legal = f"<cac:PartyLegalEntity><cbc:RegistrationName>{escape(name)}</cbc:RegistrationName></cac:PartyLegalEntity>"
    return f"<cac:Party>{more}{legal}</cac:Party>"


def _ubl_line(item: Item, currency: str, document: str) -> str:
    quantity = "CreditedQuantity" if document == "CreditNote" else "InvoicedQuantity"
    return f"""
<cac:{document}Line><cbc:ID>1</cbc:ID><cbc:{quantity} unitCode="H87">{item.quantity}</cbc:{quantity}>
<cbc:LineExtensionAmount currencyID="{currency}">{item.total}</cbc:LineExtensionAmount>
<cac:Item><cbc:Name>{escape(item.name)}</cbc:Name></cac:Item>
<cac:Price><cbc:PriceAmount currencyID="{currency}">{item.price}</cbc:PriceAmount></cac:Price></cac:{document}Line>"""


def _dictionary(**entries: Any) -> DictionaryObject:
    return DictionaryObject({NameObject(f"/{key}"): value for key, value in entries.items()})


def _written(writer: pypdf.PdfWriter) -> bytes:
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()
