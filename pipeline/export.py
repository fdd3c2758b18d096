"""The invoice database as a table for other programs: one row an invoice, or JSON with everything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import ConfigError
from pipeline.invoice.model import dumps
from pipeline.invoice.store import StoredInvoice

COLUMNS = (
    "invoice_number",
    "kind",
    "status",
    "date",
    "due_date",
    "currency",
    "total_amount",
    "net_amount",
    "tax_amount",
    "vendor_name",
    "vendor_vat_id",
    "vendor_iban",
    "buyer_name",
    "lines",
    "version",
    "job",
    "stored_at",
)
# A spreadsheet runs what begins with one of these as a formula (OWASP, "CSV Injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_csv(records: Iterable[StoredInvoice]) -> str:
    """Return one line an invoice below a line of column names, amounts as plain decimals."""
    listed = list(records)
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *own_columns(listed)))
    writer.writeheader()
    writer.writerows(_row(record) for record in listed)
    return text.getvalue()


def own_columns(records: Iterable[StoredInvoice]) -> tuple[str, ...]:
    """Return the columns of the users' own fields, in the order in which the records bring them up."""
    return tuple(dict.fromkeys(f"own_fields.{name}" for record in records for name in record.invoice.own_fields))


def as_json(records: Iterable[StoredInvoice]) -> str:
    """Return one JSON object a line, with the whole invoice."""
    return "".join(dumps(_object(record)) + "\n" for record in records)


def since_day(text: str | None) -> datetime | None:
    """Return the beginning of the day in UTC.

    Raises ConfigError for what is no date.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise ConfigError(f"--since {text} is no date", hint="write it as 2026-01-31") from error


def _row(record: StoredInvoice) -> dict[str, Any]:
    invoice = record.invoice
    row = {name: getattr(invoice, name) for name in COLUMNS if name in type(invoice).model_fields}
    row |= {
        "kind": record.kind.value,
        "status": record.status,
        "vendor_name": invoice.vendor.name,
        "vendor_vat_id": invoice.vendor.vat_id,
        "vendor_iban": invoice.vendor.iban,
        "buyer_name": invoice.buyer.name,
        "lines": len(invoice.line_items),
        "version": record.version,
        "job": record.job,
        "stored_at": record.stored_at.isoformat(timespec="seconds"),
        **{f"own_fields.{name}": value for name, value in invoice.own_fields.items()},
    }
    return {name: _defused(value) for name, value in row.items()}


def _defused(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _object(record: StoredInvoice) -> dict[str, Any]:
    return {
        "record": record.record_id,
        "version": record.version,
        "kind": record.kind.value,
        "status": record.status,
        "job": record.job,
        "stored_at": record.stored_at.isoformat(timespec="seconds"),
        "invoice": record.invoice.to_json(),
    }
