"""What an agent can do: tools, how functions become tools, and which of them an agent gets."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, overload

import anyio.to_thread
from pydantic import ValidationError

from pipeline.agent.context import ActionContext
from pipeline.agent.schema import MAX_DESCRIPTION_CHARACTERS, Signature, read_signature, validation_problems
from pipeline.errors import ConfigError
from pipeline.llm.protocol import JsonObject

ToolFunction = Callable[..., Any]
_F = TypeVar("_F", bound=ToolFunction)

TERMINATE = "terminate"
_MAX_NAME_CHARACTERS = 64
_tools: dict[str, Action] = {}


class ToolError(Exception):
    """Tell the model what it did wrong, in words it can act on; raised by tools, never seen by the worker."""


@dataclass(frozen=True)
class Action:
    """Hold one tool: the function, and what a model is told of it.

    `parameters` is a JSON Schema; a `terminal` action ends the session when it succeeds.
    """

    name: str
    function: ToolFunction
    description: str
    parameters: JsonObject
    terminal: bool = False
    tags: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def from_function(
        cls,
        function: ToolFunction,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: JsonObject | None = None,
        terminal: bool = False,
        tags: Iterable[str] = (),
    ) -> Action:
        """Make an action of a function; what is not given comes from its signature and docstring."""
        signature = read_signature(function)
        text = signature.description if description is None else description
        return cls(
            name=snake_case(name or function.__name__),
            function=function,
            description=text[:MAX_DESCRIPTION_CHARACTERS],
            parameters=signature.parameters if parameters is None else _as_object_schema(parameters),
            terminal=terminal,
            tags=frozenset(tags),
        )

    async def execute(self, context: ActionContext, arguments: Mapping[str, Any]) -> Any:
        """Check the arguments and run the function.

        A plain function runs in a worker thread: a tool that blocks must not hold up the sessions beside it.
        """
        checked = self._checked(arguments)
        if self._signature.context_name:
            checked[self._signature.context_name] = context
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**checked)
        result = await anyio.to_thread.run_sync(lambda: self.function(**checked))
        return await result if inspect.isawaitable(result) else result

    def to_tool(self) -> JsonObject:
        """Return the tool in the form a request carries."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    @cached_property
    def _signature(self) -> Signature:
        return read_signature(self.function)

    def _checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            values = self._signature.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise ToolError(f"the arguments of `{self.name}` do not fit: {validation_problems(error)}") from error
        # Only what was sent: what was left out is the function's own default.
        fields = type(values).model_fields
        given = {str(fields[key].alias): getattr(values, key) for key in fields if key in values.model_fields_set}
        return given | (values.model_extra or {})


@overload
def register_tool(tool_name: _F) -> _F: ...


@overload
def register_tool(
    tool_name: str | None = None,
    description: str | None = None,
    parameters_override: JsonObject | None = None,
    terminal: bool = False,
    tags: Iterable[str] = (),
) -> Callable[[_F], _F]: ...


def register_tool(
    tool_name: str | ToolFunction | None = None,
    description: str | None = None,
    parameters_override: JsonObject | None = None,
    terminal: bool = False,
    tags: Iterable[str] = (),
) -> Any:
    """Register a function as a tool, bare (`@register_tool`) or with arguments; the function stays as it is.

    Name, description and parameters come from the function where they are not given. `parameters_override` changes
    what the model is told; its arguments are still checked against the signature.
    """
    if callable(tool_name):
        return register_tool()(tool_name)

    def register(function: _F) -> _F:
        action = Action.from_function(
            function,
            name=tool_name,
            description=description,
            parameters=parameters_override,
            terminal=terminal,
            tags=tags,
        )
        _add_tool(action)
        return function

    return register


class ActionRegistry:
    """Hold the actions of one agent, so that it gets only the tools it needs.

    `tool_names` (names or the functions themselves) and `tags` choose from what is registered: a tool is in if it is
    named or has one of the tags; with neither, all are in. A name or tag that matches nothing is an error.
    """

    def __init__(
        self, tags: Iterable[str] | None = None, tool_names: Iterable[str | ToolFunction] | None = None
    ) -> None:
        self._actions: dict[str, Action] = {}
        chosen = [_find_tool(name) for name in tool_names or ()]
        # By name, not by registration: the order of imports must not change a prompt.
        chosen += [action for tag in tags or () for action in _tagged(tag)]
        if tags is None and tool_names is None:
            chosen = sorted(_tools.values(), key=lambda action: action.name)
        for action in chosen:
            self.register(action)

    def register(self, action: Action) -> None:
        """Add an action; another one of the same name is an error."""
        if self._actions.setdefault(action.name, action) != action:
            raise ConfigError(f"two tools of this agent are named `{action.name}`")

    def register_terminate_tool(self) -> None:
        """Add `terminate`, whatever else was chosen."""
        self.register(_find_tool(TERMINATE))

    def get_action(self, name: str) -> Action | None:
        """Return the action of that name, written as registered or in another style, or None."""
        if name in self._actions:
            return self._actions[name]
        # Models write `functions.storeInvoice` for `store_invoice`.
        return self._actions.get(_plain_name(name.rsplit(".", 1)[-1]))

    def get_actions(self) -> tuple[Action, ...]:
        """Return all actions in the order in which they were added."""
        return tuple(self._actions.values())


def snake_case(name: str) -> str:
    """Return the name as model servers want it: lower case, digits and underscores, at most 64 characters."""
    plain = _plain_name(name)
    if not plain:
        raise ConfigError(f"{name!r} holds nothing that could name a tool", hint="use letters and digits")
    return plain


def _as_object_schema(parameters: JsonObject) -> JsonObject:
    return {"type": "object", "properties": {}, **parameters}


def _add_tool(action: Action) -> None:
    known = _tools.get(action.name)
    if known is not None and not _same_function(known.function, action.function):
        raise ConfigError(
            f"a tool `{action.name}` is registered already, by {known.function.__module__}",
            hint="give one of them another tool_name",
        )
    _tools[action.name] = action


def _same_function(first: ToolFunction, second: ToolFunction) -> bool:
    """Say whether the second is the first in a module that was loaded again."""
    return (first.__module__, first.__qualname__) == (second.__module__, second.__qualname__)


def _find_tool(wanted: str | ToolFunction) -> Action:
    if callable(wanted):
        found = next((action for action in _tools.values() if action.function is wanted), None)
        name = getattr(wanted, "__qualname__", repr(wanted))
    else:
        found, name = _tools.get(_plain_name(wanted)), wanted
    if found is None:
        raise ConfigError(
            f"there is no tool `{name}`", hint=f"registered are: {_known_tools()}; import its module first"
        )
    return found


def _tagged(tag: str) -> list[Action]:
    found = sorted((action for action in _tools.values() if tag in action.tags), key=lambda action: action.name)
    if not found:
        raise ConfigError(f"no tool has the tag `{tag}`", hint=f"registered are: {_known_tools()}")
    return found


def _known_tools() -> str:
    return ", ".join(sorted(_tools)) or "none"


def _plain_name(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:_MAX_NAME_CHARACTERS]
