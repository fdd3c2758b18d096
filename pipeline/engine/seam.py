"""The seam between jobs and what runs them: the same service and the same sessions work on every engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio

from pipeline.engine.storage import Storage
from pipeline.errors import HostFault, HostRefuses, StorageFault
from pipeline.job import Claim, Job, State
from pipeline.journal import Journal
from pipeline.outbox import JobFolder
from pipeline.result import Outcome


class Body(Protocol):
    """Do the work of one job; every effect goes through `steps`."""

    async def __call__(self, job: Job, claim: Claim, steps: Journal) -> Outcome: ...

    def prompts_version(self, agent: str) -> str:
        """Name the version of the agent's prompts, for the result."""
        ...


@dataclass(frozen=True)
class Progress:
    """Tell an observer that a job started or ended (`state` working means started)."""

    job: JobFolder
    state: State


Observer = Callable[[Progress], None]


class Engine(Protocol):
    """Bring jobs that lie in working/ to their results."""

    storage: Storage
    host_lost: HostFault | HostRefuses | StorageFault | None

    @property
    def counts(self) -> Mapping[State, int]:
        """Return how many jobs ended in each state."""
        ...

    @property
    def is_busy(self) -> bool:
        """Say whether any place is taken."""
        ...

    async def serve(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Own the jobs' tasks until `stop` was called and the running ones have ended."""
        ...

    def stop(self) -> None:
        """Start nothing further."""
        ...

    async def room(self) -> None:
        """Wait until one more job may be submitted, and keep that place for it."""
        ...

    def give_back_room(self) -> None:
        """Give back a place that no job was found for."""
        ...

    def submit(self, job: JobFolder) -> None:
        """Start a job that lies in working/; its place was taken with `room`."""
        ...

    async def drained(self) -> None:
        """Wait until no submitted job is unfinished."""
        ...

    def storage_failed(self, who: str, error: OSError | StorageFault) -> bool:
        """Take note that `who` could not write; say whether it is worth to wait."""
        ...
