import threading
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.agent import Action, ActionContext, ActionRegistry, ToolError, register_tool
from pipeline.agent import action as action_module
from pipeline.agent.action import snake_case
from pipeline.errors import ConfigError
from pipeline.llm.protocol import ModelRequest


@pytest.fixture(autouse=True)
def _own_tool_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action_module, "_tools", {})


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


MARK = [1]


class Line(BaseModel):
    price: Decimal


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Web Search", "web_search"),
        ("extractInvoiceData", "extract_invoice_data"),
        ("parseHTTPHeader2", "parse_http_header2"),
        ("already_fine", "already_fine"),
        ("größe-prüfen", "gr_e_pr_fen"),
        ("x" * 80, "x" * 64),
    ],
)
def test_names_become_snake_case(name: str, expected: str) -> None:
    """Tool names are lower case with underscores and at most 64 characters, as servers want them."""
    assert snake_case(name) == expected


def test_a_name_of_nothing_is_refused() -> None:
    """A name without a letter or digit cannot name a tool."""
    with pytest.raises(ConfigError, match="---"):
        snake_case("---")


def test_a_tool_is_registered_bare_and_stays_a_function() -> None:
    """`@register_tool` takes everything from the function and returns the function itself."""
    assert register_tool(add) is add
    (action,) = ActionRegistry().get_actions()
    assert (action.name, action.description, action.terminal, action.tags) == (
        "add",
        "Add two numbers.",
        False,
        frozenset(),
    )
    assert action.to_tool() == {
        "type": "function",
        "function": {"name": "add", "description": "Add two numbers.", "parameters": action.parameters},
    }


def test_what_is_given_goes_before_what_the_function_says() -> None:
    """Name, description, parameters, terminal and tags can be given; overridden parameters are still an object."""
    override = {"properties": {"a": {"type": "integer"}}}
    register_tool("The Sum", "d" * 2000, override, terminal=True, tags=["maths"])(add)
    (action,) = ActionRegistry(tags=["maths"]).get_actions()
    assert (action.name, len(action.description), action.terminal) == ("the_sum", 1024, True)
    assert action.parameters == {"type": "object", **override}


def test_two_functions_of_one_name_clash() -> None:
    """A second tool of the same name is an error, but the same function loaded again replaces itself."""
    register_tool(add)
    register_tool(add)

    def other() -> None: ...

    with pytest.raises(ConfigError, match="`add` is registered already"):
        register_tool("add")(other)


def _register(*names: str, tags: tuple[str, ...] = ()) -> None:
    for name in names:

        def tool() -> str:
            return ""

        register_tool(name, tags=tags)(tool)


def test_a_registry_holds_what_its_tags_and_names_choose() -> None:
    """Names are taken in the order given, tags alphabetically, and nothing else comes in."""
    _register("z_read", "a_read", tags=("read",))
    _register("write", "remove")
    chosen = ActionRegistry(tags=["read"], tool_names=["write", "z_read"])
    assert [action.name for action in chosen.get_actions()] == ["write", "z_read", "a_read"]
    assert ActionRegistry(tool_names=[]).get_actions() == ()
    assert len(ActionRegistry().get_actions()) == 4


@pytest.mark.parametrize("choice", [{"tool_names": ["missing"]}, {"tags": ["missing"]}, {"tool_names": [add]}])
def test_a_choice_that_matches_nothing_is_an_error(choice: dict[str, Any]) -> None:
    """An unknown name, tag or function is an error that lists what is registered."""
    _register("write")
    with pytest.raises(ConfigError) as raised:
        ActionRegistry(**choice)
    assert "write" in raised.value.hint


def test_terminate_can_always_be_added() -> None:
    """register_terminate_tool adds terminate whatever was chosen, and once only."""
    _register("write", "terminate")
    registry = ActionRegistry(tool_names=["write"])
    registry.register_terminate_tool()
    registry.register_terminate_tool()
    assert [action.name for action in registry.get_actions()] == ["write", "terminate"]


def test_a_registry_refuses_two_actions_of_one_name() -> None:
    """Within one agent each name means one action."""
    registry = ActionRegistry(tool_names=[])
    registry.register(Action.from_function(add))
    with pytest.raises(ConfigError, match="two tools"):
        registry.register(replace(Action.from_function(add), description="another"))


