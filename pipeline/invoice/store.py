"""Keep invoices in SQLite or PostgreSQL: one record for a vendor and a number, with every earlier version.

A vendor is known by its VAT number; without one on either side, by its name without case, accents and punctuation. So
a vendor that changes its name stays itself as long as its VAT number is printed, and becomes another one if not.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, delete, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from pipeline.errors import ConfigError, StorageFault
from pipeline.invoice import tables
from pipeline.invoice.history import PastInvoice, VendorHistory
from pipeline.invoice.model import Invoice, Kind, dumps, loads
from pipeline.invoice.words import squeeze

SCHEMA_VERSION = 1
_ROWS_AT_ONCE = 200
_MOST_KNOWN = 512


class Outcome(StrEnum):
    """Say what storing did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Stored:
    """Name the record and, after an update, the version under which the earlier content is kept."""

    record_id: int
    outcome: Outcome
    earlier_version: int | None = None


@dataclass(frozen=True)
class StoredInvoice:
    """Hold one record as exported; `version` counts from 1, times are UTC."""

    record_id: int
    version: int
    kind: Kind
    invoice: Invoice
    job: str
    status: str
    stored_at: datetime.datetime


class _Past(NamedTuple):
    """Hold what decides whether a record, or an earlier version of one, belongs to a history."""

    id: int
    version: int
    job: str
    status: str
    content_hash: str
    stored_at: str


class InvoiceStore:
    """Store and list invoices. Methods block: call them from a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        path = engine.url.database
        try:
            self._prepare()
        except (DatabaseError, StorageFault) as problem:
            cause = problem.orig if isinstance(problem, DatabaseError) else problem.message
            raise ConfigError(
                f"{path} cannot be used as the invoice database: {cause}",
                hint="Move the file away, or give the daemon the right to write it and its folder.",
            ) from problem

    def store(self, invoice: Invoice, *, kind: Kind, job: str, status: str, at: datetime.datetime) -> Stored:
        """Store an invoice under its vendor and number; what was there before is kept as a version.

        A job that stores the same content again, after a crash or a replay, changes nothing. Without a vendor or a
        number the record belongs to the job, until the job stores it again with both; so does one that a person has to
        look at first and that would take the place of what another job stored without doubts.
        """
        with self._engine.begin() as connection:
            return _store(connection, invoice, _record(invoice, kind=kind, job=job, status=status, at=at))

    def store_judged(
        self, invoice: Invoice, *, kind: Kind, job: str, at: datetime.datetime, judge: Callable[[VendorHistory], str]
    ) -> Stored:
        """Store an invoice with the status that its vendor's history makes of it, as `judge` says.

        Nobody stores anything of the vendor in between, so of two jobs with the same number the later one is told.
        """
        with self._engine.begin() as connection:
            _one_writer_of_vendor(connection, invoice)
            status = judge(_history(connection, invoice, not_job=job))
            return _store(connection, invoice, _record(invoice, kind=kind, job=job, status=status, at=at))

    def forget(self, job: str, *, at: datetime.datetime) -> None:
        """Take back what the job stored: it turned out to be no invoice. What another job had stored there returns."""
        with self._engine.begin() as connection:
            own = connection.execute(select(tables.jobs).where(tables.jobs.c.job == job)).one_or_none()
            if own is not None:
                _let_go(connection, own.invoice_id, job=job, at=at, keep=False)
                connection.execute(delete(tables.jobs).where(tables.jobs.c.job == job))

    def rows(self, since: datetime.datetime | None = None) -> Iterator[StoredInvoice]:
        """Yield the current version of every record stored at or after a time, oldest record first."""
        last = 0
        while True:
            # One page at a time, so that a slow reader does not hold the file.
            query = (
                select(tables.invoices)
                .where(tables.invoices.c.id > last)
                .order_by(tables.invoices.c.id)
                .limit(_ROWS_AT_ONCE)
            )
            if since is not None:
                query = query.where(tables.invoices.c.stored_at >= since)
            page = self._read(query)
            yield from (_stored_invoice(row, row.id) for row in page)
            if len(page) < _ROWS_AT_ONCE:
                return
            last = page[-1].id

    def history_of(self, invoice: Invoice, *, not_job: str, before: datetime.datetime | None = None) -> VendorHistory:
        """Return what other jobs stored of the same vendor, latest first; with `before` only what came earlier.

        A vendor is the same by its VAT number or by its name: an invoice with a known name and a new number, or the
        other way round, is what the history is asked for. Credit notes and jobs of a record's earlier versions count.
        """
        with self._engine.connect().execution_options(reads_only=True) as connection:
            return _history(connection, invoice, not_job=not_job, before=before)

    def versions(self, record_id: int) -> tuple[StoredInvoice, ...]:
        """Return the earlier versions of a record, oldest first."""
        query = (
            select(tables.versions).where(tables.versions.c.invoice_id == record_id).order_by(tables.versions.c.version)
        )
        return tuple(_stored_invoice(row, record_id) for row in self._read(query))

    def _read(self, query: Any) -> list[Row[Any]]:
        with self._engine.connect().execution_options(reads_only=True) as connection:
            return list(connection.execute(query).all())

    def is_empty(self) -> bool:
        """Say whether nothing is stored yet."""
        return not self._read(select(tables.invoices.c.id).limit(1))

    def _prepare(self) -> None:
        if not _is_sqlite(self._engine):  # a shared database is prepared by `pipeline migrate`, and only by it
            return
        with self._engine.begin() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if version > SCHEMA_VERSION:
                raise ConfigError(
                    f"{self._engine.url.database} was written by a newer release (schema {version}, known: "
                    f"{SCHEMA_VERSION}).",
                    hint="Install that release again, or point the outbox to another folder.",
                )
            create_tables(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def create_tables(connection: Connection) -> None:
    """Create what is missing of the store's tables."""
    tables.metadata.create_all(connection)
    for index in tables.BY_VENDOR:  # the table of an earlier release lacks them
        index.create(connection, checkfirst=True)


