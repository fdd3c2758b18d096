"""A model server as a host: calls wait while it is away, and a job never notices.

A call goes through two doors. The first is shut while the host is down, refuses us or is being looked at; whoever
waits there first does the looking for all, so there is one prober and none when nobody waits. The second lets in as
many calls as the host has slots and context for.

A fault is the host's if the host fails the check that follows it. If the host passes, the request itself is suspect:
it is sent again a few times and then given up as the job's fault. Several hosts together are a pool (`pool.py`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal, NoReturn, Protocol

import anyio
import structlog
from pydantic import BaseModel, Field, SecretStr

from pipeline.errors import ContextOverflow, HostFault, HostRefuses, ModelError, ModelSetupFault, OutputFault
from pipeline.llm.address import api_base
from pipeline.llm.admission import Capacity, Gate, Place, TokenEstimate
from pipeline.llm.discovery import HostFacts, ModelFacts, probe
from pipeline.llm.lm_studio import EndpointSettings, LMStudioModel
from pipeline.llm.protocol import Model, ModelReply, ModelRequest, Usage

log = structlog.get_logger()

# LM Studio's own default for "Max Concurrent Predictions".
_USUAL_SLOTS = 4
# A server that asks for more patience than this has a clock or a mind that is wrong.
_LONGEST_RETRY_AFTER_SECONDS = 120.0
# The library's timeout is a safety net behind ours, which knows that the server may still be working.
_TIMEOUT_MARGIN_SECONDS = 15.0
_WARM_UP = ModelRequest(messages=({"role": "user", "content": "Say OK."},), max_tokens=1)


class HostSettings(BaseModel, frozen=True, extra="forbid"):
    """Set one model server and how patiently it is used."""

    base_url: str = Field("http://localhost:1234/v1", description="address of LM Studio's OpenAI-compatible API")
    api_key: SecretStr = Field(SecretStr(""), description="API token, empty where the server asks for none")
    model: str = Field("", description="name of the model; empty takes the one that is loaded")
    slots: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="calls at once; auto takes what the server says"
    )
    queue_ahead: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="calls beyond the slots that wait inside the server, so that no slot waits; auto: 1 for 4",
    )
    context_tokens: Annotated[int, Field(ge=256)] | Literal["auto"] = Field(
        "auto", description="context the model is loaded with, tokens; auto takes what the server says"
    )
    timeout_seconds: float = Field(600.0, gt=0, description="longest wait for one reply, loading included, seconds")
    probe_timeout_seconds: float = Field(5.0, gt=0, description="longest wait for the server's list of models, seconds")
    probe_interval_seconds: float = Field(5.0, gt=0, description="pause between looks at a host that is away, seconds")
    probe_interval_max_seconds: float = Field(
        60.0, gt=0, description="longest such pause, seconds; it doubles up to it"
    )
    fault_retries: int = Field(3, ge=0, description="times a request is sent again that fails at a healthy host")
    loss_retries: int = Field(
        default=5, ge=0, description="times a request is sent again that was under way when the host was lost"
    )
    cool_off_seconds: float = Field(
        10.0, ge=0, description="time a slot stays taken after its call was abandoned, seconds: the server goes on"
    )
    max_wait_seconds: float | None = Field(
        None, ge=0, description="longest wait for a host that is away, seconds; none waits for ever"
    )
    allow_public_host: bool = Field(False, description="permit a host outside this machine and network")


class HostStatus(StrEnum):
    """Say whether a host takes calls."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"
    REFUSED = "refused"


@dataclass(frozen=True)
class HostState:
    """Hold what is to be seen of a host at one moment."""

    address: str
    status: HostStatus
    since: datetime
    reason: str = ""
    hint: str = ""
    model: str = ""
    slots: int = _USUAL_SLOTS
    context_tokens: int | None = None
    vision: bool | None = None
    in_flight: int = 0
    waiting: int = 0
    calls: int = 0
    usage: Usage = dataclasses.field(default_factory=Usage)


