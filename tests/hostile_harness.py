"""Drop hostile files into a real daemon, an honest one behind each, and measure time and memory."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile_files import Hostile
from kill_harness import INVOICE, ROOT, Daemon, stand_in

from pipeline.job import FINISHED

_LIMIT_SECONDS = 60.0
_LOOK_SECONDS = 0.01
# A PDF without its end is not waited for here: it never comes.
_SETTINGS = """[intake]
settle_seconds = 0.1
rescan_seconds = 0.3
unfinished_pdf_seconds = 0.3
[jobs]
attempts = 1
"""


@dataclass(frozen=True)
class Measured:
    """Hold what became of one file; `peak_mb` is the most memory a reader process held meanwhile."""

    name: str
    state: str
    reason: str
    seconds: float
    peak_mb: float
    next_state: str


@dataclass(frozen=True)
class Siege:
    """Hold all files' fates and the daemon's own memory in megabytes."""

    measured: Sequence[Measured]
    before_mb: float
    after_mb: float


def besiege(folder: Path, files: Sequence[Hostile]) -> Siege:
    """Let one daemon take all files, one by one."""
    with stand_in("--slots", "4") as (base_url, _), _serving(folder, base_url) as daemon:
        for number in range(3):
            _drop_honest(folder, f"first-{number}")
        before = _memory_mb(daemon.process.pid, "VmRSS")
        measured = [_measure(folder, daemon, file) for file in files]
        return Siege(measured, before, _memory_mb(daemon.process.pid, "VmRSS"))


@contextmanager
def _serving(folder: Path, base_url: str) -> Iterator[Daemon]:
    (folder / "inbox").mkdir()
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "config" / "pipeline.toml").write_text(_SETTINGS, encoding="utf-8")
    with (folder / "daemon.log").open("ab") as log:
        daemon = Daemon(folder, base_url, log)
        try:
            yield daemon
        finally:
            daemon.end()


def _measure(folder: Path, daemon: Daemon, file: Hostile) -> Measured:
    data = file.make()
    _forget_peaks(daemon.process.pid)
    started, peak = time.monotonic(), 0.0

    def look() -> dict[str, Any] | None:
        nonlocal peak
        peak = max([peak, *(_memory_mb(pid, "VmHWM") for pid in _children(daemon.process.pid))])
        return _result(folder, file.name)

    (folder / "inbox" / file.name).write_bytes(data)
    result = _until(look, f"{file.name} has no result")
    seconds = time.monotonic() - started
    reason = (result["error"] or {}).get("type", "").removeprefix("DocumentError.") or "read"
    return Measured(file.name, result["status"], reason, seconds, peak, _drop_honest(folder, f"after-{file.name}"))


def _drop_honest(folder: Path, name: str) -> str:
    """Drop an honest invoice and return the state it ends in."""
    text = INVOICE.format(name=name, number=1000 + sum(map(ord, name)))
    (folder / "inbox" / f"{name}.txt").write_text(text)
    return str(_until(lambda: _result(folder, f"{name}.txt"), f"{name} has no result")["status"])


def _result(folder: Path, name: str) -> dict[str, Any] | None:
    for state in FINISHED:
        for path in (folder / "outbox" / state).glob("*/result.json"):
            result: dict[str, Any] = json.loads(path.read_bytes())
            if result["source"]["name"] == name:
                return result
    return None


def _until(look: Callable[[], dict[str, Any] | None], problem: str) -> dict[str, Any]:
    ends = time.monotonic() + _LIMIT_SECONDS
    while (found := look()) is None:
        assert time.monotonic() < ends, problem
        time.sleep(_LOOK_SECONDS)
    return found


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def _memory_mb(pid: int, name: str) -> float:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1000
    return 0.0


def _forget_peaks(pid: int) -> None:
    """Let the system count the readers' most memory anew."""
    for child in _children(pid):
        with suppress(OSError):
            Path(f"/proc/{child}/clear_refs").write_text("5")


def usable() -> bool:
    """Say whether this system tells the memory of other processes."""
    return Path("/proc/self/clear_refs").exists()
