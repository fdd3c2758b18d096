"""What is known to be right of a file, and how a result stands to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.invoice.model import Invoice, Kind, loads
from pipeline.invoice.paths import KIND_PATH, same, value_at

HEADER = (
    "invoice_number",
    "date",
    "due_date",
    "currency",
    "total_amount",
    "net_amount",
    "tax_amount",
    "vendor.name",
    "vendor.vat_id",
    "buyer.name",
)
LINE = ("description", "quantity", "unit_price", "total")
Answer = dict[str, Any]
_CREDIT_NOTES = frozenset({"381", "384", "396", "261", "262", "296", "308"})
_TOTALS = ("total_amount", "net_amount", "tax_amount")
_MISTAKES = (ValueError, KeyError, TypeError, AttributeError)
_RATES = ("5.5", "7", "10", "13", "19", "20", "21", "25")


@dataclass(frozen=True)
class Truth:
    """Hold what is known of one file under the field names of the extraction; a missing key is not known.

    `hidden` are fields whose value no text extraction shows; `state` is the state the job should end in, if known;
    `further` holds by path what goes beyond the header.
    """

    path: Path
    family: str
    values: Answer
    hidden: frozenset[str] = frozenset()
    state: str | None = None
    further: Answer = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Say whether the truth names the vendor and the lines, so that an answer can be made from it alone."""
        return "vendor" in self.values


@dataclass(frozen=True)
class Judged:
    """Hold one field's right value beside the one that was found."""

    field: str
    wanted: Any
    found: Any

    @property
    def right(self) -> bool:
        """Say whether they are the same after normalisation."""
        return same(self.field, self.found, self.wanted)


def load_truths(folder: Path) -> list[Truth]:
    """Read a folder with one truth beside each file, or with one `truth.json` for all.

    Raises ConfigError that names the file whose truth cannot be read.
    """
    listing = folder / "truth.json"
    if listing.exists():
        return _listed_in(listing)
    found = []
    for path in sorted(folder.glob("*.json")):
        source = next((each for each in sorted(folder.glob(f"{path.stem}.*")) if each.suffix != ".json"), None)
        if source is not None:
            found.append(_read(path, source))
    return found


def judge(truth: Truth, result: Mapping[str, Any], paths: Iterable[str]) -> Iterator[Judged]:
    """Yield every field that is named, wanted beside found; `result` is one from a job."""
    found = {**(result.get("invoice") or {}), "kind": result.get("kind")}
    for path in paths:
        yield Judged(path, value_at(truth.values, path), value_at(found, path))


def header_paths(truth: Truth) -> list[str]:
    """Return the fields of the header that the truth tells of."""
    return [path for path in HEADER if path.split(".")[0] in truth.values]


def line_paths(truth: Truth) -> list[str]:
    """Return the values of lines that the truth tells of, whether a page shows them or not."""
    lines = truth.values.get("line_items") or []
    return [
        f"line_items.{number}.{name}"
        for number, line in enumerate(lines)
        for name in LINE
        if line.get(name) is not None
    ]


def apart_by_number(truths: Iterable[Truth]) -> list[list[Truth]]:
    """Put files with the same number apart: in one outbox they would be duplicates of each other."""
    groups: list[dict[str, Truth]] = []
    for truth in truths:
        number = str(truth.values.get("invoice_number"))
        group = next((group for group in groups if number not in group), None)
        if group is None:
            group = {}
            groups.append(group)
        group[number] = truth
    return [list(group.values()) for group in groups]


def _listed_in(path: Path) -> list[Truth]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8")).items()
        return [_listed(path.parent / name, row) for name, row in sorted(rows)]
    except _MISTAKES as error:
        hint = "it maps each file's name to its kind, number, date, currency, total and state"
        raise ConfigError(f"{path} is no list of truths: {_problem(error)}", hint=hint) from error


