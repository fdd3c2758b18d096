"""Kill the daemon again and again while files come in, and count what is lost, doubled or asked twice.

    python tests/kill_harness.py --kills 200 --seed 1

`pipeline serve` and the stand-in server run as children; only they are ended, by their process ids.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "pipeline" / "demo_samples"
_LINE = "{name} Ltd\n{number} Quay Street, Bristol BS1 4DB\n\nInvoice number: K-{number}\nDate: 2025-03-04\n"
INVOICE = _LINE + "Currency: GBP\n\nRepair    100.00\nNet       100.00\nVAT 20 %   20.00\nTotal GBP 120.00\n"
_PDF_SAMPLES = 4
_STOP_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Plan:
    """Say how often, how fast and how long; times in seconds."""

    kills: int = 200
    seed: int = 1
    files: int = 0  # 0: two for each kill
    early_share: float = 0.2  # kills during start-up; the others come when the daemon is at work
    longest_start_seconds: float = 20.0
    longest_work_seconds: float = 2.5
    delay_seconds: float = 0.05
    time_limit_seconds: float = 900.0


@dataclass(frozen=True)
class Report:
    """Hold what came of it; `kills_at_work` are those that hit a daemon with jobs in working/.

    `repeated_calls_most` is the most that a single kill cost: each job in flight may lose the call it was waiting for.
    """

    kills: int
    kills_at_work: int
    files_in: int
    results: int
    by_state: dict[str, int]
    lost: int
    doubled: int
    doubled_records: int
    model_calls: int
    repeated_calls: int
    repeated_calls_per_kill: float
    repeated_calls_most: int
    left_in_inbox: int
    died_attempts_most: int
    seconds: float

    @property
    def good(self) -> bool:
        """Say whether the promises were kept."""
        whole = not (self.lost or self.doubled or self.doubled_records or self.left_in_inbox)
        return whole and not self.by_state.get("working")


class Daemon:
    """Run `pipeline serve` as a child of ours."""

    def __init__(
        self,
        folder: Path,
        base_url: str,
        log: IO[bytes],
        *,
        script: Path | None = None,
        settings: str = "",
    ) -> None:
        self.log_path = Path(log.name)
        self._log_starts = self.log_path.stat().st_size
        self._folder = folder
        config = folder / "config"
        if not config.exists():
            shutil.copytree(ROOT / "config", config)
            (config / "pipeline.toml").write_text(_SETTINGS + settings, encoding="utf-8")
        where = ("--inbox", str(folder / "inbox"), "--outbox", str(folder / "outbox"), "--base-url", base_url)
        program = [str(script)] if script else ["-m", "pipeline"]
        command = [sys.executable, *program, "serve", *where, "--log-format", "json"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(config), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def told(self) -> bytes:
        """Return what this daemon has logged so far."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_starts)
            return log.read()

    def is_idle(self) -> bool:
        """Say whether nothing waits and nothing is in work."""
        working = self._folder / "outbox" / "working"
        waiting = [path for path in (self._folder / "inbox").iterdir() if path.is_file()]
        return working.is_dir() and not waiting and not any(working.iterdir())

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Stop it in good order and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_PATIENCE_SECONDS)

    def end(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.kill()


_SETTINGS = """[intake]
settle_seconds = 0.1
rescan_seconds = 0.5
[jobs]
first_delay_seconds = 0.1
[llm]
probe_interval_seconds = 0.2
probe_interval_max_seconds = 0.5
"""


@contextmanager
def stand_in(*options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the stand-in server as a child; yield its address and process."""
    command = [sys.executable, "-m", "pipeline.llm.standin", "--log-requests", "1000000", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["base_url"], process
        finally:
            process.terminate()


def run(plan: Plan, folder: Path) -> Report:
    """Carry out the plan in the folder; leave everything there for a look."""
    chance = random.Random(plan.seed)
    started = time.monotonic()
    (folder / "inbox").mkdir(parents=True)
    files = _Files(folder / "inbox", chance, plan.files or 2 * plan.kills)
    kills_at_work = kills = 0
    asked_before: list[int] = []
    with (
        stand_in("--delay-seconds", str(plan.delay_seconds)) as (base_url, _),
        (folder / "daemon.log").open("ab") as log,
    ):
        daemon = Daemon(folder, base_url, log)
        try:
            while kills < plan.kills and time.monotonic() - started < plan.time_limit_seconds:
                share = files.total / plan.kills
                if chance.random() >= plan.early_share:
                    _until_at_work(daemon, limit_seconds=plan.longest_start_seconds)
                _live(daemon, chance.uniform(0, plan.longest_work_seconds), files, share)
                kills_at_work += any((folder / "outbox" / "working").glob("*/trace.jsonl"))
                daemon.kill()
                kills += 1
                asked_before.append(len(_requests(base_url)))
                daemon = Daemon(folder, base_url, log)
            files.drop_all()
            _until_worked_off(daemon, limit_seconds=120)
            daemon.stop()
        finally:
            daemon.end()
        requests = _requests(base_url)
    seconds = time.monotonic() - started
    return _report(folder, files, requests, asked_before, kills_at_work=kills_at_work, seconds=seconds)


class _Files:
    """Make files, each with content of its own, and remember their digests."""

    def __init__(self, inbox: Path, chance: random.Random, total: int) -> None:
        self.total = total
        self.digests: set[str] = set()
        self._inbox = inbox
        self._chance = chance
        self._samples = sorted(SAMPLES.glob("*.pdf"))[:_PDF_SAMPLES]

    @property
    def left(self) -> int:
        return self.total - len(self.digests)

    def drop(self) -> None:
        """Drop one file, renamed into place."""
        number = len(self.digests) + 1
        name, content = self._make(number)
        self.digests.add(hashlib.sha256(content).hexdigest())
        temporary = self._inbox / f".{name}.part"
        temporary.write_bytes(content)
        temporary.rename(self._inbox / name)

    def drop_all(self) -> None:
        while self.left:
            self.drop()

    def _make(self, number: int) -> tuple[str, bytes]:
        if number <= len(self._samples):
            sample = self._samples[number - 1]
            return sample.name, sample.read_bytes()
        text = INVOICE.format(name=f"Works {self._chance.randrange(10**9)}", number=number)
        return f"invoice-{number}.txt", text.encode()


def _live(daemon: Daemon, seconds: float, files: _Files, share: float) -> None:
    """Let the daemon live so long while about `share` files are dropped."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        if files.left and files._chance.random() < share / max(seconds / 0.2, 1):
            files.drop()
        if daemon.process.poll() is not None:
            raise SystemExit(f"the daemon ended by itself with {daemon.process.returncode}; see {daemon.log_path}")
        time.sleep(min(0.2, left))


def _until_at_work(daemon: Daemon, *, limit_seconds: float) -> None:
    """Wait until the daemon's session has found its host, or there is nothing for it to do."""
    ends = time.monotonic() + limit_seconds
    while time.monotonic() < ends and b"host.found" not in daemon.told() and daemon.process.poll() is None:
        time.sleep(0.02)
        if daemon.is_idle():
            return


def _until_worked_off(daemon: Daemon, *, limit_seconds: float) -> None:
    ends = time.monotonic() + limit_seconds
    while time.monotonic() < ends and daemon.process.poll() is None:
        if daemon.is_idle():
            return
        time.sleep(0.2)


def _report(
    folder: Path,
    files: _Files,
    requests: list[dict[str, Any]],
    asked_before: list[int],
    *,
    kills_at_work: int,
    seconds: float,
) -> Report:
    """Add up; `asked_before` counts for each kill the requests that the server had got by then."""
    kills = len(asked_before)
    outbox = folder / "outbox"
    results = [json.loads(path.read_bytes()) for path in outbox.glob("*/*/result.json")]
    per_content = Counter(result["source"]["sha256"] for result in results)
    kept = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in outbox.glob("*/*/source*"))
    waiting = [path for path in (folder / "inbox").iterdir() if path.is_file()]
    kept.update(hashlib.sha256(path.read_bytes()).hexdigest() for path in waiting)
    with sqlite3.connect(outbox / "pipeline.sqlite") as database:
        numbers = Counter(row[0] for row in database.execute("SELECT invoice_number FROM invoices"))
    calls = Counter(_identity(request) for request in requests if request["kind"] != "plain")
    return Report(
        kills=kills,
        kills_at_work=kills_at_work,
        files_in=len(files.digests),
        results=len(results),
        by_state={state.name: sum(1 for _ in state.iterdir()) for state in outbox.iterdir() if state.is_dir()},
        lost=sum(kept[one] != 1 or not per_content[one] for one in files.digests),
        doubled=sum(count > 1 for count in per_content.values()),
        doubled_records=sum(count > 1 for count in numbers.values()),
        model_calls=calls.total(),
        repeated_calls=calls.total() - len(calls),
        repeated_calls_per_kill=round((calls.total() - len(calls)) / max(kills, 1), 3),
        repeated_calls_most=max(_repeats_by_kill(requests, asked_before).values(), default=0),
        left_in_inbox=len(waiting),
        died_attempts_most=max((_attempts(path) for path in outbox.glob("*/*/trace.jsonl")), default=0) - 1,
        seconds=round(seconds, 1),
    )


def _repeats_by_kill(requests: list[dict[str, Any]], asked_before: list[int]) -> Counter[int]:
    """Count the repeated requests after each kill, up to the next."""
    seen: set[str] = set()
    repeats: Counter[int] = Counter()
    for place, request in enumerate(requests):
        if request["kind"] == "plain":
            continue
        identity = _identity(request)
        if identity in seen:
            repeats[bisect_right(asked_before, place)] += 1
        seen.add(identity)
    return repeats


def _requests(base_url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _get(f"{base_url.removesuffix('/v1')}/stand-in/log")["requests"]
    return found


def _identity(request: dict[str, Any]) -> str:
    parts = ("message_digests", "tools_digest", "schema_digest", "max_tokens")
    return json.dumps([request[part] for part in parts])


def _attempts(trace: Path) -> int:
    return trace.read_bytes().count(b'"attempt.started"')


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def _environment(config: Path) -> dict[str, str]:
    import os  # noqa: PLC0415 - nothing else here looks at the environment

    return {**os.environ, "PIPELINE_CONFIG": str(config)}


def main() -> int:
    """Read the options, run, print the report; 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=Plan.kills)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--folder", type=Path, help="work here; without it in a new temporary folder")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pipeline-kills-"))
    report = run(Plan(kills=options.kills, seed=options.seed), folder)
    sys.stdout.write(json.dumps(asdict(report), indent=1) + f"\nfolder: {folder}\n")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
