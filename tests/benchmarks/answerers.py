"""What the accuracy benchmark lets a model say: the truth, and the truth with one plausible mistake in it."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from pipeline.document.model import Document
from pipeline.invoice.dates import find_dates
from pipeline.invoice.einvoice.reading import read_xml
from pipeline.invoice.numbers import candidates, find_amounts
from pipeline.invoice.paths import same, value_at
from pipeline.invoice.words import squeeze
from pipeline.truths import Answer, Truth

_TOTALS = ("total_amount", "net_amount", "tax_amount")
_REFERENCES = ("order_reference", "buyer_reference", "vendor.bic")
_FURTHER = ("delivery_date", *_REFERENCES, "prepaid_amount", "payable_amount")
_LABELS = ("Payment terms", "Bill to", "Rechnungsdatum", "Customer number", "Date de facture", "Description")
_RATES = ("5.5", "7", "10", "13", "19", "20", "21", "25")
_CODES = ("EUR", "USD", "GBP", "CHF", "PLN", "SEK")
# A place of the page that is drawn as "another number" has this form.
_IDENTIFIER = re.compile(r"(?<![\w/.,-])(?=[\w/.-]*\d)[A-Za-z\d][\w/.-]{1,24}[\w](?![\w/-])")


@dataclass(frozen=True)
class Lie:
    """Hold an answer with one mistake; `fields` are the paths that are wrong in it."""

    kind: str
    group: str
    fields: tuple[str, ...]
    answer: Answer = field(compare=False, repr=False)


def printed_further(document: Document) -> Answer:
    """Return by path what a document's e-invoice says beyond the header and its pages show, in any form."""
    invoice = next((read_xml(one.text).invoice for one in document.attachments), None)
    if invoice is None:
        return {}
    values = {path: str(value) for path in _FURTHER if (value := value_at(invoice.model_dump(), path)) is not None}
    for name in ("allowances", "charges"):
        all_of_them = getattr(invoice, name)
        # Some pages print only the sum of several.
        shown = all(_is_printed(f"{name}.0.amount", str(one.amount), document) for one in all_of_them)
        for number, one in enumerate(all_of_them if shown else ()):
            values |= {f"{name}.{number}.amount": str(one.amount), f"{name}.{number}.reason": one.reason}
    return {path: value for path, value in values.items() if value and _is_printed(path, value, document)}


def oracle(truth: Truth, basis: Mapping[str, Any] | None = None) -> Answer:
    """Return what a model without mistakes answers: null for what the page does not show.

    Where the truth names only some fields, the others come from `basis`; the further fields are put in by path.
    """
    answer: Answer = {**_empty(), **copy.deepcopy(dict(basis or {})), **copy.deepcopy(truth.values)}
    for path in truth.hidden:
        group, _, name = path.partition(".")
        if group == "line_items":
            for line in answer["line_items"]:
                line[name] = None
        elif name:
            answer[group][name] = None
        else:
            answer[path] = None
    for path, value in truth.further.items():
        _put(answer, path, value)
    return answer


def lies(truth: Truth, answer: Answer, document: Document) -> list[Lie]:
    """Return all mistakes that can be made in an answer, in an order that is the same in every run."""
    chance = random.Random(document.sha256)
    made = [
        *_amount_lies(answer, document, chance),
        *_tax_lies(answer),
        *_date_lies(answer, document, chance),
        *_identifier_lies(answer, document, chance),
        *_party_lies(answer, document),
        *_line_lies(answer, document, chance),
        *_other_lies(answer),
        *_further_lies(answer, document, chance),
    ]
    return [lie for lie in made if not set(lie.fields) & truth.hidden]


def _empty() -> Answer:
    party = {"name": None, "address": None, "vat_id": None, "iban": None}
    plain = ("invoice_number", "date", "due_date", "currency", *_TOTALS)
    return {
        "kind": "invoice",
        **dict.fromkeys(plain),
        "taxes": [],
        "vendor": dict(party),
        "buyer": dict(party),
        "line_items": [],
    }


def _lie(kind: str, group: str, answer: Answer, changes: Mapping[str, Any]) -> Iterator[Lie]:
    """Yield the answer with some values changed, unless that changes nothing."""
    changed = copy.deepcopy(answer)
    wrong = tuple(path for path, value in changes.items() if not same(path, value, value_at(answer, path)))
    if not wrong:
        return
    for path, value in changes.items():
        *parents, name = path.split(".")
        place: Any = changed
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[name] = value
    yield Lie(kind, group, wrong, changed)


def _amount_paths(answer: Answer) -> list[str]:
    lines = [f"line_items.{n}.{name}" for n in range(len(answer["line_items"])) for name in ("total", "unit_price")]
    return [path for path in (*_TOTALS, *lines) if Decimal(value_at(answer, path) or 0)]


