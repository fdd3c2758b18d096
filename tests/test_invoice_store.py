"""Invoices kept: one record for a vendor and a number, every version, exact amounts."""

from __future__ import annotations

import datetime
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError

from pipeline.errors import ConfigError
from pipeline.invoice.database import open_engine
from pipeline.invoice.model import Invoice, Kind, LineItem, Party
from pipeline.invoice.store import InvoiceStore, Outcome, Stored

NOON = datetime.datetime(2026, 3, 5, 12, tzinfo=datetime.UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(tmp_path / "pipeline.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> InvoiceStore:
    """Give a store in a file; `tests/test_cluster.py` gives one in PostgreSQL and runs the same tests."""
    return InvoiceStore(engine)


def invoice(number: str | None = "R-1", total: str = "10.00", **vendor: Any) -> Invoice:
    return Invoice(
        invoice_number=number,
        total_amount=Decimal(total),
        vendor=Party(**(vendor or {"name": "Acme", "vat_id": "DE136695976"})),
        line_items=(LineItem(description="x", total=Decimal(total)),),
    )


def put(store: InvoiceStore, content: Invoice, job: str, *, minutes: int = 0, status: str = "done") -> Stored:
    at = NOON + datetime.timedelta(minutes=minutes)
    return store.store(content, kind=Kind.INVOICE, job=job, status=status, at=at)


def totals(store: InvoiceStore) -> list[str]:
    return [str(row.invoice.total_amount) for row in store.rows()]


def test_new_invoice_is_created_exactly(store: InvoiceStore) -> None:
    """What is stored is read back with every digit."""
    assert put(store, invoice(total="1190.10"), "a").outcome is Outcome.CREATED
    (row,) = store.rows()
    assert row.invoice == invoice(total="1190.10")
    assert (row.version, row.job, row.status, row.stored_at) == (1, "a", "done", NOON)


def test_amounts_are_text_in_the_file(store: InvoiceStore, tmp_path: Path) -> None:
    """Other programs see exact digits too, in the invoice and in its lines."""
    put(store, invoice(total="0.30"), "a")
    with sqlite3.connect(tmp_path / "pipeline.sqlite") as connection:
        assert connection.execute("SELECT total_amount FROM invoices").fetchone() == ("0.30",)
        assert connection.execute("SELECT total FROM invoice_lines").fetchone() == ("0.30",)
    connection.close()


def test_changed_invoice_keeps_the_earlier_version(store: InvoiceStore) -> None:
    """The same number of the same vendor updates the record and keeps what was there."""
    first = put(store, invoice(total="10.00"), "a")
    second = put(store, invoice(number="r 1", total="11.00"), "b", minutes=1)
    assert second == Stored(first.record_id, Outcome.UPDATED, earlier_version=1)
    assert totals(store) == ["11.00"]
    (earlier,) = store.versions(first.record_id)
    assert (earlier.invoice.total_amount, earlier.job, earlier.version) == (Decimal("10.00"), "a", 1)


def test_same_number_of_another_vendor_is_another_invoice(store: InvoiceStore) -> None:
    """A number belongs to its vendor."""
    put(store, invoice(), "a")
    assert put(store, invoice(name="Acme", vat_id="FR40303265045"), "b").outcome is Outcome.CREATED
    assert put(store, invoice(name="Other"), "c").outcome is Outcome.CREATED
    assert len(totals(store)) == 3


def test_renamed_vendor_is_known_by_its_vat_number(store: InvoiceStore) -> None:
    """A new name with the same VAT number, or the same name before its VAT number was known, is the same vendor."""
    first = put(store, invoice(total="1.00", name="ACME  Ltd."), "a")
    second = put(store, invoice(total="2.00", name="Acme Ltd", vat_id="DE 136695976"), "b")
    third = put(store, invoice(total="3.00", name="Nova Ltd", vat_id="DE136695976"), "c")
    assert first.record_id == second.record_id == third.record_id
    assert len(store.versions(first.record_id)) == 2


def test_equal_content_is_unchanged(store: InvoiceStore) -> None:
    """The same invoice again makes no version, whoever brings it."""
    put(store, invoice(), "a")
    assert put(store, invoice(), "a").outcome is Outcome.UNCHANGED
    assert put(store, invoice(), "b").outcome is Outcome.UNCHANGED
    assert store.versions(1) == ()


def test_job_repeated_after_a_newer_one_changes_nothing(store: InvoiceStore) -> None:
    """A job that stores again after a crash does not undo what a later job stored."""
    put(store, invoice(total="10.00"), "a")
    put(store, invoice(total="11.00"), "b")
    assert put(store, invoice(total="10.00"), "a").outcome is Outcome.UNCHANGED
    assert totals(store) == ["11.00"]


def test_repeated_job_updates_its_status(store: InvoiceStore) -> None:
    """The same content with another status changes the status and makes no version."""
    put(store, invoice(), "a", status="review")
    put(store, invoice(), "a", status="done")
    assert [row.status for row in store.rows()] == ["done"]


def test_replay_that_reads_another_number_moves_the_record(store: InvoiceStore) -> None:
    """A job that reads its document better leaves no second invoice behind."""
    first = put(store, invoice(number="R-7"), "a")
    again = put(store, invoice(number="R-1"), "a")
    assert again == Stored(first.record_id, Outcome.UPDATED, earlier_version=1)
    assert [row.invoice.invoice_number for row in store.rows()] == ["R-1"]


def test_replay_that_moves_onto_another_record_joins_it(store: InvoiceStore) -> None:
    """If the better number is known already, that record is updated and the mistaken one goes."""
    put(store, invoice(number="R-1", total="1.00"), "b")
    put(store, invoice(number="R-7", total="2.00"), "a")
    put(store, invoice(number="R-1", total="2.00"), "a")
    assert [(row.invoice.invoice_number, str(row.invoice.total_amount)) for row in store.rows()] == [("R-1", "2.00")]


def test_replay_gives_back_a_record_it_took_from_another_job(store: InvoiceStore) -> None:
    """A job that overwrote another job's invoice by mistake gives it back when it reads its own number."""
    put(store, invoice(number="R-1", total="1.00"), "b")
    put(store, invoice(number="R-1", total="2.00"), "a")
    put(store, invoice(number="R-2", total="2.00"), "a")
    assert [(row.invoice.invoice_number, str(row.invoice.total_amount), row.job) for row in store.rows()] == [
        ("R-1", "1.00", "b"),
        ("R-2", "2.00", "a"),
    ]


def test_without_number_the_record_belongs_to_the_job(store: InvoiceStore) -> None:
    """Two invoices without a number are not mixed up; once its number is read, a record gets its place."""
    first = put(store, invoice(number=None, total="1.00"), "a")
    put(store, invoice(number=None, total="2.00"), "b")
    assert totals(store) == ["1.00", "2.00"]
    assert put(store, invoice(number="R-9", total="1.00"), "a").record_id == first.record_id


def test_rows_since(store: InvoiceStore) -> None:
    """An export can ask for what was stored since a time, whatever its zone."""
    put(store, invoice(number="R-1"), "a")
    put(store, invoice(number="R-2"), "b", minutes=10)
    since = (NOON + datetime.timedelta(minutes=5)).astimezone(datetime.timezone(datetime.timedelta(hours=9)))
    assert [row.job for row in store.rows(since)] == ["b"]


@pytest.mark.slow
def test_many_rows_are_all_listed(store: InvoiceStore) -> None:
    """Listing goes on beyond one page of rows."""
    for number in range(205):
        put(store, invoice(number=f"R-{number}"), f"job-{number}")
    assert len(list(store.rows())) == 205


def test_threads_do_not_lose_versions(store: InvoiceStore) -> None:
    """Jobs that store the same invoice at once wait for each other; each change is one version."""

    def work(number: int) -> None:
        put(store, invoice(total=f"{number}.00"), f"job-{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (row,) = store.rows()
    assert row.version == 8
    assert len(store.versions(row.record_id)) == 7


def test_reopened_file_is_the_same(tmp_path: Path, store: InvoiceStore) -> None:
    """Opening the file again keeps what is in it."""
    put(store, invoice(), "a")
    again = open_engine(tmp_path / "pipeline.sqlite")
    assert len(list(InvoiceStore(again).rows())) == 1
    again.dispose()


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """A file of a newer release is left alone with a clear error."""
    with sqlite3.connect(tmp_path / "new.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    engine = open_engine(tmp_path / "new.sqlite")
    with pytest.raises(ConfigError, match="newer release"):
        InvoiceStore(engine)
    engine.dispose()


def test_other_file_is_refused(tmp_path: Path) -> None:
    """A file that is no database is named in the error."""
    (tmp_path / "x.sqlite").write_bytes(b"hello, this is no database at all" * 50)
    engine = open_engine(tmp_path / "x.sqlite")
    with pytest.raises(ConfigError, match=r"x\.sqlite"):
        InvoiceStore(engine)
    engine.dispose()


def test_history_is_what_other_jobs_stored_of_the_vendor(store: InvoiceStore) -> None:
    """A vendor's earlier invoices come latest first, by VAT number or by name, without those of the asking job."""
    put(store, invoice("R-1"), "a")
    put(store, invoice("R-2", name="ACME", iban="DE89370400440532013000"), "b", minutes=1)
    put(store, invoice("R-3", name="Other", vat_id="DE136695976"), "c", minutes=2)
    put(store, invoice("R-4", name="Stranger", vat_id="DE811569869"), "d", minutes=3)
    history = store.history_of(invoice("R-9"), not_job="a")
    assert [(one.job, one.invoice.invoice_number) for one in history.past] == [("c", "R-3"), ("b", "R-2")]
    assert store.history_of(Invoice(), not_job="a").past == ()


def test_history_keeps_what_another_job_overwrote(store: InvoiceStore) -> None:
    """A second file with the same number updates the record; the first job still shows in the history."""
    put(store, invoice("R-1", "10.00"), "a")
    put(store, invoice("R-1", "12.00"), "b", minutes=1)
    history = store.history_of(invoice("R-1", "12.00"), not_job="b")
    assert [(one.job, one.invoice.total_amount) for one in history.past] == [("a", Decimal("10.00"))]


def test_history_is_the_latest_invoices_of_the_vendor(store: InvoiceStore) -> None:
    """However many a vendor sent, fifty are looked at: the latest by VAT number and by name together."""
    for number in range(60):
        by = {"name": "Acme"} if number % 3 else {"name": "Other", "vat_id": "DE136695976"}
        put(store, invoice(f"R-{number}", **by), f"job-{number}", minutes=number)
    history = store.history_of(invoice("R-99"), not_job="job-59")
    assert [one.job for one in history.past] == [f"job-{number}" for number in range(58, 9, -1)]
    assert history.past[0].invoice == invoice("R-58", name="Acme")


def test_no_statement_looks_at_all_invoices(engine: Engine) -> None:
    """Storing one more takes no longer in a full file; a file of an earlier release gets the indexes it lacks."""
    InvoiceStore(engine)
    with engine.begin() as connection:
        for name in ("invoices_by_vat", "invoices_by_name"):
            connection.exec_driver_sql(f"DROP INDEX {name}")
    again = InvoiceStore(engine)
    asked: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
    again.store_judged(invoice(), kind=Kind.INVOICE, job="a", at=NOON, judge=lambda _: "done")
    queries = [one for one in asked if one[0].startswith("SELECT")]
    with engine.connect() as connection:
        plans = [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", told).all()) for one, told in queries]
    assert "invoices_by_vat" in "".join(plans)
    assert "SCAN invoice" not in "".join(plans)


def test_doubtful_invoice_does_not_touch_what_another_job_stored(store: InvoiceStore) -> None:
    """A forged invoice under a known number waits in a record of its own; accepted, it takes the place."""
    first = put(store, invoice(total="10.00"), "a")
    forged = put(store, invoice(total="9999.00"), "b", minutes=1, status="review")
    assert forged.outcome is Outcome.CREATED
    assert [(row.job, row.status, str(row.invoice.total_amount)) for row in store.rows()] == [
        ("a", "done", "10.00"),
        ("b", "review", "9999.00"),
    ]
    assert put(store, invoice(total="11.00"), "b", minutes=2) == Stored(first.record_id, Outcome.UPDATED, 1)
    assert totals(store) == ["11.00"]


def test_doubtful_invoice_stored_again_stays_where_it_is(store: InvoiceStore) -> None:
    """A replay that finds the same doubts changes its own record alone."""
    put(store, invoice(total="10.00"), "a")
    forged = put(store, invoice(total="9999.00"), "b", minutes=1, status="review")
    again = put(store, invoice(total="9998.00"), "b", minutes=2, status="review")
    assert (again.record_id, again.outcome) == (forged.record_id, Outcome.UPDATED)
    assert totals(store) == ["10.00", "9998.00"]


def test_writers_stand_in_line_and_leave_it_at_the_end_of_their_connection(engine: Engine, store: InvoiceStore) -> None:
    """One connection may write several times, also after a change that failed; then it is the others' turn."""
    with engine.connect() as connection:
        with connection.begin():
            connection.exec_driver_sql("CREATE TABLE notes (word TEXT UNIQUE)")
        for _ in range(2):
            with suppress(IntegrityError), connection.begin():
                connection.exec_driver_sql("INSERT INTO notes VALUES ('once')")
        assert connection.exec_driver_sql("SELECT count(*) FROM notes").scalar_one() == 1
    with ThreadPoolExecutor(4) as threads:
        stored = list(threads.map(lambda number: put(store, invoice(f"R-{number}"), f"job-{number}"), range(8)))
    assert [one.outcome for one in stored] == [Outcome.CREATED] * 8
