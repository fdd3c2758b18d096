"""The command that proves the set-up: `doctor`."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape

from pipeline.cli.tables import print_json, screen
from pipeline.config import Settings
from pipeline.doctor import Check, Grade, examine_setup, verdict

_SIGNS = {Grade.GOOD: "[green]ok  [/]", Grade.POOR: "[yellow]note[/]", Grade.BAD: "[red]bad [/]"}


async def examine(settings: Settings, *, as_json: bool) -> int:
    """Print every check as it is made; return 1 if the pipeline could not work."""
    checks: list[Check] = []
    async for check in examine_setup(settings):
        checks.append(check)
        if not as_json:
            _print(check)
    good = all(check.grade is not Grade.BAD for check in checks)
    if as_json:
        print_json({"good": good, "checks": [asdict(check) for check in checks]})
    else:
        screen.print(verdict(checks))
    return 0 if good else 1


def _print(check: Check) -> None:
    screen.print(f"{_SIGNS[check.grade]} {check.name}: {escape(check.seen)}", highlight=False)
    if check.remedy:
        screen.print(f"       → {escape(check.remedy)}", highlight=False)
