"""The first door to a host: shut while it is down, refuses us or is being looked at.

Whoever waits there first does the looking for all, so there is one prober and none when nobody waits.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import anyio
import structlog

from pipeline.errors import HostFault, HostRefuses, ModelError, ModelSetupFault
from pipeline.llm.address import api_base
from pipeline.llm.admission import Gate
from pipeline.llm.discovery import HostFacts, ModelFacts
from pipeline.llm.hosts.choosing import capacity_of, model_of, same_model, same_name
from pipeline.llm.hosts.settings import HostSettings
from pipeline.llm.hosts.state import HostState, HostStatus, Observer
from pipeline.llm.protocol import Model, ModelRequest, Usage

log = structlog.get_logger()

_WARM_UP = ModelRequest(messages=({"role": "user", "content": "Say OK."},), max_tokens=1)


class Connection(Model, Protocol):
    """Send requests to one model of a host, once each."""

    async def aclose(self) -> None:
        """Close what is open."""
        ...


Connect = Callable[[ModelFacts], Connection]
Discover = Callable[[], Awaitable[HostFacts]]


class Door:
    """Know whether a host takes calls, and look at it while it does not.

    `gate` is the second door, as wide as the host's capacity; `model` is the one that is asked, `others` are what the
    host has besides; `losses` counts how often the host was lost.
    """

    def __init__(
        self, settings: HostSettings, *, connect: Connect, discover: Discover, on_change: Observer | None = None
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._discover = discover
        self._on_change = on_change
        self.connection: Connection | None = None
        self.model: ModelFacts | None = None
        self.others: tuple[ModelFacts, ...] = ()
        self.gate = Gate(capacity_of(settings, None))
        self.is_open = False
        self.losses = 0
        self._looking = anyio.Lock()
        self._at_the_door = 0
        self._opened, self._shut = anyio.Event(), anyio.Event()
        self._failed_checks = 0
        self._next_check_at = -math.inf
        self._passed_at = -math.inf
        self._state = HostState(_address(settings), HostStatus.UNKNOWN, since=datetime.now(UTC))

    @property
    def state(self) -> HostState:
        """Return a snapshot of the host."""
        return dataclasses.replace(
            self._state, in_flight=self.gate.running, waiting=self.gate.waiting + self._at_the_door
        )

    def count(self, usage: Usage) -> None:
        """Add a call that was answered."""
        self._state = dataclasses.replace(self._state, calls=self._state.calls + 1, usage=self._state.usage + usage)

    async def ready(self) -> None:
        """Return as soon as the host takes calls; look at it until it does.

        With `max_wait_seconds` set, raise `HostFault` when the wait is over, and `HostRefuses` at once when the
        host refuses us: somebody sits there who can mend it.
        """
        if self.is_open:
            return
        self._at_the_door += 1
        try:
            await self._look_until_open(anyio.current_time() + self.patience_seconds)
        finally:
            self._at_the_door -= 1

    @property
    def patience_seconds(self) -> float:
        """Return how long a call may wait for the host, in seconds."""
        patience = self._settings.max_wait_seconds
        return math.inf if patience is None else patience

    def raise_absence(self) -> NoReturn:
        """Raise what is known of a host that does not take calls."""
        reason = self._state.reason or f"the model server at {self._state.address} was not found yet"
        raise HostFault(reason, hint=self._state.hint)

    async def glance(self) -> None:
        """See whether the host lists its model, before anybody needs it; the first call looks closer."""
        async with self._looking:
            if self._state.status is not HostStatus.UNKNOWN:
                return
            try:
                await self._find_model()
            except HostFault as fault:
                await self._lose(HostStatus.DOWN, fault)
            except ModelSetupFault as fault:
                await self._lose(HostStatus.REFUSED, fault)

    async def until_open(self) -> None:
        """Wait for somebody else to find the host well."""
        while not self.is_open:
            await self._opened.wait()

    async def attend(self) -> None:
        """Look at the host whenever it is lost, for as long as this runs, so that others need not wait here for it."""
        while True:
            while not self.is_open:
                await anyio.sleep(max(self._next_check_at - anyio.current_time(), 0))
                async with self._looking:
                    if not self.is_open and self._next_check_at <= anyio.current_time():
                        await self._check()
            await self._shut.wait()

    async def present(self) -> None:
        """Wait for the look at the host that is being taken, if one is, and raise `HostFault` if it is away."""
        if not self.is_open and self._state.status is HostStatus.UP:
            async with self._looking:
                pass
        if not self.is_open:
            self.raise_absence()

    async def is_well(self, *, losses_before: int) -> bool:
        """Look at the host after a fault; if it is well and was never lost since the call, the request is suspect."""
        failed_at = anyio.current_time()
        if self.losses == losses_before:
            self._close_door()
        async with self._looking:
            if self.losses == losses_before and self._passed_at <= failed_at:
                await self._check()
        return self.losses == losses_before

    async def aclose(self) -> None:
        """Close the connection to the host."""
        if self.connection is not None:
            await self.connection.aclose()

    async def _look_until_open(self, wait_until: float) -> None:
        async with self._looking:
            while not self.is_open:
                self._lose_patience(wait_until)
                await anyio.sleep(max(self._next_check_at - anyio.current_time(), 0))
                await self._check()

    def _lose_patience(self, wait_until: float) -> None:
        """Raise what is known of the host if its next look comes too late for this call."""
        if self._settings.max_wait_seconds is None or self._next_check_at <= anyio.current_time():
            return
        if self._state.status is HostStatus.REFUSED:
            raise HostRefuses(self._state.reason, hint=self._state.hint)
        if self._next_check_at > wait_until:
            raise HostFault(self._state.reason, hint=self._state.hint)

    async def _check(self) -> None:
        """Look at the host and open the door if one call of one token succeeds: it loads the model, too."""
        try:
            model = await self._find_model()
            await self._warm_up(model)
            if model.loaded is False:
                model = await self._find_model()
        except HostFault as fault:
            await self._lose(HostStatus.DOWN, fault)
        except ModelSetupFault as fault:
            await self._lose(HostStatus.REFUSED, fault)
        else:
            await self._welcome(model)

    async def _find_model(self) -> ModelFacts:
        facts = await self._discover()
        if facts.needs_key:
            raise ModelSetupFault(facts.error, hint=facts.hint)
        if not facts.reachable or facts.error:
            raise HostFault(facts.error, hint=facts.hint)
        if not self._settings.model and self.model is not None and facts.pick("") is None:
            # Unloaded after a while of rest: the server loads what it had when it is asked for it by name.
            return model_of(facts, self.model.key or self.model.name)
        chosen = model_of(facts, self._settings.model)
        self.others = tuple(model for model in facts.models if not same_name(model.name, chosen))
        return chosen

    async def _warm_up(self, model: ModelFacts) -> None:
        if self.connection is None or self.model is None or not same_model(self.model, model):
            self.connection = self._connect(model)
        self.model = model
        try:
            with anyio.fail_after(self._settings.timeout_seconds):
                await self.connection.complete(_WARM_UP)
        except TimeoutError as error:
            raise HostFault(
                f"the model server at {self._state.address} did not answer one word"
                f" in {self._settings.timeout_seconds:g} s",
                hint="the model may still be loading, or be slow: raise [llm] timeout_seconds, or use a smaller model",
            ) from error
        except (HostFault, ModelSetupFault):
            raise
        except ModelError as error:
            # It answered; whether it can do more will show with a real request.
            log.warning("host.warmed_up_badly", address=self._state.address, error=error.message)

    def _close_door(self) -> None:
        self.is_open = False
        if self._opened.is_set():
            self._opened = anyio.Event()
        self._shut.set()

    async def _lose(self, status: HostStatus, fault: ModelError) -> None:
        self._close_door()
        self.losses += 1
        self._failed_checks += 1
        self._next_check_at = anyio.current_time() + pause(self._failed_checks, self._settings)
        if self._state.status is not status:
            event = "host.refused" if status is HostStatus.REFUSED else "host.lost"
            log.warning(event, address=self._state.address, reason=fault.message, hint=fault.hint)
        await self._change(status, reason=fault.message, hint=fault.hint)

    async def _welcome(self, model: ModelFacts) -> None:
        capacity = capacity_of(self._settings, model)
        self.gate.resize(capacity)
        self._failed_checks = 0
        self._next_check_at = -math.inf
        self._passed_at = anyio.current_time()
        self.is_open = True
        self._opened.set()
        self._shut = anyio.Event()
        if self._state.status is not HostStatus.UP:
            away = (datetime.now(UTC) - self._state.since).total_seconds()
            known = {"address": self._state.address, "model": model.name, "slots": capacity.slots}
            known["context_tokens"] = capacity.context_tokens
            if self._state.status is HostStatus.UNKNOWN:
                log.info("host.found", **known)
            else:
                log.info("host.recovered", **known, away_seconds=round(away, 1))
        self._state = dataclasses.replace(
            self._state,
            model=model.name,
            vision=model.vision,
            slots=capacity.slots,
            context_tokens=capacity.context_tokens,
        )
        await self._change(HostStatus.UP)

    async def _change(self, status: HostStatus, *, reason: str = "", hint: str = "") -> None:
        changed = self._state.status is not status
        since = datetime.now(UTC) if changed else self._state.since
        self._state = dataclasses.replace(self._state, status=status, since=since, reason=reason, hint=hint)
        if changed and self._on_change is not None:
            await self._on_change(self.state)


def pause(failures: int, settings: HostSettings) -> float:
    """Return the seconds to wait after so many failures in a row."""
    if failures < 1:
        return 0.0
    doubled = settings.probe_interval_seconds * 2.0 ** min(failures - 1, 30)
    return min(doubled, max(settings.probe_interval_max_seconds, settings.probe_interval_seconds))


def _address(settings: HostSettings) -> str:
    return api_base(settings.base_url, allow_public_host=settings.allow_public_host)
