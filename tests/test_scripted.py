import pytest

from pipeline.errors import HostFault
from pipeline.llm.protocol import ModelReply, ModelRequest, Usage
from pipeline.llm.scripted import ScriptedModel, ScriptExhausted, calls, says

REQUEST = ModelRequest(messages=({"role": "user", "content": "the question"},))


async def test_replies_come_in_order_and_requests_are_kept() -> None:
    """Replies, exceptions and functions are given in the order of the script."""
    model = ScriptedModel([says("one"), HostFault("away"), lambda request: says(request.messages[0]["content"])])
    assert (await model.complete(REQUEST)).text == "one"
    with pytest.raises(HostFault, match="away"):
        await model.complete(REQUEST)
    assert (await model.complete(REQUEST)).text == "the question"
    assert model.requests == [REQUEST] * 3
    assert model.remaining == 0


async def test_an_exhausted_script_says_what_was_asked() -> None:
    """One request too many is an error that shows the last message."""
    with pytest.raises(ScriptExhausted, match=r"0 replies.*the question"):
        await ScriptedModel([]).complete(REQUEST)


async def test_usage_is_filled_in_where_a_reply_has_none() -> None:
    """A script-wide usage counts for replies that name none of their own."""
    own = ModelReply(text="b", usage=Usage(1, 1))
    model = ScriptedModel([calls(("t", {"a": 1})), own], usage=Usage(7, 3))
    assert (await model.complete(REQUEST)).usage == Usage(7, 3)
    assert (await model.complete(REQUEST)).usage == Usage(1, 1)
