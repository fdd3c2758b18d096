"""Start-up and intake: time and memory with many files waiting or finished, and the time from a drop to a request.

    python tests/benchmarks/intake.py [--waiting 10000,100000] [--finished 100000] [--drops 60]

Each measurement starts `pipeline serve` as a child on folders of its own. Waiting files are looked at with nobody at
LM Studio's address, so that nothing but the intake works. Latencies are given as multiples of `settle_seconds`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import create_engine

from pipeline.index import JobIndex
from pipeline.job import STEP_EVENTS, Claim
from pipeline.trace import read_events

SETTLE_SECONDS = 1.0
TIME_LIMIT_SECONDS = 300.0
NOBODY = "http://127.0.0.1:9/v1"


@dataclass(frozen=True)
class Start:
    """Hold what one start took: seconds from the process's start to each event, and the memory after it."""

    started: float
    claimed: float | None
    resident_megabytes: float


def main() -> None:
    """Print the tables."""
    options = _options()
    print(f"{'state':>20} {'started s':>10} {'first claim s':>14} {'resident MB':>12}")
    for number in options.waiting:
        _print(f"{number} waiting", _start_with_waiting(number))
    for number in options.finished:
        _print(f"{number} finished", _start_with_finished(number))
    latencies = _latencies(options.drops)
    print(f"\ndrop to first request, {len(latencies)} single files at rest, multiples of {SETTLE_SECONDS:g} s:")
    ranked = statistics.quantiles(latencies, n=100)
    print(f"p50 {ranked[49] / SETTLE_SECONDS:.2f}, p99 {ranked[98] / SETTLE_SECONDS:.2f}")


def _options() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",") if part]

    parser = argparse.ArgumentParser(description="Measure start-up and intake.")
    parser.add_argument("--waiting", type=numbers, default=[0, 10_000, 100_000])
    parser.add_argument("--finished", type=numbers, default=[100_000])
    parser.add_argument("--drops", type=int, default=60)
    return parser.parse_args()


def _print(name: str, start: Start) -> None:
    claimed = "-" if start.claimed is None else f"{start.claimed:.2f}"
    print(f"{name:>20} {start.started:>10.2f} {claimed:>14} {start.resident_megabytes:>12.0f}", flush=True)


def _start_with_waiting(number: int) -> Start:
    with tempfile.TemporaryDirectory() as place:
        inbox = Path(place) / "inbox"
        inbox.mkdir()
        for index in range(number):
            (inbox / f"bill-{index:06}.txt").write_text(f"Invoice {index}\n")
        return _start(Path(place), expect_claim=number > 0)


def _start_with_finished(number: int) -> Start:
    """Lay the folders of finished jobs and their index, as so many jobs would have left them."""
    with tempfile.TemporaryDirectory() as place:
        done = Path(place) / "outbox" / "done"
        done.mkdir(parents=True)
        claims = []
        for index in range(number):
            job = f"bill-{index:012x}"
            (done / job).mkdir()
            claims.append((Claim(job, "invoice", f"{index}.txt", "0" * 64, 1, "2026-01-01T00:00:00.000Z"), None))
        database = create_engine(f"sqlite:///{Path(place) / 'outbox' / 'pipeline.sqlite'}")
        JobIndex(database).rebuild(claims)
        database.dispose()
        return _start(Path(place), expect_claim=False)


def _start(place: Path, *, expect_claim: bool) -> Start:
    began = time.monotonic()
    with _daemon(place, NOBODY) as process:
        started = claimed = None
        for name in _events(process):
            if name == "service.started":
                started = time.monotonic() - began
            if name == "job.claimed":
                claimed = time.monotonic() - began
            if started and (claimed or not expect_claim):
                break
        assert started is not None
        return Start(started, claimed, _resident_megabytes(process.pid))


def _latencies(drops: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, _stand_in() as base_url, _daemon(Path(folder), base_url) as process:
        inbox = Path(folder) / "inbox"
        events = _events(process)
        assert next(events) == "service.started"
        found = []
        for index in range(drops + 1):
            dropped = time.time()
            (inbox / f"{index}.txt").write_text(f"Invoice no. {index}\nTotal EUR {index}.00\n")
            while next(events) != "job.finished":
                pass
            found.append(_first_request(Path(folder) / "outbox", index) - dropped)
        return found[1:]  # the first waits for the model library


def _first_request(outbox: Path, index: int) -> float:
    """Return the time of the job's first request to the model, in seconds since the epoch, from its trace."""
    (trace,) = outbox.glob(f"*/{index}-*/trace.jsonl")
    reply = next(one for one in read_events(trace) if one["event"] == STEP_EVENTS["model"])
    return datetime.fromisoformat(reply["at"]).timestamp() - float(reply["seconds"])


@contextmanager
def _daemon(place: Path, base_url: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "PIPELINE_FOLDERS__INBOX": str(place / "inbox"),
        "PIPELINE_FOLDERS__OUTBOX": str(place / "outbox"),
        "PIPELINE_LLM__BASE_URL": base_url,
        "PIPELINE_INTAKE__SETTLE_SECONDS": str(SETTLE_SECONDS),
    }
    command = [sys.executable, "-m", "pipeline", "serve", "--log-format", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _stand_in() -> Iterator[str]:
    command = [sys.executable, "-m", "pipeline.llm.standin"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["base_url"]
        process.terminate()


def _events(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stderr is not None
    limit = time.monotonic() + TIME_LIMIT_SECONDS
    for line in process.stderr:
        assert time.monotonic() < limit, "the daemon took too long"
        if line.startswith("{"):
            yield json.loads(line)["event"]


def _resident_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main()
