from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import anyio
import pytest

from pipeline.agent import Action, ActionContext, ActionResult, Environment, ToolError
from pipeline.errors import HostFault, SessionLimit
from pipeline.llm.protocol import Usage

NOON = datetime(2026, 1, 2, 13, 0, tzinfo=timezone(timedelta(hours=1)))


async def run(function: Any, arguments: dict[str, Any] | None = None) -> ActionResult:
    environment = Environment(now=lambda: NOON)
    return await environment.execute_action(Action.from_function(function), ActionContext(), arguments or {})


def failing_with(error: BaseException) -> Any:
    async def tool() -> None:
        raise error

    return tool


async def test_a_result_is_plain_json_with_a_utc_time() -> None:
    """A result is what its record would give back: plain JSON, stamped in UTC."""

    async def tool() -> object:
        return {"when": NOON.date(), "sum": Decimal("1.10"), "pair": (1, float("nan"))}

    result = await run(tool)
    assert result.result == {"when": "2026-01-02", "sum": "1.10", "pair": [1, None]}
    assert (result.tool_executed, result.error, result.timestamp) == (True, None, "2026-01-02T12:00:00.000+00:00")


async def test_a_tool_error_is_an_observation_in_its_own_words() -> None:
    """What a tool tells the model reaches the model as it is."""
    result = await run(failing_with(ToolError("no such account; try another")))
    assert (result.tool_executed, result.error, result.traceback) == (False, "no such account; try another", None)


async def test_a_bug_in_a_tool_is_a_short_cause_and_a_recorded_traceback() -> None:
    """Any other failure is an observation of one line; the traceback is kept for the trace."""
    result = await run(failing_with(KeyError("price\nsecond line")))
    assert result.error == r"KeyError: 'price\nsecond line'"
    assert result.traceback is not None
    assert "test_agent_environment.py" in result.traceback
    assert "Traceback" not in (result.error or "")


async def test_a_long_cause_is_cut() -> None:
    """The model is told at most 500 characters of a cause."""
    result = await run(failing_with(ValueError("x" * 5000)))
    assert result.error is not None
    assert len(result.error) == 500


@pytest.mark.parametrize("returned", [object(), "\ud800", b"\xff"])
async def test_a_result_that_is_no_json_is_the_tools_failure(returned: object) -> None:
    """What cannot be recorded is not passed on as a success."""

    async def tool() -> object:
        return returned

    result = await run(tool)
    assert not result.tool_executed
    assert result.traceback


async def test_an_error_with_half_a_character_can_still_be_recorded() -> None:
    """A cause is always encodable, whatever the exception says."""
    result = await run(failing_with(ToolError("bad \ud800")))
    assert result.error == "bad ?"


@pytest.mark.parametrize("error", [HostFault("away"), SessionLimit("spent", limit="tokens")])
async def test_the_pipelines_own_errors_pass_through(error: Exception) -> None:
    """A dead host or a used-up limit is no failure of the tool that met it."""
    with pytest.raises(type(error)):
        await run(failing_with(error))


async def test_the_pipelines_errors_are_found_in_a_bundle() -> None:
    """A tool that works with a task group hides no host fault in an exception group."""
    bundle = ExceptionGroup("group", [ValueError("a"), ExceptionGroup("inner", [HostFault("away")])])
    with pytest.raises(HostFault, match="away"):
        await run(failing_with(bundle))
    assert not (await run(failing_with(ExceptionGroup("group", [ValueError("a")])))).tool_executed


async def test_cancellation_passes_through() -> None:
    """A cancelled action is cancelled and becomes no observation."""
    with anyio.move_on_after(0) as scope:
        await run(anyio.sleep_forever)
    assert scope.cancelled_caught


def test_a_result_survives_json() -> None:
    """A recorded result comes back equal."""
    result = ActionResult(
        True, {"a": 1}, timestamp=NOON.astimezone(UTC).isoformat(), usage=Usage(1, 2, 3), model_calls=4
    )
    assert ActionResult.from_json(result.to_json()) == result
