"""The command that measures a model or an agent against known values: `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from pipeline.bench import CaseOutcome, Change, Totals, by_field, find_cases, measure, totals_of, wrong_in
from pipeline.cli.tables import compact, counted, print_json, screen
from pipeline.cli.work import progress_of, require_host
from pipeline.config import Settings
from pipeline.job import State

_MAX_SHOWN = 40
_MAX_FILES = 3
_MAX_NAME_CHARACTERS = 60


async def run_bench(settings: Settings, folders: tuple[Path, ...], *, agent: str | None, as_json: bool) -> int:
    """Measure and print; return 1 where a job failed, whatever was won or lost."""
    cases = find_cases(settings, folders, agent=agent)
    await require_host(settings)
    with progress_of("files", len(cases)) as tell:
        outcomes = await measure(settings, cases, observer=tell)
    totals = totals_of(outcomes)
    if as_json:
        files = [{**asdict(one), "silent": one.silent} for one in outcomes]
        print_json({"totals": asdict(totals), "files": files})
    else:
        print_outcomes(outcomes, totals)
    return 1 if totals.states.get(State.FAILED.value) else 0


def print_outcomes(outcomes: Sequence[CaseOutcome], totals: Totals) -> None:
    """Print what became of each field, which changed, and the totals."""
    table = Table(header_style="bold")
    table.add_column("field", overflow="fold")
    for change in Change:
        table.add_column(change.value, justify="right")
    table.add_column("wrong in", overflow="fold")
    wrong = wrong_in(outcomes)
    for name, counts in by_field(outcomes):
        cells = (str(counts[change]) if counts[change] else "" for change in Change)
        table.add_row(name, *cells, escape(_few(wrong.get(name, []))))
    screen.print(table)
    changed = [(outcome, one) for outcome in outcomes for one in outcome.fields if one.change in _TOLD]
    for outcome, one in changed[:_MAX_SHOWN]:
        values = f"{_shown(one.recorded)} → {_shown(one.found)}, right is {_shown(one.wanted)}"
        screen.print(f"{one.change}: {escape(f'{outcome.name}: {one.field}: {values}')}", highlight=False)
    if len(changed) > _MAX_SHOWN:
        screen.print(f"… and {len(changed) - _MAX_SHOWN} more (--json lists all)")
    for outcome in outcomes:
        if outcome.silent:
            screen.print(escape(f"silent: {outcome.name}: {', '.join(outcome.silent)}"), highlight=False)
    _print_totals(totals)


_TOLD = (Change.WON, Change.LOST)


def _print_totals(totals: Totals) -> None:
    states = ", ".join(f"{totals.states.get(state.value, 0)} {state}" for state in State if state is not State.WORKING)
    changes = ", ".join(f"{count} {change}" for change, count in totals.changes.items())
    screen.print(
        f"{counted(totals.files, 'file')}: {states}; fields: {changes}; {totals.silent} wrong in done jobs; "
        f"{totals.model_calls} model calls, {totals.prompt_tokens} + {totals.completion_tokens} tokens, "
        f"{totals.seconds} s of work",
        highlight=False,
        soft_wrap=True,
    )


def _few(files: Sequence[str]) -> str:
    more = f" and {len(files) - _MAX_FILES} more" if len(files) > _MAX_FILES else ""
    return ", ".join(compact(name, _MAX_NAME_CHARACTERS) for name in files[:_MAX_FILES]) + more


def _shown(value: Any) -> str:
    return "nothing" if value is None else compact(str(value), 60)
