"""The command line: options, exit codes, and the only printing.

Exit codes: 0 all went well, 1 something failed or needs a look, 2 nothing could be started.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import __version__
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.config import Settings

EXIT_FAILED = 1
EXIT_NOT_STARTED = 2
EXIT_INTERRUPTED = 130

# Commands import their parts when they run: `--help` stays instant, and only what calls a model loads its library.
# ruff: noqa: PLC0415


_FOLDER = click.Path(file_okay=False, path_type=Path)


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that every command over the folders has, and pass it the settings."""

    @click.option("--inbox", type=_FOLDER, help="Folder that files are dropped into.")
    @click.option("--outbox", type=_FOLDER, help="Folder for jobs and results.")
    @click.option("--base-url", help="LM Studio's address, such as http://localhost:1234/v1.")
    @click.option("--model", help="Model to use; without it the one that is loaded.")
    @click.option("--concurrency", type=click.IntRange(1, 256), help="Jobs in flight at once.")
    @click.option("--engine", type=click.Choice(["files", "cluster"]), help="Where jobs run.")
    @click.option("--log-format", type=click.Choice(["auto", "console", "json"]), help="How the log is written.")
    @wraps(command)
    def wrapper(**options: Any) -> Any:
        from pipeline.config import load_settings

        chosen = {name: options.pop(name) for name in _SETTING_OPTIONS}
        sections: dict[str, dict[str, Any]] = {}
        for name, (section, key) in _SETTING_OPTIONS.items():
            sections.setdefault(section, {})[key] = chosen[name]
        with clear_errors():
            return command(settings=load_settings(sections), **options)

    return wrapper


_SETTING_OPTIONS = {
    "inbox": ("folders", "inbox"),
    "outbox": ("folders", "outbox"),
    "base_url": ("llm", "base_url"),
    "model": ("llm", "model"),
    "concurrency": ("daemon", "concurrency"),
    "engine": ("daemon", "engine"),
    "log_format": ("logs", "format"),
}


