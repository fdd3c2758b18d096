"""How results and states look on the screen."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pipeline.invoice.model import dumps
from pipeline.status import first_reason

_COLOURS = {"done": "green", "review": "yellow", "failed": "red", "working": "cyan"}
_MAX_NOTE_CHARACTERS = 120
# Cut, it could not be copied into the next command.
_JOB_NAME = re.compile(r"[a-z0-9-]+-[0-9a-f]{12}\b")
_LONGEST_JOB_NAME = 60

# Into a file or a pipe nothing is cut: no terminal is that wide.
_UNCUT_WIDTH = 100_000

_COLUMNS = ("state", "file", "number", "date", "vendor", "total")
# Columns that may become narrower, and the least that still says something. State, date and total are never cut.
_LEAST_WIDTHS = {"file": 16, "vendor": 12}
_LONGEST_NUMBER = 24
_GAP = 2

screen = Console(width=None if sys.stdout.isatty() else _UNCUT_WIDTH)
notes = Console(stderr=True, width=None if sys.stderr.isatty() else _UNCUT_WIDTH)


def print_json(data: Any) -> None:
    """Print one line of JSON, amounts as exact decimals."""
    print(dumps(data), flush=True)  # noqa: T201 - plain text, unlike the console's


def progress_bar() -> Progress:
    """Return a progress bar on standard error, so that standard output stays clean."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=notes,
        disable=not notes.is_terminal,
    )


def print_results(results: Sequence[dict[str, Any]]) -> None:
    """Print one row a result, and below what a person should look at.

    State, date and total stand there whole on every screen; on a very narrow one the facts stand below each other.
    """
    rows = [_result_cells(result) for result in results]
    widths = _widths(rows, screen.width)
    if widths is None:
        _print_stacked(rows)
    else:
        _print_table(rows, widths)
    for result in results:
        note = what_to_look_at(result)
        if note:
            told = about_file(result["source"]["name"], note)
            screen.print(f"{coloured(result['status'])} {escape(told)}", highlight=False, soft_wrap=True)
        if result["error"] and (hint := hint_of(result)):
            screen.print(f"  {escape(hint)}", highlight=False, soft_wrap=True)


def hint_of(result: dict[str, Any]) -> str:
    """Return what a person can do about the error.

    A result is read wherever its folder lies, so the command in its hint names no folders: that is left out here.
    """
    return str(result["error"]["hint"]).removesuffix(f"To try again: pipeline replay {result['job']}").rstrip()


def _result_cells(result: dict[str, Any]) -> dict[str, str]:
    invoice = result["invoice"] or {}
    vendor = (invoice.get("vendor") or {}).get("name")
    number = invoice.get("invoice_number") or ("" if result["kind"] in (None, "invoice") else f"({result['kind']})")
    cells = {
        "state": result["status"],
        "file": result["source"]["name"],
        "number": number,
        "date": invoice.get("date") or "",
        "vendor": vendor or "",
        "total": money(invoice.get("total_amount"), invoice.get("currency")),
    }
    return {name: " ".join(cell.split()) for name, cell in cells.items()}


def _widths(rows: Sequence[dict[str, str]], screen_width: int) -> dict[str, int] | None:
    """Return the width of each column that is shown; None where the screen is too narrow for rows."""
    widths = {name: max(cell_len(text) for text in (name, *(row[name] for row in rows))) for name in _COLUMNS}
    short = {**widths, "number": min(widths["number"], _LONGEST_NUMBER)}
    without_vendor = {name: width for name, width in short.items() if name != "vendor"}
    for shown in (widths, short, without_vendor):
        whole = sum(width for name, width in shown.items() if name not in _LEAST_WIDTHS)
        left = screen_width - whole - _GAP * (len(shown) - 1)
        elastic = {name: width for name, width in shown.items() if name in _LEAST_WIDTHS}
        if left >= sum(min(width, _LEAST_WIDTHS[name]) for name, width in elastic.items()):
            return {**shown, **_shared(elastic, left)}
    return None


def _shared(widths: dict[str, int], left: int) -> dict[str, int]:
    """Take from the widest column until all fit."""
    while sum(widths.values()) > left:
        loose = {name: width for name, width in widths.items() if width > _LEAST_WIDTHS[name]}
        widest = max(loose, key=lambda name: loose[name])
        widths = {**widths, widest: widths[widest] - 1}
    return widths


def _print_table(rows: Sequence[dict[str, str]], widths: dict[str, int]) -> None:
    table = Table(header_style="bold", box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for name, width in widths.items():
        justify: JustifyMethod = "right" if name == "total" else "left"
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=width, justify=justify)
    for row in rows:
        table.add_row(*(Text(row[name], _COLOURS.get(row[name], "") if name == "state" else "") for name in widths))
    screen.print(table)


def _print_stacked(rows: Sequence[dict[str, str]]) -> None:
    for row in rows:
        facts = [row[name] for name in ("date", "total", "number") if row[name]]
        screen.print(f"{coloured(row['state'])} {escape(row['file'])}", highlight=False, soft_wrap=True)
        for fact in facts:
            screen.print(f"  {escape(fact)}", highlight=False, soft_wrap=True)


def what_to_look_at(result: dict[str, Any]) -> str:
    """Return the error, or the first findings that matter, in a line."""
    if result["error"]:
        return first_reason(result)
    errors = sum(one["severity"] == "error" for one in result["findings"])
    if errors:
        more = f" (+{errors - 1} more)" if errors > 1 else ""
        return f"{compact(first_reason(result), _MAX_NOTE_CHARACTERS)}{more}"
    return compact(str(result["answer"] or "").partition("\n")[0], _MAX_NOTE_CHARACTERS)


def about_file(name: str, note: str) -> str:
    """Return what is said of a file, with its name once."""
    return note if note.startswith(name) else f"{name}: {note}"


def money(amount: Any, currency: str | None) -> str:
    """Return an amount as exact digits and its currency."""
    if amount is None:
        return ""
    return f"{Decimal(str(amount)):f} {currency or ''}".strip()


def coloured(state: str) -> str:
    """Return the state in its colour."""
    return f"[{_COLOURS.get(state, 'default')}]{state}[/]"


def facts_table(rows: Sequence[tuple[str, str]]) -> Table:
    """Return a table of names and values without borders."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def compact(value: Any, limit: int = 200) -> str:
    """Return a value as one line of so many characters, cut between words and never inside a job's name."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    end = line.rfind(" ", 0, limit)
    if end < limit // 2:  # one endless word
        end = limit - 1
        names = _JOB_NAME.finditer(line[: limit + _LONGEST_JOB_NAME])
        end = next((one.start() or one.end() for one in names if one.start() < end < one.end()), end)
    return f"{line[:end].rstrip(' ,;:')}…"


def counted(number: int, thing: str) -> str:
    """Return a number with its thing, in the plural where it is not one."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