class Connection(Model, Protocol):
    """Send requests to one model of a host, once each."""

    async def aclose(self) -> None:
        """Close what is open."""
        ...


Connect = Callable[[ModelFacts], Connection]
Discover = Callable[[], Awaitable[HostFacts]]
Observer = Callable[[HostState], Awaitable[None]]


def host_from(settings: HostSettings, *, on_change: Observer | None = None) -> HostedModel:
    """Return the LM Studio host that the settings describe; raise `ConfigError` for an address it must not have."""
    api_base(settings.base_url, allow_public_host=settings.allow_public_host)

    def connect(model: ModelFacts) -> Connection:
        return LMStudioModel(
            EndpointSettings(
                base_url=settings.base_url,
                api_key=settings.api_key,
                model=model.name,
                timeout_seconds=settings.timeout_seconds + _TIMEOUT_MARGIN_SECONDS,
                reasoning_off=model.reasoning_off,
                allow_public_host=settings.allow_public_host,
            )
        )

    async def discover() -> HostFacts:
        return await look_at(settings)

    return HostedModel(settings, connect=connect, discover=discover, on_change=on_change)


async def look_at(settings: HostSettings) -> HostFacts:
    """Return what the host shows at one look."""
    return await probe(
        settings.base_url,
        api_key=settings.api_key.get_secret_value(),
        timeout_seconds=settings.probe_timeout_seconds,
        allow_public_host=settings.allow_public_host,
    )


def refuse_after_losses(losses: int, allowed: int, fault: ModelError) -> None:
    """Raise the request's own fault when the host was lost too often under it: it may be what brings the host down."""
    if losses > allowed:
        message = f"the host was lost {losses} times while it worked on this request: {fault.message}"
        raise OutputFault(message, hint="look at LM Studio's log, and at what is unusual about the document") from fault


