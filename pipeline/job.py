"""What a job is: its name, where it came from, and what its trace says has become of it."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

from pipeline.llm.protocol import Usage
from pipeline.trace import Event

_HASH_CHUNK_BYTES = 1024 * 1024
_SLUG_LENGTH = 40
DIGEST_LENGTH = 12


class State(StrEnum):
    """Name the folder a job lies in, which is its state."""

    WORKING = "working"
    DONE = "done"
    REVIEW = "review"
    FAILED = "failed"


FINISHED = (State.DONE, State.REVIEW, State.FAILED)


class Job(Protocol):
    """Name the job a session works on; `source_path` is None where its document is on record and not at hand.

    `pictures` are those of pages, by number, that came with such a job; None where they are drawn from the source.
    """

    @property
    def name(self) -> str: ...

    @property
    def source_path(self) -> Path | None: ...

    @property
    def pictures(self) -> Mapping[int, bytes] | None: ...


@dataclass(frozen=True)
class Claim:
    """Say which file a job was made from; `size` in bytes, `name` as it stood in the inbox.

    A job for one of several invoices in a file has the `pages` of it, counted from 1, and names the `parent` job that
    split the file; other jobs have the whole file.
    """

    job: str
    agent: str
    name: str
    sha256: str
    size: int
    received_at: str
    pages: tuple[int, ...] = ()
    parent: str = ""

    @property
    def source_name(self) -> str:
        """Return the name the file has in the job's folder."""
        return "source" + _safe_suffix(self.name)


@dataclass(frozen=True)
class StepRecord:
    """Hold one finished step: what was asked, what came back, and what the session's tools knew after it."""

    request: dict[str, Any]
    output: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobRecord:
    """Hold what a trace says of a job.

    `steps` and `notes` are those a resumed session may answer from. `charged` counts the attempts that cost the job
    something since it was last opened. One that was interrupted on request does not count. One that died counts only
    if it recorded no step that was not recorded before: the others got further, as an innocent job does whose daemon
    is killed again and again. A session's steps are bounded, so the attempts are too. Nor does one count that died
    while it waited for a model server that was away: it was not the job that ended it. `furthest` is the number of
    steps recorded when the running attempt started, or more; `progressed` says that it got further, and `waits` counts
    its calls that wait for the server. `given_up` is the error after which no other attempt is made.
    """

    claim: Claim | None = None
    attempts: int = 0
    charged: int = 0
    running: bool = False
    furthest: int = 0
    progressed: bool = False
    waits: int = 0
    finished: Event | None = None
    retry_at: str = ""
    last_error: dict[str, Any] | None = None
    given_up: dict[str, Any] | None = None
    steps: dict[str, StepRecord] = field(default_factory=dict)
    notes: tuple[Event, ...] = ()
    usage: Usage = field(default_factory=Usage)
    model_calls: int = 0
    model: str = ""
    actions: int = 0
    seconds: float = 0.0
    started_at: str = ""
    last_at: str = ""

    @property
    def is_suspect(self) -> bool:
        """Say whether the running attempt, if the program ended in it, may have been what ended it."""
        return self.running and not self.is_excused

    @property
    def is_excused(self) -> bool:
        """Say whether the running attempt costs nothing if the program ends now."""
        return self.progressed or self.waits > 0


STEP_EVENTS = {"document": "document.read", "model": "model.replied", "action": "action.executed"}
# A model step that was refused: it is on record like a reply, but was no call that anybody paid for.
REFUSED_EVENT = "request.refused"
DOCUMENT_STEP = "document-1"
NOTE_EVENTS = frozenset({"memory.added"})


def fold(events: Iterable[Event], onto: JobRecord | None = None) -> JobRecord:
    """Return what the events add up to, after those that the record is of."""
    record = onto or JobRecord()
    for one in events:
        record = replace(_fold_one(record, one), last_at=one["at"])
    return record


def content_digest(path: Path, agent: str) -> tuple[str, str]:
    """Return the SHA-256 of the content, and the 12 hex digits over agent and content that name its job."""
    content = hashlib.sha256()
    named = hashlib.sha256(agent.encode() + b"\0")
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            content.update(chunk)
            named.update(chunk)
    return content.hexdigest(), named.hexdigest()[:DIGEST_LENGTH]


def printable_name(path: Path) -> str:
    """Return the file's name as text; bytes that are no UTF-8, which some systems allow in names, are replaced."""
    return os.fsencode(path.name).decode(errors="replace")


def job_name(file_name: str, digest: str) -> str:
    """Return a readable, safe folder name: a slug of the file name and the digest."""
    stem = Path(file_name).stem
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_LENGTH].strip("-")
    return f"{slug or 'file'}-{digest}"