def vendor_key(invoice: Invoice) -> str:
    """Return what a vendor is recognised by: its VAT number, else its folded name; empty if neither is known."""
    vat, name = squeeze(invoice.vendor.vat_id or ""), squeeze(invoice.vendor.name or "")
    return f"vat:{vat}" if vat else f"name:{name}" if name else ""


def _is_sqlite(bound: Engine | Connection) -> bool:
    return bound.dialect.name == "sqlite"


def _store(connection: Connection, invoice: Invoice, record: dict[str, Any]) -> Stored:
    _one_writer(connection, record)
    job, at = record["job"], record["stored_at"]
    own = connection.execute(tables.JOB, {"job": job}).one_or_none()
    if own is not None and own.content_hash == record["content_hash"]:
        return _repeated(connection, own.invoice_id, record)
    current = _find(connection, record)
    if current is not None and _is_contested(current, record):
        record |= {"vendor_key": f"job:{job}", "number_key": ""}
        current = _find(connection, record)
    if own is not None and (current is None or current.id != own.invoice_id):
        kept = _let_go(connection, own.invoice_id, job=job, at=at, keep=current is None)
        current = current or kept
    stored = _put(connection, current, record, invoice)
    values = {"invoice_id": stored.record_id, "content_hash": record["content_hash"]}
    if own is not None:
        connection.execute(delete(tables.jobs).where(tables.jobs.c.job == job))
    connection.execute(tables.NEW_JOB, {"job": job, **values})
    return stored


def _history(
    connection: Connection, invoice: Invoice, *, not_job: str, before: datetime.datetime | None = None
) -> VendorHistory:
    vat, name = squeeze(invoice.vendor.vat_id or ""), squeeze(invoice.vendor.name or "")
    if not vat and not name:
        return VendorHistory()
    current = _current(connection, {"vendor_vat": vat, "vendor_folded_name": name})
    ids = (row.id for row in current if row.version > 1)
    earlier = (connection.execute(tables.EARLIER, {"record_id": record_id}).all() for record_id in ids)
    rows = [*current, *(_Past(*row) for row in chain.from_iterable(earlier))]
    rows.sort(key=lambda row: row.stored_at, reverse=True)
    if before is not None:
        limit = tables.time_text(before)
        rows = [row for row in rows if row.stored_at < limit]
    last = {row.job: row for row in reversed(rows) if row.job != not_job}
    past = ((row, _content(connection, row)) for row in reversed(last.values()))
    return VendorHistory(
        tuple(PastInvoice(row.job, known, is_done=row.status == "done") for row, known in past if known)
    )


