"""The README's agent of one's own, run."""

from pathlib import Path

from pipeline.agent import ActionRegistry, Agent, Goal, register_tool
from pipeline.llm.protocol import Model
from pipeline.llm.scripted import ScriptedModel, calls
from pipeline.tools.terminate import terminate


@register_tool(tags=["files"])
def list_files(folder: str, suffix: str = "") -> list[str]:
    """List the files of a folder.

    Args:
        folder: Path of the folder.
        suffix: Only names that end so, such as ".py".
    """
    return sorted(path.name for path in Path(folder).iterdir() if path.name.endswith(suffix))


async def describe_folder(model: Model, folder: str) -> str:
    agent = Agent(
        goals=[
            Goal("Look", "Find out what the folder holds.", priority=2),
            Goal("Report", "Terminate with one sentence."),
        ],
        actions=ActionRegistry(tool_names=[list_files, terminate]),
        model=model,
    )
    outcome = await agent.run(f"What is in {folder}?")
    return str(outcome.result)


async def test_an_agent_of_ones_own_is_twenty_lines(tmp_path: Path) -> None:
    """A function with type hints and a docstring is a tool, and an agent with it does its task."""
    (tmp_path / "a.py").touch()
    (tmp_path / "b.txt").touch()
    script = [
        calls(("list_files", {"folder": str(tmp_path)})),
        calls(("terminate", {"message": "One program, one text."})),
    ]
    model = ScriptedModel(script)
    assert await describe_folder(model, str(tmp_path)) == "One program, one text."
    assert model.requests[1].messages[-1]["content"] == '["a.py","b.txt"]'
