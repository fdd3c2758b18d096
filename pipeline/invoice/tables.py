"""The tables that hold invoices, and the statements that read and write them, made once."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    func,
    insert,
    or_,
    select,
    type_coerce,
    union,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

# So many of a vendor's latest invoices show its habits.
MOST_HISTORY = 50


class _Exact(TypeDecorator[Decimal]):
    """Keep a decimal as its digits; SQLite's own numbers are floats."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - the library's
        return None if value is None else Decimal(value)


class _Time(TypeDecorator[datetime.datetime]):
    """Keep a time as ISO text in UTC with microseconds, so that text order is time order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's
        return None if value is None else time_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime.datetime | None:  # noqa: ARG002 - the library's
        return None if value is None else datetime.datetime.fromisoformat(value)


def time_text(value: datetime.datetime) -> str:
    """Return a time as it is kept, to be compared with what is read as text."""
    return value.astimezone(datetime.UTC).isoformat(timespec="microseconds")


class _Day(TypeDecorator[datetime.date]):
    """Keep a date as ISO text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime.date | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime.date | None:  # noqa: ARG002 - the library's
        return None if value is None else datetime.date.fromisoformat(value)


metadata = MetaData()
invoices = Table(
    "invoices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("vendor_key", Text, nullable=False),
    Column("number_key", Text, nullable=False),
    Column("vendor_vat", Text, nullable=False),
    Column("vendor_folded_name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("job", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("invoice_number", Text),
    Column("date", _Day),
    Column("due_date", _Day),
    Column("currency", Text),
    Column("total_amount", _Exact),
    Column("net_amount", _Exact),
    Column("tax_amount", _Exact),
    Column("vendor_name", Text),
    Column("vendor_vat_id", Text),
    Column("vendor_iban", Text),
    Column("buyer_name", Text),
    Column("content", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("stored_at", _Time, nullable=False),
    UniqueConstraint("vendor_key", "number_key"),
    Index("invoices_by_number", "number_key"),
    Index("invoices_by_time", "stored_at"),
)
# A vendor's latest invoices are found without a look at all its earlier ones, however many.
BY_VENDOR = (
    Index("invoices_by_vat", invoices.c.vendor_vat, invoices.c.id),
    Index("invoices_by_name", invoices.c.vendor_folded_name, invoices.c.id),
)
versions = Table(
    "invoice_versions",
    metadata,
    Column("invoice_id", Integer, ForeignKey("invoices.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("job", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("stored_at", _Time, nullable=False),
)
lines = Table(
    "invoice_lines",
    metadata,
    Column("invoice_id", Integer, ForeignKey("invoices.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("description", Text),
    Column("quantity", _Exact),
    Column("unit_price", _Exact),
    Column("total", _Exact),
)
jobs = Table(
    "invoice_jobs",
    metadata,
    Column("job", Text, primary_key=True),
    Column("invoice_id", Integer, ForeignKey("invoices.id", ondelete="CASCADE"), nullable=False),
    Column("content_hash", Text, nullable=False),
)


def _latest(column: Column[str]) -> Select[int]:
    """Return the query for the latest records of a vendor, who is named by that column."""
    named = select(invoices.c.id).where(column == bindparam(column.name))
    return select(named.order_by(invoices.c.id.desc()).limit(MOST_HISTORY).subquery().c.id)


def _rows(table: Table, *, of: str) -> Select[Any]:
    columns = [table.c[name] for name in ("job", "status", "content_hash")]
    stored_at = type_coerce(table.c.stored_at, Text).label("stored_at")
    return select(table.c[of].label("id"), table.c.version, *columns, stored_at)


def _history_of(*ids: Select[int]) -> Select[Any]:
    """Return the query for what decides what a history holds; what it holds is fetched where needed."""
    either = ids[0] if len(ids) == 1 else union(*ids)
    latest = _rows(invoices, of="id").where(invoices.c.id.in_(either))
    return latest.order_by(invoices.c.id.desc()).limit(MOST_HISTORY)


def _in_one_row(query: Select[Any]) -> Select[str]:
    """Return the query for the same rows as one JSON text.

    Between two rows the driver lets all other threads go first, while this one holds the right to write.
    """
    return select(func.json_group_array(func.json_array(*query.subquery().c), type_=Text))


# Made once: to make a statement, and to find out that it is the same as the last, takes longer than to carry it out.
_BY_VAT, _BY_NAME = _latest(invoices.c.vendor_vat), _latest(invoices.c.vendor_folded_name)
HISTORIES = {
    (True, True): _history_of(_BY_VAT, _BY_NAME),
    (True, False): _history_of(_BY_VAT),
    (False, True): _history_of(_BY_NAME),
}
SQLITE_HISTORIES = {known: _in_one_row(query) for known, query in HISTORIES.items()}
EARLIER = (
    _rows(versions, of="invoice_id").where(versions.c.invoice_id == bindparam("record_id")).order_by(versions.c.version)
)
CONTENT = select(invoices.c.content).where(
    invoices.c.id == bindparam("record_id"), invoices.c.content_hash == bindparam("content_hash")
)
EARLIER_CONTENT = select(versions.c.content).where(
    versions.c.invoice_id == bindparam("record_id"), versions.c.content_hash == bindparam("content_hash")
)
_SAME_NUMBER = select(invoices).where(invoices.c.number_key == bindparam("number_key"))
EXACT = _SAME_NUMBER.where(invoices.c.vendor_key == bindparam("vendor_key"))
SAME_NAME = _SAME_NUMBER.where(invoices.c.vendor_folded_name == bindparam("vendor_folded_name")).limit(2)
SAME_NAME_AND_VAT = SAME_NAME.where(or_(invoices.c.vendor_vat == "", invoices.c.vendor_vat == bindparam("vendor_vat")))
JOB = select(jobs).where(jobs.c.job == bindparam("job"))
NEW_JOB = insert(jobs)
NEW_INVOICE, NEW_LINES = insert(invoices), insert(lines)
