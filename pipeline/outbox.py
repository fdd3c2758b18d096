"""The outbox: one folder a job, in a folder that is the job's state; a transition is one rename."""

from __future__ import annotations

import errno
import json
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import structlog

from pipeline.disk import Disk, names_in
from pipeline.errors import DocumentError, JobNotFound, StorageFault, TraceDamaged
from pipeline.index import JobIndex
from pipeline.job import (
    DIGEST_LENGTH,
    Claim,
    JobRecord,
    State,
    content_digest,
    fold,
    job_name,
    printable_name,
)
from pipeline.trace import TRACE_NAME, Event, Trace, event, read_events, utc_now

log = structlog.get_logger()

RESULT_NAME = "result.json"
DATABASE_NAME = "pipeline.sqlite"
_CLAIM_LOCKS = 64
_MOST_LOOKED_AT = 10_000
_MOST_NAMED = 5


@dataclass(frozen=True)
class JobFolder:
    """Point at one job's folder; the folder's parent is the job's state."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def state(self) -> State:
        return State(self.path.parent.name)

    @property
    def trace_path(self) -> Path:
        return self.path / TRACE_NAME

    @property
    def result_path(self) -> Path:
        return self.path / RESULT_NAME

    @property
    def source_path(self) -> Path | None:
        """Return the document, None where somebody took it out."""
        return next((self.path / name for name in sorted(names_in(self.path)) if name.startswith("source")), None)

    @property
    def pictures(self) -> None:
        """Return None: the document is at hand, and its pages are drawn from it."""

    def record(self) -> JobRecord:
        """Return what the trace says."""
        return fold(read_events(self.trace_path))

    def result(self) -> dict[str, Any] | None:
        """Return the result as plain JSON, None before there is one."""
        try:
            data: dict[str, Any] = json.loads(self.result_path.read_bytes(), parse_float=Decimal)
        except FileNotFoundError:
            return None
        except ValueError as error:
            hint = f"pipeline replay {self.name} makes it anew"
            raise TraceDamaged(f"{self.result_path} is not valid JSON", hint=hint) from error
        return data


@dataclass(frozen=True)
class Claimed:
    """A file has become a job."""

    job: JobFolder


@dataclass(frozen=True)
class Duplicate:
    """The same bytes were taken before; `reopened` says that the earlier job had failed and is tried again."""

    job: JobFolder
    reopened: bool


@dataclass(frozen=True)
class NotClaimed:
    """The file cannot be read, changed or went away while it was being claimed; it is looked at again later."""

    reason: str


ClaimOutcome = Claimed | Duplicate | NotClaimed


class Outbox:
    """Find, claim, reopen and publish jobs below one folder."""

    def __init__(self, root: Path, disk: Disk, index: JobIndex) -> None:
        self.root = root
        self._disk = disk
        self._index = index
        # Which of them a content has to take follows from its digest: two claims of the same content share one.
        self._claiming = [threading.Lock() for _ in range(_CLAIM_LOCKS)]

    def prepare(self) -> bool:
        """Create the state folders, and fill an empty index from them; say whether that was needed."""
        for state in State:
            self._disk.make_folder(self.root / state)
        if not self._index.is_new():
            return False
        self._index.rebuild(self._claims_and_results())
        return True

    def jobs(self, state: State) -> Iterator[JobFolder]:
        """Yield the jobs in that state, in the order of their names."""
        for name in sorted(names_in(self.root / state)):
            path = self.root / state / name
            if not name.startswith(".") and path.is_dir():
                yield JobFolder(path)

    def all_jobs(self) -> Iterator[JobFolder]:
        """Yield every job."""
        for state in State:
            yield from self.jobs(state)

    def count(self, state: State) -> int:
        """Return how many jobs are in that state; a folder that never got its file is none."""
        names = (name for name in names_in(self.root / state) if not name.startswith("."))
        if state is not State.WORKING:
            return sum(1 for _ in names)
        return sum(not _is_left_over(JobFolder(self.root / state / name)) for name in names)

    def latest(self, state: State, limit: int) -> list[JobFolder]:
        """Return the jobs in that state that ended last, newest first; those that the index does not know are left out.

        What the index takes for one of them may have been opened again, or moved away by a person, since.
        """
        folders = (JobFolder(self.root / state / name) for name in self._index.latest(state, _MOST_LOOKED_AT))
        return list(islice((one for one in folders if one.path.is_dir()), limit))

    def find(self, name: str) -> JobFolder:
        """Return the job of that name, or the only one whose name begins or ends with it.

        Raises JobNotFound.
        """
        found = self._at(name)
        if found is not None:
            return found
        wanted = name.rstrip("/").rsplit("/", 1)[-1]
        near = [job for job in self.all_jobs() if job.name.startswith(wanted) or job.name.endswith(wanted)]
        if len(near) == 1:
            return near[0]
        if not near:
            hint = f"`pipeline status` lists the latest in review and failed; every job is a folder in {self.root}"
            raise JobNotFound(f"no job {name} in {self.root}", hint=hint)
        more = ", …" if len(near) > _MOST_NAMED else ""
        told = ", ".join(job.name for job in near[:_MOST_NAMED])
        raise JobNotFound(f"{name} fits {len(near)} jobs: {told}{more}", hint="name one")

    def claim(self, path: Path, agent: str, *, keep: bool = False) -> ClaimOutcome:
        """Make a job of the file: log it, then move it into the job's folder; with `keep` copy it.

        A crash between any two steps leaves the file either in the inbox or in the job's folder. Claims may be made in
        several threads at once; of files with the same content the second finds the job of the first.
        """
        try:
            before = path.stat()
            sha256, digest = content_digest(path, agent)
        except FileNotFoundError:
            return NotClaimed("gone")
        except OSError as error:
            return NotClaimed(f"it cannot be read: {error.strerror}")
        claim = Claim(
            job=job_name(path.name, digest),
            agent=agent,
            name=printable_name(path),
            sha256=sha256,
            size=before.st_size,
            received_at=utc_now(),
        )
        with self._one_at_a_time(digest):
            earlier = self._earlier(digest, claim.job)
            if earlier is not None:
                return self._duplicate(path, earlier, agent=agent, keep=keep)
            return self._claim_new(path, claim, before_signature=_signature(before), keep=keep)

    def open_part(self, parent: JobFolder, claim: Claim) -> JobFolder:
        """Return the job for some pages of the parent's file; a new one is made in working/ with a copy of the file."""
        known = self._at(claim.job)
        if known is not None and not (known.state is State.WORKING and was_cut_short(known)):
            return known
        source = parent.source_path
        if source is None:
            message = f"{claim.name} is no longer in its job's folder"
            raise DocumentError(message, reason="missing", hint="drop the file again")
        folder = JobFolder(self.root / State.WORKING / claim.job)
        self._open(folder, claim)
        self._disk.copy(source, folder.path / claim.source_name)
        return folder

    def adopt(self, folder: Path) -> ClaimOutcome:
        """Take a job's folder that a person moved back into the inbox, to be tried again from the start.

        It must name a job in its trace that the outbox does not hold any more.
        """
        returned = JobFolder(folder)
        try:
            claim = returned.record().claim
        except (ValueError, KeyError, TypeError):  # anybody may put a folder there, with anything in it
            claim = None
        if claim is None or not _is_folder_name(claim.job):
            return NotClaimed("a folder with a trace that does not say which job it is")
        with self._one_at_a_time(digest_of(claim.job)):
            return self._adopt(returned, claim)

    def restore(self, claim: Claim, events: Sequence[Event]) -> JobFolder:
        """Make a job's folder anew, without its document, from what its trace held when it was sent away."""
        folder = JobFolder(self.root / State.WORKING / claim.job)
        self._disk.make_folder(folder.path)
        trace = self.trace(folder)
        trace.append(())  # the line that names the format; the rest comes whole or not at all
        trace.append_whole(events)
        self._index.claimed(digest_of(claim.job), claim)
        return folder

    def publish(self, job: JobFolder, state: State, result: bytes, *, claim: Claim | None = None) -> JobFolder:
        """Write the result and move the job into the state's folder; without a claim, its trace is read for it."""
        self._disk.publish(job.result_path, result)
        return self.settle(job, state, claim=claim)

    def amend(self, job: JobFolder, state: State, result: bytes, *, finished_at: str) -> JobFolder:
        """Put a new result in the place of a finished job's, and move the job where it belongs now."""
        self._disk.publish(job.result_path, result)
        target = JobFolder(self.root / state / job.name)
        if target.path != job.path:
            self._move(job, target)
        self._index.finished(job.name, status=state, finished_at=finished_at)
        return target

    def settle(self, job: JobFolder, state: State, *, claim: Claim | None = None) -> JobFolder:
        """Note a job whose result is written in the index and move it into the state's folder.

        In this order: until it is in the index, its content is known by its folder in working/.
        """
        claim = claim or job.record().claim
        self._index.finished(job.name, status=state, finished_at=utc_now(), claim=claim)
        target = JobFolder(self.root / state / job.name)
        self._move(job, target)
        return target

    def reopen(self, job: JobFolder, *, reason: str, fresh: bool) -> JobFolder:
        """Take a finished job back into work; `fresh` forgets its recorded steps, its trace and result stay.

        Raises TraceDamaged, and leaves the job where it is, when its trace cannot be gone on with.
        """
        if job.record().claim is None:
            hint = f"move the document out of {job.path} back into the inbox, and the folder away"
            raise TraceDamaged(f"{job.trace_path} is missing or empty", hint=hint)
        # Said before the move: a job in working/ whose trace is at its end would only be put back.
        trace = self.trace(job)
        trace.mend()
        trace.append([event("job.reopened", reason=reason, fresh=fresh)])
        target = JobFolder(self.root / State.WORKING / job.name)
        self._move(job, target)
        return target

    def abandon(self, job: JobFolder) -> None:
        """Remove a job folder that never got its file."""
        self._disk.remove_folder(job.path)

    def trace(self, job: JobFolder) -> Trace:
        """Return the job's trace."""
        return Trace(job.trace_path, self._disk)

    def _adopt(self, returned: JobFolder, claim: Claim) -> ClaimOutcome:
        known = self._at(claim.job)
        if known is not None:
            return NotClaimed(f"a copy of a job that is in {known.state}: move that one here instead, or remove this")
        trace = self.trace(returned)
        trace.mend()
        trace.append([event("job.reopened", reason="its folder was moved back into the inbox", fresh=True)])
        target = JobFolder(self.root / State.WORKING / claim.job)
        try:
            self._disk.move(returned.path, target.path)
        except FileNotFoundError:
            return NotClaimed("gone")
        self._index.claimed(digest_of(claim.job), claim)
        return Claimed(target)

    def _move(self, job: JobFolder, target: JobFolder) -> None:
        """Move a job; one that has moved, and only the sync after it failed, counts as moved."""
        try:
            self._disk.move(job.path, target.path)
        except OSError as error:
            if job.path.exists() or not target.path.exists():
                raise
            log.warning("folder.not_synced", folder=str(target.path), error=error.strerror)

    def _claims_and_results(self) -> Iterator[tuple[Claim, dict[str, Any] | None]]:
        for folder in self.all_jobs():
            try:
                claim, result = folder.record().claim, folder.result()
            except (OSError, ValueError, KeyError, TraceDamaged) as error:
                log.warning("job.unreadable", folder=str(folder.path), error=str(error))
                continue
            if claim is not None:
                yield claim, result

    def _one_at_a_time(self, digest: str) -> threading.Lock:
        return self._claiming[zlib.crc32(digest.encode()) % _CLAIM_LOCKS]

    def _at(self, name: str) -> JobFolder | None:
        if not _is_folder_name(name):
            return None
        paths = (self.root / state / name for state in State)
        return next((JobFolder(path) for path in paths if path.is_dir()), None)

    def _earlier(self, digest: str, name: str) -> JobFolder | None:
        # The index last: a job is written there before it leaves working/.
        working = self._in_work(digest)
        known = None if working else self._index.job_of(digest)
        earlier = working or (known and self._at(known)) or self._at(name)
        if earlier and earlier.state is State.WORKING and earlier.source_path is None:
            if not earlier.path.is_dir():
                return self._at(earlier.name)  # finished while we looked
            return None if was_cut_short(earlier) else earlier  # a claim that was cut short is simply made again
        return earlier or None

    def _in_work(self, digest: str) -> JobFolder | None:
        """Return the job in working/ that was made of the content; few are there at a time."""
        folder = self.root / State.WORKING
        names = (name for name in names_in(folder) if digest_of(name) == digest and not name.startswith("."))
        found = (JobFolder(folder / name) for name in names)
        return next((job for job in found if not _is_left_over(job)), None)

    def _claim_new(self, path: Path, claim: Claim, *, before_signature: tuple[int, ...], keep: bool) -> ClaimOutcome:
        folder = JobFolder(self.root / State.WORKING / claim.job)
        try:
            self._open(folder, claim)
        except (OSError, StorageFault):
            self._abandon_if_possible(folder)
            raise
        return self._take(path, folder, claim, before_signature=before_signature, keep=keep)

    def _open(self, folder: JobFolder, claim: Claim) -> None:
        trace, claimed = self.trace(folder), event("job.claimed", **vars(claim))
        if folder.path.is_dir():
            trace.mend()
            trace.append([claimed])
        else:
            # Not with its parent: made anew that would hide behind a drive that is mounted here again.
            trace.begin([claimed])

    def _take(
        self, path: Path, folder: JobFolder, claim: Claim, *, before_signature: tuple[int, ...], keep: bool
    ) -> ClaimOutcome:
        source = folder.path / claim.source_name
        try:
            (self._disk.copy if keep else self._disk.move)(path, source)
        except OSError as error:
            if not source.exists() or _holds(path, claim.sha256):
                return self._not_taken(path, folder, error)
            # Moved, and only the sync of a folder failed: the job is whole, and its next line in the trace will tell.
        untouched = not keep and _signature(source.stat()) == before_signature
        if untouched or content_digest(source, "")[0] == claim.sha256:
            return Claimed(folder)
        if not keep:
            self._disk.move(source, _free(path))
        self.abandon(folder)
        return NotClaimed("changed while it was being claimed")

    def _not_taken(self, path: Path, folder: JobFolder, error: OSError) -> NotClaimed:
        self._abandon_if_possible(folder)
        if not path.exists():
            return NotClaimed("gone")
        if error.errno in (errno.EACCES, errno.EPERM, errno.EBUSY):
            return NotClaimed(f"it cannot be moved: {error.strerror}")
        raise error

    def _abandon_if_possible(self, folder: JobFolder) -> None:
        """Remove what a claim has made so far; what stays is removed at the next claim or start."""
        with suppress(OSError):
            self.abandon(folder)

    def _duplicate(self, path: Path, earlier: JobFolder, *, agent: str, keep: bool) -> Duplicate:
        """Let the file go, but only when its bytes lie safely in the earlier job; else put them back there."""
        reopened = earlier.state is State.FAILED
        if reopened:
            earlier = self.reopen(earlier, reason="the file was dropped again", fresh=True)
        source = earlier.source_path
        claim = Claim(earlier.name, agent, printable_name(path), "", 0, "")
        if source is None:
            (self._disk.copy if keep else self._disk.move)(path, earlier.path / claim.source_name)
        elif keep:
            pass
        elif content_digest(source, "")[0] == content_digest(path, "")[0]:
            self._disk.remove(path)
        else:  # somebody changed the job's source by hand: keep both
            self._disk.move(path, earlier.path / f"dropped-{utc_now().replace(':', '')}-{claim.source_name}")
        return Duplicate(earlier, reopened)


