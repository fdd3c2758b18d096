"""Several hosts as one: a session gets the host with the least to do, and moves on when that one is lost.

A session stays where it began, because its prompt's beginning is cached there. A host that is away is left alone by all
sessions while another one is up; `HostPool.attend` looks at it until it is back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Literal, NamedTuple

import anyio
import structlog
from anyio.lowlevel import checkpoint
from pydantic import BaseModel, Field, SecretStr, field_validator

from pipeline.errors import ConfigError, HostFault
from pipeline.llm.address import api_base
from pipeline.llm.hosts import (
    HostedModel,
    HostSettings,
    HostState,
    HostStatus,
    Observer,
    host_from,
    refuse_after_losses,
)
from pipeline.llm.protocol import Model, ModelReply, ModelRequest
from pipeline.llm.waiting import Waiting

log = structlog.get_logger()


class HostEntry(BaseModel, frozen=True, extra="forbid"):
    """Set one of several model servers; what is left out is as in [llm]."""

    base_url: str = Field(description="address of LM Studio's OpenAI-compatible API")
    api_key: SecretStr | None = Field(None, description="API token")
    model: str | None = Field(None, description="name of the model; empty takes the one that is loaded")
    slots: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(None, description="calls at once")
    context_tokens: Annotated[int, Field(ge=256)] | Literal["auto"] | None = Field(
        None, description="context the model is loaded with, tokens"
    )


class LlmSettings(HostSettings, frozen=True, extra="forbid"):
    """Set the model server, or with `hosts` several that share the work."""

    hosts: tuple[HostEntry, ...] | None = Field(
        None, description="several servers, each a table [[llm.hosts]] with base_url; none: the one at base_url above"
    )

    @field_validator("hosts")
    @classmethod
    def _are_distinct(cls, hosts: tuple[HostEntry, ...] | None) -> tuple[HostEntry, ...] | None:
        first: dict[str, int] = {}
        for number, entry in enumerate(hosts or (), start=1):
            same = first.setdefault(_spelled(entry.base_url), number)
            if same != number:
                raise ValueError(f"entries {same} and {number} are the same server: {entry.base_url}")
        return hosts

    def each(self) -> tuple[HostSettings, ...]:
        """Return the settings of every host."""
        shared = {name: getattr(self, name) for name in HostSettings.model_fields}
        own = [{name: value for name, value in entry if value is not None} for entry in self.hosts or ()]
        return tuple(HostSettings(**{**shared, **values}) for values in own or [{}])


def pool_from(settings: LlmSettings, *, on_change: Observer | None = None) -> HostPool:
    """Return the hosts that the settings describe; raise `ConfigError` for an address that is not to be used."""
    return HostPool([host_from(one, on_change=on_change) for one in settings.each()])


class HostPool:
    """Share sessions out over hosts; with more than one, `attend` has to run beside them."""

    def __init__(self, hosts: Sequence[HostedModel]) -> None:
        self._hosts = tuple(hosts)
        self._sessions = dict.fromkeys(self._hosts, 0)

    @property
    def states(self) -> tuple[HostState, ...]:
        """Return a snapshot of every host."""
        return tuple(host.state for host in self._hosts)

    @property
    def slots(self) -> int:
        """Return how many calls all hosts work at once, as far as that is known."""
        return sum(host.state.slots for host in self._hosts)

    @property
    def absence(self) -> HostState | None:
        """Return what is known of the first host while all are away or refuse us, None while one may take calls."""
        states = self.states
        lost = all(state.status in (HostStatus.DOWN, HostStatus.REFUSED) for state in states)
        return states[0] if lost else None

    async def absence_now(self) -> HostState | None:
        """Return `absence` once every host has been looked at, which the first to ask sees to."""
        if any(state.status is HostStatus.UNKNOWN for state in self.states):
            await self.glance()
        return self.absence

    async def glance(self) -> None:
        """Have a first look at every host."""
        async with anyio.create_task_group() as tasks:
            for host in self._hosts:
                tasks.start_soon(host.door.glance)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[HostSession]:
        """Lend the host with the least to do for the length of a session."""
        session = HostSession(self)
        self._sessions[session.host] += 1
        try:
            yield session
        finally:
            self._sessions[session.host] -= 1

    async def ready(self) -> None:
        """Return as soon as a host takes calls."""
        if len(self._hosts) == 1:
            await self._hosts[0].ready()
        else:
            await self._one_open()

    async def ready_for(self, session: HostSession) -> None:
        """Return as soon as the session has a host that takes calls."""
        await self.ready()
        if not session.host.takes_calls:
            self._move(session)

    async def attend(self) -> None:
        """Look at hosts that are lost, for as long as this runs; a single one is looked at by those who wait for it."""
        if len(self._hosts) < 2:
            return
        async with anyio.create_task_group() as tasks:
            for host in self._hosts:
                tasks.start_soon(host.door.attend)

    async def aclose(self) -> None:
        """Close the connections of all hosts."""
        for host in self._hosts:
            await host.aclose()

    def least_loaded(self) -> HostedModel:
        """Return the host that has the least to do for its slots; one that is away only where all are."""
        return min(self._hosts, key=self._load)

    async def ask(self, session: HostSession, request: ModelRequest) -> ModelReply:
        """Return the reply of the session's host, or of another one where that is away."""
        if len(self._hosts) == 1:
            return await session.host.complete(request, waiting=session.waiting)
        losses = 0
        while True:
            await self._one_open()
            if not session.host.takes_calls:
                self._move(session)
            try:
                return await session.host.complete(request, wait=False, waiting=session.waiting)
            except HostFault as fault:
                # Lost on the way; a request that keeps failing at a host that is well is no HostFault any more.
                if session.host.takes_calls:
                    raise
                losses += 1
                refuse_after_losses(losses, session.host.loss_retries, fault)
            await checkpoint()  # never round without letting the hosts' own tasks run

    def _move(self, session: HostSession) -> None:
        self._sessions[session.host] -= 1
        before, session.host = session.host, self.least_loaded()
        self._sessions[session.host] += 1
        if session.begun and session.host is not before:
            log.info("session.moved", to=session.host.state.address, away=before.state.address)

    async def _one_open(self) -> None:
        """Wait until a host takes calls; raise what is known of the first one when the wait is over."""
        if any(host.takes_calls for host in self._hosts):
            return
        with anyio.move_on_after(self._hosts[0].door.patience_seconds):
            async with anyio.create_task_group() as tasks:
                for host in self._hosts:
                    tasks.start_soon(_until_open, host, tasks.cancel_scope)
        if not any(host.takes_calls for host in self._hosts):
            self._hosts[0].door.raise_absence()

    def _load(self, host: HostedModel) -> tuple[bool, float]:
        # A host that nobody has looked at yet takes no calls either.
        return not host.takes_calls, self._sessions[host] / host.state.slots


