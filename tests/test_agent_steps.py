from typing import Any

import pytest

from pipeline.agent import DirectSteps, Meter, MeteredModel, SteppedModel
from pipeline.llm.protocol import ModelReply, ModelRequest, Usage
from pipeline.llm.scripted import ScriptedModel, says

REQUEST = ModelRequest(messages=({"role": "user", "content": "hi"},))


async def test_a_stepped_model_gives_the_reply_unchanged() -> None:
    """A reply that passes through a step is the reply that the model gave."""
    reply = ModelReply(text="a", usage=Usage(1, 2, 3), model="m", reasoning="r")
    assert await SteppedModel(ScriptedModel([reply]), DirectSteps()).complete(REQUEST) == reply


async def test_a_meter_adds_up_here_and_in_its_parent() -> None:
    """What a tool's meter counts is counted in the session's meter too."""
    session = Meter()
    tool = Meter(parent=session)
    model = MeteredModel(ScriptedModel([says("a"), says("b")], usage=Usage(10, 5)), tool)
    await model.complete(REQUEST)
    await model.complete(REQUEST)
    assert (tool.tokens, tool.model_calls, session.tokens, session.model_calls) == (30, 2, 30, 2)


async def test_a_refused_check_keeps_the_model_from_being_asked() -> None:
    """When the budget is used up, the call is not made."""

    def refuse() -> None:
        raise RuntimeError("no more")

    model = ScriptedModel([says("a")])
    with pytest.raises(RuntimeError, match="no more"):
        await MeteredModel(model, Meter(), check=refuse).complete(REQUEST)
    assert model.requests == []


class Away(ScriptedModel):
    """A model whose server comes back as soon as it is waited for."""

    waited = 0
    waited_seconds = 0.0

    async def absence(self) -> str:
        return "" if self.waited else "it is switched off"

    async def ready(self) -> None:
        self.waited += 1


class Telling(DirectSteps):
    """Steps that keep what they are told; `recorded` says whether all are on record."""

    def __init__(self, *, recorded: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self._recorded = recorded

    async def tell(self, event: str, **fields: Any) -> None:
        self.told.append({"event": event, **fields})

    def holds(self, name: str) -> bool:  # noqa: ARG002 - the protocol's name
        return self._recorded


async def test_a_wait_for_the_server_is_on_record() -> None:
    """From its beginning, with the reason; a server that is there is not waited for."""
    model, steps = Away([says("a"), says("b")]), Telling()
    for _ in range(2):
        await SteppedModel(model, steps).complete(REQUEST)
    assert steps.told == [{"event": "wait.started", "reason": "it is switched off"}, {"event": "wait.ended"}]


async def test_a_call_that_is_on_record_needs_no_server() -> None:
    """A session of which only the end is missing ends although the server is away."""
    model, steps = Away([says("a")]), Telling(recorded=True)
    await SteppedModel(model, steps).complete(REQUEST)
    assert (model.waited, steps.told) == (0, [])