def was_cut_short(job: JobFolder) -> bool:
    """Say whether the folder is what is left of a claim that ended before its file arrived, and holds nothing else."""
    names = [name for name in names_in(job.path) if not name.startswith(".")]
    return names in ([], [TRACE_NAME]) and job.record().attempts == 0


def _is_left_over(job: JobFolder) -> bool:
    try:
        return was_cut_short(job)
    except (OSError, ValueError, KeyError, TraceDamaged):  # then it holds something, and the engine says what is wrong
        return False


def stale(job: JobFolder, record: JobRecord) -> bool:
    """Say whether the job's result is missing or older than what its trace says."""
    result = job.result()
    return record.finished is None or result is None or result["finished_at"] != record.finished["finished_at"]


def digest_of(job: str) -> str:
    """Return the digest part of a job's name."""
    return job[-DIGEST_LENGTH:]


def _is_folder_name(name: object) -> bool:
    """Say whether a name leads into no other folder, and is not hidden."""
    return isinstance(name, str) and name != "" and name == Path(name).name and not name.startswith(".")


def _holds(path: Path, sha256: str) -> bool:
    try:
        return content_digest(path, "")[0] == sha256
    except OSError:
        return False


def _free(path: Path) -> Path:
    """Return the path, or one beside it where other files have taken the name; it ends behind the last of them."""
    others = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(one for one in chain((path,), others) if not one.exists())


def _signature(stat: os.stat_result) -> tuple[int, ...]:
    return (stat.st_size, stat.st_mtime_ns)
