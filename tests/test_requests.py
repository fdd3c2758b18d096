"""Requests to the running daemon lie in the outbox until they are granted."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.disk import Disk
from pipeline.requests import ReplayRequest, Requests


def test_a_request_is_found_until_it_is_done(tmp_path: Path) -> None:
    """Both kinds are told apart, and taking one away leaves the other."""
    requests = Requests(tmp_path, Disk())
    fresh, resume = ReplayRequest("a-0123456789ab", fresh=True), ReplayRequest("a-0123456789ab", fresh=False)
    requests.leave(fresh)
    requests.leave(resume)
    assert list(Requests(tmp_path, Disk()).waiting()) == [fresh, resume]
    requests.done(fresh)
    requests.done(fresh)
    assert list(requests.waiting()) == [resume]


def test_asking_twice_is_asking_once(tmp_path: Path) -> None:
    """A request has no number, only a job and a kind."""
    requests = Requests(tmp_path, Disk())
    for _ in range(2):
        requests.leave(ReplayRequest("a", fresh=True))
    assert list(requests.waiting()) == [ReplayRequest("a", fresh=True)]


def test_nothing_waits_where_nobody_asked(tmp_path: Path) -> None:
    """The folder need not exist."""
    assert list(Requests(tmp_path, Disk()).waiting()) == []


def test_half_written_and_foreign_files_are_no_requests(tmp_path: Path) -> None:
    """What a crash or a person left there is passed over."""
    folder = tmp_path / ".requests"
    folder.mkdir()
    for name in (".a.replay.writing", "notes.txt", "a"):
        (folder / name).touch()
    assert list(Requests(tmp_path, Disk()).waiting()) == []


def test_corrections_come_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    """They are no requests to replay, and what is none of ours is passed over."""
    requests = Requests(tmp_path, Disk())
    for key in ("2026-b", "2026-a"):
        asked = {"key": key, "at": "", "by": "", "values": {}, "accept": False}
        requests.leave_correction("lamp-0123456789ab", key, json.dumps(asked).encode())
    (tmp_path / ".requests" / "lamp-0123456789ab.x.correct").write_text("[]")
    first, second = requests.corrections()
    assert (first.job, first.asked["key"], second.asked["key"]) == ("lamp-0123456789ab", "2026-a", "2026-b")
    requests.correction_done(first)
    assert list(requests.corrections()) == [second]
    assert list(requests.waiting()) == []
