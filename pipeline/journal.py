"""Durable steps: a job's session answers from its trace what it has already done.

A session is deterministic between its steps, so running it again over the record rebuilds its memory exactly, and
then it goes on live. Keys name a step by its place (`action-2/model-1`), so steps may nest.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread

from pipeline.agent.steps import REFUSED, Steps
from pipeline.disk import storage_fault
from pipeline.errors import ReplayDiverged
from pipeline.job import REFUSED_EVENT, STEP_EVENTS, JobRecord, StepRecord
from pipeline.llm.protocol import JsonObject
from pipeline.trace import Event, Trace
from pipeline.trace import event as new_event

StepFunction = Callable[[Steps], Awaitable[JsonObject]]
Sink = Callable[[Sequence[Event]], Awaitable[None]]
Work = Callable[[], Awaitable[Sequence[Event]]]
# Does the work of a step that has no steps inside, and keeps the events it gives as a sink would.
Keeper = Callable[[str, Work], Awaitable[None]]
# An action may ask a model, and what keeps steps apart need not be able to nest them.
_MAY_HOLD_STEPS = frozenset({"action"})


@dataclass
class _Session:
    """What all scopes of one session share; `waiting` are notes to be written with the next step."""

    steps: dict[str, StepRecord]
    notes: tuple[Event, ...]
    attempt: int
    sink: Sink | None
    include_text: bool
    keeper: Keeper | None
    as_kept: Callable[[str], str] | None
    joins_last: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    waiting: list[Event] = field(default_factory=list)
    noted: int = 0
    writing: anyio.Lock = field(default_factory=anyio.Lock)


def open_journal(
    record: JobRecord,
    sink: Sink | None,
    *,
    attempt: int = 0,
    include_text: bool = True,
    keeper: Keeper | None = None,
    as_kept: Callable[[str], str] | None = None,
    joins_last: bool = False,
) -> Journal:
    """Return a journal over what is recorded; new steps run and go to the sink.

    Without a sink nothing may run: a step that has no record raises ReplayDiverged. A `keeper` runs the steps that have
    none inside, and keeps them in place of the sink. `as_kept` changes JSON text into what the sink can keep, before
    the session sees it. With `joins_last` an action waits to be written with what comes next, but before that begins:
    the last one goes to the sink together with the job's last event, which whoever opened the journal writes.
    """
    steps, attempt = dict(record.steps), attempt or record.attempts
    return Journal(_Session(steps, record.notes, attempt, sink, include_text, keeper, as_kept, joins_last))


def into(trace: Trace) -> Sink:
    """Return a sink that appends to the trace and returns when it is synced.

    A disk that fails is raised as StorageFault, so that no tool in whose step it happens is blamed for it.
    """

    async def append(events: Sequence[Event]) -> None:
        try:
            await anyio.to_thread.run_sync(trace.append, events)
        except OSError as error:
            raise storage_fault(error) or error from error

    return append


class Journal:
    """Run steps once: recorded ones are answered from the record, new ones are written and synced before going on."""

    def __init__(self, session: _Session, scope: str = "") -> None:
        self._session = session
        self._scope = scope
        self._counts: dict[str, int] = {}

    @property
    def state(self) -> dict[str, Any]:
        """Return what the session's tools have worked out so far: plain JSON that is recorded with each action."""
        return self._session.state

    @property
    def attempt(self) -> int:
        """Return the number of the attempt that is being recorded, counted from 1."""
        return self._session.attempt

    def holds(self, name: str) -> bool:
        """Say whether the next step of that name is on record."""
        return f"{self._scope}{name}-{self._counts.get(name, 0) + 1}" in self._session.steps

    def scope(self, name: str) -> Journal:
        """Return the journal of a scope that counts its own steps; one name must not be given twice."""
        return Journal(self._session, f"{self._scope}{name}/")

    @property
    def in_turn(self) -> bool:
        """Say whether steps have to come in order: a keeper numbers them, and over a record no work is saved."""
        return self._session.keeper is not None or self._session.sink is None

    async def run(self, name: str, request: JsonObject, function: StepFunction) -> JsonObject:
        """Return the recorded or the new result of the step; its errors leave no record."""
        key = self._next_key(name)
        request = self._as_json(request)
        recorded = self._session.steps.get(key)
        if recorded is not None and self._matches(key, recorded, request):
            if self._session.sink is None and self._has_inner(key):
                # Its result is on record; it runs only to hold what it asks, such as its prompt, against the record.
                await function(Journal(self._session, f"{key}/"))
            self._restore(recorded)
            return recorded.output
        if self._session.sink is None:
            raise ReplayDiverged(f"step {key} has no record", step=key, hint="the session asked for more than before")
        return await self._carry_out(name, key, request, function)

    def note(self, event: str, **fields: Any) -> None:
        """Keep an event to be written with the next step; one that the record already holds is passed over."""
        session = self._session
        session.noted += 1
        if session.noted <= len(session.notes) or session.sink is None:
            return
        if not session.include_text:
            fields = {"type": fields.get("type"), "withheld": True}
        session.waiting.append(new_event(event, attempt=session.attempt, **fields))

    async def tell(self, event: str, **fields: Any) -> None:
        """Write an event at once."""
        await self.write(new_event(event, attempt=self.attempt, **fields))

    async def write(self, *events: Event) -> None:
        """Append events of the job itself, together with the notes that wait."""
        if self._session.sink is not None:
            await self._append(self.taken(*events))

    def taken(self, *events: Event) -> list[Event]:
        """Return the notes that wait and these events, for a caller that writes them itself."""
        waiting, self._session.waiting = self._session.waiting, []
        return [*waiting, *events]

    async def sync(self) -> None:
        """Return when every step that has ended is written: what comes next must not be undone without it."""
        if any("step" in one for one in self._session.waiting):
            await self.write()

    async def _carry_out(self, name: str, key: str, request: JsonObject, function: StepFunction) -> JsonObject:
        session = self._session
        output: JsonObject = {}
        await self.sync()

        async def work() -> Sequence[Event]:
            nonlocal output
            started = anyio.current_time()
            output = self._as_json(await function(Journal(session, f"{key}/")))
            seconds = round(anyio.current_time() - started, 3)
            waiting, session.waiting = session.waiting, []
            return [*waiting, self._event(name, key, request, output, seconds=seconds)]

        if session.keeper is not None and name not in _MAY_HOLD_STEPS:
            await session.keeper(name, work)
        else:
            session.waiting = list(await work())
            # Nothing is built on an action before the next step begins: until then the session only computes, and a
            # kill leaves what a kill a moment earlier would, in the action itself, which has to bear being repeated.
            if not (session.joins_last and name in _MAY_HOLD_STEPS):
                await self.write()
        return output

    async def _append(self, events: Sequence[Event]) -> None:
        """Give events to the sink, one batch at a time where steps run beside each other."""
        assert self._session.sink is not None  # without one nothing is carried out
        async with self._session.writing:
            await self._session.sink(events)

    def _next_key(self, name: str) -> str:
        self._counts[name] = self._counts.get(name, 0) + 1
        return f"{self._scope}{name}-{self._counts[name]}"

    def _has_inner(self, key: str) -> bool:
        return any(other.startswith(f"{key}/") for other in self._session.steps)

    def _restore(self, recorded: StepRecord) -> None:
        """Set the state to what it was after the step; what a tool had taken out of it is gone again."""
        if recorded.state:
            self._session.state.clear()
            self._session.state.update(recorded.state)

    def _matches(self, key: str, recorded: StepRecord, request: JsonObject) -> bool:
        """Say whether the record answers this request; a live session drops a record that no longer fits."""
        before, session = recorded.request, self._session
        differing = [part for part in {**before, **request} if before.get(part) != request.get(part)]
        if not differing:
            return True
        if session.sink is None:
            raise ReplayDiverged(_difference(key, before, request, differing), step=key)
        session.steps.clear()
        session.notes = session.notes[: session.noted]
        kept = {"at_step": key, "notes": len(session.notes)}
        session.waiting.append(new_event("record.diverged", attempt=session.attempt, parts=differing, **kept))
        return False

    def _event(self, name: str, key: str, request: JsonObject, output: JsonObject, *, seconds: float) -> Event:
        session = self._session
        fields: dict[str, Any] = {"attempt": session.attempt, "step": key, "seconds": seconds}
        happened = STEP_EVENTS.get(name, "step.completed")
        if name == "model" and REFUSED in output:
            happened = REFUSED_EVENT
        elif name == "model":
            fields |= {"usage": output["usage"], "model": output["model"], "host": output.get("host", "")}
        shown = {"request": request, "output": output}
        if name == "action" and session.state:
            shown["state"] = self._as_json(session.state)
        session.steps[key] = StepRecord(request=request, output=output, state=dict(session.state))
        fields |= shown if session.include_text else {"withheld": True}
        return new_event(happened, **fields)

    def _as_json(self, value: JsonObject) -> JsonObject:
        """Return the value as it will be read back, so that a live and a replayed session see the same."""
        text = json.dumps(value, default=str, ensure_ascii=False)
        as_kept = self._session.as_kept
        result: JsonObject = json.loads(as_kept(text) if as_kept else text)
        return result


def _difference(key: str, before: JsonObject, now: JsonObject, parts: list[str]) -> str:
    details = []
    for part in parts:
        old, new = before.get(part), now.get(part)
        if isinstance(old, list) and isinstance(new, list):
            first = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
            details.append(f"{part} from number {first + 1} on ({len(old)} recorded, {len(new)} now)")
        else:
            details.append(f"{part} ({str(old)[:60]} recorded, {str(new)[:60]} now)")
    return f"step {key} differs from its record in {', '.join(details)}"
