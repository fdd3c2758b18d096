"""A whole cluster on loopback for tests and harnesses: PostgreSQL, stand-ins, a hub and workers, each a process.

Processes are ended by their ids, and only those that were started here. The link between workers and database can be
cut, because it goes through a proxy of ours.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postgres_server import Server
from sqlalchemy import create_engine, make_url, text

ROOT = Path(__file__).parent.parent
_STOP_PATIENCE_SECONDS = 30.0
_SETTINGS = """[intake]
settle_seconds = 0.1
rescan_seconds = 0.5
[daemon]
engine = "cluster"
grace_seconds = 20.0
host_wait_seconds = 60.0
[jobs]
first_delay_seconds = 0.1
[llm]
probe_interval_seconds = 0.2
probe_interval_max_seconds = 0.5
[cluster]
poll_seconds = {poll_seconds}
grace_seconds = {grace_seconds}
frozen_seconds = {frozen_seconds}
jobs_per_worker = {jobs_per_worker}
"""
_INVOICE = """Works {number} Ltd
{number} Quay Street, Bristol BS1 4DB

Invoice number: C-{number}
Date: 2025-03-04
Currency: GBP

Repair    100.00
Net       100.00
VAT 20 %   20.00
Total GBP 120.00
{remark}
"""
CALLS_PER_JOB = 2


@dataclass(frozen=True)
class Plan:
    """Say how large the cluster is and how fast; times in seconds."""

    hosts: int = 2
    slots: int = 4
    delay_seconds: float = 0.3
    poll_seconds: float = 0.1
    grace_seconds: float = 2.0
    frozen_seconds: float = 4.0
    jobs_per_worker: int = 5


@dataclass
class Child:
    """Hold a process of the cluster; `name` is that of its log."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return what it logged under that name."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and f'"event": "{event}"' in line]
        return [one for one in found if one["event"] == event]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_PATIENCE_SECONDS)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


class Link:
    """Carry connections from a port on loopback to the database; cut it, and mend it."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._whole = threading.Event()
        self._whole.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        port = self._server.getsockname()[1]
        changed = self._target.set(host="127.0.0.1", port=port).difference_update_query(["host"])
        return changed.render_as_string(hide_password=False)

    def cut(self) -> None:
        """Break what is open and refuse what comes."""
        self._whole.clear()
        for pair in list(self._pairs):
            self._close(pair)

    def mend(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if not self._whole.is_set():
                    near.close()
                    continue
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        try:
            far = self._connect()
        except OSError:
            near.close()
            return
        pair = (near, far)
        self._pairs.add(pair)
        with suppress(OSError, ValueError):
            while self._whole.is_set():
                for one in select.select(pair, (), (), 0.5)[0]:
                    data = one.recv(65536)
                    if not data:
                        raise OSError
                    (far if one is near else near).sendall(data)
        self._close(pair)

    def _connect(self) -> socket.socket:
        folder = self._target.query.get("host")
        if folder is None:
            return socket.create_connection((self._target.host or "127.0.0.1", self._target.port or 5432))
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(f"{folder}/.s.PGSQL.5432")
        except OSError:
            far.close()
            raise
        return far

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        for one in pair:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@dataclass
class World:
    """Hold a cluster and look at it from outside."""

    folder: Path
    plan: Plan
    server: Server
    url: str
    stand_ins: list[str]
    environment: dict[str, str]
    children: list[Child] = field(default_factory=list)
    dropped: int = 0

    def __post_init__(self) -> None:
        self._engine = create_engine(make_url(self.url).set(drivername="postgresql+psycopg"), pool_pre_ping=True)

    def drop(self, count: int, *, remark: str = "") -> None:
        """Drop so many files, each of its own content."""
        for _ in range(count):
            self.dropped += 1
            part = self.folder / "inbox" / f".{self.dropped}.part"
            part.write_text(_INVOICE.format(number=self.dropped, remark=remark), encoding="utf-8")
            part.rename(self.folder / "inbox" / f"invoice-{self.dropped:04}.txt")

    def hub(self, *options: str) -> Child:
        return self.start("hub", "serve", *self._folders(), *options)

    def worker(self, host: int, *options: str, **how: Any) -> Child:
        return self.start(f"worker{len(self.children)}", "worker", "--host", self.stand_ins[host], *options, **how)

    def start(self, name: str, *command: str, url: str = "", script: Path | None = None, **environment: str) -> Child:
        """Start a process of the pipeline, its database perhaps behind a link."""
        path = self.folder / f"{name}.log"
        given = self.environment | environment | ({"PIPELINE_CLUSTER__DATABASE_URL": url} if url else {})
        program = [str(script)] if script else ["-m", "pipeline"]
        with path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *program, *command, "--log-format", "json"],
                cwd=ROOT,
                env=given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        child = Child(name, process, path)
        self.children.append(child)
        return child

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the pipeline to its end."""
        line = [sys.executable, "-m", "pipeline", *command]
        return subprocess.run(line, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60)

    def look(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command that looks into the folders."""
        return self.call(*command, *self._folders())

    def end(self) -> None:
        for child in self.children:
            child.end()
        self._engine.dispose()

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Ask the database itself."""
        with self._engine.connect() as connection:
            return list(connection.execute(text(query), values))

    def running(self) -> dict[str, str]:
        """Return the executor of every job that one has taken."""
        return dict(
            map(
                tuple, self.rows("SELECT workflow_uuid, executor_id FROM dbos.workflow_status WHERE status = 'PENDING'")
            )
        )

    def executor_of(self, child: Child) -> str:
        """Return the name under which a worker is known."""
        return str(self.rows("SELECT executor FROM pipeline_executors WHERE pid = :pid", pid=child.pid)[0][0])

    def finished(self) -> int:
        return sum(1 for _ in (self.folder / "outbox").glob("[dfr]*/*/result.json"))

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_bytes()) for path in sorted((self.folder / "outbox").glob("[dfr]*/*/result.json"))]

    def until(self, condition: Callable[[], Any], *, limit_seconds: float = 60.0, what: str = "") -> float:
        """Wait for it; return the seconds it took. Raises TimeoutError, with the ends of the logs."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > limit_seconds:
                raise TimeoutError(f"{what or condition} after {limit_seconds:g} s\n{self.tails()}")
            time.sleep(0.05)
        return time.monotonic() - started

    def tails(self) -> str:
        """Return the rows that are not collected, and the last lines of every log."""
        columns = "workflow_uuid, status, queue_name, executor_id, attributes, updated_at"
        rows = self.rows(f"SELECT {columns} FROM dbos.workflow_status WHERE attributes->>'collected' = 'false'")
        told = "\n".join(map(str, rows)) + "\n"
        return told + "\n".join(
            f"--- {one.name}\n" + "\n".join(one.log_path.read_text().splitlines()[-8:]) for one in self.children
        )

    def all_finished(self) -> bool:
        return self.finished() >= self.dropped and not any((self.folder / "outbox" / "working").iterdir())

    def requests(self) -> list[dict[str, Any]]:
        """Return the sessions' requests at all stand-ins."""
        asked = [one for base in self.stand_ins for one in _get(f"{_origin(base)}/stand-in/log")["requests"]]
        return [one for one in asked if one["kind"] != "plain"]

    def statistics(self, host: int) -> dict[str, Any]:
        return _get(f"{_origin(self.stand_ins[host])}/stand-in/stats")

    def ledger(self) -> Ledger:
        """Add up what was lost, doubled or asked again."""
        results = self.results()
        per_content = Counter(result["source"]["sha256"] for result in results)
        calls = Counter(_identity(one) for one in self.requests())
        answered = Counter(_identity(one) for one in self.requests() if one["status"] == 200)
        records = self.rows("SELECT count(*), count(DISTINCT invoice_number) FROM invoices")[0]
        return Ledger(
            files=self.dropped,
            results=len(results),
            by_status=dict(Counter(result["status"] for result in results)),
            errors=[result["error"]["message"] for result in results if result["error"]],
            lost=self.dropped - len(per_content),
            doubled=sum(count > 1 for count in per_content.values()),
            doubled_records=records[0] - records[1],
            calls=calls.total(),
            repeated_calls=calls.total() - len(calls),
            repeated_answers=answered.total() - len(answered),
            attempts_most=max((result["usage"]["attempts"] for result in results), default=0),
        )

    def _folders(self) -> tuple[str, ...]:
        return ("--inbox", str(self.folder / "inbox"), "--outbox", str(self.folder / "outbox"))


