"""What a look at a model server shows, by each of the three listings and by none."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from wire_stub import hangs, hangs_up, says, wire_stub

from pipeline.errors import ConfigError
from pipeline.llm.discovery import HostFacts, ModelFacts, greet, probe

NATIVE = {
    "models": [
        {"type": "embedding", "key": "nomic", "loaded_instances": [{"id": "nomic", "config": {}}]},
        {
            "type": "llm",
            "key": "maker/small",
            "loaded_instances": [{"id": "invoices", "config": {"context_length": 16384, "parallel": 2}}],
            "max_context_length": 131072,
            "capabilities": {
                "vision": True,
                "trained_for_tool_use": True,
                "reasoning": {"allowed_options": ["off", "on"], "default": "on"},
            },
        },
        {"type": "llm", "key": "maker/large", "loaded_instances": [], "max_context_length": 4096},
    ]
}
OLDER = {
    "data": [
        {"id": "maker/large", "type": "llm", "state": "not-loaded", "max_context_length": 4096},
        {
            "id": "maker/small",
            "type": "vlm",
            "state": "loaded",
            "max_context_length": 131072,
            "loaded_context_length": 8192,
            "capabilities": ["tool_use"],
        },
        {"id": "nomic", "type": "embeddings", "state": "loaded"},
    ]
}
PLAIN = {"data": [{"id": "maker/small", "object": "model"}, {"id": "text-embedding-nomic"}], "object": "list"}


async def test_the_newest_listing_tells_all() -> None:
    """From LM Studio 0.4 on the loaded instance tells name, context, slots and abilities."""
    async with wire_stub() as stub:
        stub.on("/api/v1/models", says(NATIVE))
        facts = await probe(stub.url, api_key="a-token")

    assert (facts.reachable, facts.is_lm_studio, facts.error) == (True, True, "")
    assert facts.loaded_model == ModelFacts(
        name="invoices",
        key="maker/small",
        loaded=True,
        context_tokens=16384,
        max_context_tokens=131072,
        slots=2,
        vision=True,
        tool_use=True,
        reasoning_off=True,
    )
    assert [model.name for model in facts.models] == ["invoices", "maker/large"]
    assert stub.seen[0]["headers"]["Authorization"] == "Bearer a-token"


async def test_the_older_listing_is_second() -> None:
    """LM Studio 0.3, which answers 200 to the newer address, tells its loaded model and context."""
    async with wire_stub() as stub:
        stub.on("/api/v0/models", says(OLDER))
        facts = await probe(stub.url)

    assert facts.is_lm_studio
    assert facts.loaded_model == ModelFacts(
        "maker/small", loaded=True, context_tokens=8192, max_context_tokens=131072, vision=True, tool_use=True
    )


@pytest.mark.parametrize("lm_studio", [True, False])
async def test_the_openai_listing_is_last(lm_studio: bool) -> None:
    """A server with names only is known by its names, and by its greeting as LM Studio."""
    async with wire_stub() as stub:
        stub.on("/v1/models", says(PLAIN))
        stub.on("/lmstudio-greeting", says({"lmstudio": lm_studio}))
        facts = await probe(stub.url)

    assert facts.models == (ModelFacts("maker/small"),)
    assert (facts.reachable, facts.is_lm_studio) == (True, lm_studio)


async def test_a_missing_key_is_told() -> None:
    """A server that asks for a token is reachable, and the fact says what to do."""
    async with wire_stub() as stub:
        stub.on("/api/v1/models", says({"error": {"message": "An LM Studio API token is required"}}, status=401))
        facts = await probe(stub.url)

    assert (facts.reachable, facts.needs_key) == (True, True)
    assert "API token is required" in facts.error
    assert "api_key" in facts.hint


@pytest.mark.parametrize(
    "body", ["<html></html>", {}, [], {"data": 3}, {"data": [1]}, {"models": None}, {"error": "Unexpected endpoint"}]
)
async def test_a_success_without_a_listing_is_no_model_server(body: Any) -> None:
    """A 200 with something else in it, LM Studio's answer to a wrong address, counts as nothing."""
    async with wire_stub() as stub:
        for path in ("/api/v1/models", "/api/v0/models", "/v1/models"):
            stub.on(path, says(body))
        facts = await probe(stub.url)

    assert (facts.reachable, facts.models) == (True, ())
    assert "lists no models" in facts.error


async def test_wrong_types_inside_a_listing_are_left_out() -> None:
    """A field of another type than documented is unknown, not an error."""
    model = {
        "type": 7,
        "key": "m",
        "loaded_instances": [{"id": None, "config": {"context_length": "x", "parallel": 0}}],
    }
    async with wire_stub() as stub:
        stub.on("/api/v1/models", says({"models": [{**model, "capabilities": []}]}))
        facts = await probe(stub.url)

    assert facts.models == (ModelFacts("m", key="m", loaded=True),)


async def test_an_absent_server_is_a_fact() -> None:
    """Nothing is raised where nothing listens, hangs or hangs up; the fact says what to start."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        absent, greeted = await probe(address), await greet(address)
    async with wire_stub() as stub:
        stub.on("/api/v1/models", hangs)
        slow = await probe(stub.url, timeout_seconds=0.05)
        stub.on("/api/v1/models", hangs_up)
        rude = await probe(stub.url)

    for facts in (absent, slow, rude):
        assert not facts.reachable
        assert "no model server answers" in facts.error
        assert "lms server start" in facts.hint
    assert not greeted


async def test_a_greeting_is_quick() -> None:
    """A server that lists models or greets is there."""
    async with wire_stub() as stub:
        stub.on("/lmstudio-greeting", says({"lmstudio": True}))
        assert await greet(stub.url)
        stub.on("/lmstudio-greeting", says("", status=404))
        assert await greet(stub.url)


async def test_no_probe_is_sent_to_a_public_host() -> None:
    """The key goes nowhere public without permission."""
    with pytest.raises(ConfigError):
        await probe("https://api.example.com", api_key="a-token")


LOADED, OTHER = ModelFacts("invoices", key="maker/small", loaded=True), ModelFacts("maker/large", loaded=False)


@pytest.mark.parametrize(
    ("models", "asked", "picked"),
    [
        ((OTHER, LOADED), "", LOADED),
        ((OTHER,), "", OTHER),
        ((OTHER, ModelFacts("third", loaded=False)), "", None),
        ((), "", None),
        ((OTHER, LOADED), "maker/large", OTHER),
        ((OTHER, LOADED), "Maker/Small", LOADED),
        ((OTHER, LOADED), "maker/small@q4_k_m", LOADED),
        ((ModelFacts("maker/large:2", loaded=True), OTHER), "maker/large", ModelFacts("maker/large:2", loaded=True)),
        ((OTHER, LOADED), "fourth", None),
    ],
)
def test_a_model_is_picked_by_name_or_because_there_is_no_choice(
    models: tuple[ModelFacts, ...], asked: str, picked: ModelFacts | None
) -> None:
    """A name finds its model, loaded ones first; no name takes the loaded or the only one."""
    assert HostFacts("http://localhost/v1", models=models).pick(asked) == picked
