"""A job's trace: what happened, one JSON event a line, appended and synced, never changed.

The trace is at once the log a person reads and the journal the job is rebuilt from. Events are `noun.past_participle`,
fields carry units in their names, times are UTC. A torn last line, left by a power cut, is cut off at opening.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.disk import Disk
from pipeline.errors import TraceDamaged

TRACE_FORMAT = "invoice-pipeline/trace/1"
TRACE_NAME = "trace.jsonl"

Event = dict[str, Any]


def utc_now() -> str:
    """Return the time in UTC as ISO 8601 with milliseconds."""
    return utc_in(0)


def utc_in(seconds: float) -> str:
    """Return the time in so many seconds, in the same form."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(name: str, /, **fields: Any) -> Event:
    """Return an event of that name, stamped with the time."""
    return {"at": utc_now(), "event": name, **fields}


class Trace:
    """Append events to one job's trace file and read them back."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk

    def append(self, events: Sequence[Event]) -> None:
        """Write the events and sync; a new file begins with the line that names the format."""
        self._disk.append(self.path, b"".join(map(_line, events)), first=_opening)

    def begin(self, events: Sequence[Event]) -> None:
        """Make the trace, and the folder it is the first file of."""
        self._disk.make_folder_with(self.path, b"".join([_opening(), *map(_line, events)]))

    def append_whole(self, events: Sequence[Event]) -> None:
        """Write the events so that after a crash either all are there or none."""
        before = self.path.read_bytes()
        self._disk.publish(self.path, b"".join([before, *map(_line, events)]))

    def mend(self) -> int:
        """Cut off a torn last line; return how many bytes went."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._disk.cut(self.path, whole)
        return len(data) - whole

    def events(self) -> list[Event]:
        """Return all whole events; nothing where there is no file."""
        return list(read_events(self.path))


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a trace file, passing over a torn last line.

    Raises TraceDamaged for any other line that is no event.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        if line:
            yield _event_in(line, path, number)


def _event_in(line: bytes, path: Path, number: int) -> Event:
    try:
        one: Event = json.loads(line)
        one["event"], one["at"]
    except (ValueError, TypeError, KeyError) as error:
        hint = "restore the file from a backup, or move the job's source back into the inbox"
        raise TraceDamaged(f"{path}: line {number} is no event", hint=hint) from error
    return one


def _opening() -> bytes:
    return _line(event("trace.opened", format=TRACE_FORMAT))


def _line(one: Event) -> bytes:
    # Half a surrogate pair, as models and documents hold now and then, becomes its JSON escape and is read back so.
    return _encoded(one).encode(errors="backslashreplace") + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into a trace")


# Made once: `json.dumps` with options makes an encoder for every line.
_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode
