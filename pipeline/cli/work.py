"""The commands that work on files: `serve` and `run`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from rich.progress import Progress as Bar
from rich.progress import TaskID

from pipeline.app import App, open_app, usable_agents
from pipeline.cli.follow_up import options_of
from pipeline.cli.tables import counted, notes, print_json, print_results, progress_bar, screen
from pipeline.config import Settings
from pipeline.engine.seam import Progress
from pipeline.errors import ConfigError
from pipeline.inbox import wrong_kind
from pipeline.job import FINISHED, State, printable_name
from pipeline.llm.hosts import look_at
from pipeline.outbox import NotClaimed, Outbox
from pipeline.service import GivenFile

log = structlog.get_logger()

_MAX_KNOWN_SHOWN = 10
_MAY_BE_EINVOICES = frozenset({".pdf", ".xml"})


async def serve_inbox(settings: Settings, *, once: bool) -> int:
    """Serve the inbox; return the exit code."""
    async with open_app(settings, doing="serve", one_shot=once) as app:
        await app.service.serve(once=once)
        counts = app.engine.counts
        log.info("service.stopped", **{state.value: counts[state] for state in FINISHED})
        raise_if_host_lost(app)
        left = app.folders.outbox.count(State.WORKING)
        return 1 if once and (counts[State.FAILED] or left) else 0


async def run_files(settings: Settings, files: tuple[Path, ...], *, agent: str, as_json: bool) -> int:
    """Work off the files; print their results; return the exit code."""
    if folder := next((path for path in files if path.is_dir()), None):
        hint = f"name its files, as in `pipeline run {shlex.quote(str(folder))}/*`, or drop them into the inbox"
        raise ConfigError(f"{folder} is a folder", hint=hint)
    taken = _taken(files, agent)
    if not taken:
        return 1
    if settings.daemon.engine == "files":
        await _require_host_for(taken, settings)
    with progress_of("invoices", len(taken)) as bar:
        async with open_app(settings, doing="run", one_shot=True, observer=bar) as app:
            given = await app.service.take([(path, agent) for path in taken], passed=bar.step)
            found = [(one, _results_of(one, app.folders.outbox)) for one in given]
    _print_found(found, options=options_of(settings), as_json=as_json)
    raise_if_host_lost(app)
    if settings.daemon.engine == "files":
        _print_left(app.folders.outbox, options_of(settings))
    if not as_json:
        notes.print(f"Results and traces: {app.folders.outbox.root}", markup=False, soft_wrap=True)
    is_failed = any(result["status"] == State.FAILED for _, results in found for result in results)
    ended = sum(bool(results) for _, results in found)
    return 1 if is_failed or ended < len(files) else 0


def _taken(files: tuple[Path, ...], agent: str) -> tuple[Path, ...]:
    """Return the files of a kind that the agent takes, as from the inbox; say of the others why they are not taken."""
    agents = usable_agents()
    if agent not in agents:
        raise ConfigError(f"no agent is named {agent}", hint=f"agents: {', '.join(sorted(agents))}")
    refused = {path: reason for path in files if (reason := wrong_kind(path, agents[agent].files.extensions))}
    for path, reason in refused.items():
        notes.print(f"{path} is not taken: {reason}", markup=False, highlight=False, soft_wrap=True)
    return tuple(path for path in files if path not in refused)


def _results_of(given: GivenFile, outbox: Outbox) -> list[dict[str, Any]]:
    return finished_results(outbox, [given.job]) if given.job else []


def _print_found(found: Sequence[tuple[GivenFile, list[dict[str, Any]]]], *, options: str, as_json: bool) -> None:
    given = [one for one, _ in found]
    pairs = [(one, result) for one, results in found for result in results]
    if as_json:
        for one, result in pairs:
            print_json({**result, "file": str(one.path), "known": one.known})
    elif pairs:
        print_results([_as_given(one, result) for one, result in pairs])
        _print_known(given, options)
    _print_not_claimed(given)


def _as_given(given: GivenFile, result: dict[str, Any]) -> dict[str, Any]:
    """Return the result under the name that its file was given with; an earlier one had perhaps another."""
    return {**result, "source": {**result["source"], "name": printable_name(given.path)}}


def _print_known(given: Sequence[GivenFile], options: str) -> None:
    known = [one for one in given if one.known]
    for one in known[:_MAX_KNOWN_SHOWN]:
        told = f"{one.path.name}: known already, nothing was asked again; see `pipeline show {one.job}{options}`"
        screen.print(told, markup=False, highlight=False, soft_wrap=True)
    if len(known) > _MAX_KNOWN_SHOWN:
        told = f"… and {len(known) - _MAX_KNOWN_SHOWN} more were known (--json says which)"
        screen.print(told, markup=False, highlight=False)


def _print_not_claimed(given: Sequence[GivenFile]) -> None:
    for one in given:
        if isinstance(one.outcome, NotClaimed):
            told = f"{one.path} is not taken: {one.outcome.reason}"
            notes.print(told, markup=False, highlight=False, soft_wrap=True)


def _print_left(outbox: Outbox, options: str) -> None:
    """Tell of jobs that an earlier process left: only those were gone on with whose files were named."""
    left = outbox.count(State.WORKING)
    if left:
        told = (
            f"{counted(left, 'unfinished job')} from before in working/: `pipeline serve --once{options}` goes on there"
        )
        notes.print(told, markup=False, highlight=False, soft_wrap=True)


async def _require_host_for(files: tuple[Path, ...], settings: Settings) -> None:
    """Go on without LM Studio where e-invoices may be among the files, which are read without it; but say so."""
    try:
        await require_host(settings)
    except ConfigError as error:
        if not any(path.suffix.lower() in _MAY_BE_EINVOICES for path in files):
            raise
        patience = settings.daemon.host_wait_seconds
        notes.print(
            f"{error.message}\nE-invoices are read without it; the others wait up to {patience:g} s.", markup=False
        )


async def require_host(settings: Settings) -> None:
    """Raise ConfigError at once where no LM Studio answers, so that a person need not wait to learn it."""
    looks = [await look_at(host) for host in settings.llm.each()]
    if not any(facts.reachable for facts in looks):
        away = "; ".join(f"{facts.address}: {facts.error}" for facts in looks)
        raise ConfigError(f"LM Studio does not answer: {away}", hint=looks[0].hint)


class JobsBar:
    """Move a bar on with every job that ends."""

    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def __call__(self, progress: Progress) -> None:
        if progress.state is not State.WORKING:
            self.step()

    def step(self) -> None:
        """Move on by one for which there was nothing to do."""
        self._bar.advance(self._task)


@contextmanager
def progress_of(what: str, total: int) -> Iterator[JobsBar]:
    """Show a bar for the time of the block; what is given back observes the engine."""
    with progress_bar() as bar:
        yield JobsBar(bar, bar.add_task(what, total=total))


def finished_results(outbox: Outbox, jobs: list[str]) -> list[dict[str, Any]]:
    """Return the results of the jobs that have ended, and of those split off from them.

    The old result of a job that is still in work does not count.
    """
    found = (outbox.find(name) for name in jobs)
    results = [result for job in found if job.state in FINISHED and (result := job.result())]
    parts = [part["job"] for result in results for part in result.get("parts", ())]
    return [*results, *finished_results(outbox, parts)] if parts else results


def raise_if_host_lost(app: App) -> None:
    """Say that the run ended because LM Studio stayed away, or the disk failed."""
    lost = app.engine.host_lost
    if lost is None:
        return
    left = app.folders.outbox.count(State.WORKING)
    waiting = "1 job waits in working/ and goes on" if left == 1 else f"{left} jobs wait in working/ and go on"
    waiting = f"{waiting} with the next `pipeline serve`"
    hint = lost.hint.rstrip(". ")
    raise ConfigError(lost.message, hint=f"{hint}. {waiting}" if hint else waiting)
