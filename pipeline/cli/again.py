"""The command that tries jobs again: `replay`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from pipeline.app import Folders, open_app, open_folders, usable_agents
from pipeline.cli.tables import compact, counted, notes, print_json, print_results, screen
from pipeline.cli.work import finished_results, progress_of, raise_if_host_lost, require_host
from pipeline.config import Settings
from pipeline.document.reader import DocumentReader
from pipeline.errors import ConfigError, JobNotFound
from pipeline.invoice.database import open_engine
from pipeline.invoice.store import InvoiceStore
from pipeline.job import FINISHED, State
from pipeline.llm.pool import HostPool, pool_from
from pipeline.llm.protocol import Model
from pipeline.llm.recorded import RecordedModel
from pipeline.lock import holder
from pipeline.outbox import JobFolder
from pipeline.replay import Comparison, Verdict, replay_compare, replay_recorded
from pipeline.requests import ReplayRequest, Requests
from pipeline.worker import Worker


@dataclass(frozen=True)
class Selection:
    """Say which jobs are meant: those named, and all of some states."""

    names: tuple[str, ...] = ()
    failed: bool = False
    review: bool = False
    everything: bool = False
    limit: int | None = None

    def find(self, folders: Folders) -> list[JobFolder]:
        """Return the jobs, each once.

        Raises JobNotFound for a name that fits none, and where nothing was asked for.
        """
        if not (self.names or self.failed or self.review or self.everything):
            raise JobNotFound("no job is named", hint="name jobs, or say --failed, --review or --all")
        found = {job.name: job for job in (*self._named(folders), *self._by_state(folders))}
        return list(islice(found.values(), self.limit))

    def _named(self, folders: Folders) -> Iterator[JobFolder]:
        for name in self.names:
            path = Path(name)
            # A folder that was copied from elsewhere is replayed where it lies.
            yield JobFolder(path.resolve()) if (path / "trace.jsonl").is_file() else folders.outbox.find(name)

    def _by_state(self, folders: Folders) -> Iterator[JobFolder]:
        wanted = {State.FAILED: self.failed, State.REVIEW: self.review}
        for state in FINISHED:
            if self.everything or wanted.get(state, False):
                yield from folders.outbox.jobs(state)


async def replay_jobs(settings: Settings, selection: Selection, *, verb: str, as_json: bool) -> int:
    """Replay the jobs as the verb says; return the exit code."""
    match verb:
        case "recorded":
            return await _recorded(settings, selection, as_json=as_json)
        case "compare":
            return await _compare(settings, selection, as_json=as_json)
        case _:
            return await _live(settings, selection, fresh=verb == "live", as_json=as_json)


async def _live(settings: Settings, selection: Selection, *, fresh: bool, as_json: bool) -> int:
    with open_folders(settings) as folders:
        if selection.everything:
            raise ConfigError("--all goes with --recorded or --compare", hint="name jobs, or say --failed or --review")
        jobs = [_own(job, folders).name for job in selection.find(folders)]
        daemon = holder(folders.outbox.root)
        if daemon and daemon.get("doing") == "serve":
            return _hand_over(folders, jobs, daemon, fresh=fresh)
    if not jobs:
        notes.print("nothing to replay")
        return 0
    if settings.daemon.engine == "files":
        await require_host(settings)
    with progress_of("jobs", len(jobs)) as tell:
        async with open_app(settings, doing="replay", one_shot=True, observer=tell) as app:
            taken = await app.service.replay(jobs, fresh=fresh)
            results = finished_results(app.folders.outbox, taken)
    if as_json:
        for result in results:
            print_json(result)
    elif results:
        print_results(results)
    raise_if_host_lost(app)
    failed = any(result["status"] == State.FAILED for result in results)
    return 1 if failed or len(results) < len(jobs) else 0


def _own(job: JobFolder, folders: Folders) -> JobFolder:
    """Return the job if it lies in this outbox; only there it can be worked on."""
    if job.path.parent.parent.resolve() != folders.outbox.root.resolve():
        hint = f"move the folder into {folders.inbox} to have it done again here, or use --recorded or --compare"
        raise ConfigError(f"{job.path} does not lie in {folders.outbox.root}", hint=hint)
    return job


def _hand_over(folders: Folders, jobs: list[str], daemon: dict[str, Any], *, fresh: bool) -> int:
    requests = Requests(folders.outbox.root, folders.disk)
    for name in jobs:
        requests.leave(ReplayRequest(name, fresh=fresh))
    told = "1 job is" if len(jobs) == 1 else f"{len(jobs)} jobs are"
    notes.print(f"{told} left to the running daemon, process {daemon.get('pid')}; see `pipeline status`")
    return 0


@asynccontextmanager
async def _bench(settings: Settings, model: Model | HostPool) -> Any:
    """Open what a session needs that leaves the outbox alone: its store is a throw-away one in memory."""
    database = open_engine(None)
    try:
        async with DocumentReader(settings.reading) as reader:
            agents = usable_agents()
            yield Worker(agents=agents, reader=reader, model=model, store=InvoiceStore(database))
    finally:
        database.dispose()


async def _recorded(settings: Settings, selection: Selection, *, as_json: bool) -> int:
    with open_folders(settings) as folders:
        jobs = selection.find(folders)
    async with _bench(settings, RecordedModel()) as worker:
        outcomes = [await replay_recorded(job, worker) for job in jobs]
    for one in outcomes:
        if as_json:
            print_json(asdict(one))
        else:
            screen.print(f"{escape(one.job)}: {'same result' if one.same else escape(one.divergence)}", highlight=False)
    return 0 if all(one.same for one in outcomes) else 1


async def _compare(settings: Settings, selection: Selection, *, as_json: bool) -> int:
    with open_folders(settings) as folders:
        jobs = selection.find(folders)
    if not jobs:
        raise ConfigError("there is nothing to compare", hint="name finished jobs, or say --failed, --review or --all")
    await require_host(settings)
    model = pool_from(settings.llm.model_copy(update={"max_wait_seconds": settings.daemon.host_wait_seconds}))
    try:
        async with _bench(settings, model) as worker:
            comparisons = [await replay_compare(job, worker) for job in jobs]
    finally:
        await model.aclose()
    for one in comparisons:
        if as_json:
            print_json(asdict(one))
        else:
            _print_comparison(one)
    if not as_json:
        _print_totals(comparisons)
    return 0


def _print_comparison(one: Comparison) -> None:
    screen.print(f"[bold]{escape(one.job)}[/]")
    table = Table(header_style="bold")
    for name in ("field", "", f"old ({one.old_model})", f"new ({one.new_model})"):
        table.add_column(escape(name), overflow="fold")
    for change in one.changes:
        if change.verdict is not Verdict.SAME:
            table.add_row(change.field, change.verdict, escape(_shown(change.old)), escape(_shown(change.new)))
    table.add_row("fields that are the same", "", str(sum(c.verdict is Verdict.SAME for c in one.changes)), "")
    table.add_row("findings", "", str(one.old_findings), str(one.new_findings))
    table.add_row("tokens", "", str(one.old_tokens), str(one.new_tokens))
    screen.print(table)


def _print_totals(comparisons: list[Comparison]) -> None:
    counts = {verdict: sum(c.verdict is verdict for one in comparisons for c in one.changes) for verdict in Verdict}
    told = ", ".join(f"{verdict.value} {count}" for verdict, count in counts.items())
    old, new = sum(one.old_tokens for one in comparisons), sum(one.new_tokens for one in comparisons)
    screen.print(f"{counted(len(comparisons), 'job')}, fields: {told}; tokens {old} → {new}", highlight=False)


def _shown(value: Any) -> str:
    return "" if value is None else compact(str(value), 80)
