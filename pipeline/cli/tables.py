"""How results and states look on the screen."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

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
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("state", no_wrap=True, min_width=6)
    table.add_column("file", no_wrap=True, overflow="ellipsis")
    table.add_column("number", no_wrap=True, overflow="ellipsis", min_width=12)
    table.add_column("date", no_wrap=True, min_width=10)
    table.add_column("vendor", no_wrap=True, overflow="ellipsis")
    table.add_column("total", justify="right", no_wrap=True, min_width=12)
    for result in results:
        table.add_row(*_result_cells(result))
    screen.print(table)
    for result in results:
        note = what_to_look_at(result)
        if note:
            name = result["source"]["name"]
            told = note if note.startswith(name) else f"{name}: {note}"
            screen.print(f"{coloured(result['status'])} {escape(told)}", highlight=False, soft_wrap=True)


def _result_cells(result: dict[str, Any]) -> list[str]:
    invoice = result["invoice"] or {}
    vendor = (invoice.get("vendor") or {}).get("name")
    number = invoice.get("invoice_number") or ("" if result["kind"] in (None, "invoice") else f"({result['kind']})")
    return [
        coloured(result["status"]),
        escape(result["source"]["name"]),
        escape(number),
        invoice.get("date") or "",
        escape(vendor or ""),
        money(invoice.get("total_amount"), invoice.get("currency")),
    ]


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
