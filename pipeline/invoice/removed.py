"""Take out the invoice lines that a person removed: each is found again by what it held, not by its position alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.invoice.by_person import CORRECTED
from pipeline.invoice.checks import error, info
from pipeline.invoice.model import Finding
from pipeline.invoice.paths import same

LINES = "line_items"
_ENTRY = re.compile(rf"{LINES}\.(\d{{1,6}})")

Line = Mapping[str, Any]


@dataclass(frozen=True)
class RemovedLine:
    """Hold a line that a person removed, as it had been read: at which position, and among how many equal ones."""

    line: Line
    position: int
    equals: int
    by: str


@dataclass(frozen=True)
class LinesLeft:
    """Hold the positions of the lines that go, counted from 0, and what is to be said of all removals."""

    gone: frozenset[int]
    findings: tuple[Finding, ...]


def entry_position(path: str) -> int | None:
    """Return the position of the line that a path such as `line_items.3` names, None where it names something else."""
    found = _ENTRY.fullmatch(path)
    return int(found[1]) if found else None


def removed_line(lines: Sequence[Line], position: int, *, by: str) -> RemovedLine:
    """Return what is to be known of a line that is removed."""
    line = lines[position]
    return RemovedLine(line, position, sum(_equal(line, other) for other in lines), by)


def lines_left(lines: Sequence[Line], removed: Sequence[RemovedLine]) -> LinesLeft:
    """Find the removed lines among those that were read, perhaps another time.

    Where fewer lines are equal to a removed one than there were, the reading may have mended itself: then none goes,
    and a person should look.
    """
    gone: set[int] = set()
    findings = []
    for one in removed:
        equal = [at for at, line in enumerate(lines) if at not in gone and _equal(line, one.line)]
        if not equal or len(equal) < one.equals:
            message = f"{one.by} removed the line {_told(one.line)}, which this reading has not: nothing was removed."
            findings.append(error("correction_not_applied", LINES, message))
            continue
        gone.add(min(equal, key=lambda at: abs(at - one.position)))
        findings.append(info(CORRECTED, LINES, f"{one.by} removed the line {_told(one.line)}."))
    return LinesLeft(frozenset(gone), tuple(findings))


def without(lines: Sequence[Any], gone: frozenset[int]) -> list[Any]:
    """Return the lines that stay."""
    return [line for at, line in enumerate(lines) if at not in gone]


def _equal(first: Line, second: Line) -> bool:
    names = {**first, **second}
    return all(same(f"{LINES}.0.{name}", first.get(name), second.get(name)) for name in names)


def _told(line: Line) -> str:
    words = [f"“{line['description']}”"] if line.get("description") else []
    return ", ".join([*words, *([str(line["total"])] if line.get("total") is not None else [])]) or "without values"
