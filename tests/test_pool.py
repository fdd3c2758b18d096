"""Several hosts: where sessions go, stay and move to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from structlog.testing import capture_logs

from pipeline.errors import HostFault
from pipeline.llm.hosts import HostStatus
from pipeline.llm.pool import HostPool, LlmSettings, pool_from
from pipeline.llm.protocol import ModelRequest
from pipeline.llm.standin import StandInServer, StandInSettings

FAST = {"probe_interval_seconds": 0.02, "probe_interval_max_seconds": 0.05, "cool_off_seconds": 0.05}
CALLS = 3


@asynccontextmanager
async def hosts(
    count: int, *, slots: int = 4, delay_seconds: float = 0.1, **more: object
) -> AsyncIterator[tuple[list[StandInServer], HostPool]]:
    """Serve so many stand-ins, and attend a pool of them."""
    async with AsyncExitStack() as stack:
        settings = StandInSettings(slots=slots, delay_seconds=delay_seconds)
        servers = [await stack.enter_async_context(StandInServer(settings)) for _ in range(count)]
        entries = [{"base_url": server.base_url} for server in servers]
        pool = pool_from(LlmSettings.model_validate({**FAST, "hosts": entries, **more}))
        stack.push_async_callback(pool.aclose)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(pool.attend)
        yield servers, pool
        tasks.cancel_scope.cancel()


def request(text: str) -> ModelRequest:
    return ModelRequest(messages=({"role": "user", "content": text},), max_tokens=20)


async def work(pool: HostPool, name: str, done: list[str]) -> None:
    async with pool.session() as session:
        for call in range(CALLS):
            await session.complete(request(f"{name}, call {call}"))
    done.append(name)


async def run_sessions(pool: HostPool, count: int, done: list[str]) -> None:
    """Run sessions beside each other."""
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(work, pool, f"session {number}", done)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, ten seconds at most."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - looks at states from outside
            await anyio.sleep(0.01)


def all_are(pool: HostPool, status: HostStatus) -> bool:
    return all(state.status is status for state in pool.states)


async def test_two_hosts_of_four_slots_work_like_one_of_eight() -> None:
    """Sessions go to the host with the least to do: each gets half of all calls, and all its slots work at once."""
    async with hosts(2) as (servers, pool):
        await pool.ready()
        await until(lambda: all_are(pool, HostStatus.UP))
        await run_sessions(pool, 16, [])
    assert [server.stats.by_kind["plain"] for server in servers] == [1 + 8 * CALLS] * 2
    assert [server.stats.max_in_flight for server in servers] == [4, 4]


async def test_a_session_knows_how_long_it_has_waited() -> None:
    """Of two at one slot the second waits for the first, and neither for its own work."""
    waited: list[float] = []
    async with hosts(1, slots=1, delay_seconds=0.2) as (_, pool):
        await pool.ready()

        async def ask() -> None:
            async with pool.session() as session:
                await session.complete(request("a call"))
                waited.append(session.waited_seconds)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                tasks.start_soon(ask)
    first, second = waited
    assert second - first >= 0.2


async def test_a_session_stays_on_its_host() -> None:
    """All calls of a session go to one host, where the beginning of its prompt is cached."""
    async with hosts(2, delay_seconds=0.0) as (servers, pool):
        await pool.ready()
        async with pool.session() as session:
            first = session.host
            for call in range(6):
                await session.complete(request(f"call {call}"))
                assert session.host is first
    assert sorted(server.stats.by_kind["plain"] for server in servers)[-1] >= 6


@pytest.mark.slow
async def test_a_host_that_dies_in_the_middle_loses_nothing() -> None:
    """Sessions whose host is switched off go on at the other one; it is told once, and found again by itself."""
    done: list[str] = []
    async with hosts(2) as (servers, pool):
        with capture_logs() as logs:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_sessions, pool, 24, done)
                await servers[0].wait_until(lambda stats: stats.by_kind["plain"] >= 8)
                await servers[0].pause()
                await until(lambda: len(done) == 24)
            assert pool.states[0].status is HostStatus.DOWN
            await servers[0].resume()
            await until(lambda: all_are(pool, HostStatus.UP))
    assert len(done) == 24
    events = [entry["event"] for entry in logs]
    assert (events.count("host.lost"), events.count("host.recovered")) == (1, 1)
    assert "session.moved" in events


async def test_sessions_wait_while_all_hosts_are_away() -> None:
    """When no host is up sessions wait, and the first that comes back takes them all."""
    done: list[str] = []
    async with hosts(2, delay_seconds=0.0) as (servers, pool):
        for server in servers:
            await server.pause()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_sessions, pool, 5, done)
            await until(lambda: all_are(pool, HostStatus.DOWN))
            assert done == []
            await servers[1].resume()
    assert len(done) == 5


async def test_a_one_shot_command_waits_only_so_long_for_any_host() -> None:
    """With a longest wait set, the absence of all hosts is raised with its reason."""
    async with hosts(2, max_wait_seconds=0.2) as (servers, pool):
        for server in servers:
            await server.pause()
        with pytest.raises(HostFault, match="no model server answers"):
            async with pool.session() as session:
                await session.complete(request("hello"))


async def test_one_host_needs_nobody_to_attend_it() -> None:
    """A pool of one waits for its host by looking itself."""
    async with StandInServer() as server:
        pool = pool_from(LlmSettings(base_url=server.base_url))
        await pool.ready()
        async with pool.session() as session:
            assert (await session.complete(request("hello"))).text
        await pool.attend()
        await pool.aclose()


def test_hosts_take_from_the_section_what_they_do_not_set() -> None:
    """Each `[[llm.hosts]]` table inherits the shared settings; without any there is the one host of the section."""
    entries = [{"base_url": "http://first.local"}, {"base_url": "http://second.local", "slots": 2, "model": ""}]
    settings = LlmSettings.model_validate({"model": "invoices", "timeout_seconds": 60, "hosts": entries})

    assert [(one.base_url, one.model, one.slots) for one in settings.each()] == [
        ("http://first.local", "invoices", "auto"),
        ("http://second.local", "", 2),
    ]
    assert {one.timeout_seconds for one in settings.each()} == {60}
    assert [one.base_url for one in LlmSettings().each()] == ["http://localhost:1234/v1"]
