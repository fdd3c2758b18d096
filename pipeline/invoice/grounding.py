"""Ground what a model said in the document, field by field.

A value that the document does not show becomes null and a finding; a value it shows in another form (sign, country
prefix) is taken from the document. What can be read in two ways is settled by the rest of the document, or reported.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from datetime import date
from decimal import Decimal

from pipeline.invoice.checks import NOT_IN_DOCUMENT, adds_up, error, info, is_rate, quoted, warning
from pipeline.invoice.currencies import currencies_of, decimals_of, is_currency
from pipeline.invoice.dates import date_candidates
from pipeline.invoice.evidence import (
    Day,
    Money,
    Text,
    find_address,
    find_day,
    find_identifier,
    find_money,
    find_name,
    find_rate,
    find_tax_number,
    identifier_places,
    quote,
)
from pipeline.invoice.index import DocumentIndex
from pipeline.invoice.labels import Label, mentions
from pipeline.invoice.locale_hints import expected_order
from pipeline.invoice.model import (
    Evidence,
    ExtractedParty,
    ExtractedTax,
    Extraction,
    Finding,
    Kind,
    Party,
    Severity,
    Tax,
)
from pipeline.invoice.numbers import candidates
from pipeline.invoice.roles import holds_money, is_table_head
from pipeline.invoice.rows import Table
from pipeline.invoice.words import squeeze

_TOTAL_LABELS = {
    "total_amount": (Label.GRAND_TOTAL, Label.TOTAL),
    "net_amount": (Label.NET,),
    "tax_amount": (Label.TAX,),
}
# So many places of an amount are asked whether their label fits; if none of them does, that is told.
_MOST_TRIED = 100
# Any group but "number" lets an identifier stand at no label for an invoice's number.
_ANY = "any"
_DATE_LABELS = {"date": (Label.DATE,), "due_date": (Label.DUE_DATE,)}


class Grounding:
    """Collect values, evidence and findings for one document."""

    def __init__(self, index: DocumentIndex, kind: Kind) -> None:
        self.index = index
        self.kind = kind
        self.evidence: dict[str, Evidence] = {}
        self.findings: list[Finding] = []
        self.money: dict[str, Money] = {}
        self.rows: dict[int, Text] = {}
        self._currency: str | None = None
        self._money_places: dict[tuple[str, Collection[Label], bool], list[Money]] = {}

    def table(self) -> Table:
        """Return where the lines were found, once they are grounded."""
        absent = frozenset(finding.field for finding in self.findings if finding.code == NOT_IN_DOCUMENT)
        return Table(self.index, self.rows, self.money, absent)

    def number(self, claim: str | None) -> str | None:
        """Ground the invoice number."""
        if claim is None:
            return None
        return self.keep_text("invoice_number", claim, find_identifier(self.index, claim), Severity.ERROR)

    def currency(self, claim: str | None) -> str | None:
        """Ground the currency, before any amount: by its code, or by a sign that can mean it."""
        if claim is None:
            return None
        code = claim.upper() if is_currency(claim.upper()) else next(iter(currencies_of(claim)), None)
        if code is None:
            self.findings.append(error("currency_unknown", "currency", f"{claim} is no currency code."))
            return None
        printed = {sign: line for sign, line in self.index.currencies.items() if code in currencies_of(sign)}
        if not printed:
            self.absent("currency", code, Severity.ERROR)
            return None
        sign = min(printed, key=lambda sign: (len(currencies_of(sign)), printed[sign]))
        self.evidence["currency"] = quote(self.index, printed[sign], wording=sign)
        self._currency = code
        return code

    def totals(self, extraction: Extraction) -> dict[str, Decimal | None]:
        """Ground total, net and tax together, so that their sum can settle how each is read."""
        options: dict[str, list[Money]] = {}
        for field, labels in _TOTAL_LABELS.items():
            claim = getattr(extraction, field)
            if claim is not None:
                options[field] = self._money_options(field, claim, labels)
        settled = _settle_by_sum(options)
        return {
            field: self._one_amount(field, (settled or options).get(field), sure=bool(settled)) for field in options
        }

    def day(self, field: str, claim: str | None, currency: str | None) -> date | None:
        """Ground a date; one that the document prints ambiguously is settled or reported."""
        if claim is None:
            return None
        return self.keep_day(field, self.days(field, claim, currency, labels=_DATE_LABELS[field]), currency)

    def days(
        self,
        field: str,
        claim: str,
        currency: str | None,
        *,
        labels: Collection[Label] = (),
        severity: Severity = Severity.ERROR,
    ) -> list[Day]:
        """Return the places of a date; says so where it cannot be read or is not there."""
        make = _maker(severity)
        claims = date_candidates(claim)
        if not claims:
            self.findings.append(make("date_unreadable", field, f"{quoted(claim)} is no date that can be read."))
            return []
        places = find_day(self.index, claims, order=expected_order(self.index, currency), labels=labels)
        if not places:
            self.absent(field, claim, severity)
        return places

    def keep_day(self, field: str, places: list[Day], currency: str | None) -> date | None:
        """Take one of the places of a date as its evidence; one that means two days is settled or reported."""
        if not places:
            return None
        certain = [place for place in places if not place.other_readings]
        best = (certain or places)[0]
        rivals = {place.value for place in certain or places} - {best.value}
        value = best.value if certain and not rivals else self._ambiguous_day(field, best, rivals, currency)
        if value is not None:
            self.evidence[field] = quote(self.index, best.line, start=best.start, end=best.end)
        return value

    def party(self, role: str, claim: ExtractedParty) -> Party:
        """Ground a seller or buyer; only the seller's name is worth a review."""
        severity = Severity.ERROR if role == "vendor" else Severity.WARNING
        name, address, vat_id, iban = claim.name, claim.address, claim.vat_id, claim.iban
        return Party(
            name=name and self._name(f"{role}.name", name, severity),
            address=address and self._address(f"{role}.address", address),
            vat_id=vat_id and self._vat_id(f"{role}.vat_id", vat_id),
            iban=iban and self._iban(f"{role}.iban", iban),
            bic=claim.bic and self._bic(f"{role}.bic", claim.bic),
        )

    def wording(self, path: str, claim: str, severity: Severity) -> str | None:
        """Ground a text, of which all words have to stand in order."""
        return self.keep_text(path, claim, find_name(self.index, claim), severity)

    def identifier(self, path: str, claim: str, severity: Severity) -> str | None:
        """Ground an identifier, wherever it stands."""
        return self.keep_text(path, claim, find_identifier(self.index, claim, group=_ANY), severity)

    def identifier_at(self, path: str, claim: str, groups: Collection[str]) -> str | None:
        """Ground an identifier at a label of such groups; at any other place it may be another number."""
        places = identifier_places(self.index, claim, group=_ANY)
        fitting = [place for place in places if self._is_labelled(place, groups)]
        if places and not fitting:
            message = f"{claim} is printed, but at no label for this; it was left out."
            self.findings.append(warning("reference_not_at_label", path, message))
            return None
        return self.keep_text(path, claim, next(iter(fitting), None), Severity.WARNING)

    def size(
        self, path: str, claim: Decimal | str | None, is_fitting: Callable[[Money], bool], *, severity: Severity
    ) -> Decimal | None:
        """Ground an amount whose direction its label says, such as `discount` or `paid`: only its size counts."""
        if claim is None:
            return None
        values = self.values(path, claim)
        places = [place for value in values for place in self.places(value)[:_MOST_TRIED]]
        fitting = [place for place in places if is_fitting(place)]
        if not fitting:
            message = f"{claim} is printed, but at no label for this; it was left out."
            # A zero decides nothing.
            severity = severity if any(values) else Severity.WARNING
            if places:
                self.findings.append(_maker(severity)("amount_not_at_label", path, message))
            elif values:
                self.absent(path, str(claim), severity)
            return None
        best = [place for place in fitting if (place.line, place.start) == (fitting[0].line, fitting[0].start)]
        kept = self.settled(path, best, alike_money=True)
        if kept is None:
            return None
        self.evidence[path] = quote(self.index, kept.line, start=kept.start, end=kept.end)
        return abs(kept.value)

    def any_amount(
        self, path: str, claim: Decimal | str, severity: Severity, labels: Collection[Label] = ()
    ) -> Decimal | None:
        """Ground an amount of money, at such a label rather than elsewhere."""
        return self._one_amount(path, self._money_options(path, claim, labels, severity=severity))

    def any_number(self, path: str, claim: Decimal | str, severity: Severity, *, whole: bool) -> Decimal | None:
        """Ground a number, which may be printed without the looks of money; a `whole` one has no fraction."""
        values = self.values(path, claim, severity=severity)
        fitting = [value for value in values if not whole or value == value.to_integral_value()]
        if values and not fitting:
            self.findings.append(_maker(severity)("number_not_whole", path, f"{claim} is no whole number."))
        places = [place for value in fitting for place in self.places(value, loose=True)[:1]]
        if fitting and not places:
            self.absent(path, str(claim), severity)
        if len({place.value for place in places}) > 1:
            self._ambiguous_amount(path, (place.value for place in places), severity=severity)
            return None
        kept = self.keep_money(path, next(iter(places), None))
        return kept.value if kept else None

    def any_day(self, path: str, claim: str, severity: Severity) -> date | None:
        """Ground a date, wherever it stands."""
        places = self.days(path, claim, self._currency, severity=severity)
        return self.keep_day(path, places, self._currency)

    def tax(self, number: int, claim: ExtractedTax) -> Tax:
        """Ground one line of the tax breakdown."""
        path = f"taxes.{number}"
        tax = Tax(
            rate=self._rate(f"{path}.rate", claim.rate),
            base=self._amount(f"{path}.base", claim.base, (Label.NET,)),
            amount=self._amount(f"{path}.amount", claim.amount, (Label.TAX,)),
        )
        if tax.rate is None and claim.rate is not None:
            self._doubt_rate(f"{path}.rate", claim.rate, tax)
        return tax

    def values(self, path: str, claim: Decimal | str, *, severity: Severity = Severity.ERROR) -> tuple[Decimal, ...]:
        """Return what a claim can mean; says so where it is no number."""
        if isinstance(claim, Decimal):
            return (claim,)
        values = candidates(claim)
        if not values:
            make = warning if path.endswith(("quantity", "rate")) else _maker(severity)
            self.findings.append(make("amount_unreadable", path, f"{quoted(claim)} is no number that can be read."))
        return values

    def places(self, value: Decimal, labels: Collection[Label] = (), *, loose: bool = False) -> list[Money]:
        """Return the places of an amount anywhere; many fields may ask for one that stands in every row."""
        key = (str(value), labels, loose)
        if key not in self._money_places:
            self._money_places[key] = find_money(self.index, value, labels=labels, loose=loose)
        return self._money_places[key]

    def settled(self, path: str, options: list[Money], *, alike_money: bool = False) -> Money | None:
        """Choose among the readings of one printed number, or report that nothing decides.

        A line's total is read like money. A quantity or a price may have three decimals, so there a reading that the
        model chose stays: the line's product is checked. What nothing decides is left out; only a total is worth a
        review for it.
        """
        if not options:
            return None
        values = {option.value for option in options}
        is_total = path.endswith("total")
        if alike_money or is_total:
            options = [option for option in options if self._reads_like_money(option)]
        if len({option.value for option in options}) == 1:
            return options[0]
        severity = Severity.ERROR if alike_money or is_total else Severity.WARNING
        self._ambiguous_amount(path, values, severity=severity)
        return None

    def keep_money(self, path: str, place: Money | None) -> Money | None:
        """Take a place as the evidence of a field; a sign that differs is taken from the document and told."""
        if place is None:
            return None
        self.money[path] = place
        self.evidence[path] = quote(self.index, place.line, start=place.start, end=place.end)
        if place.sign_differs:
            message = f"The document prints {place.value}; the sign was taken from there."
            if self.kind is Kind.CREDIT_NOTE:
                self.findings.append(info("sign_from_document", path, message))
            elif path in _TOTAL_LABELS:
                self.findings.append(error("sign_from_document", path, message))
            else:
                self.findings.append(warning("sign_from_document", path, message))
        return place

    def keep_text(self, path: str, claim: str, found: Text | None, severity: Severity) -> str | None:
        """Take a place as the evidence of a text; says so where there is none."""
        if found is None:
            self.absent(path, claim, severity)
            return None
        self.evidence[path] = quote(
            self.index, found.first_line, found.last_line, start=found.start, end=found.end, wording=claim
        )
        return found.value

    def absent(self, path: str, claim: object, severity: Severity) -> None:
        """Tell of a value that the document does not show."""
        message = f"{quoted(str(claim))} was read, but the document does not show it."
        self.findings.append(_maker(severity)(NOT_IN_DOCUMENT, path, message))

    def _is_labelled(self, place: Text, groups: Collection[str]) -> bool:
        if self.index.is_xml:
            texts = [self.index.elements_around(place.first_line)]
        else:
            texts = list(self.index.texts_beside(place.first_line, place.start, place.end, most_above=1))
        return any(mentions(text, group) for text in texts for group in groups)

    def _reads_like_money(self, place: Money) -> bool:
        """Say whether an amount with two readings has the one that its currency asks for.

        With two decimals or fewer `1.234` is a thousand; in a currency of three decimals it may be either.
        """
        if not place.other_sizes:
            return True
        exponent = place.value.as_tuple().exponent
        return isinstance(exponent, int) and exponent >= -2 and decimals_of(self._currency) <= 2

    def _rate(self, path: str, claim: Decimal | str | None) -> Decimal | None:
        if claim is None:
            return None
        values = self.values(path, claim)
        found = next((place for value in values if (place := find_rate(self.index, value))), None)
        if found is None:
            if values:
                self.absent(path, str(claim), Severity.WARNING)
            return None
        kept = self.keep_money(path, found)
        return kept.value if kept else None

    def _doubt_rate(self, path: str, claim: Decimal | str, tax: Tax) -> None:
        """Report a rate that is not printed and does not lead from base to tax: it was misread."""
        rates = (claim,) if isinstance(claim, Decimal) else candidates(claim)
        if not rates or not tax.base or tax.amount is None or any(is_rate(rate, tax) for rate in rates):
            return
        rate = (100 * tax.amount / tax.base).quantize(Decimal("0.1"))
        message = f"{claim} % was read, but {tax.amount} is {rate} % of {tax.base}."
        self.findings.append(error("tax_rate_mismatch", path, message))

    def _amount(self, path: str, claim: Decimal | str | None, labels: Collection[Label]) -> Decimal | None:
        if claim is None:
            return None
        return self._one_amount(path, self._money_options(path, claim, labels))

    def _money_options(
        self, path: str, claim: Decimal | str, labels: Collection[Label], *, severity: Severity = Severity.ERROR
    ) -> list[Money]:
        """Return the best place of each value the claim can mean; says so where there is none."""
        values = self.values(path, claim, severity=severity)
        options = [places[0] for value in values if (places := self.places(value, labels))]
        if values and not options:
            # A zero that is not printed is no lie worth a review, yet it is no fact either.
            self.absent(path, str(claim), severity if any(values) else Severity.WARNING)
        return options

    def _one_amount(self, path: str, options: list[Money] | None, *, sure: bool = False) -> Decimal | None:
        if not options:
            return None
        fitting = options if sure else [option for option in options if self._reads_like_money(option)]
        if len({option.value for option in fitting}) != 1:
            sizes = {size for option in options for size in (abs(option.value), *option.other_sizes)}
            self._ambiguous_amount(path, sizes)
            return None
        kept = self.keep_money(path, fitting[0])
        return kept.value if kept else None

    def _name(self, path: str, claim: str, severity: Severity) -> str | None:
        """Ground a name; a row or the head of a table is printed as well, but names nobody."""
        is_head = is_table_head(claim)
        if is_head or holds_money(claim):
            make = error if is_head or severity is Severity.ERROR else warning
            self.findings.append(make("not_a_name", path, f"{quoted(claim)} is a part of a table and no name."))
            return None
        return self.keep_text(path, claim, find_name(self.index, claim), severity)

    def _address(self, path: str, claim: str) -> str | None:
        return self.keep_text(path, claim, find_address(self.index, claim), Severity.WARNING)

    def _vat_id(self, path: str, claim: str) -> str | None:
        return self.keep_text(path, claim, find_tax_number(self.index, claim), Severity.ERROR)

    def _iban(self, path: str, claim: str) -> str | None:
        found = self.keep_text(path, claim, find_identifier(self.index, claim, group="iban"), Severity.ERROR)
        return squeeze(found).upper() if found else None

    def _bic(self, path: str, claim: str) -> str | None:
        found = self.identifier(path, claim, Severity.WARNING)
        return squeeze(found).upper() if found else None

    def _ambiguous_amount(self, path: str, values: Iterable[Decimal], *, severity: Severity = Severity.ERROR) -> None:
        words = " or ".join(format(value, "f") for value in sorted(values))
        self.findings.append(_maker(severity)("amount_ambiguous", path, f"The printed amount can mean {words}."))

    def _ambiguous_day(self, field: str, best: Day, rivals: set[date], currency: str | None) -> date | None:
        """Report a date that can mean two days; the model's choice stays where it made one."""
        days = sorted({best.value, *best.other_readings, *rivals})
        words = " or ".join(day.isoformat() for day in days)
        if not best.by_order:
            # A month name shared by two languages: Croatian months differ from those of its neighbours.
            native = days[0] if currency in ("HRK", "EUR", "BAM") else days[-1]
            self.findings.append(warning("date_ambiguous", field, f"The printed date can mean {words}."))
            return native if rivals else best.value
        self.findings.append(error("date_ambiguous", field, f"The printed date can mean {words}."))
        return None if rivals else best.value


def _maker(severity: Severity) -> Callable[[str, str, str], Finding]:
    return error if severity is Severity.ERROR else warning


def _settle_by_sum(options: dict[str, list[Money]]) -> dict[str, list[Money]] | None:
    """Return the one combination of readings that adds up; None if net, tax and total are not all there or do not."""
    if set(options) != set(_TOTAL_LABELS):
        return None
    fields = list(_TOTAL_LABELS)
    sums = [
        combination
        for combination in itertools.product(*(options[field] for field in fields))
        if adds_up(combination[1].value, combination[2].value, combination[0].value)
    ]
    return {field: [place] for field, place in zip(fields, sums[0], strict=True)} if len(sums) == 1 else None
