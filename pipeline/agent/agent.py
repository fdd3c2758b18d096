"""The loop: construct a prompt, ask, act, remember; until a terminal action succeeds or a limit is reached.

Everything between two steps is a pure function of what came before: no clock and no chance gets into a prompt, so a
session whose steps are recorded can be run again from its record and takes the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import anyio
from pydantic import BaseModel, Field

from pipeline.agent.action import ActionRegistry
from pipeline.agent.answer_form import ask_in_form
from pipeline.agent.context import ActionContext, CompletionSettings
from pipeline.agent.environment import ActionResult, Environment
from pipeline.agent.goal import Goal
from pipeline.agent.language import AgentLanguage, FunctionCallingLanguage, PlannedCall
from pipeline.agent.memory import Memory, MemoryItem, MemoryType
from pipeline.agent.messages import Content
from pipeline.agent.steps import DirectSteps, Meter, MeteredModel, SteppedModel, Steps
from pipeline.errors import ContextOverflow, RequestRefused, SessionLimit
from pipeline.llm.protocol import JsonObject, MayBeAway, Model, ModelReply, ModelRequest, Usage


class SessionLimits(BaseModel, frozen=True, extra="forbid"):
    """Bound what one session may cost."""

    steps: int = Field(default=50, ge=1, description="replies of the model in the loop")
    seconds: float = Field(
        default=900.0,
        gt=0,
        description="time a session may take, in seconds, without that in which it waits for the model server or for a"
        " place at it; checked before each call",
    )
    tokens: int = Field(
        default=400_000, ge=1, description="prompt and completion tokens together, those of tools included"
    )
    repeated_calls: int = Field(default=3, ge=2, description="the same call this many times in a row ends the session")
    reminders: int = Field(
        default=2, ge=0, description="replies in a row without a call that are answered by a reminder"
    )


class StopReason(StrEnum):
    """Say how a session ended; a limit is no ending but raises `SessionLimit`."""

    TERMINATED = "terminated"
    NO_TOOL_CALL = "no_tool_call"


@dataclass(frozen=True)
class SessionOutcome:
    """Hold how a session ended.

    `result` is what the terminal action returned, or the model's last text where it called none; `action` is that
    action's name. `usage` and `model_calls` include the calls made by tools.
    """

    stop: StopReason
    result: Any
    action: str | None
    memory: Memory
    steps: int
    usage: Usage
    model_calls: int


class Agent:
    """Pursue goals with a model, by means of actions."""

    def __init__(
        self,
        goals: Sequence[Goal],
        actions: ActionRegistry,
        model: Model,
        *,
        language: AgentLanguage | None = None,
        environment: Environment | None = None,
        limits: SessionLimits | None = None,
        completion: CompletionSettings | None = None,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._goals = tuple(goals)
        self._actions = actions
        self._model = model
        self._language = language or FunctionCallingLanguage()
        self._environment = environment or Environment()
        self._limits = limits or SessionLimits()
        self._completion = completion or CompletionSettings()
        self._clock = clock

    async def run(
        self,
        task: Content,
        memory: Memory | None = None,
        max_iterations: int = 50,
        *,
        context: ActionContext | None = None,
        steps: Steps | None = None,
        meter: Meter | None = None,
        shorter_task: str = "",
    ) -> SessionOutcome:
        """Work at the task until a terminal action succeeds; raise `SessionLimit` when a limit comes first.

        A `memory` given is gone on with, and appended to. `context` brings what tools need, also how they ask. `steps`
        records; a `meter` given keeps the count even when the session raises, and counts from what it holds. A
        `shorter_task` is told in place of the task once a request with it has turned out too long for the model.
        """
        waited_before = _waited(self._model)
        session = _Session(
            limits=self._limits.model_copy(update={"steps": min(self._limits.steps, max_iterations)}),
            memory=Memory() if memory is None else memory,
            recorder=steps or DirectSteps(),
            meter=meter or Meter(),
            context=context or ActionContext(completion=self._completion),
            clock=self._clock,
            started_at=self._clock(),
            waited=lambda: _waited(self._model) - waited_before,
            max_tokens=self._completion.max_tokens,
            task=MemoryItem(MemoryType.USER, task),
            shorter_task=MemoryItem(MemoryType.USER, shorter_task) if shorter_task else None,
        )
        session.remember(session.task)
        while session.ending is None:
            session.check_limits()
            reply = await self._ask(session)
            calls = self._understand(reply, session)
            if calls:
                await self._act(calls, session)
            else:
                self._remind(reply, session)
        return session.outcome(session.ending)

    async def _ask(self, session: _Session) -> ModelReply:
        while True:
            try:
                return await self._request(session)
            except ContextOverflow:
                if not session.shorten():
                    raise
            except RequestRefused:
                if not self._language.give_way():
                    raise

    async def _request(self, session: _Session) -> ModelReply:
        prompt = self._language.construct_prompt(goals=self._goals, memory=session.memory, actions=self._actions)
        model = MeteredModel(SteppedModel(self._model, session.recorder), session.meter)
        session.steps += 1
        request = ModelRequest(
            messages=prompt.messages,
            tools=prompt.tools,
            tool_choice=prompt.metadata.get("tool_choice") if prompt.tools else None,
            schema=prompt.metadata.get("schema"),
            schema_name=prompt.metadata.get("schema_name", ""),
            max_tokens=session.max_tokens,
            temperature=self._completion.temperature,
        )
        # A language that asks for actions as JSON says in words, too, what they look like.
        return await ask_in_form(model, request, session.context.forms)

    def _understand(self, reply: ModelReply, session: _Session) -> tuple[PlannedCall, ...]:
        """Remember the reply and return its calls."""
        calls = self._language.parse_response(reply, memory=session.memory, actions=self._actions)
        if calls or reply.text.strip():
            session.remember(MemoryItem(MemoryType.ASSISTANT, reply.text, tuple(planned.call for planned in calls)))
        if reply.finish_reason == "length":
            # Twice, not more each time: a model that thinks long gets room, one that never ends costs no more for it.
            session.max_tokens = self._completion.max_tokens * 2
        return calls

    async def _act(self, calls: tuple[PlannedCall, ...], session: _Session) -> None:
        """Run all calls in order and remember what came of them; a terminal one that succeeds ends the session."""
        session.reminders = 0
        session.has_acted = True
        failed = False
        for planned in calls:
            session.check_repetition(planned)
            result = await self._carry_out(planned, session, after_failure=failed)
            session.remember(self._language.observation(planned.call, result))
            failed = failed or not result.tool_executed
            if planned.action and planned.action.terminal and result.tool_executed and session.ending is None:
                session.ending = _Ending(StopReason.TERMINATED, result.result, planned.action.name)

    async def _carry_out(self, planned: PlannedCall, session: _Session, *, after_failure: bool) -> ActionResult:
        action = planned.action
        if action is None or planned.problem:
            return ActionResult(tool_executed=False, error=planned.problem)
        if action.terminal and after_failure:
            # The model has not seen that failure yet: it ended the session on the belief that all went well.
            return ActionResult(tool_executed=False, error="not run, because an earlier call of the same reply failed")
        meter = Meter(parent=session.meter)

        async def execute(inner: Steps) -> JsonObject:
            model = MeteredModel(SteppedModel(self._model, inner), meter, check=session.check_budget)
            context = session.context.with_(model=model, memory=session.memory, steps=inner)
            result = await self._environment.execute_action(action, context, planned.arguments)
            return replace(result, usage=meter.usage, model_calls=meter.model_calls).to_json()

        request = {"tool": action.name, "arguments": planned.arguments}
        result = ActionResult.from_json(await session.recorder.run("action", request, execute))
        if meter.model_calls == 0:
            # Answered from the record: its calls were not made now, but they were paid for.
            session.meter.add(result.usage, model_calls=result.model_calls)
        return result

    def _remind(self, reply: ModelReply, session: _Session) -> None:
        if session.reminders >= self._limits.reminders or not self._actions.get_actions():
            # Some servers answer a prompt that they had no room for with anything; whoever has acted had room.
            if session.has_acted or not session.shorten():
                session.ending = _Ending(StopReason.NO_TOOL_CALL, reply.text, None)
                return
            session.reminders = 0
        session.reminders += 1
        if reply.is_silent and session.reminders > 1:
            # Others answer it with nothing.
            session.shorten()
        session.remember(self._language.reminder(reply, actions=self._actions))


@dataclass(frozen=True)
class _Ending:
    stop: StopReason
    result: Any
    action: str | None


@dataclass
class _Session:
    """Hold what one run of the loop counts and remembers."""

    limits: SessionLimits
    memory: Memory
    recorder: Steps
    meter: Meter
    context: ActionContext
    clock: Callable[[], float]
    started_at: float
    waited: Callable[[], float]
    max_tokens: int
    task: MemoryItem
    shorter_task: MemoryItem | None
    steps: int = 0
    reminders: int = 0
    has_acted: bool = False
    repetitions: int = 0
    last_call: tuple[str, str, str] = ("", "", "")
    ending: _Ending | None = None

    def remember(self, item: MemoryItem) -> None:
        self.memory.add_memory(item)
        self.recorder.note("memory.added", **item.to_json())

    def shorten(self) -> bool:
        """Tell the task in its shorter form from now on; say whether there is one that was not told yet."""
        if self.shorter_task is None:
            return False
        shorter, self.shorter_task = self.shorter_task, None
        self.memory = Memory(shorter if item is self.task else item for item in self.memory)
        self.recorder.note("memory.added", **shorter.to_json())
        return True

    def check_limits(self) -> None:
        if self.steps >= self.limits.steps:
            raise _limit_reached("steps", f"{self.limits.steps} steps without reaching its goals")
        self.check_budget()

    def check_budget(self) -> None:
        seconds = self.clock() - self.started_at - self.waited()
        if seconds > self.limits.seconds:
            raise _limit_reached("seconds", f"{seconds:.0f} of {self.limits.seconds:g} seconds")
        if self.meter.tokens >= self.limits.tokens:
            raise _limit_reached("tokens", f"{self.meter.tokens} of {self.limits.tokens} tokens")

    def check_repetition(self, planned: PlannedCall) -> None:
        this_call = (planned.call.name, planned.call.arguments, planned.problem)
        self.repetitions = self.repetitions + 1 if this_call == self.last_call else 1
        self.last_call = this_call
        if self.repetitions >= self.limits.repeated_calls:
            raise _limit_reached("repeated_calls", f"the same call of `{planned.call.name}` {self.repetitions} times")

    def outcome(self, ending: _Ending) -> SessionOutcome:
        return SessionOutcome(
            stop=ending.stop,
            result=ending.result,
            action=ending.action,
            memory=self.memory,
            steps=self.steps,
            usage=self.meter.usage,
            model_calls=self.meter.model_calls,
        )


def _waited(model: Model) -> float:
    """Return for how long calls to the model have waited: a server that is away or busy is not the session's doing."""
    return model.waited_seconds if isinstance(model, MayBeAway) else 0.0


def _limit_reached(limit: str, used: str) -> SessionLimit:
    return SessionLimit(
        f"the session stopped at its limit `{limit}`: {used}",
        limit=limit,
        hint=f"look at the trace for what the model tried; `{limit}` under [limits] of the agent's file allows more",
    )
