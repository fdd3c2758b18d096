"""Run files whose right values are known once more, live, and say what was won and lost against the results on record.

Nothing is replaced: the jobs of a measurement live in an outbox of their own, which is gone afterwards.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline.app import App, Folders, open_app, open_folders
from pipeline.config import Settings
from pipeline.corrections import CorrectionsFile, uncorrected
from pipeline.engine.seam import Observer
from pipeline.errors import ConfigError, JobNotFound, PipelineError
from pipeline.invoice.paths import KIND_PATH, leaves, value_at
from pipeline.job import FINISHED, State, content_digest
from pipeline.outbox import JobFolder
from pipeline.truths import Judged, Truth, apart_by_number, header_paths, judge, line_paths, load_truths

INVOICE_AGENT = "invoice"
Result = dict[str, Any]


class Change(StrEnum):
    """Say how a field of a new result stands to the one on record."""

    WON = "won"
    LOST = "lost"
    RIGHT = "right"
    WRONG = "wrong"


_WRONG_NOW = (Change.WRONG, Change.LOST)


@dataclass(frozen=True)
class Case:
    """Hold one file with its right values, the fields that count, and the result on record where there is one.

    Of a `whole` truth nothing is missing: a value that it does not have is wrong.
    """

    name: str
    truth: Truth
    agent: str
    fields: tuple[str, ...]
    recorded: Result | None = None
    whole: bool = False


@dataclass(frozen=True)
class FieldOutcome:
    """Hold what became of one field of one file; `change` is `right` or `wrong` where nothing changed."""

    field: str
    change: Change
    wanted: Any
    recorded: Any
    found: Any


@dataclass(frozen=True)
class CaseOutcome:
    """Hold what became of one file; `silent` are wrong values in a job that is done."""

    name: str
    status: str
    recorded_status: str | None
    fields: tuple[FieldOutcome, ...]
    usage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def silent(self) -> list[str]:
        """Return the fields whose wrong value nobody is told of."""
        told = [one for one in self.fields if one.change in _WRONG_NOW and one.found is not None]
        return [one.field for one in told] if self.status == State.DONE else []


@dataclass(frozen=True)
class Totals:
    """Hold what a measurement came to; `seconds` are those of all jobs together."""

    files: int
    states: Mapping[str, int]
    changes: Mapping[str, int]
    silent: int
    model_calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float


def find_cases(settings: Settings, given: Sequence[Path], *, agent: str | None) -> list[Case]:
    """Return the corrected jobs that are done, and the files with a truth in the given folders, each content once.

    Raises ConfigError for a folder without such files, and where there is nothing at all.
    """
    cases: dict[str, Case] = {}
    with open_folders(settings) as folders:
        if agent is not None and agent not in folders.agents:
            raise ConfigError(f"no agent is named {agent}", hint=f"agents: {', '.join(sorted(folders.agents))}")
        for folder in given:
            truths = load_truths(folder)
            if not truths:
                raise ConfigError(f"{folder} holds no file with a truth", hint="put NAME.json beside each NAME.pdf")
            for truth in truths:
                cases[content_digest(truth.path, "")[0]] = _given(truth, folders, agent)
        for job in folders.outbox.jobs(State.DONE):
            case = _corrected(job, agent)
            if case is not None:
                cases[content_digest(case.truth.path, "")[0]] = case
    if not cases:
        raise ConfigError(
            "there is nothing to measure against", hint="correct a job with `pipeline correct`, or name a FOLDER"
        )
    return list(cases.values())


async def measure(settings: Settings, cases: Sequence[Case], *, observer: Observer | None = None) -> list[CaseOutcome]:
    """Work the files off with the settings' model, in temporary folders, and judge their results.

    Raises the host's or the disk's fault where that ended the measurement.
    """
    by_path = {case.truth.path: case for case in cases}
    outcomes: dict[Path, CaseOutcome] = {}
    for group in apart_by_number(case.truth for case in cases):
        chosen = [by_path[truth.path] for truth in group]
        for case, result in zip(chosen, await _work_off(settings, chosen, observer), strict=True):
            outcomes[case.truth.path] = judge_case(case, result)
    return [outcomes[case.truth.path] for case in cases]


def judge_case(case: Case, result: Result | None) -> CaseOutcome:
    """Hold a new result against the truth and against the one on record; a job that did not end counts as failed."""
    also = [*_values_of(result), *_values_of(case.recorded)] if case.whole else []
    fields = dict.fromkeys((*case.fields, *also))
    new = {one.field: one for one in judge(case.truth, result or {}, fields)}
    old = {one.field: one for one in judge(case.truth, case.recorded or {}, fields)} if case.recorded else {}
    return CaseOutcome(
        name=case.name,
        status=result["status"] if result else State.FAILED.value,
        recorded_status=case.recorded["status"] if case.recorded else None,
        fields=tuple(_outcome(one, old.get(path)) for path, one in new.items()),
        usage=result["usage"] if result else {},
    )


def totals_of(outcomes: Sequence[CaseOutcome]) -> Totals:
    """Add everything up."""

    def used(name: str) -> Any:
        return sum(one.usage.get(name, 0) for one in outcomes)

    changes = Counter(one.change.value for outcome in outcomes for one in outcome.fields)
    return Totals(
        files=len(outcomes),
        states=dict(Counter(one.status for one in outcomes)),
        changes={change.value: changes[change.value] for change in Change},
        silent=sum(len(one.silent) for one in outcomes),
        model_calls=used("model_calls"),
        prompt_tokens=used("prompt_tokens"),
        completion_tokens=used("completion_tokens"),
        seconds=round(float(used("seconds")), 1),
    )


def by_field(outcomes: Sequence[CaseOutcome]) -> Iterator[tuple[str, Mapping[Change, int]]]:
    """Yield for each field, the positions in lists taken together, how often it was won, lost, right or wrong."""
    counts: dict[str, Counter[Change]] = {}
    for outcome in outcomes:
        for one in outcome.fields:
            counts.setdefault(_any_position(one.field), Counter())[one.change] += 1
    yield from counts.items()


def wrong_in(outcomes: Sequence[CaseOutcome]) -> dict[str, list[str]]:
    """Return for each field, named as `by_field` does, the files in which it is wrong now."""
    found: dict[str, dict[str, None]] = {}
    for outcome in outcomes:
        for one in outcome.fields:
            if one.change in _WRONG_NOW:
                found.setdefault(_any_position(one.field), {})[outcome.name] = None
    return {name: list(files) for name, files in found.items()}


def _any_position(path: str) -> str:
    return ".".join("*" if part.isdecimal() else part for part in path.split("."))


def _values_of(result: Result | None) -> list[str]:
    return [path for path, value in leaves((result or {}).get("invoice") or {}) if value is not None]


def _given(truth: Truth, folders: Folders, agent: str | None) -> Case:
    hidden = truth.hidden
    lines = [path for path in line_paths(truth) if f"line_items.{path.split('.')[-1]}" not in hidden]
    # What such a truth leaves out is not known; it does not say that nothing is there.
    header = [path for path in header_paths(truth) if path not in hidden and value_at(truth.values, path) is not None]
    paths = [KIND_PATH, *header, *lines]
    name = agent or INVOICE_AGENT
    return Case(truth.path.name, truth, name, tuple(paths), _on_record(truth.path, folders, name))


def _on_record(path: Path, folders: Folders, agent: str) -> Result | None:
    """Return what the last session with the same content came to by itself, None where there was none."""
    known = folders.index.job_of(content_digest(path, agent)[1])
    try:
        job = folders.outbox.find(known) if known else None
        result = job.result() if job else None
        return None if job is None or result is None else uncorrected(CorrectionsFile(job.path).lines(), result)
    except JobNotFound:
        return None


def _corrected(job: JobFolder, agent: str | None) -> Case | None:
    """Return a corrected job as a case, with every value that it holds now as the truth."""
    lines, source = CorrectionsFile(job.path).lines(), job.source_path
    result = job.result() if lines else None
    if result is None or source is None:
        return None
    values = {**(result["invoice"] or {}), KIND_PATH: result["kind"]}
    truth = Truth(source, "corrected", values)
    paths = tuple(path for path, value in leaves(values) if value is not None or result["invoice"])
    return Case(job.name, truth, agent or result["agent"], paths, uncorrected(lines, result), whole=True)


async def _work_off(settings: Settings, cases: Sequence[Case], observer: Observer | None) -> list[Result | None]:
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as place:
        folders = {"inbox": Path(place) / "inbox", "outbox": Path(place) / "outbox"}
        # On this machine alone: a cluster's store and queue hold the real jobs.
        daemon = settings.daemon.model_copy(update={"engine": "files"})
        own = settings.model_copy(update={"folders": settings.folders.model_copy(update=folders), "daemon": daemon})
        async with open_app(own, doing="bench", one_shot=True, observer=observer) as app:
            await app.service.run([(case.truth.path, case.agent) for case in cases])
            _raise_if_lost(app)
            return [_result_of(case, app) for case in cases]


def _result_of(case: Case, app: App) -> Result | None:
    name = app.folders.index.job_of(content_digest(case.truth.path, case.agent)[1])
    job = app.folders.outbox.find(name) if name else None
    return job.result() if job and job.state in FINISHED else None


def _raise_if_lost(app: App) -> None:
    lost: PipelineError | None = app.engine.host_lost
    if lost is not None:
        raise lost


def _outcome(new: Judged, old: Judged | None) -> FieldOutcome:
    change = Change.RIGHT if new.right else Change.WRONG
    if old is not None and old.right != new.right:
        change = Change.WON if new.right else Change.LOST
    return FieldOutcome(new.field, change, new.wanted, old.found if old else None, new.found)