@contextmanager
def clear_errors() -> Iterator[None]:
    """End with one clear message instead of a traceback for every error that the pipeline raises on purpose."""
    try:
        with _reader_may_go():
            yield
    except PipelineError as error:
        click.echo(f"pipeline: {error.message}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        sys.exit(EXIT_NOT_STARTED)


@contextmanager
def _reader_may_go() -> Iterator[None]:
    """End in silence where whoever reads the output has enough of it, as `head` does."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pipeline")
def main() -> None:
    """Drop invoices into a folder; get checked data out, on your own machine."""


@main.command()
@with_settings
@click.option("--once", is_flag=True, help="Work off what is there and end: 0 nothing failed, 1 something failed.")
def serve(settings: Settings, once: bool) -> None:
    """Watch the inbox and turn every file into a job, until stopped.

    Ctrl-C once stops in good order; twice interrupts. Nothing is lost either way.
    """
    from pipeline.cli.work import serve_inbox

    sys.exit(_run(partial(serve_inbox, settings, once=once), settings))


@main.command()
@click.option("--host", required=True, help="Its LM Studio: an address, or a machine's name.")
@click.option("--slots", type=click.IntRange(1, 256), help="Calls at once, where several workers share the host.")
@with_settings
def worker(settings: Settings, host: str, slots: int | None) -> None:
    """Run sessions of a cluster's jobs on one LM Studio, until stopped."""
    from pipeline.cli.fleet import run_worker

    sys.exit(_run(partial(run_worker, settings, host, slots=slots), settings))


@main.command()
@with_settings
def migrate(settings: Settings) -> None:
    """Prepare a cluster's database, or bring it to this release; once, before hub and workers start."""
    from pipeline.cli.fleet import migrate_cluster

    migrate_cluster(settings)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@with_settings
@click.option("--agent", default="invoice", show_default=True, help="Agent that gets the files.")
@click.option("--json", "as_json", is_flag=True, help="Print one result as JSON per line.")
def run(files: tuple[Path, ...], settings: Settings, agent: str, as_json: bool) -> None:
    """Work off these FILES now; they are copied and not moved."""
    from pipeline.cli.work import run_files

    sys.exit(_run(partial(run_files, settings, files, agent=agent, as_json=as_json), settings, quiet=True))


@main.command()
@click.option("--folder", type=_FOLDER, help="Work here, not in a new folder.")
@click.option(
    "--delay", default=0.2, show_default=True, type=click.FloatRange(0, 10), help="Seconds a model call takes."
)
def demo(folder: Path | None, delay: float) -> None:
    """Run the whole pipeline on sample invoices, with a stand-in for LM Studio."""
    from pipeline.cli.demonstrate import run_demo

    with clear_errors():
        sys.exit(_run(partial(run_demo, folder, delay_seconds=delay), None, quiet=True))


@main.command()
@with_settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(settings: Settings, as_json: bool) -> None:
    """Say what waits, works, is done, needs a look, failed or is ignored, and how LM Studio is."""
    from pipeline.cli.look import show_status

    sys.exit(_run(partial(show_status, settings, as_json=as_json), settings, quiet=True))


@main.command()
@click.argument("job")
@with_settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(job: str, settings: Settings, as_json: bool) -> None:
    """Tell one JOB as a story: document, steps, tool calls, checks, result."""
    from pipeline.cli.look import show_job

    _log_warnings(settings)
    show_job(settings, job, as_json=as_json)


@main.command()
@click.argument("jobs", nargs=-1)
@with_settings
@click.option("--failed", is_flag=True, help="All failed jobs.")
@click.option("--review", is_flag=True, help="All jobs in review.")
@click.option("--all", "everything", is_flag=True, help="All finished jobs (with --recorded or --compare).")
@click.option("--limit", type=click.IntRange(1), help="At most so many jobs.")
@click.option("--resume", "verb", flag_value="resume", help="Go on after the last recorded step.")
@click.option("--recorded", "verb", flag_value="recorded", help="Without a model: answers come from the trace.")
@click.option("--compare", "verb", flag_value="compare", help="Live beside the old result; nothing is replaced.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line a job.")
def replay(
    jobs: tuple[str, ...],
    settings: Settings,
    failed: bool,
    review: bool,
    everything: bool,
    limit: int | None,
    verb: str | None,
    as_json: bool,
) -> None:
    """Try JOBS again: from the start and live, or as an option says."""
    from pipeline.cli.again import Selection, replay_jobs

    selection = Selection(jobs, failed=failed, review=review, everything=everything, limit=limit)
    sys.exit(
        _run(partial(replay_jobs, settings, selection, verb=verb or "live", as_json=as_json), settings, quiet=True)
    )


@main.command()
@click.argument("job")
@click.argument("values", nargs=-1, metavar="[FIELD=VALUE]...")
@with_settings
@click.option("--accept", is_flag=True, help="Answer for what is left to look at, such as values no page shows.")
@click.option("--json", "as_json", is_flag=True, help="Print the corrected result as JSON.")
def correct(job: str, values: tuple[str, ...], settings: Settings, accept: bool, as_json: bool) -> None:
    """Put right what was read wrongly in a JOB in done or review, check it again, and move it where it belongs.

    FIELD is a path such as total_amount, vendor.name or line_items.0.total; an empty VALUE means nothing is known, and
    line_items.0= alone removes that line.
    Amounts and dates are written as the document prints them, or as 1234.56 and 2026-01-31.
    """
    from pipeline.cli.amend import correct_job

    command = partial(correct_job, settings, job, values, accept=accept, as_json=as_json)
    sys.exit(_run(command, settings, quiet=True))


@main.command()
@with_settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(settings: Settings, as_json: bool) -> None:
    """Prove the set-up: folders, LM Studio, the loaded model, context and slots, a tool call, a JSON answer."""
    from pipeline.cli.examine import examine

    sys.exit(_run(partial(examine, settings, as_json=as_json), settings, quiet=True))


@main.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@with_settings
@click.option("--agent", help="Agent for all files; without it each job's own.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(folders: tuple[Path, ...], settings: Settings, agent: str | None, as_json: bool) -> None:
    """Run corrected jobs, and the files of FOLDERS that lie beside their truth, once more; nothing is replaced.

    Says field by field what this model and agent win and lose against the results on record.
    """
    from pipeline.cli.measure import run_bench

    sys.exit(_run(partial(run_bench, settings, folders, agent=agent, as_json=as_json), settings, quiet=True))


@main.command()
@with_settings
@click.option(
    "--format", "form", type=click.Choice(["csv", "json", "xlsx"]), help="By default as --out ends, else csv."
)
@click.option("--lines", is_flag=True, help="One row for each invoice line; xlsx has them on a second sheet anyway.")
@click.option(
    "--since", help="Only what came in on this day (YYYY-MM-DD, UTC) or later: when the file was received counts."
)
@click.option("--dated-from", help="Only invoices that bear this day (YYYY-MM-DD) or a later one.")
@click.option("--dated-to", help="Only invoices that bear this day (YYYY-MM-DD) or an earlier one.")
@click.option(
    "--status", type=click.Choice(["done", "review", "all"]), default="all", show_default=True, help="Only those."
)
@click.option("--locale", help="Separators of csv as spreadsheets there want them, such as de_DE.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write; without it the screen.")
def export(settings: Settings, **options: Any) -> None:
    """Write the invoice database for a spreadsheet or an accounting program."""
    from pipeline.cli.hand_over import export_invoices

    _log_warnings(settings)
    export_invoices(settings, **options)


def _log_warnings(settings: Settings) -> None:
    from pipeline.logs import set_up_logs

    set_up_logs(format=settings.logs.format, level="warning")


def _run(command: Callable[[], Awaitable[int]], settings: Settings | None, *, quiet: bool = False) -> int:
    import anyio

    from pipeline.logs import set_up_logs

    if settings is None:
        set_up_logs(level="error")
    else:
        level = "error" if quiet and settings.logs.level == "info" else settings.logs.level
        set_up_logs(format=settings.logs.format, level=level)
    with clear_errors():
        try:
            return anyio.run(command)
        except BaseExceptionGroup as group:
            raise _meant(group) from group
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        finally:
            # The model's client leaves so many objects that the interpreter's last collection takes seconds.
            gc.freeze()


def _meant(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error out of the bundle that task groups make of it, where it is one of ours."""
    ours = group.subgroup(PipelineError)
    while isinstance(ours, BaseExceptionGroup):
        ours = ours.exceptions[0]  # type: ignore[assignment]
    return ours or group
