"""The command that shows everything at work: `demo`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from pipeline.app import App, open_app
from pipeline.cli.follow_up import folder_options, next_commands
from pipeline.cli.tables import notes, print_results, progress_bar, screen
from pipeline.config import Settings
from pipeline.engine.seam import Progress
from pipeline.errors import ConfigError
from pipeline.job import FINISHED, State
from pipeline.llm.standin import StandInServer, StandInSettings
from pipeline.outbox import JobFolder

_SAMPLES = "pipeline.demo_samples"
_SUFFIXES = (".pdf", ".txt", ".xml")
_TIME_LIMIT_SECONDS = 120.0


async def run_demo(folder: Path | None, *, delay_seconds: float) -> int:
    """Drop the samples into an inbox that is being served; print what became of them; return the exit code."""
    root = folder or Path(tempfile.mkdtemp(prefix="pipeline-demo-"))
    inbox, outbox = root / "inbox", root / "outbox"
    if any(outbox.glob("*/*/result.json")):
        raise ConfigError(f"{root} holds the results of an earlier run", hint="name another --folder, or remove it")
    samples = sorted(_samples(), key=lambda path: path.name)
    copies = len(samples) - _different(samples)
    told = f"{len(samples)} sample files, {copies} of them a copy of another, go through {inbox}"
    notes.print(f"{told}; a stand-in answers in place of LM Studio.", soft_wrap=True)
    async with StandInServer(StandInSettings(delay_seconds=delay_seconds)) as server:
        settings = Settings.model_validate(
            {
                "folders": {"inbox": inbox, "outbox": outbox},
                "llm": {"base_url": server.base_url},
                "intake": {"settle_seconds": 0.5, "rescan_seconds": 1.0, "unfinished_pdf_seconds": 2.0},
            }
        )
        await _serve_samples(settings, samples)
    results = [job for state in FINISHED for job in sorted((outbox / state).glob("*/result.json"))]
    _print_results(results, root)
    return 0 if results else 1


def _samples() -> Iterator[Path]:
    folder = Path(str(resources.files(_SAMPLES)))
    yield from (path for path in folder.iterdir() if path.suffix in _SUFFIXES)


def _different(samples: list[Path]) -> int:
    """Count the contents: the same bytes again are no second job."""
    return len({sample.read_bytes() for sample in samples})


async def _serve_samples(settings: Settings, samples: list[Path]) -> None:
    with progress_bar() as bar:
        task = bar.add_task("invoices", total=_different(samples))

        def tell(progress: Progress) -> None:
            if progress.state is State.WORKING:
                bar.update(task, description=progress.job.name)
            else:
                notes.print(f"  {progress.state.value:7} {progress.job.name}", highlight=False)
                bar.advance(task)

        async with open_app(settings, doing="demo", observer=tell) as app, anyio.create_task_group() as tasks:
            tasks.start_soon(app.service.serve)
            for sample in samples:
                await anyio.to_thread.run_sync(shutil.copyfile, sample, settings.folders.inbox / sample.name)
            with anyio.move_on_after(_TIME_LIMIT_SECONDS):
                await _until_worked_off(app)
            app.service.stop.set()


async def _until_worked_off(app: App) -> None:
    """Wait until the inbox is empty and every job that was made of it has ended."""
    inbox, outbox = app.folders.inbox, app.folders.outbox
    # Looked at from outside, as a user would.
    while any(path.is_file() for path in inbox.iterdir()) or outbox.count(State.WORKING):  # noqa: ASYNC110
        await anyio.sleep(0.1)


def _print_results(paths: list[Path], root: Path) -> None:
    results = [result for path in paths if (result := JobFolder(path.parent).result())]
    print_results(results)
    options = folder_options(root / "inbox", root / "outbox")
    screen.print(
        f"Every job has its folder below {root / 'outbox'}: the document, result.json, and trace.jsonl.\n"
        "done: checked values. review: a person should look at what is named above. failed: no result, and why.\n"
        "The values were found by the stand-in's rules, not by a language model; with LM Studio: pipeline serve",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for told in _to_try(results, options):
        screen.print(f"To {told}", markup=False, highlight=False, soft_wrap=True)


def _to_try(results: list[dict[str, Any]], options: str) -> Iterator[str]:
    """Yield commands about one job of each state."""
    for state in FINISHED:
        job = next((one["job"] for one in results if one["status"] == state), None)
        if job:
            yield f"look at one in {state}: pipeline show {job}{options}"
            yield from next_commands(job, state, options)
