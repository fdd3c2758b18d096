"""Requests to the running daemon: small files that it finds when it looks, since only one process holds the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.disk import Disk, names_in

_FOLDER = ".requests"
_FRESH, _RESUME = ".replay", ".resume"


@dataclass(frozen=True)
class ReplayRequest:
    """Ask for one job to be tried again; `fresh` from the start, else after its last recorded step."""

    job: str
    fresh: bool


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

    def done(self, request: ReplayRequest) -> None:
        """Take a request away."""
        self._disk.remove(self._path(request))

    def _path(self, request: ReplayRequest) -> Path:
        return self._folder / (request.job + (_FRESH if request.fresh else _RESUME))
