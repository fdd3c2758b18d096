"""A job's trace while it is away from the outbox: batches of events, each kept as a step of the job's workflow."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.cluster.durable import Kept, keep_step
from pipeline.journal import Work
from pipeline.llm.protocol import JsonObject
from pipeline.trace import Event

EVENTS, OUTCOME = "events", "outcome"
_CUT_OFF = "step.cut_off"
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class StepLog:
    """Hold all events of a job and keep new ones; the same steps must come in the same order after a restart."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = list(events)
        self.outcome: str | None = None

    async def catch_up(self, kept: Sequence[Kept]) -> None:
        """Walk over what an earlier execution has kept, so that the next step is a new one.

        A step that was cut off has its number all the same, and the steps after it theirs: its place is filled.
        """
        taken = 0
        for step in kept:
            for _ in range(taken + 1, step.number):
                await self._keep(_CUT_OFF, {EVENTS: []})
            self._take(await keep_step(step.name, _never))
            taken = step.number

    async def append(self, events: Sequence[Event]) -> None:
        """Keep these events."""
        if events:
            await self._keep(events[-1]["event"], {EVENTS: list(events)})

    async def run_apart(self, name: str, work: Work) -> None:
        """Do the work within a step that ends with its workflow, and keep the events it gives.

        An error leaves a step without events, and is raised as it was.
        """
        failure: Exception | None = None

        async def do() -> JsonObject:
            nonlocal failure
            try:
                return {EVENTS: list(await work())}
            except Exception as error:  # noqa: BLE001 - carried past the engine, which would keep it as text
                failure = error
                return {EVENTS: []}

        self._take(await keep_step(name, do, preemptible=True))
        if failure is not None:
            raise failure

    async def end(self, event: Event, outcome: str) -> None:
        """Keep the last event, together with what the job came to."""
        await self._keep(event["event"], {EVENTS: [event], OUTCOME: outcome})

    async def _keep(self, name: str, output: JsonObject) -> None:
        async def give() -> JsonObject:
            return output

        self._take(await keep_step(name, give))

    def _take(self, output: JsonObject) -> None:
        self.events.extend(output.get(EVENTS, ()))
        self.outcome = output.get(OUTCOME, self.outcome)


def storable(text: str) -> str:
    """Return JSON text without half surrogate pairs, which PostgreSQL has no encoding for."""
    return _HALF_A_PAIR.sub("\ufffd", text)


async def _never() -> JsonObject:
    raise RuntimeError("a kept step was not found where it was seen before")