def _current(connection: Connection, vendor: dict[str, str]) -> list[_Past]:
    """Return the latest records of the vendor, latest first."""
    known = bool(vendor["vendor_vat"]), bool(vendor["vendor_folded_name"])
    if _is_sqlite(connection):
        rows = json.loads(connection.execute(tables.SQLITE_HISTORIES[known], vendor).scalar_one())
    else:
        rows = connection.execute(tables.HISTORIES[known], vendor).all()
    return sorted((_Past(*row) for row in rows), reverse=True)


def _content(connection: Connection, row: _Past) -> Invoice | None:
    """Return the invoice that the row stands for, None where it has been taken back since the row was read."""
    known = _known.get(row.content_hash)
    if known is None:
        which = {"record_id": row.id, "content_hash": row.content_hash}
        texts = (
            connection.execute(query, which).scalars().first() for query in (tables.CONTENT, tables.EARLIER_CONTENT)
        )
        content = next((one for one in texts if one is not None), None)
        known = _invoice_in(content) if content is not None else None
        if known is not None:
            _known.put(row.content_hash, known)
    return known


def _one_writer(connection: Connection, record: Mapping[str, Any]) -> None:
    """Let the writers of one number wait for each other; all do in a file, by the transactions of `open_engine`.

    Records of different numbers never touch, but for one that moves, which takes both locks; two that cross end as a
    deadlock, which PostgreSQL finds, and one of them is tried again.
    """
    if not _is_sqlite(connection):
        key = record["number_key"] or record["vendor_key"]
        connection.execute(text("SELECT pg_advisory_xact_lock(7304, hashtext(:key))"), {"key": key})


def _one_writer_of_vendor(connection: Connection, invoice: Invoice) -> None:
    """Let those wait for each other who ask for one vendor's history and store what it makes of their invoice."""
    if not _is_sqlite(connection):
        keys = (("vat", invoice.vendor.vat_id), ("name", invoice.vendor.name))
        for key in sorted(f"{kind}:{squeeze(name)}" for kind, name in keys if name):
            connection.execute(text("SELECT pg_advisory_xact_lock(7305, hashtext(:key))"), {"key": key})


def _record(invoice: Invoice, *, kind: Kind, job: str, status: str, at: datetime.datetime) -> dict[str, Any]:
    content = dumps(invoice.to_json())
    vendor, number = vendor_key(invoice), squeeze(invoice.invoice_number or "")
    known = bool(vendor and number)
    return {
        "vendor_key": vendor if known else f"job:{job}",
        "number_key": number if known else "",
        "vendor_vat": squeeze(invoice.vendor.vat_id or ""),
        "vendor_folded_name": squeeze(invoice.vendor.name or ""),
        "job": job,
        "status": status,
        "kind": kind.value,
        "invoice_number": invoice.invoice_number,
        "date": invoice.date,
        "due_date": invoice.due_date,
        "currency": invoice.currency,
        "total_amount": invoice.total_amount,
        "net_amount": invoice.net_amount,
        "tax_amount": invoice.tax_amount,
        "vendor_name": invoice.vendor.name,
        "vendor_vat_id": invoice.vendor.vat_id,
        "vendor_iban": invoice.vendor.iban,
        "buyer_name": invoice.buyer.name,
        "content": content,
        "content_hash": hashlib.sha256(json.dumps([kind.value, content]).encode()).hexdigest(),
        "stored_at": at,
    }


def _find(connection: Connection, record: dict[str, Any]) -> Row[Any] | None:
    """Return the record of the same vendor and number; by name where one side has no VAT number."""
    keys = {name: record[name] for name in ("number_key", "vendor_key")}
    exact = connection.execute(tables.EXACT, keys).one_or_none()
    if exact is not None or not record["number_key"] or not record["vendor_folded_name"]:
        return exact
    keys = {name: record[name] for name in ("number_key", "vendor_folded_name")}
    if record["vendor_vat"]:
        found = connection.execute(tables.SAME_NAME_AND_VAT, {**keys, "vendor_vat": record["vendor_vat"]}).all()
    else:
        found = connection.execute(tables.SAME_NAME, keys).all()
    # Two vendors of one name with different VAT numbers: nothing says which one this is.
    return found[0] if len(found) == 1 else None


def _is_contested(current: Row[Any], record: dict[str, Any]) -> bool:
    """Say whether a doubtful invoice would change what another document said without doubts."""
    is_other = current.job != record["job"] and current.content_hash != record["content_hash"]
    return bool(is_other and current.status == "done" and record["status"] != "done")


