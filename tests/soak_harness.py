"""Run for as long as asked with everything going wrong at random, and count what is lost, doubled or grows.

    python tests/soak_harness.py --minutes 60 --seed 1

`pipeline serve` and one or two stand-in servers run as children. Files are dropped at random: fresh ones, the same
again under another name, damaged ones. The servers play faults, are killed and come back; in the first third of the
time the daemon is killed as well, so that its memory can be watched in the rest. Everything ends by itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from kill_harness import INVOICE, ROOT, SAMPLES, Daemon

from pipeline.job import FINISHED
from pipeline.llm.standin import Fault

_TICK_SECONDS = 0.2
_MOST_OPEN_FILES = 40
_SETTINGS = "timeout_seconds = 4.0\ncool_off_seconds = 0.5\n"


@dataclass(frozen=True)
class Plan:
    """Say how long and how much goes wrong; the rates are how often a minute, on the average."""

    minutes: float = 60.0
    seed: int = 1
    hosts: int = 2
    slots: int = 4
    delay_seconds: float = 0.3
    files_a_minute: float = 120.0
    faults_a_minute: float = 20.0
    host_kills_a_minute: float = 1.0
    daemon_kills_a_minute: float = 0.5
    host_away_seconds: float = 4.0
    settle_seconds: float = 150.0  # to work off what is left at the end


@dataclass(frozen=True)
class Look:
    """Hold one look at what runs, memory in megabytes; `daemon_age_seconds` counts from its last start."""

    at_seconds: int
    files_in: int
    finished: int
    daemon_mb: float
    daemon_age_seconds: int
    hosts_mb: tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """Hold what came of it; files are counted by content, `duplicates` were dropped beside them."""

    seconds: float
    files_in: int
    duplicates: int
    by_state: dict[str, int]
    failures: dict[str, int]
    lost: int
    doubled: int
    left_in_inbox: int
    faults: dict[str, int]
    host_kills: int
    daemon_kills: int
    most_attempts: int
    looks: list[Look]

    @property
    def good(self) -> bool:
        """Say whether every file ended once."""
        return not (self.lost or self.doubled or self.left_in_inbox or self.by_state.get("working"))


def run(plan: Plan, folder: Path) -> Report:
    """Carry out the plan in the folder; leave everything there for a look."""
    (folder / "inbox").mkdir(parents=True)
    with (folder / "daemon.log").open("ab") as log:
        soak = _Soak(plan, folder, log)
        try:
            soak.start()
            soak.live()
            soak.settle()
        finally:
            soak.end()
        return soak.report()


class _Host:
    """Run a stand-in server that keeps its address when it is killed."""

    def __init__(self, plan: Plan) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._plan = plan
        self.process: subprocess.Popen[bytes] | None = None
        self.back_at = 0.0

    def start(self) -> None:
        command = [sys.executable, "-m", "pipeline.llm.standin", "--port", str(self.port), "--log-requests", "10"]
        command += ["--slots", str(self._plan.slots), "--delay-seconds", str(self._plan.delay_seconds)]
        command += ["--hang-seconds", "8"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None

    def play(self, *faults: Fault, times: int = 1) -> None:
        """Let the next calls have these faults; none: forget those that are due."""
        rules = [{"fault": fault.value, "times": times} for fault in faults]
        body = json.dumps({"rules": rules, "clear": not faults}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/stand-in/faults", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=10) as reply:
            reply.read()


@dataclass
class _Dropped:
    """Count what went into the inbox, by content."""

    digests: dict[str, bytes] = field(default_factory=dict)
    files: int = 0
    duplicates: int = 0


class _Soak:
    def __init__(self, plan: Plan, folder: Path, log: IO[bytes]) -> None:
        self._plan, self._folder, self._log = plan, folder, log
        self._chance = random.Random(plan.seed)
        self._hosts = [_Host(plan) for _ in range(plan.hosts)]
        self._daemon: Daemon | None = None
        self._daemon_since = self._began = time.monotonic()
        self._dropped = _Dropped()
        self._faults: Counter[str] = Counter()
        self._host_kills = self._daemon_kills = 0
        self._looks: list[Look] = []

    def start(self) -> None:
        for host in self._hosts:
            host.start()
        self._start_daemon()

    def live(self) -> None:
        ends = self._began + 60 * self._plan.minutes
        while (now := time.monotonic()) < ends:
            self._drop_some()
            self._go_wrong(early=now - self._began < 20 * self._plan.minutes)
            self._bring_back(now)
            self._look_each_minute(now)
            if self._daemon is not None and self._daemon.process.poll() is not None:
                raise SystemExit(f"the daemon ended by itself; see {self._log.name}")
            time.sleep(_TICK_SECONDS)

    def settle(self) -> None:
        """Let everything be well and wait until nothing is left to do."""
        self._bring_back(float("inf"))
        for host in self._hosts:
            host.play()
        ends = time.monotonic() + self._plan.settle_seconds
        assert self._daemon is not None
        while not self._daemon.is_idle() and time.monotonic() < ends:
            time.sleep(_TICK_SECONDS)
        self._look()
        self._daemon.stop()

    def end(self) -> None:
        if self._daemon is not None:
            self._daemon.end()
        for host in self._hosts:
            host.kill()

    def report(self) -> Report:
        outbox = self._folder / "outbox"
        results = [
            json.loads(path.read_bytes()) for state in FINISHED for path in (outbox / state).glob("*/result.json")
        ]
        ended = Counter(result["source"]["sha256"] for result in results)
        return Report(
            seconds=round(time.monotonic() - self._began, 1),
            files_in=len(self._dropped.digests),
            duplicates=self._dropped.duplicates,
            by_state={state.name: sum(1 for _ in state.iterdir()) for state in outbox.iterdir() if _is_state(state)},
            failures=dict(Counter(result["error"]["type"] for result in results if result["error"])),
            lost=sum(not ended[one] for one in self._dropped.digests),
            doubled=sum(count > 1 for count in ended.values()),
            left_in_inbox=sum(1 for path in (self._folder / "inbox").iterdir() if path.is_file()),
            faults=dict(self._faults),
            host_kills=self._host_kills,
            daemon_kills=self._daemon_kills,
            most_attempts=max((result["usage"]["attempts"] for result in results), default=0),
            looks=self._looks,
        )

    def _start_daemon(self) -> None:
        urls = [f"http://127.0.0.1:{host.port}/v1" for host in self._hosts]
        several = ", ".join(f'{{ base_url = "{url}" }}' for url in urls)
        self._daemon = Daemon(self._folder, urls[0], self._log, settings=f"{_SETTINGS}hosts = [{several}]\n")
        self._daemon_since = time.monotonic()

    def _happens(self, times_a_minute: float) -> bool:
        return self._chance.random() < times_a_minute * _TICK_SECONDS / 60

    def _drop_some(self) -> None:
        if self._happens(self._plan.files_a_minute) and self._open() < _MOST_OPEN_FILES:
            self._dropped.files += 1
            content, suffix = self._content(self._dropped.files)
            digest = hashlib.sha256(content).hexdigest()
            self._dropped.duplicates += digest in self._dropped.digests
            self._dropped.digests.setdefault(digest, content if len(self._dropped.digests) < 50 else b"")
            name = f"file-{self._dropped.files}{suffix}"
            temporary = self._folder / "inbox" / f".{name}.part"
            temporary.write_bytes(content)
            temporary.rename(self._folder / "inbox" / name)

    def _content(self, number: int) -> tuple[bytes, str]:
        """Return what the next file holds: an invoice, the same as an earlier one, or a damaged document."""
        kind = self._chance.random()
        earlier = [content for content in self._dropped.digests.values() if content]
        if kind < 0.08 and earlier:
            return self._chance.choice(earlier), ".txt"
        if kind < 0.14:
            sample = self._chance.choice(sorted(SAMPLES.glob("*.pdf"))).read_bytes()
            return sample[: self._chance.randrange(40, len(sample))] + b"\n%%EOF\n", ".pdf"
        text = INVOICE.format(name=f"Works {self._chance.randrange(10**9)}", number=number)
        return text.encode(), ".txt"

    def _go_wrong(self, *, early: bool) -> None:
        well = [host for host in self._hosts if host.process is not None]
        if well and self._happens(self._plan.faults_a_minute):
            fault = self._chance.choice(list(Fault))
            self._chance.choice(well).play(fault, times=self._chance.randint(1, 3))
            self._faults[fault.value] += 1
        if well and self._happens(self._plan.host_kills_a_minute):
            lost = self._chance.choice(well)
            lost.kill()
            lost.back_at = time.monotonic() + self._chance.uniform(0, 2 * self._plan.host_away_seconds)
            self._host_kills += 1
        if early and self._daemon is not None and self._happens(self._plan.daemon_kills_a_minute):
            self._daemon.kill()
            self._daemon_kills += 1
            self._start_daemon()

    def _bring_back(self, now: float) -> None:
        for host in self._hosts:
            if host.process is None and host.back_at <= now:
                host.start()

    def _open(self) -> int:
        working = self._folder / "outbox" / "working"
        waiting = sum(1 for _ in (self._folder / "inbox").iterdir())
        return waiting + (sum(1 for _ in working.iterdir()) if working.is_dir() else 0)

    def _look_each_minute(self, now: float) -> None:
        if not self._looks or now - self._began >= self._looks[-1].at_seconds + 60:
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        outbox = self._folder / "outbox"
        processes = [host.process for host in self._hosts if host.process is not None]
        look = Look(
            at_seconds=round(now - self._began),
            files_in=self._dropped.files,
            finished=sum(1 for state in FINISHED for _ in (outbox / state).glob("*")),
            daemon_mb=_resident_mb(self._daemon.process.pid) if self._daemon else 0.0,
            daemon_age_seconds=round(now - self._daemon_since),
            hosts_mb=tuple(_resident_mb(process.pid) for process in processes),
        )
        self._looks.append(look)
        sys.stderr.write(f"{json.dumps(asdict(look))}\n")


def _is_state(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".")


def _resident_mb(pid: int) -> float:
    """Return the memory a process holds, zero where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return round(pages * 4096 / 1024**2, 1)


def main() -> int:
    """Read the options, run, print the report; 0 when every file ended once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--hosts", type=int, default=Plan.hosts)
    parser.add_argument("--files-a-minute", type=float, default=Plan.files_a_minute)
    parser.add_argument("--folder", type=Path, help="work here; without it in a new temporary folder")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pipeline-soak-"))
    wanted: dict[str, Any] = {name: getattr(options, name) for name in ("minutes", "seed", "hosts", "files_a_minute")}
    report = run(Plan(**wanted), folder)
    sys.stdout.write(json.dumps(asdict(report), indent=1) + f"\nfolder: {folder}\n")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
