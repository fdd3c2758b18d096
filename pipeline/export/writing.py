"""Write an export as text, row by row; a file comes to be whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from babel.core import Locale, UnknownLocaleError
from babel.numbers import get_decimal_symbol

from pipeline.disk import Disk
from pipeline.errors import ConfigError
from pipeline.export.rows import (
    Cell,
    Filter,
    Row,
    invoice_columns,
    invoice_row,
    line_columns,
    line_rows,
    own_names,
    records_of,
)
from pipeline.invoice.model import dumps
from pipeline.invoice.store import InvoiceStore, StoredInvoice

# A spreadsheet runs what begins with one of these as a formula (OWASP, "CSV Injection").
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Form(StrEnum):
    """Name what an export is written as."""

    CSV = "csv"
    JSON = "json"
    XLSX = "xlsx"


class Dialect:
    """Say how a country's spreadsheets separate cells and write decimals; without a locale plainly."""

    def __init__(self, locale: str | None = None) -> None:
        self.mark = "."
        if locale is not None:
            try:
                self.mark = get_decimal_symbol(Locale.parse(locale.replace("-", "_")))
            except (ValueError, TypeError, UnknownLocaleError) as error:
                raise ConfigError(f"--locale {locale} is not known", hint="write it as de_DE or en_GB") from error
        self.separator = "," if self.mark == "." else ";"

    def text(self, cell: Cell) -> str:
        """Return a cell as text; what a spreadsheet would run as a formula is made a text for it."""
        match cell:
            case None:
                return ""
            case datetime():
                return cell.isoformat(timespec="seconds")
            case date():
                return cell.isoformat()
            case Decimal():
                return format(cell, "f").replace(".", self.mark)
            case str() if cell.lstrip(" \u00a0").startswith(_FORMULA_STARTS):
                return f"'{cell}"
        return str(cell)


def stream_text(
    store: InvoiceStore, out: TextIO, *, form: Form, wanted: Filter, lines: bool = False, locale: str | None = None
) -> int:
    """Write CSV with a line of column names, or one JSON object a line; return the number of rows.

    `lines` means a row an invoice line.
    """
    records, written = records_of(store, wanted), 0
    if form is Form.JSON:
        for record in records:
            for one in _objects(record, lines=lines):
                out.write(dumps(one) + "\n")
                written += 1
        return written
    dialect = Dialect(locale)
    columns = line_columns() if lines else invoice_columns(own_names(records_of(store, wanted)))
    writer = csv.writer(out, delimiter=dialect.separator)
    writer.writerow(columns)
    for row in _rows(records, lines=lines):
        writer.writerow([dialect.text(row.get(column)) for column in columns])
        written += 1
    return written


def export_to(
    path: Path,
    store: InvoiceStore,
    disk: Disk,
    *,
    form: Form,
    wanted: Filter,
    lines: bool = False,
    locale: str | None = None,
) -> int:
    """Write the export to a file, whole or not at all; return the number of rows, of a workbook that of invoices.

    Raises ConfigError where that cannot be written.
    """
    written = 0

    def write(temporary: Path) -> None:
        nonlocal written
        if form is Form.XLSX:
            from pipeline.export.workbook import write_workbook  # noqa: PLC0415 - loads a library that few need

            written = write_workbook(temporary, store, wanted)
            return
        # The mark at the start tells spreadsheets that the text is UTF-8.
        encoding = "utf-8-sig" if form is Form.CSV else "utf-8"
        with temporary.open("w", encoding=encoding, newline="") as out:
            written = stream_text(store, out, form=form, wanted=wanted, lines=lines, locale=locale)

    try:
        disk.publish_written(path, write)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", hint="name another --out") from error
    return written


def _rows(records: Iterable[StoredInvoice], *, lines: bool) -> Iterator[Row]:
    for record in records:
        yield from line_rows(record) if lines else (invoice_row(record),)


def _objects(record: StoredInvoice, *, lines: bool) -> Iterator[dict[str, Any]]:
    if lines:
        for row in line_rows(record):
            yield {name: _json(cell) for name, cell in row.items()}
        return
    yield {
        "record": record.record_id,
        "version": record.version,
        "kind": record.kind.value,
        "status": record.status,
        "job": record.job,
        "stored_at": record.stored_at.isoformat(timespec="seconds"),
        "signed_total": invoice_row(record)["signed_total"],
        "invoice": record.invoice.to_json(),
    }


def _json(cell: Cell) -> Any:
    return cell.isoformat() if isinstance(cell, date) else cell
