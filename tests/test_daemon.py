"""The daemon as a process: files that come in every way, a server that comes and goes, and every kind of stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kill_harness import INVOICE, ROOT, SAMPLES, Daemon, stand_in

from pipeline.job import FINISHED

pytestmark = pytest.mark.slow
_LIMIT_SECONDS = 60.0
_SECOND_SIGNAL_SECONDS = 2.0
_GRACE = "[daemon]\ngrace_seconds = 1.0\n"


@contextmanager
def serving(folder: Path, base_url: str, *, settings: str = "") -> Iterator[Daemon]:
    """Serve the folder for as long as the block runs; end the daemon if the block did not."""
    (folder / "inbox").mkdir(exist_ok=True)
    with (folder / "daemon.log").open("ab") as log:
        daemon = Daemon(folder, base_url, log, settings=settings)
        try:
            until(lambda: b"service.started" in daemon.told() or daemon.process.poll() is not None)
            yield daemon
        finally:
            daemon.end()


def until(condition: Callable[[], object], *, limit_seconds: float = _LIMIT_SECONDS) -> None:
    """Look from outside until it is so."""
    ends = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < ends, "it did not become so"
        time.sleep(0.02)


def told(folder: Path, event: str) -> list[dict[str, Any]]:
    """Return what the daemon logged under that name."""
    lines = (folder / "daemon.log").read_text().splitlines()
    entries = (json.loads(line) for line in lines if line.startswith("{"))
    return [entry for entry in entries if entry["event"] == event]


def drop(folder: Path, *numbers: int) -> None:
    for number in numbers:
        text = INVOICE.format(name=f"Works {number}", number=number)
        (folder / "inbox" / f"invoice-{number}.txt").write_text(text)


def results(folder: Path) -> list[dict[str, Any]]:
    finished = [path for state in FINISHED for path in (folder / "outbox" / state).glob("*/result.json")]
    return [json.loads(path.read_bytes()) for path in sorted(finished)]


def names(folder: Path) -> list[str]:
    return sorted(result["source"]["name"] for result in results(folder))


def test_files_come_in_every_way(tmp_path: Path) -> None:
    """Dropped, moved in, a hundred at once, written slowly, deleted: each is taken once and whole, or not."""
    with stand_in("--slots", "8") as (base_url, _), serving(tmp_path, base_url) as daemon:
        drop(tmp_path, 1)
        until(lambda: names(tmp_path) == ["invoice-1.txt"])

        other, sample = (path.read_bytes() for path in sorted(SAMPLES.glob("*.pdf"))[:2])
        growing = tmp_path / "inbox" / "growing.pdf"
        (tmp_path / "moved.pdf").write_bytes(other)
        (tmp_path / "moved.pdf").rename(tmp_path / "inbox" / "moved.pdf")
        (tmp_path / "inbox" / "gone.txt").write_text("deleted before it rests")
        (tmp_path / "inbox" / "gone.txt").unlink()
        with growing.open("wb") as file:
            for part in range(10):
                file.write(sample[part * len(sample) // 10 : (part + 1) * len(sample) // 10])
                file.flush()
                assert growing.exists(), "taken before it was whole"
                time.sleep(0.3)  # three times as long as a file has to rest: its end is missing
        until(lambda: len(results(tmp_path)) == 3)

        began = time.monotonic()
        drop(tmp_path, *range(100, 200))
        until(lambda: len(results(tmp_path)) == 103)
        print(f"a hundred files at once: {time.monotonic() - began:.1f} s")  # noqa: T201
        assert daemon.stop() == 0
    assert "growing.pdf" in names(tmp_path)
    assert "gone.txt" not in names(tmp_path)
    assert not list((tmp_path / "inbox").iterdir())
    assert {result["status"] for result in results(tmp_path)} <= {"done", "review"}


def test_a_server_that_comes_and_goes_fails_nothing(tmp_path: Path) -> None:
    """LM Studio is absent at the start, comes, goes in the middle of work, and comes back: every file ends well."""
    port = _free_port()
    with serving(tmp_path, f"http://127.0.0.1:{port}/v1") as daemon:
        drop(tmp_path, *range(1, 4))
        until(lambda: told(tmp_path, "host.lost"))
        with stand_in("--port", str(port)):
            until(lambda: len(results(tmp_path)) == 3)
        drop(tmp_path, *range(10, 30))
        with stand_in("--port", str(port), "--delay-seconds", "0.3"):
            until(lambda: len(results(tmp_path)) > 5)
        lost = len(told(tmp_path, "host.lost"))
        time.sleep(1.0)
        with stand_in("--port", str(port)):
            until(lambda: len(results(tmp_path)) == 23)
        assert daemon.stop() == 0
    assert {result["status"] for result in results(tmp_path)} == {"done"}
    assert {result["usage"]["attempts"] for result in results(tmp_path)} == {1}
    assert lost <= 3, "the log says once that the server is away"


def test_power_cuts_while_the_server_is_away_fail_nothing(tmp_path: Path) -> None:
    """More of them than a job has attempts: it was waiting each time, and ends well when LM Studio is back."""
    port = _free_port()
    for cuts in range(1, 6):
        with serving(tmp_path, f"http://127.0.0.1:{port}/v1") as daemon:
            drop(tmp_path, cuts)
            until(lambda cuts=cuts: _count_events(tmp_path, "wait.started") >= cuts)  # type: ignore[misc]
            daemon.kill()
    with stand_in("--port", str(port)), serving(tmp_path, f"http://127.0.0.1:{port}/v1") as daemon:
        until(lambda: len(results(tmp_path)) == 5)
        assert daemon.stop() == 0
    assert {result["status"] for result in results(tmp_path)} == {"done"}


def test_a_second_daemon_is_refused_with_the_process_id_of_the_first(tmp_path: Path) -> None:
    """Exit code 2 and one clear sentence; the lock of a killed daemon is free."""
    with stand_in() as (base_url, _):
        with serving(tmp_path, base_url) as first:
            where = ("--inbox", str(tmp_path / "inbox"), "--outbox", str(tmp_path / "outbox"), "--base-url", base_url)
            command = [sys.executable, "-m", "pipeline", "serve", *where]
            second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
            assert second.returncode == 2
            assert str(first.process.pid) in second.stderr
            first.kill()
        with serving(tmp_path, base_url) as third:
            assert third.stop() == 0


def test_the_first_signal_lets_running_sessions_finish(tmp_path: Path) -> None:
    """What was claimed is finished, what was not stays in the inbox, and the exit code is 0."""
    with stand_in("--delay-seconds", "0.4") as (base_url, _), serving(tmp_path, base_url) as daemon:
        drop(tmp_path, 1)
        until(lambda: _has_event(tmp_path, "model.replied"))
        daemon.process.send_signal(signal.SIGINT)
        until(lambda: told(tmp_path, "service.draining"))
        drop(tmp_path, 2)
        assert daemon.process.wait(_LIMIT_SECONDS) == 0
    assert names(tmp_path) == ["invoice-1.txt"]
    assert [path.name for path in (tmp_path / "inbox").iterdir()] == ["invoice-2.txt"]
    assert not list((tmp_path / "outbox" / "working").iterdir())


def test_the_second_signal_interrupts_while_the_server_hangs(tmp_path: Path) -> None:
    """The process is gone within two seconds; the interruption is on record, costs nothing, and the job goes on."""
    hangs = json.dumps([{"fault": "hang", "nth": 2, "times": None}])
    with stand_in("--faults", hangs) as (base_url, _), serving(tmp_path, base_url) as daemon:
        drop(tmp_path, 1)
        until(lambda: _has_event(tmp_path, "document.read"))
        until(lambda: told(tmp_path, "host.found"))
        time.sleep(0.3)
        assert _interrupted_after(daemon, tmp_path) < _SECOND_SIGNAL_SECONDS
    assert _has_event(tmp_path, "attempt.interrupted")
    with stand_in() as (base_url, _), serving(tmp_path, base_url) as daemon:
        until(lambda: len(results(tmp_path)) == 1)
        assert daemon.stop() == 0
    assert results(tmp_path)[0]["usage"]["attempts"] == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the reader process through /proc")
def test_the_second_signal_interrupts_while_a_reader_hangs(tmp_path: Path) -> None:
    """A parser that does not come back keeps nobody: it is ended with the daemon."""
    with stand_in() as (base_url, _), serving(tmp_path, base_url) as daemon:
        drop(tmp_path, 1)
        until(lambda: len(results(tmp_path)) == 1)
        readers = _children(daemon.process.pid)
        assert readers
        for reader in readers:
            os.kill(reader, signal.SIGSTOP)
        drop(tmp_path, 2)
        until(lambda: list((tmp_path / "outbox" / "working").glob("*/source*")))
        until(lambda: _has_event(tmp_path, "attempt.started"))
        time.sleep(0.3)
        assert _interrupted_after(daemon, tmp_path) < _SECOND_SIGNAL_SECONDS
        assert not [reader for reader in readers if Path(f"/proc/{reader}").exists()]
    assert _has_event(tmp_path, "attempt.interrupted")


def test_signals_while_the_server_is_away(tmp_path: Path) -> None:
    """A session that waits for LM Studio is given the grace time and then left, resumable, with exit code 0."""
    with serving(tmp_path, f"http://127.0.0.1:{_free_port()}/v1", settings=_GRACE) as daemon:
        drop(tmp_path, 1)
        until(lambda: told(tmp_path, "host.lost") and _has_event(tmp_path, "attempt.started"))
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
        assert time.monotonic() - began < 1.0 + _SECOND_SIGNAL_SECONDS
    assert _has_event(tmp_path, "attempt.interrupted")


@pytest.mark.parametrize("after_seconds", [0.05, 0.3, 0.6, 0.9])
def test_a_signal_during_start_up_ends_it(tmp_path: Path, after_seconds: float) -> None:
    """Whenever it comes, the process is gone soon; before it listens for signals the system ends it."""
    (tmp_path / "inbox").mkdir()
    drop(tmp_path, 1)
    with stand_in() as (base_url, _), (tmp_path / "daemon.log").open("ab") as log:
        daemon = Daemon(tmp_path, base_url, log, settings=_GRACE)
        try:
            time.sleep(after_seconds)
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(6) in (0, -signal.SIGTERM)
        finally:
            daemon.end()
    assert "Traceback" not in (tmp_path / "daemon.log").read_text()
    sources = [*tmp_path.glob("inbox/*.txt"), *tmp_path.glob("outbox/*/*/source.txt")]
    assert len(sources) == 1


def _interrupted_after(daemon: Daemon, folder: Path) -> float:
    """Send both signals; return how long the daemon lived after the second, in seconds."""
    daemon.process.send_signal(signal.SIGINT)
    until(lambda: told(folder, "service.draining"))
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGINT)
    code = daemon.process.wait(30)
    lasted = time.monotonic() - began
    print(f"second signal: {lasted:.2f} s, exit code {code}")  # noqa: T201
    return lasted


def _has_event(folder: Path, name: str) -> bool:
    return _count_events(folder, name) > 0


def _count_events(folder: Path, name: str) -> int:
    traces = (folder / "outbox").glob("working/*/trace.jsonl")
    return sum(path.read_text().count(f'"event":"{name}"') for path in traces)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
