"""Where actions meet the world: whatever a tool does, the session gets a result or a short cause."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic_core import to_json

from pipeline.agent.action import Action, ToolError
from pipeline.agent.context import ActionContext
from pipeline.errors import PipelineError
from pipeline.llm.protocol import JsonObject, Usage

_log = structlog.get_logger()

_MAX_CAUSE_CHARACTERS = 500


@dataclass(frozen=True)
class ActionResult:
    """Hold what came of an action.

    `result` is plain JSON. `error` is what the model is told; `traceback` is for the trace alone. `timestamp` is UTC
    in ISO form, empty where nothing was run. `usage` and `model_calls` count what the tool itself asked of a model.
    """

    tool_executed: bool
    result: Any = None
    error: str | None = None
    timestamp: str = ""
    traceback: str | None = None
    usage: Usage = field(default_factory=Usage)
    model_calls: int = 0

    def to_json(self) -> JsonObject:
        """Return the result as plain JSON for the trace."""
        return {**vars(self), "usage": {**vars(self.usage)}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ActionResult:
        """Rebuild a result from `to_json`."""
        return cls(**{**data, "usage": Usage(**data["usage"])})


class Environment:
    """Run actions."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    async def execute_action(
        self, action: Action, context: ActionContext, arguments: Mapping[str, Any]
    ) -> ActionResult:
        """Return what came of the action; a tool's own failure is a result too.

        Errors of the pipeline (a dead host, a used-up limit, an interruption) are no tool's failure and pass through,
        as does cancellation.
        """
        try:
            result = _as_plain_json(await action.execute(context, arguments))
        except PipelineError:
            raise
        except ToolError as error:
            return self._failure(str(error))
        except Exception as error:  # tools are anybody's code: a bug in one is an observation, on record
            if (fault := _pipeline_error_in(error)) is not None:
                raise fault from error
            _log.warning("action.failed", tool=action.name, error_type=type(error).__name__)
            return self._failure(_cause(error), "".join(traceback.format_exception(error)))
        return ActionResult(tool_executed=True, timestamp=self._timestamp(), result=result)

    def _failure(self, cause: str, trace: str | None = None) -> ActionResult:
        return ActionResult(
            tool_executed=False,
            timestamp=self._timestamp(),
            error=_encodable(cause),
            traceback=trace and _encodable(trace),
        )

    def _timestamp(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="milliseconds")


def _as_plain_json(result: Any) -> Any:
    """Return what a record would give back, so that a first run and a resumed one see the same."""
    return json.loads(to_json(result, inf_nan_mode="null"))


def _pipeline_error_in(error: Exception) -> PipelineError | None:
    """Return the pipeline's own error out of a task group's bundle."""
    if isinstance(error, PipelineError):
        return error
    if not isinstance(error, ExceptionGroup):
        return None
    return next((fault for inner in error.exceptions if (fault := _pipeline_error_in(inner))), None)


def _cause(error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    name = type(error).__name__
    return f"{name}: {first_line}"[:_MAX_CAUSE_CHARACTERS] if first_line else name


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
