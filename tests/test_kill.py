"""The real thing: a daemon that is killed at random moments, and one that a file kills."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from kill_harness import INVOICE, Daemon, Plan, run, stand_in
from poisoned_daemon import EXIT_CODE, MARK

from pipeline.job import fold
from pipeline.trace import Event

_ATTEMPTS = 3
_LIMIT_SECONDS = 60.0


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    """Six kills at random moments: every file has one result, and a kill repeats only calls that were in flight."""
    report = run(Plan(kills=6, seed=3), tmp_path / "world")
    assert report.good, report
    assert report.kills == 6
    assert report.files_in == report.results == 12
    # As many calls may be in flight as the server has slots.
    assert report.repeated_calls <= 4 * report.kills
    assert report.by_state.get("failed", 0) == 0, "a kill was charged to a job that is not to blame"


@pytest.mark.slow
def test_a_file_that_kills_the_daemon_ends_in_failed_and_alone(tmp_path: Path) -> None:
    """It gets its attempts and no more; files that were in work beside it are not charged and end well."""
    world = tmp_path / "world"
    (world / "inbox").mkdir(parents=True)
    for number in range(1, 6):
        poison = MARK if number == 3 else "repairs"
        text = INVOICE.format(name=f"Works {number}", number=number) + f"Thank you for the {poison}\n"
        (world / "inbox" / f"invoice-{number}.txt").write_text(text)
    deaths = 0
    with stand_in("--delay-seconds", "0.2") as (base_url, _), (world / "daemon.log").open("ab") as log:
        while not _is_worked_off(world):
            assert deaths <= 2 * _ATTEMPTS, "the file kills the daemon for ever"
            daemon = Daemon(world, base_url, log, script=Path(__file__).with_name("poisoned_daemon.py"))
            try:
                deaths += _died(daemon, world)
            finally:
                daemon.end()
    results = [json.loads(path.read_bytes()) for path in sorted((world / "outbox").glob("*/*/result.json"))]
    assert sorted(result["status"] for result in results) == ["done"] * 4 + ["failed"]
    failed = next(result for result in results if result["status"] == "failed")
    assert (failed["source"]["name"], failed["error"]["type"]) == ("invoice-3.txt", "Poison")
    # The first attempt got further than any before, since it read the document.
    assert _ATTEMPTS <= deaths <= _ATTEMPTS + 1
    assert max(result["usage"]["attempts"] for result in results if result is not failed) <= 2


def _died(daemon: Daemon, world: Path) -> bool:
    """Wait until the daemon died of the file, or all is worked off."""
    ends = time.monotonic() + _LIMIT_SECONDS
    while daemon.process.poll() is None:
        assert time.monotonic() < ends
        if _is_worked_off(world):
            assert daemon.stop() == 0
            return False
        time.sleep(0.05)
    assert daemon.process.returncode == EXIT_CODE
    return True


def _is_worked_off(world: Path) -> bool:
    working = world / "outbox" / "working"
    return working.is_dir() and not any(working.iterdir()) and not any((world / "inbox").iterdir())


def _at(second: int, name: str, **fields: object) -> Event:
    return {"at": f"2026-01-01T00:00:{second:02}.000Z", "event": name, **fields}


def _step(second: int, key: str) -> Event:
    return _at(second, "step.completed", attempt=1, step=key, seconds=0, request={}, output={})


@pytest.mark.parametrize(
    ("events", "charged"),
    [
        ([_at(1, "attempt.started", attempt=1)], 1),
        ([_at(1, "attempt.started", attempt=1), _step(2, "a-1")], 0),
        ([_at(1, "attempt.started", attempt=1), _step(2, "a-1"), _at(3, "attempt.started", attempt=2)], 1),
        (
            [
                *(_at(1, "attempt.started", attempt=1), _step(2, "a-1"), _at(3, "attempt.started", attempt=2)),
                *(_step(4, "b-1"), _at(5, "attempt.started", attempt=3)),
            ],
            1,
        ),
        # The same step again is no progress, as where a trace is kept without answers.
        (
            [
                _at(1, "attempt.started", attempt=1),
                _step(2, "a-1"),
                _at(3, "attempt.started", attempt=2),
                _step(4, "a-1"),
            ],
            1,
        ),
        # One that came to its end counts, however far it got.
        ([_at(1, "attempt.started", attempt=1), _step(2, "a-1"), _at(3, "job.finished", finished_at="")], 1),
        ([_at(1, "attempt.started", attempt=1), _step(2, "a-1"), _at(3, "attempt.interrupted")], 0),
        (
            [
                *(_at(1, "attempt.started", attempt=1), _step(2, "a-1")),
                *(_at(3, "attempt.failed", charged=True, error={}), _at(4, "attempt.started", attempt=2)),
            ],
            2,
        ),
    ],
)
def test_only_an_attempt_that_died_without_getting_further_counts(events: list[Event], charged: int) -> None:
    """A file that kills the daemon does it at the same step each time; an innocent one gets further."""
    assert fold(events).charged == charged
