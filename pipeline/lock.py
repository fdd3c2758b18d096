"""One daemon per outbox: a lock that a dead process does not hold, and a note who holds it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from filelock import FileLock, Timeout

from pipeline.errors import ConfigError
from pipeline.trace import utc_now

log = structlog.get_logger()

_LOCK_NAME = ".pipeline.lock"
_NOTE_NAME = ".pipeline.json"
# `holder` takes the lock for a moment to see whether it is free; that must not keep a daemon from starting.
_PATIENCE_SECONDS = 0.2


class DaemonNote:
    """A small file in which the running process tells others about itself; it is news, not state."""

    def __init__(self, outbox: Path) -> None:
        self._path = outbox / _NOTE_NAME
        self._fields: dict[str, Any] = {}

    def tell(self, **fields: Any) -> None:
        """Change some fields and write the note."""
        self._fields |= fields
        temporary = self._path.with_suffix(".json.new")
        try:
            temporary.write_text(json.dumps(self._fields, default=str), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            log.warning("note.not_written", path=str(self._path), error=error.strerror)

    def read(self) -> dict[str, Any]:
        """Return what was told last, nothing where there is no readable note."""
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def remove(self) -> None:
        """Take the note away."""
        self._path.unlink(missing_ok=True)


@contextmanager
def only_one(outbox: Path, *, doing: str) -> Iterator[DaemonNote]:
    """Hold the outbox for this process.

    Raises ConfigError with the other's process id where it is held.
    """
    note = DaemonNote(outbox)
    lock = FileLock(outbox / _LOCK_NAME)
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout as error:
        other = note.read()
        what = f"process {other.get('pid', 'unknown')} (pipeline {other.get('doing', '')}, since {other.get('since')})"
        raise ConfigError(
            f"{outbox} is in use by {what}",
            hint="stop that process, let it do the work (drop files into its inbox), or use another --outbox",
        ) from error
    try:
        note.tell(pid=os.getpid(), doing=doing, since=utc_now())
        yield note
    finally:
        note.remove()
        lock.release()


def holder(outbox: Path) -> dict[str, Any] | None:
    """Return the note of the process that holds the outbox, None where nobody does."""
    if not (outbox / _LOCK_NAME).exists():
        return None
    lock = FileLock(outbox / _LOCK_NAME)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return DaemonNote(outbox).read()
    lock.release()
    return None
