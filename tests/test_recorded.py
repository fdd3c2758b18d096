"""A model that answers from a record only."""

from __future__ import annotations

import pytest

from pipeline.errors import ReplayDiverged
from pipeline.llm.protocol import JsonObject, ModelReply, ModelRequest
from pipeline.llm.recorded import RecordedModel


def asked(*texts: str, **more: object) -> ModelRequest:
    messages: tuple[JsonObject, ...] = tuple({"role": "user", "content": text} for text in texts)
    return ModelRequest(messages=messages, **more)  # type: ignore[arg-type]


async def test_without_a_record_every_call_diverges() -> None:
    """A replay whose steps should hold the answers never gets a live one."""
    with pytest.raises(ReplayDiverged, match="no replies are recorded") as caught:
        await RecordedModel().complete(asked("a"))
    assert caught.value.step == "model"


async def test_recorded_requests_are_answered_in_their_order() -> None:
    """The same request asked twice gets its first answer first, and a third time is one too many."""
    question = asked("a")
    model = RecordedModel([(question.fingerprint(), ModelReply(text=text)) for text in ("one", "two")])

    assert [(await model.complete(question)).text for _ in range(2)] == ["one", "two"]
    with pytest.raises(ReplayDiverged, match="less often"):
        await model.complete(question)


@pytest.mark.parametrize(
    ("request_", "difference"),
    [
        (asked("a", "b", "other"), "its messages differ from number 3 on"),
        (asked("a", "b", "c", max_tokens=5), "its max tokens differ"),
        (asked("a", "b", "c", tools=({"name": "new"},)), "its tools differ"),
        (asked("a", "b", "c", schema={"type": "object"}), "its schema differ"),
    ],
)
async def test_a_divergence_names_the_part_that_differs(request_: ModelRequest, difference: str) -> None:
    """The message says which part of the nearest recorded request is not the same."""
    recorded = [asked("z"), asked("a", "b", "c")]
    model = RecordedModel([(request.fingerprint(), ModelReply(text="x")) for request in recorded])

    with pytest.raises(ReplayDiverged, match=difference):
        await model.complete(request_)
