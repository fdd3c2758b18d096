"""A job again, from its trace: the same session over its record, or beside another model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pipeline.corrections import CorrectionsFile, uncorrected
from pipeline.engine.seam import Body
from pipeline.errors import JobNotFound, ReplayDiverged
from pipeline.job import DOCUMENT_STEP, STEP_EVENTS, Claim, JobRecord
from pipeline.journal import open_journal
from pipeline.outbox import JobFolder
from pipeline.result import Outcome
from pipeline.trace import Event

_COMPARED = ("status", "kind", "invoice", "answer")


class Verdict(StrEnum):
    """Say how one field of a new result stands to the old one."""

    SAME = "same"
    CHANGED = "changed"
    GAINED = "gained"
    LOST = "lost"


@dataclass(frozen=True)
class FieldChange:
    """Hold one field of an old and a new result; `field` is a dotted path."""

    field: str
    verdict: Verdict
    old: Any
    new: Any


@dataclass(frozen=True)
class Recorded:
    """Say what a replay over the record came to: the same result, or `divergence` in one sentence."""

    job: str
    same: bool
    divergence: str = ""
    changes: tuple[FieldChange, ...] = ()


async def replay_recorded(job: JobFolder, body: Body) -> Recorded:
    """Run the job's session over its record, without any model, and compare with the result that lies there.

    What persons corrected since is no part of the record: compared is what the session came to by itself.
    """
    record, claim = _record(job)
    result = job.result()
    if result is None:
        return Recorded(job.name, same=False, divergence="there is no result to compare with: the job is not finished")
    result = uncorrected(CorrectionsFile(job.path).lines(), result)
    if record.finished and record.finished.get("error"):
        same = result["status"] == "failed"
        return Recorded(
            job.name, same=same, divergence="" if same else "the trace ends in an error, the result does not"
        )
    if not record.steps:
        return Recorded(
            job.name, same=False, divergence="the trace holds no steps: it was kept without text, or somebody cut it"
        )
    journal = open_journal(record, None)
    try:
        outcome = await body(job, claim, journal)
    except ReplayDiverged as error:
        return Recorded(job.name, same=False, divergence=error.message)
    differing = (one for one in compare(result, _as_result(outcome)) if one.verdict is not Verdict.SAME)
    # A field that a later release added is not in an earlier one's result, not even as null.
    changes = tuple(one for one in differing if _has_place(result, one.field))
    divergence = f"the result differs in {', '.join(one.field for one in changes)}" if changes else ""
    return Recorded(job.name, same=not changes, divergence=divergence, changes=changes)


@dataclass(frozen=True)
class Comparison:
    """Hold a job's old result beside a new one; tokens are those the new session used."""

    job: str
    old_model: str
    new_model: str
    changes: tuple[FieldChange, ...]
    old_findings: int
    new_findings: int
    old_tokens: int
    new_tokens: int


async def replay_compare(job: JobFolder, body: Body) -> Comparison:
    """Run the job's session live, without touching the job, and put the result beside the old one.

    The document is taken from the record where it was read.
    """
    record, claim = _record(job)
    result = job.result()
    if result is None:
        raise JobNotFound(f"{job.name} has no result to compare with", hint="replay it first")
    read_only = replace(
        record, steps={key: step for key, step in record.steps.items() if key == DOCUMENT_STEP}, notes=()
    )
    meter = Meter()
    journal = open_journal(read_only, meter.count)
    outcome = await body(job, claim, journal)
    new = _as_result(outcome)
    usage = result["usage"]
    return Comparison(
        job=job.name,
        old_model=result["versions"]["model"] or "",
        new_model=meter.model,
        changes=tuple(compare(result, new)),
        old_findings=len(result["findings"]),
        new_findings=len(new["findings"]),
        old_tokens=usage["prompt_tokens"] + usage["completion_tokens"],
        new_tokens=meter.tokens,
    )


class Meter:
    """Keep nothing of a session but what it cost."""

    def __init__(self) -> None:
        self.model = ""
        self.tokens = 0

    async def count(self, events: Sequence[Event]) -> None:
        """Take the place of a trace."""
        for one in events:
            if one["event"] == STEP_EVENTS["model"]:
                self.model = one["model"]
                self.tokens += one["usage"]["prompt_tokens"] + one["usage"]["completion_tokens"]


def compare(old: dict[str, Any], new: dict[str, Any]) -> Iterator[FieldChange]:
    """Yield every field of the two results that at least one of them knows."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for path in dict.fromkeys((*before, *after)):
        yield FieldChange(path, _verdict(before.get(path), after.get(path)), before.get(path), after.get(path))


def _record(job: JobFolder) -> tuple[JobRecord, Claim]:
    record = job.record()
    if record.claim is None:
        raise JobNotFound(f"{job.path} has no usable trace", hint="its first lines must say what was claimed")
    return record, record.claim


def _as_result(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "kind": outcome.kind,
        "invoice": outcome.invoice,
        "answer": outcome.answer,
        "findings": list(outcome.findings),
    }


def _has_place(result: Any, path: str) -> bool:
    """Say whether the objects along a path know its names; a list may be shorter than the path asks for."""
    for name in path.split("."):
        if isinstance(result, dict):
            if name not in result:
                return False
            result = result[name]
        elif isinstance(result, list) and int(name) < len(result):
            result = result[int(name)]
        else:
            return True
    return True


def _leaves(result: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _COMPARED:
        yield from _walk(name, result.get(name))


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _walk(f"{path}.{key}", entry)
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from _walk(f"{path}.{number}", entry)
    elif value is not None:
        yield path, _comparable(value)


def _comparable(value: Any) -> Any:
    return Decimal(str(value)) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else value


def _verdict(old: Any, new: Any) -> Verdict:
    if old == new:
        return Verdict.SAME
    if old is None:
        return Verdict.GAINED
    return Verdict.LOST if new is None else Verdict.CHANGED
