"""A job that is worked on here: its folder, and what its trace says, kept up with what is appended to it."""

from __future__ import annotations

from collections.abc import Sequence

import anyio.to_thread

from pipeline.disk import storage_fault
from pipeline.job import JobRecord, fold
from pipeline.outbox import JobFolder
from pipeline.trace import Event, Trace


class OpenJob:
    """Append to a job's trace, and know what it says without reading it again."""

    def __init__(self, folder: JobFolder, trace: Trace, record: JobRecord) -> None:
        self.folder = folder
        self.record = record
        self.has_begun = False
        self._trace = trace

    @property
    def is_new(self) -> bool:
        """Say whether nothing has happened to the job since it was claimed."""
        record = self.record
        return record.claim is not None and not record.attempts and not record.finished and not record.retry_at

    async def append(self, events: Sequence[Event]) -> None:
        """Append in a thread; return when it is synced.

        A disk that fails is raised as StorageFault, so that no tool in whose step it happens is blamed for it.
        """
        try:
            await anyio.to_thread.run_sync(self.append_here, events)
        except OSError as error:
            raise storage_fault(error) or error from error

    def append_here(self, events: Sequence[Event]) -> None:
        """Append and sync in this thread."""
        self._trace.append(events)
        self.record = fold(events, self.record)
