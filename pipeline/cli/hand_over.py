"""The command that hands the invoices over to other programs: `export`."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.app import open_folders
from pipeline.cli.tables import counted, notes
from pipeline.config import Settings
from pipeline.errors import ConfigError
from pipeline.export import Filter, Form, day_from, export_to, since_day, stream_text, undated
from pipeline.postgres import require_postgres


def export_invoices(
    settings: Settings,
    *,
    form: str | None = None,
    lines: bool = False,
    since: str | None = None,
    dated_from: str | None = None,
    dated_to: str | None = None,
    status: str = "all",
    locale: str | None = None,
    out: Path | None = None,
) -> None:
    """Write the invoice database to a file, or to standard output; without a form as the file's name ends, else csv."""
    first, last = day_from(dated_from, option="--dated-from"), day_from(dated_to, option="--dated-to")
    if first and last and first > last:
        raise ConfigError(
            f"no day is from {first} on and not after {last}", hint="exchange --dated-from and --dated-to"
        )
    wanted, kind = Filter(since_day(since), None if status == "all" else status, first, last), _form(form, out)
    if kind is Form.XLSX and (lines or locale or out is None):
        hint = "name it with --out; it has a sheet of lines, and each country's program writes numbers its way"
        raise ConfigError("xlsx is written to a file, without --lines and --locale", hint=hint)
    if kind is Form.JSON and locale:
        raise ConfigError("--locale goes with csv", hint="JSON has one form for all countries")
    with open_folders(settings) as folders:
        if folders.shared is not None:
            require_postgres(folders.shared)
        if out is None:
            stream_text(folders.store, sys.stdout, form=kind, wanted=wanted, lines=lines, locale=locale)
        else:
            written = export_to(out, folders.store, folders.disk, form=kind, wanted=wanted, lines=lines, locale=locale)
            notes.print(f"{counted(written, 'row')} written to {out}", markup=False, highlight=False, soft_wrap=True)
        if left := undated(folders.store, wanted):
            told = f"{counted(left, 'invoice')} without a date left out: export without --dated-from and --dated-to"
            notes.print(told, markup=False, highlight=False, soft_wrap=True)


def _form(named: str | None, out: Path | None) -> Form:
    """Return what to write; beside a form that was named, an ending that belongs to none fits them all."""
    ending = out.suffix.lower().removeprefix(".") if out else ""
    meant = Form(ending) if ending in set(Form) else None
    if ending and not named and meant is None:
        hint = f"let the name end in {', '.join(f'.{form}' for form in Form)}, or say with --format what to write"
        raise ConfigError(f"--out {out}: .{ending} is no form that an export has", hint=hint)
    chosen = Form(named) if named else meant or Form.CSV
    if meant not in (None, chosen):
        raise ConfigError(f"--out {out} and --format {chosen} do not go together", hint=f"name a .{chosen} file")
    return chosen