def _repeated(connection: Connection, record_id: int, record: dict[str, Any]) -> Stored:
    """Note a changed status of a job that stores what it stored before."""
    mine = (tables.invoices.c.id == record_id) & (tables.invoices.c.job == record["job"])
    connection.execute(update(tables.invoices).where(mine).values(status=record["status"]))
    return Stored(record_id, Outcome.UNCHANGED)


def _let_go(connection: Connection, old_id: int, *, job: str, at: datetime.datetime, keep: bool) -> Row[Any] | None:
    """Let go of the record that a job made before it read another vendor or number; return it where it is to be kept.

    If only this job ever wrote the record, it is the same document, read better: with `keep` the record moves. If
    another job wrote it before, that job's version comes back and this one goes elsewhere.
    """
    query = select(tables.invoices).where(tables.invoices.c.id == old_id)
    _one_writer(connection, connection.execute(query).one()._asdict())
    old = connection.execute(query).one()  # as it is now that nobody else writes it
    if old.job != job:
        return None
    others = (tables.versions.c.invoice_id == old_id) & (tables.versions.c.job != job)
    before = connection.execute(
        select(tables.versions).where(others).order_by(tables.versions.c.version.desc())
    ).first()
    if before is not None:
        _keep_version(connection, old)
        invoice = _invoice_in(before.content)
        restored = _record(invoice, kind=Kind(before.kind), job=before.job, status=before.status, at=at)
        _write(connection, old.id, old.version + 1, restored, invoice)
        return None
    if keep:
        return old
    connection.execute(delete(tables.invoices).where(tables.invoices.c.id == old_id))
    return None


def _put(connection: Connection, current: Row[Any] | None, record: dict[str, Any], invoice: Invoice) -> Stored:
    if current is None:
        result = connection.execute(tables.NEW_INVOICE, {**record, "version": 1})
        record_id = int(result.inserted_primary_key[0]) if result.inserted_primary_key else 0
        _add_lines(connection, record_id, invoice)
        return Stored(record_id, Outcome.CREATED)
    if current.content_hash == record["content_hash"]:
        return Stored(current.id, Outcome.UNCHANGED)
    _keep_version(connection, current)
    _write(connection, current.id, current.version + 1, record, invoice)
    return Stored(current.id, Outcome.UPDATED, earlier_version=current.version)


def _keep_version(connection: Connection, row: Row[Any]) -> None:
    columns = ("version", "job", "status", "kind", "content", "content_hash", "stored_at")
    values = {name: getattr(row, name) for name in columns}
    connection.execute(insert(tables.versions).values(invoice_id=row.id, **values))


def _write(connection: Connection, record_id: int, version: int, record: dict[str, Any], invoice: Invoice) -> None:
    changed = update(tables.invoices).where(tables.invoices.c.id == record_id)
    connection.execute(changed.values(**record, version=version))
    connection.execute(delete(tables.lines).where(tables.lines.c.invoice_id == record_id))
    _add_lines(connection, record_id, invoice)


def _add_lines(connection: Connection, record_id: int, invoice: Invoice) -> None:
    rows = [
        {"invoice_id": record_id, "position": position, **dict(line)}
        for position, line in enumerate(invoice.line_items)
    ]
    if rows:
        connection.execute(tables.NEW_LINES, rows)


class _Invoices:
    """Remember the invoices that were read last, by the hash of their content; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_hash: dict[str, Invoice] = {}

    def get(self, content_hash: str) -> Invoice | None:
        return self._by_hash.get(content_hash)

    def put(self, content_hash: str, invoice: Invoice) -> None:
        with self._lock:
            self._by_hash[content_hash] = invoice
            while len(self._by_hash) > _MOST_KNOWN:
                del self._by_hash[next(iter(self._by_hash))]


# A vendor's invoices are asked for with each new one of it; what stands in a record does not change.
_known = _Invoices()


def _invoice_in(content: str) -> Invoice:
    return Invoice.from_json(loads(content))


def _stored_invoice(row: Row[Any], record_id: int) -> StoredInvoice:
    return StoredInvoice(
        record_id=record_id,
        version=row.version,
        kind=Kind(row.kind),
        invoice=_invoice_in(row.content),
        job=row.job,
        status=row.status,
        stored_at=row.stored_at,
    )
