"""Write an export as a workbook with two sheets: invoices and their lines. The only file that knows xlsxwriter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

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
from pipeline.invoice.store import InvoiceStore

# Limits of the file format.
_MAX_ROWS = 1_048_576
_MAX_CHARACTERS = 32_767
# Spreadsheets keep numbers as binary fractions of so many certain digits.
_MAX_DIGITS = 15
_PLAIN_NUMBERS = frozenset({"quantity", "lines", "version", "line"})
_FORMATS = {"amount": "#,##0.00##", "number": "General", "date": "yyyy-mm-dd", "time": "yyyy-mm-dd hh:mm:ss"}
_WIDTHS = {"vendor_name": 28, "buyer_name": 28, "description": 44, "job": 28, "stored_at": 19, "vendor_iban": 26}
_WIDTH = 14


def write_workbook(path: Path, store: InvoiceStore, wanted: Filter) -> int:
    """Write both sheets, row by row; texts are texts, whatever they begin with. Return the number of invoices."""
    path.touch()  # a folder that cannot be written is learned before the library opens files of its own
    try:
        return _write(path, store, wanted)
    except FileCreateError as error:
        raise error.args[0] from error  # the OSError that it hides


def _write(path: Path, store: InvoiceStore, wanted: Filter) -> int:
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "default_date_format": _FORMATS["date"],
    }
    with xlsxwriter.Workbook(str(path), options) as workbook:
        formats = {name: workbook.add_format({"num_format": pattern}) for name, pattern in _FORMATS.items()}
        head = workbook.add_format({"bold": True})
        columns = invoice_columns(own_names(records_of(store, wanted)))
        invoices = _Sheet(workbook.add_worksheet("Invoices"), columns, formats, head)
        lines = _Sheet(workbook.add_worksheet("Lines"), line_columns(), formats, head)
        written = 0
        for record in records_of(store, wanted):
            written += 1
            invoices.add(invoice_row(record))
            for row in line_rows(record):
                lines.add(row)
        invoices.end()
        lines.end()
    return written


class _Sheet:
    """Write one sheet from its head on."""

    def __init__(self, sheet: Any, columns: Sequence[str], formats: Mapping[str, Any], head: Any) -> None:
        self._sheet = sheet
        self._columns = columns
        self._formats = formats
        self._written = 0
        for number, column in enumerate(columns):
            sheet.set_column(number, number, _WIDTHS.get(column, _WIDTH))
        sheet.freeze_panes(1, 0)
        for number, column in enumerate(columns):
            sheet.write_string(0, number, column, head)

    def add(self, row: Row) -> None:
        """Write one more row."""
        self._written += 1
        if self._written >= _MAX_ROWS:
            raise ConfigError(f"more than {_MAX_ROWS} rows fit into no xlsx", hint="use --format csv, or --since")
        for number, column in enumerate(self._columns):
            self._write(number, column, row.get(column))

    def end(self) -> None:
        """Let every column be filtered."""
        self._sheet.autofilter(0, 0, self._written, len(self._columns) - 1)

    def _write(self, number: int, column: str, cell: Cell) -> None:
        place = (self._written, number)
        match cell:
            case None:
                return
            case datetime():
                self._sheet.write_datetime(*place, cell.astimezone(UTC).replace(tzinfo=None), self._formats["time"])
            case date():
                self._sheet.write_datetime(*place, cell, self._formats["date"])
            case Decimal() | int() if len(Decimal(cell).as_tuple().digits) <= _MAX_DIGITS:
                kind = "number" if column in _PLAIN_NUMBERS else "amount"
                self._sheet.write_number(*place, float(cell), self._formats[kind])
            case Decimal():
                self._sheet.write_string(*place, format(cell, "f"))
            case _:
                self._sheet.write_string(*place, str(cell)[:_MAX_CHARACTERS])
