"""The seam between a session and durability: every effect of a session is a step.

A step runs a function once and remembers what it returned. The core ships the runner that remembers nothing; the
pipeline brings one that writes each result to the job's trace and answers from it after a crash.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pipeline.errors import ContextOverflow, RequestRefused, SchemaRefused
from pipeline.llm.protocol import JsonObject, MayBeAway, Model, ModelReply, ModelRequest, Usage

REFUSED = "refused"


class Steps(Protocol):
    """Run named steps; names repeat, so each runner counts them within its scope."""

    async def run(
        self, name: str, request: JsonObject, function: Callable[[Steps], Awaitable[JsonObject]]
    ) -> JsonObject:
        """Return the function's result, from the record where there is one.

        `request` describes what is asked, for the record; a recorded step whose request differs is a divergence.
        The function receives the runner for steps inside this one.
        """
        ...

    def note(self, event: str, **fields: Any) -> None:
        """Add an event that is worth telling but has no effect, such as `memory.added`."""
        ...

    async def tell(self, event: str, **fields: Any) -> None:
        """Put an event on record at once: what follows may be long, or the last that happens."""
        ...

    def holds(self, name: str) -> bool:
        """Say whether the next step of that name is on record."""
        ...

    def scope(self, name: str) -> Steps:
        """Return the runner of a scope that counts its own steps, so that they may run beside those of others."""
        ...

    @property
    def in_turn(self) -> bool:
        """Say whether steps have to be run one after the other, those of different scopes as well."""
        ...


class DirectSteps:
    """Run every step at once and remember nothing."""

    async def run(
        self,
        name: str,  # noqa: ARG002 - the protocol's names
        request: JsonObject,  # noqa: ARG002
        function: Callable[[Steps], Awaitable[JsonObject]],
    ) -> JsonObject:
        return await function(self)

    def note(self, event: str, **fields: Any) -> None:  # noqa: ARG002
        return None

    async def tell(self, event: str, **fields: Any) -> None:  # noqa: ARG002
        return None

    def holds(self, name: str) -> bool:  # noqa: ARG002
        return False

    def scope(self, name: str) -> Steps:  # noqa: ARG002
        return self

    @property
    def in_turn(self) -> bool:
        return False


class SteppedModel:
    """Make every call to a model a step; so is a refusal that would come again, for a session may go on after it."""

    def __init__(self, model: Model, steps: Steps) -> None:
        self._model = model
        self._steps = steps

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Return the reply, or raise the refusal, recorded or live; other errors of the model leave no record."""

        async def ask(_: Steps) -> JsonObject:
            try:
                return (await self._model.complete(request)).to_json()
            except (ContextOverflow, RequestRefused) as refusal:
                return {REFUSED: _refusal_to_json(refusal)}

        if not self._steps.holds("model"):
            await until_there(self._model, self._steps)
        output = await self._steps.run("model", request.fingerprint(), ask)
        if REFUSED in output:
            raise _refusal_from_json(output[REFUSED])
        return ModelReply.from_json(output)

    def within(self, steps: Steps) -> SteppedModel:
        """Return the same model with its calls as steps of another scope."""
        return SteppedModel(self._model, steps)


async def until_there(model: object, steps: Steps) -> None:
    """Return as soon as the model's server is there.

    The wait is on record from its beginning: a program that is ended in it was not ended by the job.
    """
    if isinstance(model, MayBeAway) and (reason := await model.absence()):
        await steps.tell("wait.started", reason=reason)
        await model.ready()
        await steps.tell("wait.ended")


class Meter:
    """Add up what model calls cost; with a `parent`, there as well."""

    def __init__(self, *, parent: Meter | None = None) -> None:
        self._parent = parent
        self.usage = Usage()
        self.model_calls = 0

    def add(self, usage: Usage, *, model_calls: int = 1) -> None:
        """Count one call, or several whose cost was added up elsewhere."""
        self.usage += usage
        self.model_calls += model_calls
        if self._parent is not None:
            self._parent.add(usage, model_calls=model_calls)

    @property
    def tokens(self) -> int:
        """Return prompt and completion tokens together."""
        return self.usage.prompt_tokens + self.usage.completion_tokens


class MeteredModel:
    """Count every call to a model, and ask before each whether another one is allowed.

    `check` raises when it is not. Counting stands outside of `SteppedModel`, so that a call answered from the record
    counts as it did when it was paid for, and a resumed session reaches the same sums.
    """

    def __init__(self, model: Model, meter: Meter, *, check: Callable[[], None] = lambda: None) -> None:
        self._model = model
        self._meter = meter
        self._check = check

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Return the reply and count it."""
        self._check()
        reply = await self._model.complete(request)
        self._meter.add(reply.usage)
        return reply

    def within(self, steps: Steps) -> MeteredModel:
        """Return the same model, counted in the same place, with its calls as steps of another scope."""
        model = self._model.within(steps) if isinstance(self._model, SteppedModel) else self._model
        return MeteredModel(model, self._meter, check=self._check)


def _refusal_to_json(refusal: ContextOverflow | RequestRefused) -> JsonObject:
    told: JsonObject = {"type": type(refusal).__name__, "message": refusal.message, "hint": refusal.hint}
    if isinstance(refusal, ContextOverflow):
        told |= {"prompt_tokens": refusal.prompt_tokens, "context_tokens": refusal.context_tokens}
    return told


def _refusal_from_json(told: JsonObject) -> ContextOverflow | RequestRefused:
    if told["type"] == ContextOverflow.__name__:
        sizes = {"prompt_tokens": told["prompt_tokens"], "context_tokens": told["context_tokens"]}
        return ContextOverflow(told["message"], hint=told["hint"], **sizes)
    kind = SchemaRefused if told["type"] == SchemaRefused.__name__ else RequestRefused
    return kind(told["message"], hint=told["hint"])
