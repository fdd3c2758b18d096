import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipeline.agent import (
    ActionContext,
    ActionRegistry,
    Agent,
    CompletionSettings,
    Goal,
    Memory,
    MemoryItem,
    MemoryType,
    SessionLimits,
    StopReason,
)
from pipeline.errors import ConfigError, OutputFault
from pipeline.llm.protocol import ModelReply
from pipeline.llm.scripted import ScriptedModel, calls, says
from pipeline.tools import experts, terminate

CONFIG = Path(__file__).parent.parent / "config"
AGENTS = ("technical-documentation", "test-design", "code-review", "feature-announcement")
PROMPTS = {name.replace("-", "_"): f"persona of {name}" for name in AGENTS}
SOURCE = "def f(): ..."


def context(*replies: Any, **properties: Any) -> tuple[ActionContext, ScriptedModel]:
    model = ScriptedModel(replies)
    completion = CompletionSettings(max_tokens=100, temperature=0.3)
    return ActionContext(model=model, completion=completion, properties={"prompts": PROMPTS, **properties}), model


async def test_an_expert_is_a_persona_asked_once() -> None:
    """The description is the system message, the prompt the only user message."""
    ctx, model = context(says(" the answer\n"))
    assert await experts.prompt_expert(ctx, "a clockmaker", "why does it tick?") == "the answer"
    (request,) = model.requests
    assert [message["content"] for message in request.messages] == ["a clockmaker", "why does it tick?"]
    assert (request.max_tokens, request.temperature, request.tools) == (100, 0.3, ())


@pytest.mark.parametrize(
    ("tool", "persona", "arguments", "last"),
    [
        (experts.write_documentation, "technical-documentation", ["x"], "x"),
        (experts.design_tests, "test-design", ["x", "speed"], "x\n\nPut this first: speed"),
        (experts.review_code, "code-review", ["x"], "x"),
        (experts.announce_feature, "feature-announcement", ["x", "bakers"], "x\n\nThe audience: bakers"),
        (experts.document_source, "technical-documentation", [], SOURCE),
        (experts.design_source_tests, "test-design", [], SOURCE),
        (experts.review_source, "code-review", ["races"], f"{SOURCE}\n\nPut this first: races"),
        (experts.announce_source, "feature-announcement", ["bakers"], f"{SOURCE}\n\nThe audience: bakers"),
    ],
)
async def test_each_expert_has_its_persona_and_its_subject(
    tool: Any, persona: str, arguments: list[str], last: str
) -> None:
    """A named expert is asked under its persona, about the text given or the document of the session."""
    ctx, model = context(says("ok"), document_message={"role": "user", "content": SOURCE})
    assert await tool(ctx, *arguments) == "ok"
    assert [message["content"] for message in model.requests[0].messages] == [f"persona of {persona}", last]


async def test_without_a_document_message_the_first_user_message_is_the_document() -> None:
    """The program need not name the document; the task of the session holds it."""
    ctx, model = context(says("ok"))
    memory = Memory([MemoryItem(MemoryType.USER, SOURCE), MemoryItem(MemoryType.USER, "later")])
    await experts.review_source(ctx.with_(memory=memory))
    assert model.requests[0].messages[-1]["content"] == SOURCE


async def test_a_missing_persona_is_named() -> None:
    """An agent without the persona's text gets an error that says where to put it."""
    ctx, _ = context(prompts={})
    with pytest.raises(ConfigError, match="code_review") as raised:
        await experts.review_code(ctx, "x")
    assert "[prompts]" in raised.value.hint


async def test_a_cut_off_answer_gets_double_room_once_and_then_says_so() -> None:
    """A cut answer is asked for again at twice the length; what is cut even then is marked."""
    cut = says("half", finish_reason="length")
    ctx, model = context(cut, says("whole"))
    assert await experts.review_code(ctx, "x") == "whole"
    assert [request.max_tokens for request in model.requests] == [100, 200]
    ctx, _ = context(cut, cut)
    assert await experts.review_code(ctx, "x") == "half\n\n[cut off: the answer is longer than 200 tokens]"


async def test_no_answer_is_a_fault() -> None:
    """An expert that says nothing has not answered."""
    ctx, _ = context(ModelReply(text=" ", reasoning="hm"))
    with pytest.raises(OutputFault, match="no answer"):
        await experts.review_code(ctx, "x")


@pytest.mark.parametrize("name", AGENTS)
async def test_a_source_file_goes_in_and_the_experts_answer_comes_out(name: str) -> None:
    """Each expert's agent file makes an agent that needs two model calls and writes the document out in neither."""
    data = tomllib.loads((CONFIG / "agents" / f"{name}.toml").read_text())
    prompts = {key: (CONFIG / "prompts" / file).read_text() for key, file in data["prompts"].items()}
    (tool,) = data["tools"]
    arguments = {"audience": "bakers"} if tool == "announce_source" else {}
    model = ScriptedModel([calls((tool, arguments)), says("# The answer")])
    agent = Agent(
        [Goal(**goal) for goal in data["goals"]],
        ActionRegistry(tool_names=data["tools"]),
        model,
        limits=SessionLimits(**data["limits"]),
        completion=CompletionSettings(**data["model"]),
    )
    outcome = await agent.run(f"{data['task']}\n{SOURCE}", context=ActionContext(properties={"prompts": prompts}))
    assert (outcome.stop, outcome.result, outcome.model_calls) == (StopReason.TERMINATED, "# The answer", 2)
    assert data["result"] == "answer"
    assert {".py", ".md"} <= set(data["files"]["extensions"])
    assert model.requests[1].messages[0]["content"] in prompts.values()
    assert SOURCE in model.requests[1].messages[1]["content"]
    assert all("source" not in tool["function"]["parameters"]["properties"] for tool in model.requests[0].tools)


def test_source_tools_are_terminal_and_the_others_are_not() -> None:
    """What works on the session's document ends the session; what works on an argument does not."""
    assert all(action.terminal for action in ActionRegistry(tags=["source"]).get_actions())
    assert not any(action.terminal for action in ActionRegistry(tags=["experts"]).get_actions())
    assert len(ActionRegistry(tags=["experts"]).get_actions()) == 5


async def test_terminate_ends_a_session_with_its_message() -> None:
    """terminate is a terminal system tool that returns what it is given."""
    (action,) = ActionRegistry(tags=["system"]).get_actions()
    assert (action.name, action.terminal) == ("terminate", True)
    assert await action.execute(ActionContext(), {"message": "all done"}) == "all done"
    assert action.function is terminate.terminate
