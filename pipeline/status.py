"""What is going on, read from the folders, the index, and the running daemon's own note."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.errors import TraceDamaged
from pipeline.inbox import Listing, list_inbox
from pipeline.job import State, seconds_between
from pipeline.lock import holder
from pipeline.outbox import JobFolder, Outbox

MOST_LISTED = 100
_IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class Status:
    """Hold one look at everything; ages and durations in seconds, rates in jobs per hour.

    `review_jobs` and `failed_jobs` list `{name, finished_at, file, reason}`, the latest first, not all where many wait.
    `ignored` lists `{path, reason}`; `daemon` is what the running process tells of itself, None where none runs.
    `cluster` is `{queued, running, workers, error}`, None where jobs run on this machine.
    """

    inbox: str
    outbox: str
    waiting: int
    working: int
    done: int
    review: int
    failed: int
    ignored: list[dict[str, str]]
    oldest_waiting_seconds: float | None
    finished_per_hour: float
    seconds_left: float | None
    daemon: dict[str, Any] | None
    hosts: list[dict[str, Any]]
    inbox_error: str | None = None
    cluster: dict[str, Any] | None = None
    review_jobs: list[dict[str, Any]] = field(default_factory=list)
    failed_jobs: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the status as plain JSON."""
        return asdict(self)


def look(
    inbox: Path,
    outbox: Outbox,
    *,
    agents: Mapping[str, Collection[str]],
    rate: int,
    finishes: Sequence[str],
    hosts: list[dict[str, Any]],
    cluster: dict[str, Any] | None = None,
    most_listed: int = MOST_LISTED,
) -> Status:
    """Return the status.

    `rate` is the number of jobs that finished within the last hour, `finishes` the last times. Of the jobs in review
    and of those that failed `most_listed` are listed.
    """
    listing, problem = _listing(inbox, agents)
    daemon = holder(outbox.root)
    counts = {state: outbox.count(state) for state in State}
    open_jobs = len(listing.files) + counts[State.WORKING]
    oldest = min((seen.mtime_ns for seen in listing.files), default=None)
    return Status(
        inbox=str(inbox),
        outbox=str(outbox.root),
        waiting=len(listing.files),
        working=counts[State.WORKING],
        done=counts[State.DONE],
        review=counts[State.REVIEW],
        failed=counts[State.FAILED],
        ignored=[{"path": str(one.path), "reason": one.reason} for one in listing.ignored],
        oldest_waiting_seconds=None if oldest is None else round(max(0.0, time.time() - oldest / 1e9), 1),
        finished_per_hour=float(rate),
        seconds_left=seconds_left(open_jobs, finishes),
        daemon=daemon,
        hosts=hosts,
        inbox_error=problem,
        cluster=cluster,
        review_jobs=[_for_person(job) for job in outbox.latest(State.REVIEW, most_listed)],
        failed_jobs=[_for_person(job) for job in outbox.latest(State.FAILED, most_listed)],
    )


def first_reason(result: Mapping[str, Any]) -> str:
    """Return why a person should look at the job: its error, or the first finding that is one; else nothing."""
    if result["error"]:
        return str(result["error"]["message"])
    return next((str(one["message"]) for one in result["findings"] if one["severity"] == "error"), "")


def seconds_left(open_jobs: int, finishes: Sequence[str]) -> float | None:
    """Return how long the open jobs may take at the pace of the last ones, idle times left out."""
    pauses = [seconds_between(earlier, later) for later, earlier in pairwise(finishes)]
    busy = [pause for pause in pauses if pause < _IDLE_SECONDS]
    if not open_jobs or not busy:
        return None
    return round(open_jobs * sum(busy) / len(busy), 0)


def _listing(inbox: Path, agents: Mapping[str, Collection[str]]) -> tuple[Listing, str | None]:
    try:
        return list_inbox(inbox, agents), None
    except OSError as error:
        return Listing(), f"{inbox}: {error.strerror}"


def _for_person(job: JobFolder) -> dict[str, Any]:
    """Return what a person needs to know of a job that waits for them; of an unreadable one, that it is."""
    try:
        result = job.result()
    except (OSError, TraceDamaged) as error:
        return {"name": job.name, "finished_at": None, "file": None, "reason": str(error)}
    if result is None:
        return {"name": job.name, "finished_at": None, "file": None, "reason": "its result is gone: replay it"}
    told = {"finished_at": result["finished_at"], "file": result["source"]["name"], "reason": first_reason(result)}
    return {"name": job.name, **told}
