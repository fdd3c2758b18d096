"""How results and states look on the screen."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.invoice.model import dumps

_COLOURS = {"done": "green", "review": "yellow", "failed": "red", "working": "cyan"}
_MAX_NOTE_CHARACTERS = 90

# Into a file or a pipe, lines are not cut to the width of a terminal.
_WIDTH = None if sys.stdout.isatty() else 160


class _Column(NamedTuple):
    """Name a column of results: its least width, and from which width of the screen on it is shown."""

    name: str
    width: int
    from_width: int = 0
    right: bool = False


_COLUMNS = (
    _Column("state", 6),
    _Column("file", 20),
    _Column("number", 12),
    _Column("date", 10),
    _Column("vendor", 16, from_width=100),
    _Column("total", 14, right=True),
)

screen = Console(width=_WIDTH)
notes = Console(stderr=True)


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
    """Print one row a result, and below what a person should look at."""
    columns = [one for one in _COLUMNS if screen.width >= one.from_width]
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for one in columns:
        table.add_column(
            one.name, no_wrap=True, overflow="ellipsis", min_width=one.width, justify="right" if one.right else "left"
        )
    for result in results:
        cells = _result_cells(result)
        table.add_row(*(cells[one.name] for one in columns))
    screen.print(table)
    for result in results:
        note = what_to_look_at(result)
        if note:
            name = result["source"]["name"]
            told = note if note.startswith(name) else f"{name}: {note}"
            screen.print(f"{coloured(result['status'])} {escape(told)}", highlight=False, soft_wrap=True)


def _result_cells(result: dict[str, Any]) -> dict[str, str]:
    invoice = result["invoice"] or {}
    vendor = (invoice.get("vendor") or {}).get("name")
    number = invoice.get("invoice_number") or ("" if result["kind"] in (None, "invoice") else f"({result['kind']})")
    return {
        "state": coloured(result["status"]),
        "file": escape(result["source"]["name"]),
        "number": escape(number),
        "date": invoice.get("date") or "",
        "vendor": escape(vendor or ""),
        "total": money(invoice.get("total_amount"), invoice.get("currency")),
    }


def what_to_look_at(result: dict[str, Any]) -> str:
    """Return the error, or the first findings that matter, in a line."""
    if result["error"]:
        return str(result["error"]["message"])
    errors = [one["message"] for one in result["findings"] if one["severity"] == "error"]
    more = f" (+{len(errors) - 1} more)" if len(errors) > 1 else ""
    if errors:
        return f"{errors[0][:_MAX_NOTE_CHARACTERS]}{more}"
    answer = str(result["answer"] or "")
    return answer.partition("\n")[0][:_MAX_NOTE_CHARACTERS]


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
    """Return a value as one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