@pytest.mark.parametrize("name", ["store_invoice", "storeInvoice", "functions.store_invoice", " Store-Invoice "])
def test_an_action_is_found_however_the_model_writes_it(name: str) -> None:
    """Other styles of writing the name find the same action; another name finds none."""
    registry = ActionRegistry(tool_names=[])
    registry.register(Action.from_function(add, name="store_invoice"))
    found = registry.get_action(name)
    assert found is not None
    assert found.name == "store_invoice"
    assert registry.get_action("store") is None
    assert registry.get_action("") is None


async def test_arguments_arrive_in_their_types_and_defaults_stay_the_functions_own() -> None:
    """JSON becomes the annotated types; what was left out is not passed at all."""
    seen: dict[str, Any] = {}

    async def tool(line: Line, count: int, amount: Decimal, number: str, rest: Any = MARK, other: Any = add) -> None:
        seen.update(line=line, count=count, amount=amount, number=number, rest=rest, other=other)

    arguments = {"line": {"price": 1.1}, "count": "3", "amount": "2.50", "number": 4711}
    await Action.from_function(tool).execute(ActionContext(), arguments)
    assert seen == {
        "line": Line(price=Decimal("1.1")),
        "count": 3,
        "amount": Decimal("2.50"),
        "number": "4711",
        "rest": MARK,
        "other": add,
    }
    assert seen["rest"] is MARK


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`a` is missing"),
        ({"a": "many"}, "`a`: .*integer.*'many'"),
        ({"a": 1, "c": 2}, "`c` is not a known name"),
        ({"a": 1, "context": "mine"}, "`context` is not a known name"),
    ],
)
async def test_arguments_that_do_not_fit_are_told(arguments: dict[str, Any], message: str) -> None:
    """Missing, wrong and unknown arguments are a ToolError in words the model can act on."""

    async def tool(context: ActionContext, a: int) -> None: ...

    with pytest.raises(ToolError, match=message):
        await Action.from_function(tool).execute(ActionContext(), arguments)


async def test_the_context_is_injected() -> None:
    """A tool that takes a context gets the one of the call."""

    async def tool(a: int, context: ActionContext) -> object:
        return a, context.get("store")

    result = await Action.from_function(tool).execute(ActionContext(properties={"store": "db"}), {"a": 1})
    assert result == (1, "db")


async def test_a_plain_function_runs_beside_the_event_loop() -> None:
    """A tool that may block runs in a worker thread, an async one in the loop's own."""

    def blocking() -> int:
        return threading.get_ident()

    async def cooperative() -> int:
        return threading.get_ident()

    assert await Action.from_function(blocking).execute(ActionContext(), {}) != threading.get_ident()
    assert await Action.from_function(cooperative).execute(ActionContext(), {}) == threading.get_ident()


async def test_a_function_that_returns_an_awaitable_is_awaited() -> None:
    """A plain function around an async one works like the async one."""

    async def inner(a: int) -> int:
        return a + 1

    def outer(a: int) -> Any:
        return inner(a)

    assert await Action.from_function(outer).execute(ActionContext(), {"a": 1}) == 2


async def test_open_ended_tools_take_every_name() -> None:
    """A tool with **keywords gets whatever the model sends."""

    async def tool(a: int, **others: Any) -> dict[str, Any]:
        return {"a": a, **others}

    assert await Action.from_function(tool).execute(ActionContext(), {"a": 1, "z": 2}) == {"a": 1, "z": 2}


def test_a_missing_property_says_what_there_is() -> None:
    """A tool that asks the context for something it lacks gets an error with the names there are."""
    context = ActionContext(properties={"store": 1})
    assert context.get("document", None) is None
    with pytest.raises(ConfigError, match="`document`") as raised:
        context.get("document")
    assert "store" in raised.value.hint


async def test_a_context_without_a_model_says_so() -> None:
    """Asking the model of a context that has none is an error with the remedy."""
    with pytest.raises(ConfigError, match="none"):
        await ActionContext().model.complete(ModelRequest(messages=()))
