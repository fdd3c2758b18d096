"""The places for jobs in flight."""

from __future__ import annotations

import anyio
import pytest

from pipeline.config import DaemonSettings
from pipeline.engine.room import Room


async def lent(room: Room, wanted: int) -> int:
    """Ask for so many places at once and return how many are given without any coming back."""
    given = 0

    async def ask() -> None:
        nonlocal given
        await room.acquire()
        given += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(wanted):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    return given


async def test_no_more_places_are_lent_than_there_are() -> None:
    """Those who find none wait, and one who gives up waiting takes nothing along."""
    room = Room(3)
    assert await lent(room, 5) == 3
    room.release()
    assert await lent(room, 2) == 1


async def test_a_larger_room_lets_those_in_who_wait() -> None:
    """When the slots of a host become known the jobs that wait start at once."""
    room = Room(1)
    started: list[int] = []

    async def job(number: int) -> None:
        await room.acquire()
        started.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(job, number)
        await anyio.wait_all_tasks_blocked()
        assert len(started) == 1
        room.resize(3)
        await anyio.wait_all_tasks_blocked()
        assert len(started) == 3


async def test_a_smaller_room_waits_for_its_places_to_come_back() -> None:
    """What runs goes on; the next one starts only when there are few enough."""
    room = Room(3)
    assert await lent(room, 3) == 3
    room.resize(1)
    room.release()
    room.release()
    assert await lent(room, 1) == 0
    room.release()
    assert await lent(room, 2) == 1


@pytest.mark.parametrize(
    ("settings", "slots", "jobs"),
    [({}, 1, 4), ({}, 8, 18), ({}, 500, 96), ({"concurrency_max": 5}, 8, 5), ({"concurrency": 3}, 8, 3)],
)
def test_the_slots_of_all_hosts_say_how_many_jobs_are_in_flight(
    settings: dict[str, int], slots: int, jobs: int
) -> None:
    """About twice as many as slots, up to the maximum; a number in the settings holds as it is."""
    assert DaemonSettings.model_validate(settings).jobs_in_flight(slots) == jobs