class HostSession:
    """Answer the requests of one session, all by one host as long as it is there."""

    def __init__(self, pool: HostPool) -> None:
        self._pool = pool
        self.host = pool.least_loaded()
        self.begun = False
        self.waiting = Waiting()

    @property
    def waited_seconds(self) -> float:
        """Return for how long calls of this session were open, and no host worked on any of them."""
        return self.waiting.seconds

    async def absence(self) -> str:
        """Return why no host takes calls now; an empty text where one may take them."""
        absence = await self._pool.absence_now()
        return absence.reason if absence else ""

    async def ready(self) -> None:
        """Return as soon as the session's model takes calls; only then its name is known for sure."""
        with self.waiting.call():
            await self._pool.ready_for(self)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Return the reply, however long all hosts are away."""
        with self.waiting.call():
            reply = await self._pool.ask(self, request)
        self.begun = True
        return reply


@asynccontextmanager
async def session_of(model: Model | HostPool) -> AsyncIterator[Model]:
    """Lend a session of a pool, or a single model as it is."""
    if isinstance(model, HostPool):
        async with model.session() as session:
            yield session
    else:
        yield model


class ModelPlace(NamedTuple):
    """Name a model and the host it is on."""

    address: str
    model: str


def place_of(model: Model) -> ModelPlace | None:
    """Return which model a session speaks with, None where it is none of a host."""
    if not isinstance(model, HostSession):
        return None
    return ModelPlace(model.host.state.address, model.host.state.model)


def sees_pictures(model: Model) -> bool:
    """Say whether the model of a session says that it reads images."""
    return isinstance(model, HostSession) and model.host.state.vision is True


def _spelled(base_url: str) -> str:
    """Return an address in its one spelling; one that is wrong stays as it is, for whoever uses it to say so."""
    try:
        return api_base(base_url, allow_public_host=True)
    except ConfigError:
        return base_url


async def _until_open(host: HostedModel, race: anyio.CancelScope) -> None:
    await host.door.until_open()
    race.cancel()
