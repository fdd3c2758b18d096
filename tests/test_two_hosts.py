"""Two model servers under one daemon, as processes: twice the pace, and one of them may die."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from kill_harness import stand_in
from test_daemon import drop, results, serving, told, until

pytestmark = pytest.mark.slow
_HOST = ("--slots", "4", "--delay-seconds", "0.6")
_FILES = 24


def hosts(*urls: str) -> str:
    """Return the settings that name these servers."""
    return "hosts = [{}]\n".format(", ".join(f'{{ base_url = "{url}" }}' for url in urls))


def stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stand-in/stats") as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def lasted(*urls: str) -> float:
    """Return the seconds from the first request to the last, all servers together."""
    busy = [(start, end) for url in urls for _, start, end in stats(url)["busy"][1:]]
    return max(end for _, end in busy) - min(start for start, _ in busy)


def work_off(folder: Path, *urls: str) -> float:
    folder.mkdir()
    with serving(folder, urls[0], settings=hosts(*urls)) as daemon:
        drop(folder, *range(1, 1 + _FILES))
        until(lambda: len(results(folder)) == _FILES)
        assert daemon.stop() == 0
    assert {result["status"] for result in results(folder)} == {"done"}
    return lasted(*urls)


def test_two_servers_of_four_slots_finish_in_half_the_time_of_one(tmp_path: Path) -> None:
    """Sessions go where there is least to do, and nobody has to say how many jobs are in flight."""
    with stand_in(*_HOST) as (url, _):
        one = work_off(tmp_path / "one", url)
    with stand_in(*_HOST) as (first, _), stand_in(*_HOST) as (second, _):
        two = work_off(tmp_path / "two", first, second)
        share = stats(first)["requests"] / (stats(first)["requests"] + stats(second)["requests"])
    print(f"one server: {one:.1f} s, two: {two:.1f} s, {two / one:.2f} of it")  # noqa: T201
    assert two < 0.7 * one
    assert 0.35 < share < 0.65


def test_one_of_two_servers_dies_in_the_middle(tmp_path: Path) -> None:
    """Its sessions go on at the other one: nothing is lost, done twice or charged with an attempt."""
    with (
        stand_in(*_HOST) as (first, _),
        stand_in(*_HOST) as (second, dying),
        serving(tmp_path, first, settings=hosts(first, second)) as daemon,
    ):
        drop(tmp_path, *range(1, 1 + _FILES))
        until(lambda: len(results(tmp_path)) >= 4 and stats(second)["requests"] > 4)
        dying.kill()
        killed_at = time.monotonic()
        until(lambda: len(results(tmp_path)) == _FILES)
        print(f"worked off {time.monotonic() - killed_at:.1f} s after one was gone")  # noqa: T201
        assert daemon.stop() == 0
    found = results(tmp_path)
    assert {result["status"] for result in found} == {"done"}
    assert {result["usage"]["attempts"] for result in found} == {1}
    assert len({result["source"]["sha256"] for result in found}) == _FILES
    assert len(told(tmp_path, "host.lost")) == 1
