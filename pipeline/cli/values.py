"""A job's values on the screen, each beside the words it stands on and what was found about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from pipeline.cli.tables import compact, money, screen
from pipeline.invoice.paths import KIND_PATH, leaves

# Narrower than this, four columns are mostly line breaks.
_WIDE = 96
_COLOURS = {"error": "red", "warning": "yellow", "info": "dim"}


class _Value(NamedTuple):
    """Hold one field as it is shown."""

    field: str
    value: str
    place: str
    findings: list[str]


def print_values(result: Mapping[str, Any]) -> None:
    """Print field, value, evidence and findings side by side; on a narrow screen below each other."""
    values = list(_values(result))
    if screen.width >= _WIDE:
        screen.print(_table(values))
        return
    for one in values:
        screen.print(f"[bold]{one.field}[/]  {one.value}", highlight=False)
        for line in (*([one.place] if one.place else []), *one.findings):
            screen.print(f"    {line}", highlight=False)


def print_corrections(lines: Sequence[Mapping[str, Any]]) -> None:
    """Print who changed what and when, and what they answered for."""
    for line in lines:
        who = f"{line['at'][:19]} {line['by']}"
        if not line["changes"] and not line["accepted"]:
            screen.print(f"  [dim]{escape(who)}[/] read anew; the values above stand", highlight=False)
        for one in line["changes"]:
            told = f"corrected {one['field']}: {_plain(one['from'])} → {_plain(one['to'])}"
            if isinstance(one["from"], Mapping):
                told = f"removed {one['field']}: {_plain(one['from'])}"
            screen.print(f"  [dim]{escape(who)}[/] {escape(told)}", highlight=False)
        for one in line["accepted"]:
            screen.print(f"  [dim]{escape(who)}[/] accepted {escape(one['field'])}: {one['code']}", highlight=False)


def _values(result: Mapping[str, Any]) -> Iterator[_Value]:
    """Yield what is known, and every other field of which something is to be said."""
    about: dict[str, list[str]] = {}
    for one in result["findings"]:
        about.setdefault(one["field"], []).append(_finding(one))
    known = {KIND_PATH: result["kind"], **dict(leaves(result["invoice"] or {}))}
    for field in dict.fromkeys((*known, *about)):
        if known.get(field) is not None or field in about:
            evidence = result["evidence"].get(field)
            place = f"p. {evidence['page']}: {escape(evidence['quote'])}" if evidence else ""
            yield _Value(escape(field) or "(all)", _shown(known.get(field)), place, about.get(field, []))


def _table(values: Sequence[_Value]) -> Table:
    table = Table(header_style="bold")
    for name in ("field", "value", "where it says so", "finding"):
        table.add_column(name, overflow="fold")
    for one in values:
        table.add_row(one.field, one.value, one.place, "\n".join(one.findings))
    return table


def _finding(one: Mapping[str, Any]) -> str:
    accepted = f" (accepted by {escape(one['accepted_by'])})" if "accepted_by" in one else ""
    return f"[{_COLOURS[one['severity']]}]{one['severity']}[/]: {escape(one['message'])}{accepted}"


def _shown(value: Any) -> str:
    return "" if value is None else escape(value) if isinstance(value, str) else money(value, None)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return compact(", ".join(_plain(one) for one in value.values() if one is not None), 80)
    return "nothing" if value is None else compact(value if isinstance(value, str) else money(value, None), 80)