def part_of(claim: Claim, pages: Sequence[int]) -> Claim:
    """Return the claim of a job for some pages of the file; the same pages always give the same job."""
    named = "\0".join((claim.agent, claim.sha256, *map(str, pages)))
    digest = hashlib.sha256(named.encode()).hexdigest()[:DIGEST_LENGTH]
    span = str(pages[0]) if len(pages) == 1 else f"{pages[0]}-{pages[-1]}"
    slug = job_name(claim.name, "")[: _SLUG_LENGTH - len(span) - 2].rstrip("-")
    return replace(claim, job=f"{slug}-p{span}-{digest}", pages=tuple(pages), parent=claim.job)


def _safe_suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,10}", suffix) else ""


def _fold_one(record: JobRecord, one: Event) -> JobRecord:
    match one["event"]:
        case "job.claimed":
            return replace(record, claim=_claim(one))
        case "job.reopened":
            opened = JobRecord(claim=record.claim, attempts=record.attempts)
            return opened if one["fresh"] else replace(opened, steps=record.steps, notes=record.notes)
        case "attempt.started":
            return _attempt_started(_attempt_ended(record), one)
        case "attempt.interrupted":
            ended = _attempt_ended(record, one)
            return replace(ended, charged=ended.charged - 1)
        case "attempt.failed":
            return _attempt_failed(_attempt_ended(record, one), one)
        case "wait.started":
            return _changed(record, waits=record.waits + 1)
        case "wait.ended":
            return _changed(record, waits=max(record.waits - 1, 0))
        case "retry.scheduled":
            return replace(record, retry_at=one["retry_at"])
        case "record.diverged":
            return replace(record, steps=_steps_before(record, one["at_step"]), notes=record.notes[: one["notes"]])
        case "job.finished":
            return replace(_attempt_ended(record, one), finished=one)
        case name if name in NOTE_EVENTS:
            return replace(record, notes=(*record.notes, one))
        case _ if "step" in one:
            return _step_finished(record, one)
    return record


def _claim(one: Event) -> Claim:
    claim = Claim(**{key: one[key] for key in ("job", "agent", "name", "sha256", "size", "received_at")})
    return replace(claim, pages=tuple(one.get("pages", ())), parent=one.get("parent", ""))


def _attempt_started(record: JobRecord, one: Event) -> JobRecord:
    return replace(
        record,
        attempts=one["attempt"],
        charged=record.charged + 1,
        running=True,
        furthest=max(record.furthest, len(record.steps)),
        started_at=one["at"],
        retry_at="",
    )


def _attempt_failed(record: JobRecord, one: Event) -> JobRecord:
    """A charged attempt is not gone on with: the next one starts its session anew, with the document as it was read.

    A job that fails while its result is made again from its record is not finished any more.
    """
    record = replace(record, finished=None, given_up=one["error"] if one.get("gave_up") else None)
    if not one["charged"]:
        return replace(record, charged=record.charged - 1, last_error=one["error"])
    document = {key: step for key, step in record.steps.items() if key == DOCUMENT_STEP}
    return replace(record, steps=document, notes=(), furthest=0, last_error=one["error"])


def _steps_before(record: JobRecord, key: str) -> dict[str, StepRecord]:
    return dict(takewhile(lambda step: step[0] != key, record.steps.items()))


def _attempt_ended(record: JobRecord, one: Event | None = None) -> JobRecord:
    """Add up the time, and charge an attempt that came to its end although it got further.

    An attempt that died has no end of its own: it lasted until its last event.
    """
    if not record.running:
        return record
    lasted = seconds_between(record.started_at, one["at"] if one else record.last_at)
    charged = record.charged + (1 if one and record.is_excused else 0)
    return replace(record, running=False, progressed=False, waits=0, charged=charged, seconds=record.seconds + lasted)


def _step_finished(record: JobRecord, one: Event) -> JobRecord:
    if one["event"] == STEP_EVENTS["model"]:
        usage = record.usage + Usage(**one["usage"])
        record = replace(record, model_calls=record.model_calls + 1, usage=usage, model=one["model"])
    if one["event"] == STEP_EVENTS["action"]:
        record = replace(record, actions=record.actions + 1)
    if one.get("withheld"):
        return record
    step = StepRecord(request=one["request"], output=one["output"], state=one.get("state", {}))
    record = replace(record, steps={**record.steps, one["step"]: step})
    if record.running and not record.progressed and len(record.steps) > record.furthest:
        return _changed(record, progressed=True)
    return record


def _changed(record: JobRecord, **changes: Any) -> JobRecord:
    """Return the changed record; the running attempt is charged as long as nothing excuses it."""
    after = replace(record, **changes)
    return replace(after, charged=after.charged + record.is_excused - after.is_excused)


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one trace time to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
