"""What is going on, read from the folders, the index, and the running daemon's own note."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.inbox import Listing, list_inbox
from pipeline.job import State, seconds_between
from pipeline.lock import holder
from pipeline.outbox import Outbox

_IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class Status:
    """Hold one look at everything; ages and durations in seconds, rates in jobs per hour.

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
) -> Status:
    """Return the status; `rate` is the number of jobs that finished within the last hour, `finishes` the last times."""
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
    )


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
