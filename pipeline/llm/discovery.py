"""Ask a model server what it is and what it has loaded; an absent server is a fact, not an error.

LM Studio tells most at its own newest address and least at the OpenAI one, so they are tried in that order. It
answers 200 to addresses it does not know: only a body of the expected form counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from pipeline.llm.address import api_base, server_root
from pipeline.llm.faults import server_words

_GREETING_SECONDS = 0.5


@dataclass(frozen=True)
class ModelFacts:
    """Hold what a server says of one language model; `None` where it says nothing.

    `name` is what a request asks for, `key` the name of the downloaded model where it differs.
    """

    name: str
    key: str = ""
    loaded: bool | None = None
    context_tokens: int | None = None
    max_context_tokens: int | None = None
    slots: int | None = None
    vision: bool | None = None
    tool_use: bool | None = None
    reasoning_off: bool = False


@dataclass(frozen=True)
class HostFacts:
    """Hold what one look at a server showed; `error` and `hint` are for people."""

    address: str
    reachable: bool = False
    is_lm_studio: bool = False
    needs_key: bool = False
    models: tuple[ModelFacts, ...] = ()
    error: str = ""
    hint: str = ""

    @property
    def loaded_model(self) -> ModelFacts | None:
        """Return the first model that is known to be loaded."""
        return next((model for model in self.models if model.loaded), None)

    def pick(self, asked: str) -> ModelFacts | None:
        """Return the model that answers to a name, or with an empty name the one that needs no choice."""
        if asked:
            matches = [model for model in self.models if _answers_to(model, asked)]
            return next((model for model in matches if model.loaded), matches[0] if matches else None)
        return self.loaded_model or (self.models[0] if len(self.models) == 1 else None)


async def probe(
    base_url: str, *, api_key: str = "", timeout_seconds: float = 5.0, allow_public_host: bool = False
) -> HostFacts:
    """Look at the server once and return what it shows; raise `ConfigError` only for a wrong address."""
    address = api_base(base_url, allow_public_host=allow_public_host)
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        try:
            return await _look(session, address)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return HostFacts(
                address,
                error=f"no model server answers ({_cause(error)})",
                hint="start LM Studio's server (Developer tab, or `lms server start`) and check base_url",
            )


async def greet(base_url: str, *, allow_public_host: bool = False) -> bool:
    """Say within about a second whether a model server answers at all."""
    address = api_base(base_url, allow_public_host=allow_public_host)
    timeout = aiohttp.ClientTimeout(total=_GREETING_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        if await _greets(session, address):
            return True
        try:
            async with session.get(f"{address}/models"):
                return True
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


async def _look(session: aiohttp.ClientSession, address: str) -> HostFacts:
    root = server_root(address)
    last = _Answer(0, None, "")
    for path, read, own in _PLACES:
        last = await _get(session, f"{root}{path}")
        if last.status in (401, 403):
            return _refused(address, last, has_key="Authorization" in session.headers)
        models = read(last.body) if last.status == 200 else None
        if models is not None:
            is_lm_studio = own or await _greets(session, address)
            return HostFacts(address, reachable=True, is_lm_studio=is_lm_studio, models=tuple(models))
    return HostFacts(
        address,
        reachable=True,
        error=f"something answers at {address}, but lists no models (HTTP {last.status})",
        hint="base_url must be LM Studio's OpenAI address, usually http://localhost:1234/v1",
    )


@dataclass(frozen=True)
class _Answer:
    status: int
    body: object
    text: str


async def _get(session: aiohttp.ClientSession, url: str) -> _Answer:
    async with session.get(url) as response:
        text = (await response.read()).decode(errors="replace")
    try:
        return _Answer(response.status, json.loads(text), text)
    except (ValueError, RecursionError):
        return _Answer(response.status, None, text)


async def _greets(session: aiohttp.ClientSession, address: str) -> bool:
    url = f"{server_root(address)}/lmstudio-greeting"
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=_GREETING_SECONDS)) as response:
            body = json.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return False
    return isinstance(body, dict) and body.get("lmstudio") is True


def _refused(address: str, answer: _Answer, *, has_key: bool) -> HostFacts:
    told = "the key is refused by the model server at {}" if has_key else "the model server at {} asks for a key"
    wrong = "to one that this server knows" if has_key else "to it"
    return HostFacts(
        address,
        reachable=True,
        needs_key=True,
        error=f"{told.format(address)}: {server_words(answer.text)[:300]}",
        hint=f"create an API token in LM Studio and set api_key (or LM_STUDIO_API_KEY) {wrong}",
    )


def _read_native(body: object) -> list[ModelFacts] | None:
    """Read `/api/v1/models` (LM Studio 0.4): one entry a downloaded model, with its loaded instances."""
    entries = _entries(body, "models")
    if entries is None:
        return None
    return [facts for entry in entries if _text(entry.get("type")) != "embedding" for facts in _native_model(entry)]


def _native_model(entry: dict[str, Any]) -> Iterator[ModelFacts]:
    key = _text(entry.get("key"))
    abilities = _object(entry.get("capabilities"))
    options = _object(abilities.get("reasoning")).get("allowed_options")
    shared: dict[str, Any] = {
        "key": key,
        "max_context_tokens": _count(entry.get("max_context_length")),
        "vision": _flag(abilities.get("vision")),
        "tool_use": _flag(abilities.get("trained_for_tool_use")),
        "reasoning_off": isinstance(options, list) and "off" in options,
    }
    instances = [_object(item) for item in _list(entry.get("loaded_instances"))]
    for instance in instances:
        config = _object(instance.get("config"))
        yield ModelFacts(
            name=_text(instance.get("id")) or key,
            loaded=True,
            context_tokens=_count(config.get("context_length")),
            slots=_count(config.get("parallel")),
            **shared,
        )
    if not instances and key:
        yield ModelFacts(name=key, loaded=False, **shared)


def _read_older(body: object) -> list[ModelFacts] | None:
    """Read `/api/v0/models` (LM Studio 0.3.6): one entry a model, with its state."""
    entries = _entries(body, "data")
    if entries is None or not all("state" in entry for entry in entries):
        return None
    return [
        ModelFacts(
            name=_text(entry.get("id")),
            loaded=entry["state"] == "loaded",
            context_tokens=_count(entry.get("loaded_context_length")),
            max_context_tokens=_count(entry.get("max_context_length")),
            vision=entry.get("type") == "vlm",
            tool_use="tool_use" in _list(entry["capabilities"]) if "capabilities" in entry else None,
        )
        for entry in entries
        if entry.get("type") not in ("embedding", "embeddings") and _text(entry.get("id"))
    ]


def _read_openai(body: object) -> list[ModelFacts] | None:
    """Read `/v1/models`: names only, and not which of them are loaded."""
    entries = _entries(body, "data")
    if entries is None:
        return None
    names = [_text(entry.get("id")) for entry in entries]
    return [ModelFacts(name=name) for name in names if name and "embed" not in name.lower()]


_Reader = Callable[[object], "list[ModelFacts] | None"]
# Address, reader of its body, and whether only LM Studio has it.
_PLACES: tuple[tuple[str, _Reader, bool], ...] = (
    ("/api/v1/models", _read_native, True),
    ("/api/v0/models", _read_older, True),
    ("/v1/models", _read_openai, False),
)


def _answers_to(model: ModelFacts, asked: str) -> bool:
    """Compare names as LM Studio does: a key, an identifier, either with a variant or a copy's number behind it."""
    wanted = asked.casefold()
    names = {model.name.casefold(), model.key.casefold()} - {""}
    return wanted in names or wanted.partition("@")[0] in names or wanted in {name.partition(":")[0] for name in names}


def _entries(body: object, field: str) -> list[dict[str, Any]] | None:
    """Return the objects of a listing, or `None` where the body is no listing."""
    items = body.get(field) if isinstance(body, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    return items


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError) or "Connect call failed" in str(error.os_error)
        return "connection refused" if refused else str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__
