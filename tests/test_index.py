"""The index of jobs: quick, and nothing is lost with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event

from pipeline.index import JobIndex
from pipeline.job import Claim
from pipeline.trace import utc_now

DIGEST = "0123456789ab"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    yield engine
    engine.dispose()


def claim(job: str = f"a-{DIGEST}") -> Claim:
    return Claim(job, "invoice", "a.pdf", "x", 1, utc_now())


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_claimed_digest_is_found_by_the_next_process(engine: Engine) -> None:
    """The index outlives the process; an unknown digest has no job."""
    JobIndex(engine).claimed(DIGEST, claim())
    again = JobIndex(engine)
    assert again.job_of(DIGEST) == f"a-{DIGEST}"
    assert again.job_of("f" * 12) is None


def test_claiming_a_digest_again_keeps_the_later_job(engine: Engine) -> None:
    """After somebody deleted a job its content makes a new one, under another name perhaps."""
    index = JobIndex(engine)
    index.claimed(DIGEST, claim())
    index.claimed(DIGEST, claim(f"b-{DIGEST}"))
    assert index.job_of(DIGEST) == f"b-{DIGEST}"


def test_it_counts_what_finished_lately(engine: Engine) -> None:
    """The rate in `status` is of the last minutes; jobs that are still worked on do not count."""
    index = JobIndex(engine)
    for number, seconds in enumerate((10, 50, 500)):
        index.claimed(f"{number:012}", claim(f"a-{number:012}"))
        index.finished(f"a-{number:012}", status="done", finished_at=ago(seconds))
    index.claimed(DIGEST, claim())
    assert [index.finished_within(seconds) for seconds in (1, 60, 3600)] == [0, 2, 3]


def test_it_lists_the_latest_of_a_status_also_in_a_database_of_an_earlier_release(engine: Engine) -> None:
    """What waits for a person is found by status, newest first; what is missing of an old database is added."""
    index = JobIndex(engine)
    for number, status in enumerate(("review", "done", "review", "review", "failed")):
        index.claimed(f"{number:012}", claim(f"a-{number:012}"))
        index.finished(f"a-{number:012}", status=status, finished_at=ago(10 - number))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_jobs_status_finished_at")
    assert JobIndex(engine).latest("review", 2) == ["a-000000000003", "a-000000000002"]
    with engine.connect() as connection:
        plan = "EXPLAIN QUERY PLAN SELECT job FROM jobs WHERE status = 'review' ORDER BY finished_at DESC LIMIT 2"
        assert "ix_jobs_status_finished_at" in str(connection.exec_driver_sql(plan).all())


def test_it_is_new_until_it_knows_a_job(engine: Engine) -> None:
    """An empty index is filled from the folders; one that knows something is believed."""
    index = JobIndex(engine)
    assert index.is_new()
    index.claimed(DIGEST, claim())
    assert not index.is_new()
    assert not JobIndex(engine).is_new()


def test_it_is_rebuilt_from_claims_and_results(engine: Engine) -> None:
    """Digest, job and end come back; a job without a result is known as well."""
    index = JobIndex(engine)
    other = claim("b-" + "f" * 12)
    index.rebuild([(claim(), {"status": "done", "finished_at": ago(5)}), (other, None)])
    assert index.job_of(DIGEST) == f"a-{DIGEST}"
    assert index.job_of("f" * 12) == other.job
    assert index.finished_within(60) == 1


def test_a_rebuild_that_is_cut_off_leaves_the_index_new(engine: Engine) -> None:
    """Half an index would pass for the whole, and the other half's content would be paid for again."""

    def cut_off() -> Iterator[tuple[Claim, dict[str, Any] | None]]:
        yield claim(), None
        raise KeyboardInterrupt

    index = JobIndex(engine)
    with pytest.raises(KeyboardInterrupt):
        index.rebuild(cut_off())
    assert JobIndex(engine).is_new()
    assert index.job_of(DIGEST) is None


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


def other_claim(number: int) -> Claim:
    return claim(f"job-{number:012}")


def test_what_is_written_at_the_same_time_is_committed_together(engine: Engine) -> None:
    """While one commit waits for the disk the others gather, and the next takes them all."""
    index = JobIndex(engine)
    begun, go_on, commits = threading.Event(), threading.Event(), list[object]()

    @event.listens_for(engine, "commit")
    def commit(connection: object) -> None:
        commits.append(connection)
        begun.set()
        assert go_on.wait(10)

    with ThreadPoolExecutor(5) as threads:
        written = [threads.submit(index.claimed, f"{0:012}", other_claim(0))]
        assert begun.wait(10)
        written += [threads.submit(index.claimed, f"{number:012}", other_claim(number)) for number in range(1, 5)]
        until(lambda: len(index._waiting) == 4)
        go_on.set()
    assert [one.exception() for one in written] == [None] * 5
    assert len(commits) == 2
    assert [index.job_of(f"{number:012}") for number in range(5)] == [f"job-{number:012}" for number in range(5)]


def test_a_commit_that_fails_fails_everybody_whose_change_it_held(engine: Engine) -> None:
    """Nobody takes for written what is not; the next change is tried for itself."""
    index = JobIndex(engine)

    def refuse(_connection: object) -> None:
        raise OSError("full")

    event.listen(engine, "commit", refuse)
    with ThreadPoolExecutor(3) as threads:
        written = [threads.submit(index.claimed, f"{number:012}", other_claim(number)) for number in range(3)]
    assert all(isinstance(one.exception(), OSError) for one in written)
    event.remove(engine, "commit", refuse)
    assert index.is_new()
    index.claimed(DIGEST, claim())
    assert index.job_of(DIGEST) == claim().job