def _read(path: Path, source: Path) -> Truth:
    try:
        row = loads(path.read_text(encoding="utf-8"))
        return _of_result(source, row) if _is_result(row) else _beside(source, row)
    except _MISTAKES as error:
        hint = (
            "it needs issue_date and total_amount, such as 2026-01-31 and 120.00, and may have other fields; or it is "
            "a result.json, or what stands under its invoice: date, total_amount, vendor.name and so on"
        )
        raise ConfigError(f"{path} is no truth of {source.name}: {_problem(error)}", hint=hint) from error


def _problem(error: Exception) -> str:
    match error:
        case KeyError():
            return f"{error.args[0]} is missing"
        case ValidationError():
            first = error.errors()[0]
            return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"{type(error).__name__} {error}"


def _is_result(row: Mapping[str, Any]) -> bool:
    """Say whether the values have the names of a result; the other form has an `issue_date`."""
    return "invoice" in row or ("issue_date" not in row and ("date" in row or "vendor" in row))


def _of_result(path: Path, row: Mapping[str, Any]) -> Truth:
    bare = {name: value for name, value in row.items() if name != KIND_PATH}
    invoice = Invoice.from_json((row["invoice"] or {}) if "invoice" in row else bare)
    credit = invoice.total_amount is not None and invoice.total_amount < 0
    kind = Kind(row.get(KIND_PATH) or (Kind.CREDIT_NOTE if credit else Kind.INVOICE))
    return Truth(path, _family(path, {}), {**invoice.to_json(), KIND_PATH: kind.value})


def _listed(path: Path, row: Mapping[str, Any]) -> Truth:
    names = {"number": "invoice_number", "date": "date", "currency": "currency", "total": "total_amount"}
    values = {field: row[name] for name, field in names.items()}
    return Truth(path, path.suffix[1:], {"kind": row["kind"], **values}, state=row["state"])


def _beside(path: Path, row: Mapping[str, Any]) -> Truth:
    meta = row.get("meta", {})
    credit = meta.get("type_code") in _CREDIT_NOTES or str(row["total_amount"]).startswith("-")
    names = {name: row.get(name) for name in ("invoice_number", "due_date", "currency", *_TOTALS)}
    party = {"address": None, "iban": None}
    values: Answer = {
        "kind": "credit_note" if credit else "invoice",
        "date": row["issue_date"],
        **names,
        "taxes": _taxes(row),
        "vendor": {"name": row.get("vendor_name"), "vat_id": row.get("vendor_vat_id"), **party},
        "buyer": {"name": row.get("buyer_name"), "vat_id": None, **party},
        "line_items": [_line(line) for line in row.get("line_items", ())],
    }
    paths = {"vendor_name": "vendor.name", "vendor_vat_id": "vendor.vat_id", "buyer_name": "buyer.name"}
    hidden = frozenset(paths.get(name, name) for name in meta.get("not_in_text", ()))
    further = {"payable_amount": meta["payable_amount"]} if "payable_amount" in meta else {}
    return Truth(path, _family(path, meta), values, hidden, further=further)


def _family(path: Path, meta: Mapping[str, Any]) -> str:
    if path.suffix == ".xml":
        return "xml"
    if path.suffix == ".txt":
        return "text"
    return "pdf with xml" if "embedded_name" in meta else "pdf"


def _line(row: Mapping[str, Any]) -> Answer:
    return {name: row.get(name) for name in LINE}


def _taxes(row: Mapping[str, Any]) -> list[Answer]:
    """Return the tax line of an invoice that has one rate, as its sums tell it."""
    net, tax = Decimal(row.get("net_amount") or 0), Decimal(row.get("tax_amount") or 0)
    rate = next((rate for rate in _RATES if net and abs(net * Decimal(rate) / 100 - tax) <= Decimal("0.01")), None)
    if rate is None or not tax or "tax_amount" in row.get("meta", {}).get("not_in_text", ()):
        return []
    return [{"rate": rate, "base": row["net_amount"], "amount": row["tax_amount"]}]
