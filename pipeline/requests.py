"""Requests to the running daemon: small files that it finds when it looks, since only one process holds the outbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import structlog

from pipeline.disk import Disk, names_in

log = structlog.get_logger()

_FOLDER = ".requests"
_FRESH, _RESUME, _CORRECT = ".replay", ".resume", ".correct"


@dataclass(frozen=True)
class ReplayRequest:
    """Ask for one job to be tried again; `fresh` from the start, else after its last recorded step."""

    job: str
    fresh: bool


@dataclass(frozen=True)
class CorrectionRequest:
    """Ask for one job to be corrected; `asked` is what was left, as plain JSON, `name` that of the request itself."""

    job: str
    name: str
    asked: dict[str, Any]


class Requests:
    """Leave and find requests in the outbox."""

    def __init__(self, outbox: Path, disk: Disk) -> None:
        self._folder = outbox / _FOLDER
        self._disk = disk

    def leave(self, request: ReplayRequest) -> None:
        """Leave a request for the daemon."""
        self._disk.make_folder(self._folder)
        self._disk.publish(self._path(request), b"")

    def waiting(self) -> Iterator[ReplayRequest]:
        """Yield the requests that lie there."""
        for name in sorted(names_in(self._folder)):
            path = Path(name)
            if path.suffix in (_FRESH, _RESUME):
                yield ReplayRequest(path.stem, fresh=path.suffix == _FRESH)

    def leave_correction(self, job: str, key: str, asked: bytes) -> None:
        """Leave a correction; the key tells those of one job apart and gives their order."""
        self._disk.make_folder(self._folder)
        self._disk.publish(self._folder / f"{job}.{key}{_CORRECT}", asked)

    def holds_correction(self, job: str, key: str) -> bool:
        """Say whether a correction lies there still."""
        return (self._folder / f"{job}.{key}{_CORRECT}").exists()

    def corrections(self) -> Iterator[CorrectionRequest]:
        """Yield the corrections that lie there, those of one job in the order in which they were asked for."""
        for name in sorted(names_in(self._folder)):
            path = self._folder / name
            if path.suffix != _CORRECT or name.startswith("."):
                continue
            try:
                asked = json.loads(path.read_bytes(), parse_float=Decimal)
                asked["key"], asked["at"], asked["by"], asked["values"], asked["accept"]
            except (ValueError, TypeError, KeyError):
                log.warning("request.ignored", path=str(path), reason="it is no correction")
                continue
            yield CorrectionRequest(name.partition(".")[0], name, asked)

    def correction_done(self, request: CorrectionRequest) -> None:
        """Take a correction away that was made."""
        self._disk.remove(self._folder / request.name)

    def done(self, request: ReplayRequest) -> None:
        """Take a request away."""
        self._disk.remove(self._path(request))

    def _path(self, request: ReplayRequest) -> Path:
        return self._folder / (request.job + (_FRESH if request.fresh else _RESUME))
