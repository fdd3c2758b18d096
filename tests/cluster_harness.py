"""Trouble for a whole cluster, and what came of it: nothing lost, nothing doubled, how soon it went on.

    python tests/cluster_harness.py [--only NAME…] [--jobs 200]

Each scenario is a cluster of its own on loopback: PostgreSQL, stand-ins, a hub and workers as processes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster_world import CALLS_PER_JOB, Child, Link, Plan, World, world
from postgres_server import Server, postgres

POISONED = Path(__file__).with_name("poisoned_worker.py")
NEXT_RELEASE = Path(__file__).with_name("next_release.py")
MARK = "ends the process"
_UNFINISHED = "status IN ('ENQUEUED', 'PENDING')"
Figures = dict[str, Any]


def troubles(place: World, *, jobs: int = 8, database_away_seconds: float = 10.0) -> Figures:
    """Kill a worker for good, stop the database, kill the hub, freeze a worker, cut the network; one after the other.

    What takes the killed worker's place is a later release.
    """
    link = Link(place.url)
    hub = place.hub()
    workers = [place.worker(0), place.worker(1, "--slots", "2"), place.worker(1, "--slots", "2", url=link.url)]
    _until_at_work(place, workers, jobs)
    figures: Figures = {"sessions_of_lost_workers": 0}
    _lose(place, "killed", workers[0].kill, workers[0], figures)
    workers[0] = place.worker(0, script=NEXT_RELEASE)
    _until_at_work(place, workers, jobs)
    figures["database_away_goes_on_seconds"] = _stop_database(place, seconds=database_away_seconds)
    figures["killed_hub_writes_again_seconds"] = _kill_hub(place, hub)
    _until_at_work(place, workers, jobs)
    _lose(place, "frozen", workers[1].freeze, workers[1], figures)
    workers[1].thaw()
    _until_at_work(place, workers, jobs)
    _lose(place, "cut", link.cut, workers[2], figures)
    link.mend()
    back = place.until(lambda: workers[2].told("database.found"), limit_seconds=30, what="the cut worker is back")
    figures["cut_worker_is_back_seconds"] = round(back, 2)
    place.until(place.all_finished, limit_seconds=120, what="all finished")
    link.close()
    return figures | asdict(place.ledger())


def hub_kills(place: World, *, jobs: int = 40, kills: int = 10) -> Figures:
    """Kill the hub at random moments while files come in and results go out."""
    chance = random.Random(1)
    place.worker(0)
    at_work = 0
    for _ in range(kills):
        hub = place.hub()
        place.drop(jobs // kills)
        if chance.random() < 0.8:
            place.until(lambda hub=hub: hub.told("service.started"), what="the hub")  # type: ignore[misc]
        time.sleep(chance.uniform(0, 2.5))
        at_work += any((place.folder / "outbox").glob("working/*"))
        hub.kill()
    place.hub()
    place.until(place.all_finished, limit_seconds=120, what="all finished")
    return {"kills": kills, "kills_at_work": at_work} | asdict(place.ledger())


def poison(place: World, *, jobs: int = 8) -> Figures:
    """One file ends every worker that takes it; it gets its attempts, and the others are not charged."""
    place.drop(jobs)
    place.drop(1, remark=MARK)
    place.hub()
    workers = [place.worker(0, script=POISONED)]

    def again() -> bool:
        if workers[-1].process.poll() is not None:
            workers.append(place.worker(0, script=POISONED))
        return place.all_finished()

    place.until(again, limit_seconds=120, what="all finished")
    return {"deaths": len(workers) - 1} | asdict(place.ledger())


def upgrade(place: World, *, jobs: int = 16) -> Figures:
    """Jobs that wait while the release changes are taken by the new one."""
    place.drop(jobs)
    hub = place.hub()
    old = place.worker(0)
    place.until(lambda: place.finished() >= 1, what="a first result")
    old.stop()
    waiting = len(place.rows("SELECT 1 FROM dbos.workflow_status WHERE status = 'ENQUEUED'"))
    new = place.worker(0, script=NEXT_RELEASE)
    place.until(place.all_finished, limit_seconds=60, what="all finished")
    assert hub.process.poll() is None
    return {"waiting_at_upgrade": waiting, "taken_by_new": len(new.told("job.finished"))} | asdict(place.ledger())


def throughput(place: World, *, jobs: int = 200) -> Figures:
    """Three workers at two hosts, then one worker at one: results, limits, slot use, wall time."""
    place.hub()
    workers = [place.worker(0), place.worker(1, "--slots", "2"), place.worker(1, "--slots", "2")]
    place.until(lambda: all(one.told("worker.started") for one in workers), limit_seconds=120, what="workers")
    figures = {f"three workers, {place.plan.hosts} hosts": _wall(place, jobs)}
    figures["slot_use"] = [_slot_use(place, host) for host in range(place.plan.hosts)]
    figures["most_at_once"] = [place.statistics(host)["max_in_flight"] for host in range(place.plan.hosts)]
    figures["most_waiting"] = [place.statistics(host)["max_waiting"] for host in range(place.plan.hosts)]
    figures["jobs_per_worker"] = [len(one.told("job.finished")) for one in workers]
    for one in workers[1:]:
        one.stop()
    figures["one worker, one host"] = _wall(place, jobs // 4)
    return figures | asdict(place.ledger())


def _wall(place: World, jobs: int) -> Figures:
    place.drop(jobs)
    seconds = place.until(place.all_finished, limit_seconds=600, what=f"{jobs} jobs")
    return {"jobs": jobs, "wall_seconds": round(seconds, 1), "jobs_per_minute": round(60 * jobs / seconds)}


def _slot_use(place: World, host: int) -> float:
    """Return the share of the time that the slots worked, from the first session's call to the last one's beginning."""
    busy = place.statistics(host)["busy"]
    busy = [one for one in busy if one[2] - one[1] >= place.plan.delay_seconds][1:]
    first, last = min(one[1] for one in busy), max(one[1] for one in busy)
    worked = sum(min(end, last) - start for _, start, end in busy)
    return round(worked / (place.plan.slots * (last - first)), 3)


def _until_at_work(place: World, workers: list[Child], jobs: int) -> None:
    """Wait until every worker has a job; see to it that enough of them wait.

    No suspect is left from the trouble before: a file that a third loss met without a step between is meant to fail.
    """

    def at_work() -> bool:
        if not all(_is_known(place, one) for one in workers):
            return False
        waiting = place.rows("SELECT count(*) FROM dbos.workflow_status WHERE status = 'ENQUEUED'")[0][0]
        if waiting + len(list((place.folder / "inbox").glob("*.txt"))) < jobs:
            place.drop(jobs)
        suspects = place.rows(f"SELECT 1 FROM dbos.workflow_status WHERE queue_name = 'suspects' AND {_UNFINISHED}")
        return not suspects and {place.executor_of(one) for one in workers} <= set(place.running().values())

    place.until(at_work, limit_seconds=60, what="every worker at work")


def _is_known(place: World, child: Child) -> bool:
    return bool(place.rows("SELECT 1 FROM pipeline_executors WHERE pid = :pid", pid=child.pid))


def _lose(place: World, how: str, lose: Callable[[], None], worker: Child, figures: Figures) -> None:
    """Lose a worker; note the seconds until others have all the jobs that it had, each of which may repeat a call."""
    executor = place.executor_of(worker)
    lose()
    held = {job for job, owner in place.running().items() if owner == executor}
    seconds = place.until(
        lambda: all(place.running().get(job) != executor for job in held), limit_seconds=90, what="jobs taken over"
    )
    figures[f"{how}_worker_taken_over_seconds"] = round(seconds, 2)
    figures["sessions_of_lost_workers"] += len(held)


def _stop_database(place: World, *, seconds: float) -> float:
    """Stop PostgreSQL for a while; return the seconds from its start until the next step is kept."""
    place.server.stop()
    time.sleep(seconds)
    place.server.start()
    query = "SELECT count(*) FROM dbos.operation_outputs"
    before = place.rows(query)[0][0]
    return round(place.until(lambda: place.rows(query)[0][0] > before, limit_seconds=90, what="a next step"), 2)


def _kill_hub(place: World, hub: Child) -> float:
    """Kill the hub and start it again; return the seconds until it writes the next result."""
    hub.kill()
    before = place.finished()
    place.hub()
    return round(place.until(lambda: place.finished() > before, limit_seconds=90, what="a next result"), 2)


_SCENARIOS: dict[str, tuple[Callable[..., Figures], Plan]] = {
    "troubles": (troubles, Plan(delay_seconds=1.0)),
    "hub_kills": (hub_kills, Plan(hosts=1)),
    "poison": (poison, Plan(hosts=1)),
    "upgrade": (upgrade, Plan(hosts=1)),
    "throughput": (throughput, Plan(delay_seconds=2.0)),
}


def run(name: str, server: Server, **options: Any) -> Figures:
    """Play one scenario in a new folder; return its figures."""
    scenario, plan = _SCENARIOS[name]
    with tempfile.TemporaryDirectory(prefix=f"cluster-{name}-") as folder, world(Path(folder), server, plan) as place:
        started = time.monotonic()
        figures = scenario(place, **options)
        expected = CALLS_PER_JOB * figures["files"]
        return figures | {"expected_calls": expected, "seconds": round(time.monotonic() - started, 1)}


def main() -> int:
    """Read the options, play, print the figures; 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", choices=_SCENARIOS, default=list(_SCENARIOS))
    parser.add_argument("--jobs", type=int, help="jobs of each scenario")
    options = parser.parse_args()
    good = True
    with postgres() as server:
        for name in options.only:
            figures = run(name, server, **({"jobs": options.jobs} if options.jobs else {}))
            good &= not (figures["lost"] or figures["doubled"] or figures["doubled_records"])
            sys.stdout.write(f"{name}: {json.dumps(figures, indent=1)}\n")
            sys.stdout.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
