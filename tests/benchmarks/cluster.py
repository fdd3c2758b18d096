"""The cluster beside the file engine: processor time per job, pick-up time, and what a job leaves in the database.

    python tests/benchmarks/cluster.py [--jobs 64] [--slots 8] [--delay 0.25]

The same invoices, the same stand-in, one after the other: `pipeline serve` alone, then a hub, one worker and
PostgreSQL. Processor time is that of all the engine's processes from the moment at which everything is started and
idle; pick-up is the time from a file's arrival to the start of its first attempt, by the trace, at an idle system.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from cluster_world import Child, Plan, World, world
from postgres_server import postgres

_LONE_FILES = 8
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Read the options, measure both, print a table."""
    parser = argparse.ArgumentParser(description="Compare the engines.")
    parser.add_argument("--jobs", type=int, default=64)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--delay", type=float, default=0.25, help="seconds a call takes")
    options = parser.parse_args()
    print(f"{options.jobs} jobs, {options.slots} slots, {options.delay:g} s a call")
    print(f"{'':8} {'wall s':>7} {'CPU ms/job':>10} {'of it Postgres':>16} {'pick-up ms':>10} {'worst':>6}  idle CPU %")
    plan = Plan(
        hosts=1, slots=options.slots, delay_seconds=options.delay, jobs_per_worker=options.slots + 2, grace_seconds=15
    )
    with postgres() as server:
        for name in ("files", "cluster"):
            with tempfile.TemporaryDirectory(prefix="engines-") as folder, world(Path(folder), server, plan) as place:
                figures = _measure(place, name, options.jobs)
                print(
                    f"{name:8} {figures['wall']:7.1f} {figures['cpu']:10.1f} {figures['postgres']:16.1f} "
                    f"{figures['pick_up']:10.0f} {figures['worst']:6.0f}  {figures['idle']:10.1f}"
                )
                if name == "cluster":
                    print(json.dumps(_left_in_database(place)))


def _measure(place: World, name: str, jobs: int) -> dict[str, float]:
    children = _start(place, name)
    place.drop(1)  # loads what the first job loads
    place.until(place.all_finished, limit_seconds=120, what="the first job")
    databases = _descendants(place.server.handle.get_pid()) if name == "cluster" else (list)

    def cpu() -> tuple[float, float]:
        return sum(_cpu_seconds(one) for child in children for one in _descendants(child.pid)()), sum(
            map(_cpu_seconds, databases())
        )

    idle_before, started = sum(cpu()), time.monotonic()
    time.sleep(5)
    idle = 100 * (sum(cpu()) - idle_before) / (time.monotonic() - started)
    for _ in range(_LONE_FILES):
        place.drop(1)
        place.until(place.all_finished, limit_seconds=60, what="a lone job")
    pick_ups = [_pick_up(path) for path in _latest(place, _LONE_FILES)]
    own_before, database_before = cpu()
    place.drop(jobs)
    wall = place.until(place.all_finished, limit_seconds=600, what="all jobs")
    own, database = cpu()
    return {
        "wall": wall,
        "cpu": 1000 * (own - own_before + database - database_before) / jobs,
        "postgres": 1000 * (database - database_before) / jobs,
        "pick_up": 1000 * statistics.median(pick_ups),
        "worst": 1000 * max(pick_ups),
        "idle": idle,
    }


def _start(place: World, name: str) -> list[Child]:
    if name == "files":
        children = [place.hub("--engine", "files", "--base-url", place.stand_ins[0], "--concurrency", "16")]
        place.until(lambda: children[0].told("service.started"), what="the daemon")
        return children
    children = [place.hub(), place.worker(0)]
    place.until(lambda: children[1].told("worker.started"), what="the worker")
    return children


def _latest(place: World, count: int) -> list[Path]:
    return sorted((place.folder / "outbox").glob("[dr]*/*/trace.jsonl"), key=lambda path: path.stat().st_mtime)[-count:]


def _pick_up(trace: Path) -> float:
    """Return the seconds from the claim to the start of the first attempt."""
    events = [json.loads(line) for line in trace.read_bytes().splitlines()]
    at = {one["event"]: datetime.fromisoformat(one["at"]) for one in reversed(events)}
    return (at["attempt.started"] - at["job.claimed"]).total_seconds()


def _left_in_database(place: World) -> dict[str, Any]:
    """Return what one job costs the database, in rows and bytes, and how many connections the cluster has."""
    jobs = place.dropped
    steps = place.rows("SELECT count(*), sum(length(output)) FROM dbos.operation_outputs")[0]
    inputs = place.rows("SELECT sum(length(inputs)) FROM dbos.workflow_input")[0][0]
    size = place.rows("SELECT pg_database_size(current_database())")[0][0]
    connections = place.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")[0][0]
    return {
        "steps_per_job": round(steps[0] / jobs, 1),
        "step_bytes_per_job": round(int(steps[1]) / jobs),
        "input_bytes_per_job": round(int(inputs or 0) / jobs),
        "database_kb_per_job": round(size / jobs / 1024),
        "connections_of_hub_worker_and_this": connections,
    }


def _descendants(root: int) -> Callable[[], list[int]]:
    """Return what lists a process and those below it."""

    def listed() -> list[int]:
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
        found, new = [root], [root]
        while new:
            new = [pid for pid, parent in parents.items() if parent in new]
            found += new
        return found

    return listed


def _cpu_seconds(pid: int) -> float:
    """Return a process's time, with that of its ended children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


if __name__ == "__main__":
    main()
