"""What persons corrected in a job: one JSON line a correction beside the trace, appended and synced, never changed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.disk import Disk
from pipeline.errors import TraceDamaged
from pipeline.invoice.by_person import PersonsValue
from pipeline.invoice.model import dumps
from pipeline.invoice.removed import LINES, RemovedLine, entry_position, lines_left, removed_line, without

CORRECTIONS_NAME = "corrections.jsonl"
# What of a result a session comes to by itself, and a replay over the record must come to again.
_READ = ("status", "kind", "invoice", "answer")


@dataclass(frozen=True)
class Correction:
    """Hold what a person asked for: new values by field path as plain JSON, and whether to accept what is left.

    `key` tells it from every other one, so that a correction that was cut short is not made twice.
    """

    key: str
    at: str
    by: str
    values: Mapping[str, Any]
    accept: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; write it with `dumps`."""
        return {"key": self.key, "at": self.at, "by": self.by, "values": dict(self.values), "accept": self.accept}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Correction:
        """Rebuild a correction from `to_json`."""
        return cls(**{name: data[name] for name in ("key", "at", "by", "values", "accept")})


@dataclass(frozen=True)
class Acceptance:
    """Name one finding that a person answers for."""

    code: str
    field: str
    message: str
    by: str
    at: str

    def fits(self, finding: Mapping[str, Any]) -> bool:
        """Say whether it is this finding, word for word: another value is another finding."""
        return (self.code, self.field, self.message) == tuple(finding[name] for name in ("code", "field", "message"))


class CorrectionsFile:
    """Read and extend the corrections of one job."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / CORRECTIONS_NAME

    @property
    def is_there(self) -> bool:
        """Say whether anybody corrected anything."""
        return self.path.exists()

    def lines(self) -> list[dict[str, Any]]:
        """Return every whole line, oldest first; nothing where nobody corrected anything.

        Raises TraceDamaged for a line, not the last one, that cannot be read.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return [self._line(line, number) for number, line in enumerate(data.split(b"\n")[:-1], 1) if line]

    def append(self, line: Mapping[str, Any], disk: Disk) -> None:
        """Add a line and sync; a torn last line, left by a power cut, is cut off before."""
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            disk.cut(self.path, whole)
        disk.append(self.path, dumps(line).encode(errors="backslashreplace") + b"\n")

    def _line(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            one: dict[str, Any] = json.loads(line, parse_float=Decimal)
            one["key"], one["changes"], one["read"]
        except (ValueError, TypeError, KeyError) as error:
            hint = "restore the file from a backup; without it the job counts as uncorrected"
            raise TraceDamaged(f"{self.path}: line {number} is no correction", hint=hint) from error
        return one


def new_line(
    correction: Correction,
    *,
    before: Mapping[str, Any],
    read: Mapping[str, Any],
    accepted: Sequence[Acceptance],
    afterwards: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the line for a correction: who, when, from, to, and what the checks said afterwards.

    `before` are the values by path that it replaces, `read` is the result without any correction.
    """
    changes = [{"field": path, "from": before.get(path), "to": value} for path, value in correction.values.items()]
    return {
        "at": correction.at,
        "by": correction.by,
        "key": correction.key,
        "changes": changes,
        "accept": correction.accept,
        "accepted": [{"code": one.code, "field": one.field, "message": one.message} for one in accepted],
        "status": afterwards["status"],
        "findings": afterwards["findings"],
        "read": as_read(read),
    }


@dataclass(frozen=True)
class Corrected:
    """Hold all that persons changed in a job: lines they removed, and the last value they gave each other field.

    Paths of values count the lines that are left.
    """

    values: tuple[PersonsValue, ...] = ()
    removed: tuple[RemovedLine, ...] = ()


def corrected_of(lines: Sequence[Mapping[str, Any]]) -> Corrected:
    """Return what persons changed, each value beside what was there before the first correction.

    A line of the record counts the invoice's lines as they stood before it; what it removes makes the others move up.
    """
    values: dict[str, PersonsValue] = {}
    removed: list[RemovedLine] = []
    for line in lines:
        gone: dict[int, Any] = {}
        for change in line["changes"]:
            position = entry_position(change["field"])
            if position is not None:
                gone[position] = change["from"]
                continue
            earlier = values.get(change["field"])
            before = earlier.before if earlier else change["from"]
            values[change["field"]] = PersonsValue(change["field"], change["to"], before, line["by"])
        if gone:
            removed += _removed_now(line, gone, removed, added=values)
            values = _moved_up(values, gone)
    return Corrected(tuple(values.values()), tuple(removed))


def lines_of(read: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the invoice lines of what was read."""
    return list((read["invoice"] or {}).get(LINES) or ())


def acceptances_of(lines: Sequence[Mapping[str, Any]]) -> list[Acceptance]:
    """Return all findings that persons answered for."""
    return [Acceptance(**one, by=line["by"], at=line["at"]) for line in lines for one in line["accepted"]]


def uncorrected(lines: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the job's last session came to by itself: of a job that nobody corrected, its result."""
    return as_read(lines[-1]["read"] if lines else result)


def as_read(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a result that a session comes to by itself."""
    return {name: result[name] for name in _READ}


def _removed_now(
    line: Mapping[str, Any], gone: Mapping[int, Any], earlier: Sequence[RemovedLine], *, added: Iterable[str]
) -> Iterator[RemovedLine]:
    """Yield what was removed of the reading that this correction was made to; lines that a person added are not of it.

    Equal lines that go together are counted one after the other.
    """
    read = lines_of(line["read"])
    left = without(read, lines_left(read, earlier).gone)
    by_person = {path.split(".")[1] for path in added if path.startswith(f"{LINES}.")}
    for position in sorted(gone, reverse=True):
        if position < len(left):
            yield removed_line(left, position, by=line["by"])
            del left[position]
        elif str(position) not in by_person:  # it cannot be found again, and that is to be told
            yield RemovedLine(gone[position] or {}, position, 1, line["by"])


def _moved_up(values: Mapping[str, PersonsValue], gone: Collection[int]) -> dict[str, PersonsValue]:
    """Return the values under the paths that they have without the lines that are gone."""
    moved = {}
    for one in values.values():
        group, _, rest = one.field.partition(".")
        position, _, name = rest.partition(".")
        path = one.field
        if group == LINES:
            if int(position) in gone:
                continue
            path = f"{LINES}.{int(position) - sum(at < int(position) for at in gone)}.{name}"
        moved[path] = replace(one, field=path)
    return moved