class HostedModel:
    """Answer requests by one host, waiting out its absence; usable by any number of tasks at once."""

    def __init__(
        self, settings: HostSettings, *, connect: Connect, discover: Discover, on_change: Observer | None = None
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._discover = discover
        self._on_change = on_change
        self._connection: Connection | None = None
        self._connected_to: ModelFacts | None = None
        self._gate = Gate(_capacity(settings, None))
        self._estimate = TokenEstimate()
        self._door = anyio.Lock()
        self._at_the_door = 0
        self._open = False
        self._opened, self._shut = anyio.Event(), anyio.Event()
        self._losses = 0
        self._failed_checks = 0
        self._next_check_at = -math.inf
        self._passed_at = -math.inf
        self._substitute = ""
        self._others: tuple[ModelFacts, ...] = ()
        self._state = HostState(_address(settings), HostStatus.UNKNOWN, since=datetime.now(UTC))

    @property
    def state(self) -> HostState:
        """Return a snapshot of the host."""
        return dataclasses.replace(
            self._state, in_flight=self._gate.running, waiting=self._gate.waiting + self._at_the_door
        )

    @property
    def takes_calls(self) -> bool:
        """Say whether the host was well when it was last looked at."""
        return self._open

    async def ready(self) -> None:
        """Return as soon as the host takes calls; look at it until it does.

        With `max_wait_seconds` set, raise `HostFault` when the wait is over, and `HostRefuses` at once when the
        host refuses us: somebody sits there who can mend it.
        """
        if self._open:
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

    @property
    def loss_retries(self) -> int:
        """Return how often a request may be sent again that was under way when the host was lost."""
        return self._settings.loss_retries

    def raise_absence(self) -> NoReturn:
        """Raise what is known of a host that does not take calls."""
        reason = self._state.reason or f"the model server at {self._state.address} was not found yet"
        raise HostFault(reason, hint=self._state.hint)

    async def glance(self) -> None:
        """See whether the host lists its model, before anybody needs it; the first call looks closer."""
        async with self._door:
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
        while not self._open:
            await self._opened.wait()

    async def attend(self) -> None:
        """Look at the host whenever it is lost, for as long as this runs, so that others need not wait here for it."""
        while True:
            while not self._open:
                await anyio.sleep(max(self._next_check_at - anyio.current_time(), 0))
                async with self._door:
                    if not self._open and self._next_check_at <= anyio.current_time():
                        await self._check()
            await self._shut.wait()

    async def complete(self, request: ModelRequest, *, wait: bool = True) -> ModelReply:
        """Return the reply, however long the host is away; raise what is the request's own fault.

        Without `wait` an absent host is raised as `HostFault` at once.
        """
        strikes, losses_with_it, alone = 0, 0, False
        while True:
            await (self.ready() if wait else self._present())
            self._refuse_oversized(request)
            try:
                async with self._gate.place(self._demand(request, alone=alone)) as place:
                    losses = self._losses
                    if self._open:
                        return await self._send(request, place)
            except ContextOverflow as overflow:
                self._learn_from(overflow, request)
                # If this call fits, it was the sum of all that overflowed: again, with the host to itself.
                if alone or _is_too_large(overflow, request):
                    raise self._explained(overflow, request) from overflow.__cause__
                alone = True
            except (HostFault, ModelSetupFault, OutputFault) as fault:
                if isinstance(fault, OutputFault) or await self._is_well(losses_before=losses):
                    strikes += 1
                    self._give_up_after(strikes, fault)
                    await anyio.sleep(max(_pause(strikes - 1, self._settings), _asked_for(fault)))
                else:
                    losses_with_it += 1
                    refuse_after_losses(losses_with_it, self._settings.loss_retries, fault)

    async def aclose(self) -> None:
        """Close the connection to the host."""
        if self._connection is not None:
            await self._connection.aclose()

    # The first door

    async def _present(self) -> None:
        """Wait for the look at the host that is being taken, if one is, and raise `HostFault` if it is away."""
        if not self._open and self._state.status is HostStatus.UP:
            async with self._door:
                pass
        if not self._open:
            self.raise_absence()

    async def _look_until_open(self, wait_until: float) -> None:
        async with self._door:
            while not self._open:
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

    async def _is_well(self, *, losses_before: int) -> bool:
        """Look at the host after a fault; if it is well and was never lost since the call, the request is suspect."""
        failed_at = anyio.current_time()
        if self._losses == losses_before:
            self._close_door()
        async with self._door:
            if self._losses == losses_before and self._passed_at <= failed_at:
                await self._check()
        return self._losses == losses_before

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
        if not self._settings.model and self._connected_to is not None and facts.pick("") is None:
            # Unloaded after a while of rest: the server loads what it had when it is asked for it by name.
            return _chosen(facts, self._connected_to.key or self._connected_to.name)
        chosen = _chosen(facts, self._settings.model)
        self._others = tuple(model for model in facts.models if not _same_name(model.name, chosen))
        return chosen

    async def _warm_up(self, model: ModelFacts) -> None:
        if self._connection is None or self._connected_to is None or not _same_model(self._connected_to, model):
            self._connection = self._connect(model)
        self._connected_to = model
        try:
            with anyio.fail_after(self._settings.timeout_seconds):
                await self._connection.complete(_WARM_UP)
        except TimeoutError as error:
            raise HostFault(
                f"the model server at {self._state.address} did not answer one word"
                f" in {self._settings.timeout_seconds:g} s",
                hint="the model may still be loading, or be too large for this machine",
            ) from error
        except (HostFault, ModelSetupFault):
            raise
        except ModelError as error:
            # It answered; whether it can do more will show with a real request.
            log.warning("host.warmed_up_badly", address=self._state.address, error=error.message)

    def _close_door(self) -> None:
        self._open = False
        if self._opened.is_set():
            self._opened = anyio.Event()
        self._shut.set()

    async def _lose(self, status: HostStatus, fault: ModelError) -> None:
        self._close_door()
        self._losses += 1
        self._failed_checks += 1
        self._next_check_at = anyio.current_time() + _pause(self._failed_checks, self._settings)
        if self._state.status is not status:
            event = "host.refused" if status is HostStatus.REFUSED else "host.lost"
            log.warning(event, address=self._state.address, reason=fault.message, hint=fault.hint)
        await self._change(status, reason=fault.message, hint=fault.hint)

    async def _welcome(self, model: ModelFacts) -> None:
        capacity = _capacity(self._settings, model)
        self._gate.resize(capacity)
        self._failed_checks = 0
        self._next_check_at = -math.inf
        self._passed_at = anyio.current_time()
        self._open = True
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

    # The second door

    def _refuse_oversized(self, request: ModelRequest) -> None:
        context, at_least = self._state.context_tokens, self._estimate.at_least(request)
        # A reply may be shorter than it is allowed to be: only a quarter of the context is kept for it.
        if context is None or at_least + min(request.max_tokens, context // 4) <= context:
            return
        message = f"the request has at least {at_least} tokens, and the model is loaded with a context of {context}"
        raise self._explained(ContextOverflow(message), request)

    def _demand(self, request: ModelRequest, *, alone: bool) -> float:
        return math.inf if alone else self._estimate.expected(request) + request.max_tokens

    async def _send(self, request: ModelRequest, place: Place) -> ModelReply:
        assert self._connection is not None  # the door opens only after a connection was made
        try:
            with anyio.fail_after(self._settings.timeout_seconds):
                reply = await self._connection.complete(request)
        except TimeoutError as error:
            place.cool_off_seconds = self._settings.cool_off_seconds
            raise HostFault(
                f"the model server at {self._state.address} did not answer in {self._settings.timeout_seconds:g} s",
                hint="raise timeout_seconds, lower slots, or use a smaller model",
            ) from error
        except anyio.get_cancelled_exc_class():
            place.cool_off_seconds = self._settings.cool_off_seconds
            raise
        self._note(request, reply)
        if _is_silent_overflow(reply, self._state.context_tokens):
            raise ContextOverflow("the model server answered with nothing", prompt_tokens=reply.usage.prompt_tokens)
        return reply

    def _note(self, request: ModelRequest, reply: ModelReply) -> None:
        self._estimate.learn(request, reply.usage)
        self._state = dataclasses.replace(
            self._state, calls=self._state.calls + 1, usage=self._state.usage + reply.usage
        )
        asked = self._connected_to
        if asked is None or not reply.model or _same_name(reply.model, asked):
            return
        if reply.model != self._substitute:
            self._substitute = reply.model
            log.warning("model.substituted", address=self._state.address, asked=self._state.model, answered=reply.model)
        if self._settings.model and any(_same_name(reply.model, other) for other in self._others):
            # Not another name of the same model, but another model that the server has: the one asked for was evicted.
            raise HostFault(
                f"{reply.model} answered at {self._state.address}, where {asked.name} was asked for",
                hint=f"keep {asked.name} loaded (`lms load`), and use no other model on this server",
            )

    def _give_up_after(self, strikes: int, fault: ModelError) -> None:
        log.warning("call.failed", address=self._state.address, reason=fault.message, time=strikes)
        if strikes <= self._settings.fault_retries:
            return
        if not isinstance(fault, HostFault):
            raise fault
        raise OutputFault(
            f"this request failed {strikes} times at a host that answers others: {fault.message}", hint=fault.hint
        ) from fault

    def _explained(self, overflow: ContextOverflow, request: ModelRequest) -> ContextOverflow:
        prompt = overflow.prompt_tokens or self._estimate.expected(request)
        enough = math.ceil((prompt + request.max_tokens) * 1.1 / 1024) * 1024
        most = self._connected_to.max_context_tokens if self._connected_to else None
        hint = f"load the model with a longer context: `lms load <model> --context-length {enough}` would do"
        if most is not None and most < enough:
            hint = f"about {enough} tokens are needed and this model holds {most}: use another, or a shorter document"
        return ContextOverflow(
            overflow.message,
            hint=hint,
            prompt_tokens=prompt,
            context_tokens=overflow.context_tokens or self._state.context_tokens,
        )

    def _learn_from(self, overflow: ContextOverflow, request: ModelRequest) -> None:
        """Calibrate the estimate by a prompt that the server counted before it refused it."""
        if overflow.prompt_tokens is not None:
            self._estimate.learn(request, Usage(prompt_tokens=overflow.prompt_tokens))


def _address(settings: HostSettings) -> str:
    return api_base(settings.base_url, allow_public_host=settings.allow_public_host)


def _capacity(settings: HostSettings, model: ModelFacts | None) -> Capacity:
    told_slots = model.slots if model else None
    told_context = model.context_tokens if model else None
    slots = (told_slots or _USUAL_SLOTS) if settings.slots == "auto" else settings.slots
    return Capacity(
        slots=slots,
        context_tokens=told_context if settings.context_tokens == "auto" else settings.context_tokens,
        # None for a single slot: LM Studio's own queue has been reported broken there.
        ahead=(slots + 2) // 4 if settings.queue_ahead == "auto" else settings.queue_ahead,
    )


def _chosen(facts: HostFacts, asked: str) -> ModelFacts:
    model = facts.pick(asked)
    if model is not None:
        return model
    if asked and not facts.is_lm_studio:
        return ModelFacts(name=asked)
    names = ", ".join(sorted(model.name for model in facts.models)[:10])
    if asked:
        # LM Studio would let whatever is loaded answer for it.
        raise ModelSetupFault(
            f"the model server at {facts.address} has no model {asked!r}; it has: {names or 'none'}",
            hint="set `model` to one of these, or leave it empty for the loaded one",
        )
    raise HostFault(
        f"no model is loaded at {facts.address}; it has: {names or 'none'}",
        hint="load one in LM Studio (`lms load <model> --context-length 16384`), or set `model`",
    )


def _is_silent_overflow(reply: ModelReply, context_tokens: int | None) -> bool:
    """Recognise a prompt that was cut to nothing: success, no word in it, and the context all but full."""
    return reply.is_silent and context_tokens is not None and reply.usage.prompt_tokens >= 0.9 * context_tokens


def _is_too_large(overflow: ContextOverflow, request: ModelRequest) -> bool:
    """Say whether the server's own numbers show that this request fits no context of that size."""
    if overflow.prompt_tokens is None:
        return False
    return overflow.context_tokens is None or overflow.prompt_tokens + request.max_tokens > overflow.context_tokens


def _asked_for(fault: ModelError) -> float:
    wait = fault.retry_after_seconds if isinstance(fault, HostFault) else None
    return min(wait or 0.0, _LONGEST_RETRY_AFTER_SECONDS)


def _same_model(one: ModelFacts, other: ModelFacts) -> bool:
    return (one.name, one.reasoning_off) == (other.name, other.reasoning_off)


def _same_name(answered: str, asked: ModelFacts) -> bool:
    plain = answered.casefold().partition("@")[0].partition(":")[0]
    return any(plain == name.casefold().partition("@")[0].partition(":")[0] for name in (asked.name, asked.key) if name)


def _pause(failures: int, settings: HostSettings) -> float:
    """Return the seconds to wait after so many failures in a row."""
    if failures < 1:
        return 0.0
    doubled = settings.probe_interval_seconds * 2.0 ** min(failures - 1, 30)
    return min(doubled, max(settings.probe_interval_max_seconds, settings.probe_interval_seconds))
