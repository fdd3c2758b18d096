"""The rows of an export: one an invoice, one an invoice line; column names are stable.

Columns come from the invoice's own fields: a field that is added there stands behind those that are named here, and a
user's own fields stand last, as `own_<name>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pipeline.errors import ConfigError
from pipeline.invoice.booking import booked_amount
from pipeline.invoice.model import Invoice, LineItem
from pipeline.invoice.paths import Leaf, leaf_of, value_at
from pipeline.invoice.store import InvoiceStore, StoredInvoice

Cell = str | int | Decimal | date | datetime | None
Row = dict[str, Cell]

_FIRST_COLUMNS = (
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
    "signed_total",
    "signed_net",
    "signed_tax",
)
_OF_INVOICE = ("invoice_number", "kind", "status", "date", "currency", "vendor_name", "job")
_LINE_COLUMNS = (*_OF_INVOICE, "line", "description", "quantity", "unit_price", "total", "signed_total")
_OWN = "own_fields"


@dataclass(frozen=True)
class Filter:
    """Say which invoices are meant; None means all.

    `since` is the time from which on their files were received, `dated_from` and `dated_to` are the first and the last
    day that the invoices themselves may bear: one without a date is left out then.
    """

    since: datetime | None = None
    status: str | None = None
    dated_from: date | None = None
    dated_to: date | None = None

    @property
    def asks_for_dates(self) -> bool:
        """Say whether the invoices' own dates decide."""
        return self.dated_from is not None or self.dated_to is not None

    def takes(self, record: StoredInvoice) -> bool:
        """Say whether the invoice is meant; the time of receipt has been asked of the store."""
        if self.status is not None and record.status != self.status:
            return False
        if not self.asks_for_dates:
            return True
        day = record.invoice.date
        return day is not None and (self.dated_from or day) <= day <= (self.dated_to or day)


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


def day_from(text: str | None, *, option: str) -> date | None:
    """Return the day that an option names.

    Raises ConfigError for what is no date.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text} is no date", hint="write it as 2026-01-31") from error


def records_of(store: InvoiceStore, wanted: Filter) -> Iterator[StoredInvoice]:
    """Yield the invoices that are meant, a few at a time."""
    for record in store.rows(wanted.since):
        if wanted.takes(record):
            yield record


def undated(store: InvoiceStore, wanted: Filter) -> int:
    """Return how many invoices are left out only because they bear no date."""
    if not wanted.asks_for_dates:
        return 0
    others = replace(wanted, dated_from=None, dated_to=None)
    return sum(record.invoice.date is None for record in records_of(store, others))


def own_names(records: Iterable[StoredInvoice]) -> list[str]:
    """Return the names of all fields that users added, in the order of the alphabet."""
    return sorted({name for record in records for name in _own(record)})


def invoice_columns(own: Iterable[str] = ()) -> list[str]:
    """Return the columns of an invoice's row."""
    more = [column for column in _PATHS if column not in _FIRST_COLUMNS]
    return [*_FIRST_COLUMNS, *more, *(f"own_{name}" for name in own)]


def line_columns() -> list[str]:
    """Return the columns of a line's row."""
    return [*_LINE_COLUMNS, *(name for name in _LINE_FIELDS if name not in _LINE_COLUMNS)]


def invoice_row(record: StoredInvoice) -> Row:
    """Return an invoice's row; amounts as they are printed, and once more with the sign they count with."""
    data = record.invoice.to_json()
    row: Row = {column: _typed(path, value_at(data, path)) for column, path in _PATHS.items()}
    row |= {
        "kind": record.kind.value,
        "status": record.status,
        "lines": len(record.invoice.line_items),
        "version": record.version,
        "job": record.job,
        "stored_at": record.stored_at,
        "signed_total": _booked(record, record.invoice.total_amount),
        "signed_net": _booked(record, record.invoice.net_amount),
        "signed_tax": _booked(record, record.invoice.tax_amount),
    }
    return row | {f"own_{name}": _plain(value) for name, value in _own(record).items()}


def line_rows(record: StoredInvoice) -> Iterator[Row]:
    """Yield a row for each line, with what tells which invoice it belongs to; lines count from 1."""
    shared = {name: value for name, value in invoice_row(record).items() if name in _OF_INVOICE}
    for number, line in enumerate(record.invoice.to_json()["line_items"]):
        values: Row = {name: _typed(f"line_items.{number}.{name}", line.get(name)) for name in _LINE_FIELDS}
        total = values.get("total")
        signed = _booked(record, total) if isinstance(total, Decimal) else None
        yield {**shared, "line": number + 1, **values, "signed_total": signed}


def _paths() -> dict[str, str]:
    """Return for each column that holds a field of the invoice the field's path."""
    found = {}
    for name in Invoice.model_fields:
        if leaf_of(name) is not None:
            found[name] = name
        else:
            inner = getattr(Invoice.model_fields[name].annotation, "model_fields", {})
            found |= {f"{name}_{part}": f"{name}.{part}" for part in inner if leaf_of(f"{name}.{part}") is not None}
    return found


_PATHS = _paths()
_LINE_FIELDS = tuple(name for name in LineItem.model_fields if leaf_of(f"line_items.0.{name}") is not None)


def _own(record: StoredInvoice) -> dict[str, Any]:
    return record.invoice.to_json().get(_OWN) or {}


def _typed(path: str, value: Any) -> Cell:
    """Return a field's value as what it is: a day is a day and no text."""
    if isinstance(value, str) and leaf_of(path) is Leaf.DAY:
        return date.fromisoformat(value)
    return _plain(value)


def _plain(value: Any) -> Cell:
    if value is None or (isinstance(value, int | Decimal | date) and not isinstance(value, bool)):
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    # Half a surrogate pair, as documents hold now and then, fits into no file.
    return str(value).encode(errors="replace").decode()


def _booked(record: StoredInvoice, amount: Decimal | None) -> Decimal | None:
    return booked_amount(amount, record.invoice, record.kind)