def _amount_lies(answer: Answer, document: Document, chance: random.Random) -> Iterator[Lie]:
    paths = _amount_paths(answer)
    printed = sorted({format(value, "f") for value in _printed_money(document)})
    for path in paths:
        value = value_at(answer, path)
        group = "amounts" if path in _TOTALS else "line amounts"
        yield from _lie("digit swapped", group, answer, {path: _swapped(value, chance)})
        yield from _lie("separator moved", group, answer, {path: _moved(value, chance)})
        if path in _TOTALS:
            others = [other for other in printed if abs(Decimal(other)) != abs(Decimal(value))]
            for other in chance.sample(others, min(4, len(others))):
                yield from _lie("amount from elsewhere", group, answer, {path: other})
    for first, second in (("total_amount", "net_amount"), ("net_amount", "tax_amount"), ("total_amount", "tax_amount")):
        if first in paths and second in paths:
            changes = {first: value_at(answer, second), second: value_at(answer, first)}
            yield from _lie("fields exchanged", "amounts", answer, changes)
    if "net_amount" in paths and answer["net_amount"] != answer["total_amount"]:
        yield from _lie("net as total", "amounts", answer, {"total_amount": answer["net_amount"], "net_amount": None})


def _tax_lies(answer: Answer) -> Iterator[Lie]:
    for number, tax in enumerate(answer["taxes"]):
        for rate in _RATES:
            yield from _lie("VAT rate changed", "amounts", answer, {f"taxes.{number}.rate": rate})
            if tax["base"] and tax["amount"] == answer["tax_amount"]:
                wrong = format((Decimal(str(tax["base"])) * Decimal(rate) / 100).quantize(Decimal("0.01")), "f")
                changes = {f"taxes.{number}.{name}": value for name, value in (("rate", rate), ("amount", wrong))}
                yield from _lie("VAT rate changed", "amounts", answer, {**changes, "tax_amount": wrong})


def _date_lies(answer: Answer, document: Document, chance: random.Random) -> Iterator[Lie]:
    true = {answer["date"], answer["due_date"]}
    found = {day.isoformat() for seen in find_dates(document.text) for day in seen.readings()}
    others = sorted(found - true)
    for path in ("date", "due_date"):
        value = answer[path]
        if value is None:
            continue
        day = date.fromisoformat(value)
        if day.day <= 12:
            yield from _lie("date turned", "dates", answer, {path: f"{day.year}-{day.day:02}-{day.month:02}"})
        wrong = day.replace(year=day.year + chance.choice((-1, 1)), day=min(day.day, 28))
        yield from _lie("digit swapped", "dates", answer, {path: wrong.isoformat()})
        for other in chance.sample(others, min(4, len(others))):
            yield from _lie("date from elsewhere", "dates", answer, {path: other})
    if answer["due_date"] and answer["date"]:
        changes = {"date": answer["due_date"], "due_date": answer["date"]}
        yield from _lie("fields exchanged", "dates", answer, changes)
        yield from _lie("fields exchanged", "dates", answer, {"date": answer["due_date"], "due_date": None})