@dataclass(frozen=True)
class Ledger:
    """Hold what came of it; `repeated_answers` are calls that were answered, and made again."""

    files: int
    results: int
    by_status: dict[str, int]
    errors: list[str]
    lost: int
    doubled: int
    doubled_records: int
    calls: int
    repeated_calls: int
    repeated_answers: int
    attempts_most: int

    @property
    def good(self) -> bool:
        """Say whether every file has its one result."""
        return not (self.lost or self.doubled or self.doubled_records) and self.results == self.files


@contextmanager
def world(folder: Path, server: Server, plan: Plan | None = None) -> Iterator[World]:
    """Give a cluster without hub and workers, its database prepared."""
    plan = plan or Plan()
    (folder / "inbox").mkdir(parents=True)
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "config" / "pipeline.toml").write_text(_SETTINGS.format(**vars(plan)), encoding="utf-8")
    with ExitStack() as stack:
        url = stack.enter_context(server.database())
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PIPELINE_CONFIG": str(folder / "config"),
            "PIPELINE_CLUSTER__DATABASE_URL": url,
        }
        hosts = [stack.enter_context(_stand_in(plan, environment)) for _ in range(plan.hosts)]
        made = World(folder, plan, server, url, hosts, environment)
        try:
            assert made.call("migrate").returncode == 0
            yield made
        finally:
            made.end()


@contextmanager
def _stand_in(plan: Plan, environment: dict[str, str]) -> Iterator[str]:
    options = ["--slots", str(plan.slots), "--delay-seconds", str(plan.delay_seconds), "--log-requests", "1000000"]
    command = [sys.executable, "-m", "pipeline.llm.standin", *options]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["base_url"]
        finally:
            process.terminate()


def _origin(base_url: str) -> str:
    return base_url.removesuffix("/v1")


def _identity(request: dict[str, Any]) -> str:
    return json.dumps([request[part] for part in ("message_digests", "tools_digest", "schema_digest", "max_tokens")])


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as reply:
        found: dict[str, Any] = json.load(reply)
    return found
