"""A model server as a host: calls wait while it is away, and a job never notices.

A call goes through two doors. The first (`door.py`) is shut while the host is not there; the second lets in as many
calls as the host has slots and context for (`pipeline/llm/admission.py`).

A fault is the host's if the host fails the check that follows it. If the host passes, the request itself is suspect:
it is sent again a few times and then given up as the job's fault. An answer to a prompt that the server has cut to fit
is an overflow, and no answer. Several hosts together are a pool (`pool.py`).
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import anyio
import structlog

from pipeline.errors import ContextOverflow, HostFault, ModelError, ModelSetupFault, OutputFault
from pipeline.llm.address import api_base
from pipeline.llm.admission import Place, TokenEstimate
from pipeline.llm.cut_prompts import PromptCounts
from pipeline.llm.discovery import HostFacts, ModelFacts, probe
from pipeline.llm.hosts.choosing import same_name
from pipeline.llm.hosts.door import Connect, Connection, Discover, Door, pause
from pipeline.llm.hosts.settings import HostSettings
from pipeline.llm.hosts.state import HostState, Observer
from pipeline.llm.lm_studio import EndpointSettings, LMStudioModel
from pipeline.llm.protocol import ModelReply, ModelRequest, Usage
from pipeline.llm.waiting import Waiting

log = structlog.get_logger()

# A server that asks for more patience than this has a clock or a mind that is wrong.
_LONGEST_RETRY_AFTER_SECONDS = 120.0
# The library's timeout is a safety net behind ours, which knows that the server may still be working.
_TIMEOUT_MARGIN_SECONDS = 15.0


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
        self._estimate = TokenEstimate()
        self._counts = PromptCounts()
        self._substitute = ""
        self.door = Door(settings, connect=connect, discover=discover, on_change=on_change)

    @property
    def state(self) -> HostState:
        """Return a snapshot of the host."""
        return self.door.state

    @property
    def takes_calls(self) -> bool:
        """Say whether the host was well when it was last looked at."""
        return self.door.is_open

    @property
    def loss_retries(self) -> int:
        """Return how often a request may be sent again that was under way when the host was lost."""
        return self._settings.loss_retries

    async def ready(self) -> None:
        """Return as soon as the host takes calls; look at it until it does."""
        await self.door.ready()

    async def complete(self, request: ModelRequest, *, wait: bool = True, waiting: Waiting | None = None) -> ModelReply:
        """Return the reply, however long the host is away; raise what is the request's own fault.

        Without `wait` an absent host is raised as `HostFault` at once. `waiting` is told when the call is worked on.
        """
        strikes, losses_with_it, alone = 0, 0, False
        while True:
            await (self.door.ready() if wait else self.door.present())
            self._refuse_oversized(request)
            try:
                async with self.door.gate.place(self._demand(request, alone=alone)) as place:
                    losses = self.door.losses
                    if self.door.is_open:
                        with waiting.work() if waiting else nullcontext():
                            return await self._send(request, place, alone=alone)
            except ContextOverflow as overflow:
                self._learn_from(overflow, request)
                # If this call fits, it was the sum of all that overflowed: again, with the host to itself.
                if alone or _is_too_large(overflow, request):
                    strikes += 1
                    if strikes > self._settings.fault_retries or not self._fits_by_far(request, overflow):
                        raise self._explained(overflow, request) from overflow.__cause__
                    # Somebody else uses the same server, or it is wrong: that passes.
                    await anyio.sleep(pause(strikes, self._settings))
                alone = True
            except (HostFault, ModelSetupFault, OutputFault) as fault:
                if isinstance(fault, OutputFault) or await self.door.is_well(losses_before=losses):
                    strikes += 1
                    self._give_up_after(strikes, fault)
                    await anyio.sleep(max(pause(strikes - 1, self._settings), _asked_for(fault)))
                else:
                    losses_with_it += 1
                    refuse_after_losses(losses_with_it, self._settings.loss_retries, fault)

    async def aclose(self) -> None:
        """Close the connection to the host."""
        await self.door.aclose()

    def _refuse_oversized(self, request: ModelRequest) -> None:
        context, at_least = self.door.state.context_tokens, self._estimate.at_least(request)
        # A reply may be shorter than it is allowed to be: only a quarter of the context is kept for it.
        if context is None or at_least + min(request.max_tokens, context // 4) <= context:
            return
        message = f"the request has at least {at_least} tokens, and the model is loaded with a context of {context}"
        raise self._explained(ContextOverflow(message), request)

    def _fits_by_far(self, request: ModelRequest, overflow: ContextOverflow) -> bool:
        """Say whether the request takes no more than half of what the server can hold, by all that is known of both."""
        told = (overflow.context_tokens, self.door.state.context_tokens)
        context = min((tokens for tokens in told if tokens), default=0)
        prompt = max(self._estimate.expected(request), overflow.prompt_tokens or 0)
        return 2 * (prompt + request.max_tokens) <= context

    def _demand(self, request: ModelRequest, *, alone: bool) -> float:
        return math.inf if alone else self._estimate.expected(request) + request.max_tokens

    async def _send(self, request: ModelRequest, place: Place, *, alone: bool) -> ModelReply:
        assert self.door.connection is not None  # the door opens only after a connection was made
        try:
            with anyio.fail_after(self._settings.timeout_seconds):
                reply = await self.door.connection.complete(request)
        except TimeoutError as error:
            place.cool_off_seconds = self._settings.cool_off_seconds
            raise HostFault(
                f"the model server at {self.door.state.address} did not answer in {self._settings.timeout_seconds:g} s",
                hint="raise [llm] timeout_seconds, lower slots, or use a smaller model",
            ) from error
        except anyio.get_cancelled_exc_class():
            place.cool_off_seconds = self._settings.cool_off_seconds
            raise
        if self._counts.is_cut(request, reply.usage):
            raise self._cut(reply.usage, alone=alone)
        self._note(request, reply)
        if _is_silent_overflow(reply, self.door.state.context_tokens):
            raise ContextOverflow("the model server answered with nothing", prompt_tokens=reply.usage.prompt_tokens)
        return reply

    def _cut(self, usage: Usage, *, alone: bool) -> ContextOverflow:
        """Return the overflow that a server has hidden by leaving out a part of the prompt.

        It speaks of this request only: an odd document must not make the host seem smaller to all others.
        """
        self.door.count(usage)
        log.warning("prompt.cut", address=self.door.state.address, counted_tokens=usage.prompt_tokens, alone=alone)
        return ContextOverflow(
            f"the model server at {self.door.state.address} answered a prompt of which it had left out a part:"
            f" it counted {usage.prompt_tokens} tokens",
            # Beside other calls the rest of the context may have been theirs.
            context_tokens=usage.prompt_tokens if alone else None,
        )

    def _note(self, request: ModelRequest, reply: ModelReply) -> None:
        self._estimate.learn(request, reply.usage)
        self.door.count(reply.usage)
        asked = self.door.model
        if asked is None or not reply.model or same_name(reply.model, asked):
            return
        if reply.model != self._substitute:
            self._substitute = reply.model
            log.warning(
                "model.substituted", address=self.door.state.address, asked=self.door.state.model, answered=reply.model
            )
        if self._settings.model and any(same_name(reply.model, other) for other in self.door.others):
            # Not another name of the same model, but another model that the server has: the one asked for was evicted.
            raise HostFault(
                f"{reply.model} answered at {self.door.state.address}, where {asked.name} was asked for",
                hint=f"keep {asked.name} loaded (`lms load`), and use no other model on this server",
            )

    def _give_up_after(self, strikes: int, fault: ModelError) -> None:
        log.warning("call.failed", address=self.door.state.address, reason=fault.message, time=strikes)
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
        most = self.door.model.max_context_tokens if self.door.model else None
        hint = f"load the model with a longer context: `lms load <model> --context-length {enough}` would do"
        if most is not None and most < enough:
            hint = f"about {enough} tokens are needed and this model holds {most}: use another, or a shorter document"
        return ContextOverflow(
            overflow.message,
            hint=hint,
            prompt_tokens=prompt,
            context_tokens=overflow.context_tokens or self.door.state.context_tokens,
        )

    def _learn_from(self, overflow: ContextOverflow, request: ModelRequest) -> None:
        """Calibrate the estimate by a prompt that the server counted before it refused it."""
        if overflow.prompt_tokens is not None:
            self._estimate.learn(request, Usage(prompt_tokens=overflow.prompt_tokens))


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