def _identifier_lies(answer: Answer, document: Document, chance: random.Random) -> Iterator[Lie]:
    number, vat = answer["invoice_number"], answer["vendor"]["vat_id"]
    for path, value in (("invoice_number", number), ("vendor.vat_id", vat)):
        if value:
            yield from _lie("digit swapped", "identifiers", answer, {path: _swapped(value, chance)})
            yield from _lie("identifier cut", "identifiers", answer, {path: value[: len(value) * 2 // 3]})
    if number:
        for other in _other_numbers(document, answer):
            yield from _lie("number from elsewhere", "identifiers", answer, {"invoice_number": other})


def _party_lies(answer: Answer, document: Document) -> Iterator[Lie]:
    vendor, buyer = answer["vendor"]["name"], answer["buyer"]["name"]
    if vendor and buyer:
        changes = {"vendor.name": buyer, "buyer.name": vendor}
        yield from _lie("vendor and buyer exchanged", "parties", answer, changes)
        yield from _lie("buyer as vendor", "parties", answer, {"vendor.name": buyer})
    label = next((label for label in _LABELS if label.casefold() in document.text.casefold()), None)
    if label:
        yield from _lie("label as name", "parties", answer, {"vendor.name": label})


def _line_lies(answer: Answer, document: Document, chance: random.Random) -> Iterator[Lie]:
    lines = answer["line_items"]
    for number in range(min(len(lines), 6)):
        dropped = [*lines[:number], *lines[number + 1 :]]
        yield Lie("line dropped", "lines", ("line_items",), {**copy.deepcopy(answer), "line_items": dropped})
        twice = [*lines[: number + 1], *lines[number:]]
        yield Lie("line invented", "lines", ("line_items",), {**copy.deepcopy(answer), "line_items": twice})
        path = f"line_items.{number}"
        changes = {f"{path}.quantity": lines[number]["unit_price"], f"{path}.unit_price": lines[number]["quantity"]}
        if None not in changes.values():
            yield from _lie("fields exchanged", "line amounts", answer, changes)
        totals = sorted({line["total"] for line in lines if line["total"]} - {lines[number]["total"]})
        if totals and lines[number]["total"]:
            yield from _lie(
                "amount from another line", "line amounts", answer, {f"{path}.total": chance.choice(totals)}
            )
    sums = [answer[name] for name in ("net_amount", "tax_amount") if answer[name]]
    for amount in sums if lines else ():
        row = {"description": "Summe" if "umme" in document.text else "Total", "quantity": None, "unit_price": None}
        invented = [*lines, {**row, "total": amount}]
        yield Lie("line invented", "lines", ("line_items",), {**copy.deepcopy(answer), "line_items": invented})


def _other_lies(answer: Answer) -> Iterator[Lie]:
    for code in _CODES:
        yield from _lie("currency changed", "other", answer, {"currency": code})
    other = {"invoice": "credit_note", "credit_note": "invoice"}.get(answer["kind"])
    if other:
        yield from _lie("kind changed", "other", answer, {"kind": other})


def _further_lies(answer: Answer, document: Document, chance: random.Random) -> Iterator[Lie]:
    printed = sorted({format(value, "f") for value in _printed_money(document)})
    for path in ("prepaid_amount", "payable_amount"):
        value = answer.get(path)
        if value and Decimal(value):
            yield from _lie("digit swapped", "further", answer, {path: _swapped(value, chance)})
            others = [other for other in printed if abs(Decimal(other)) != abs(Decimal(value))]
            for other in chance.sample(others, min(4, len(others))):
                yield from _lie("amount from elsewhere", "further", answer, {path: other})
    for path in ("order_reference", "buyer_reference"):
        for other in _other_numbers(document, answer)[:4] if answer.get(path) else ():
            yield from _lie("number from elsewhere", "further", answer, {path: other})
    found = {day.isoformat() for seen in find_dates(document.text) for day in seen.readings()}
    for other in sorted(found - {answer.get("delivery_date")})[:4] if answer.get("delivery_date") else ():
        yield from _lie("date from elsewhere", "further", answer, {"delivery_date": other})


def _is_printed(path: str, value: str, document: Document) -> bool:
    """Say whether the pages show a value, whatever its form."""
    if path.endswith("amount"):
        return abs(Decimal(value)) in _printed_money(document)
    if path == "delivery_date":
        return value in {day.isoformat() for seen in find_dates(document.text) for day in seen.readings()}
    return squeeze(value) in squeeze(document.text)


def _put(answer: Answer, path: str, value: object) -> None:
    """Set the value at a dotted path, with what it lacks on the way."""
    *parents, name = path.split(".")
    place: Any = answer
    for part in parents:
        if part.isdigit():
            if int(part) == len(place):
                place.append({"reason": None, "amount": None})
            place = place[int(part)]
        else:
            place = place.setdefault(part, [])
    place[name] = value


def _swapped(value: str, chance: random.Random) -> str:
    """Exchange two neighbouring digits that differ, or change the last one."""
    places = [at for at in range(len(value) - 1) if value[at : at + 2].isdigit() and value[at] != value[at + 1]]
    if places:
        at = chance.choice(places)
        return value[:at] + value[at + 1] + value[at] + value[at + 2 :]
    last = max((at for at, character in enumerate(value) if character.isdigit()), default=None)
    return value + "1" if last is None else f"{value[:last]}{(int(value[last]) + 1) % 10}{value[last + 1 :]}"


def _moved(value: str, chance: random.Random) -> str:
    return format(Decimal(value) * chance.choice((Decimal("0.01"), Decimal("0.1"), Decimal(10), Decimal(100))), "f")


def _printed_money(document: Document) -> set[Decimal]:
    found = find_amounts(document.text)
    return {abs(each.values[-1]) for each in found if each.money and not each.percent and len(each.values) == 1}


def _other_numbers(document: Document, answer: Answer) -> list[str]:
    """Return what looks like an identifier on the pages, but is neither the number, nor money, nor a date."""
    dates = {seen.text for seen in find_dates(document.text)}
    own = squeeze(answer["invoice_number"])
    found: dict[str, None] = {}
    for match in _IDENTIFIER.finditer(document.text):
        text = match.group()
        plain = squeeze(text)
        if len(plain) >= 4 and own not in plain and plain not in own and text not in dates and not _is_money(text):
            found.setdefault(text)
    return list(found)[:12]


def _is_money(text: str) -> bool:
    return bool(candidates(text)) and any(mark in text for mark in ".,")
