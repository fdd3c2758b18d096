"""The inbox: what lies in it, what of it is ready to be taken, and why the rest is not.

The listing is the truth; file events only say "look now". Deciding is pure: `Settling` is shown listings and told the
time, and waits for each file until size and time have been still for a while.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from pipeline.disk import TEMPORARY_SUFFIX
from pipeline.trace import TRACE_NAME

DEFAULT_AGENT = "invoice"
_PDF_END_WINDOW_BYTES = 2048
_UNFINISHED_LOOK_SECONDS = 1.0
_TEMPORARY_SUFFIXES = (".part", ".crdownload", ".tmp", ".partial", ".download", TEMPORARY_SUFFIX)


class IntakeSettings(BaseModel, frozen=True, extra="forbid"):
    """Say how files are noticed and when one counts as complete."""

    settle_seconds: float = Field(2.0, ge=0, le=3600, description="size and time must be still for so many seconds")
    unfinished_pdf_seconds: float = Field(
        30.0, ge=0, le=3600, description="a PDF whose end is missing is waited for so many seconds, then taken as it is"
    )
    rescan_seconds: float = Field(10.0, gt=0, le=3600, description="the folder is looked at at least so often")
    polling: str = Field(
        "auto", pattern="^(auto|always|never)$", description="look by polling: auto (network folders), always, never"
    )


@dataclass(frozen=True)
class Seen:
    """Hold one look at one file; `size` in bytes, `mtime_ns` in nanoseconds since the epoch.

    A `returned` one is the folder of a job that a person moved back into the inbox, seen by its trace; it has no agent.
    """

    path: Path
    agent: str
    size: int
    mtime_ns: int
    inode: int
    returned: bool = False

    def has_changed(self) -> bool:
        """Say whether the file is not any more as it was seen."""
        try:
            status = self.path.lstat()
        except OSError:
            return True
        return (status.st_size, status.st_mtime_ns, status.st_ino) != (self.size, self.mtime_ns, self.inode)


@dataclass(frozen=True)
class Ignored:
    """Name something in the inbox that is not taken, and say why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Listing:
    """Hold one look at the whole inbox."""

    files: tuple[Seen, ...] = ()
    ignored: tuple[Ignored, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Say which files have rested, oldest first, and in how many seconds another look may be worth it."""

    ready: tuple[Seen, ...]
    look_again_seconds: float | None


def list_inbox(inbox: Path, agents: Mapping[str, Collection[str]]) -> Listing:
    """Look at the inbox and its agent folders; `agents` maps each agent to the file suffixes it takes, all if empty.

    Raises OSError where the inbox itself cannot be read.
    """
    files: list[Seen] = []
    ignored: list[Ignored] = []
    for found in _entries(inbox, agents):
        (files if isinstance(found, Seen) else ignored).append(found)  # type: ignore[arg-type]
    return Listing(tuple(files), tuple(ignored))


class Settling:
    """Remember since when each file has been still."""

    def __init__(self, settings: IntakeSettings) -> None:
        self._settings = settings
        self._since: dict[Path, tuple[tuple[int, int, int], float]] = {}

    def observe(self, files: Collection[Seen], *, now: float) -> Decision:
        """Take in a listing at monotonic time `now` (seconds) and say what is ready."""
        self._since = {seen.path: self._still_since(seen, now) for seen in files}
        settle = self._settings.settle_seconds
        ready = [seen for seen in files if now - self._since[seen.path][1] >= settle and self._is_whole(seen, now)]
        ready.sort(key=lambda seen: (seen.mtime_ns, seen.path.name))
        taken = {seen.path for seen in ready}
        waits = [self._wait(now - since) for path, (_, since) in self._since.items() if path not in taken]
        return Decision(tuple(ready), min(waits, default=None))

    def forget(self, path: Path) -> None:
        """Start again with a file, as when it changed while it was being claimed."""
        self._since.pop(path, None)

    def _wait(self, still: float) -> float:
        left = self._settings.settle_seconds - still
        return max(left, 0.05) if left > 0 else _UNFINISHED_LOOK_SECONDS

    def _still_since(self, seen: Seen, now: float) -> tuple[tuple[int, int, int], float]:
        signature = (seen.size, seen.mtime_ns, seen.inode)
        before = self._since.get(seen.path)
        return before if before and before[0] == signature else (signature, now)

    def _is_whole(self, seen: Seen, now: float) -> bool:
        if seen.path.suffix.lower() != ".pdf":
            return True
        still = now - self._since[seen.path][1]
        return still >= self._settings.unfinished_pdf_seconds or has_pdf_end(seen.path)


def has_pdf_end(path: Path) -> bool:
    """Say whether the file ends as a PDF does; a file that is none, or is gone, counts as ended."""
    try:
        with path.open("rb") as file:
            if not file.read(1024).lstrip().startswith(b"%PDF-"):
                return True
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _PDF_END_WINDOW_BYTES))
            return b"%%EOF" in file.read()
    except OSError:
        return True


def reason_to_ignore(name: str, mode: int) -> str | None:
    """Say why something of that name and file mode is never taken, or None."""
    if stat.S_ISLNK(mode):
        return "a symbolic link: drop the file itself"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    if name.startswith("."):
        return "a hidden file"
    if name.startswith("~$"):
        return "a lock file of an office program"
    if name.lower().endswith(_TEMPORARY_SUFFIXES):
        return "a file that is still being written, by its name"
    return None


def wrong_kind(path: Path, suffixes: Collection[str]) -> str | None:
    """Say why an agent that takes these suffixes, all if empty, does not take the file, or None."""
    if not suffixes or path.suffix.lower() in suffixes:
        return None
    return f"not a kind of file this agent takes ({', '.join(sorted(suffixes))})"


def _entries(inbox: Path, agents: Mapping[str, Collection[str]]) -> Iterator[Seen | Ignored]:
    with os.scandir(inbox) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _agent_folder(entry, agents)
            else:
                yield from _look(entry, DEFAULT_AGENT, agents)


def _agent_folder(folder: os.DirEntry[str], agents: Mapping[str, Collection[str]]) -> Iterator[Seen | Ignored]:
    if folder.name not in agents:
        returned = _returned_job(Path(folder.path))
        if returned is not None:
            yield returned
        elif not folder.name.startswith("."):
            known = ", ".join(sorted(agents))
            yield Ignored(Path(folder.path), f"a folder, but no agent has this name (agents: {known})")
        return
    try:
        entries = list(os.scandir(folder.path))
    except OSError as error:
        yield Ignored(Path(folder.path), f"this agent's folder cannot be read: {error.strerror}")
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield Ignored(Path(entry.path), "a folder inside an agent's folder")
        else:
            yield from _look(entry, folder.name, agents)


def _returned_job(folder: Path) -> Seen | None:
    try:
        status = (folder / TRACE_NAME).lstat()
    except OSError:
        return None
    return Seen(folder, "", status.st_size, status.st_mtime_ns, status.st_ino, returned=True)


def _look(entry: os.DirEntry[str], agent: str, agents: Mapping[str, Collection[str]]) -> Iterator[Seen | Ignored]:
    path = Path(entry.path)
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # gone between listing and looking
    reason = (
        reason_to_ignore(entry.name, status.st_mode) or wrong_kind(path, agents.get(agent, ())) or _unreadable(path)
    )
    if reason is None:
        yield Seen(path, agent, status.st_size, status.st_mtime_ns, status.st_ino)
    elif entry.name != ".gitkeep":
        yield Ignored(path, reason)


def _unreadable(path: Path) -> str | None:
    if os.access(path, os.R_OK) or not path.exists():
        return None
    return "it cannot be read: give the daemon the right to"
