"""Prove the set-up, one check after another, each with a remedy."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.agent import prompt_llm_for_json
from pipeline.app import open_folders
from pipeline.config import SETTINGS_NAME, Settings, config_folder
from pipeline.errors import PipelineError
from pipeline.llm.discovery import HostFacts, ModelFacts, probe
from pipeline.llm.hosts import host_from
from pipeline.llm.protocol import JsonObject, Model, ModelRequest
from pipeline.lock import holder
from pipeline.watch import file_system, must_poll

_MIN_FREE_BYTES = 200_000_000
_MIN_CONTEXT_TOKENS = 8192
_PATIENCE_SECONDS = 20.0
_ADD_TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "add_numbers",
        "description": "Add two whole numbers.",
        "parameters": {
            "type": "object",
            "properties": {"first": {"type": "integer"}, "second": {"type": "integer"}},
            "required": ["first", "second"],
        },
    },
}
_CITY_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 40}, "year": {"type": "integer"}},
    "required": ["city", "year"],
    "additionalProperties": False,
}


class Grade(StrEnum):
    """Say how a check went; only `bad` keeps the pipeline from working."""

    GOOD = "good"
    POOR = "poor"
    BAD = "bad"


@dataclass(frozen=True)
class Check:
    """Hold one check: what was looked at, how it went, what was seen, and what to do about it."""

    name: str
    grade: Grade
    seen: str
    remedy: str = ""


async def examine_setup(settings: Settings) -> AsyncIterator[Check]:
    """Yield the checks as they are made; what cannot be checked after a bad one is left out."""
    yield Check("settings", Grade.GOOD, f"{config_folder() / SETTINGS_NAME}")
    try:
        with open_folders(settings) as folders:
            yield _folder_check("inbox", folders.inbox)
            yield _folder_check("outbox", folders.outbox.root)
    except PipelineError as error:
        yield Check("folders", Grade.BAD, error.message, error.hint)
        return
    yield _watch_check(settings)
    yield _daemon_check(settings)
    facts = await _probe(settings)
    yield _host_check(facts)
    if not facts.reachable:
        return
    model = facts.pick(settings.llm.model)
    yield _model_check(facts, model, asked=settings.llm.model)
    if model is None:
        return
    yield _context_check(model)
    yield _vision_check(model)
    async for check in _model_at_work(settings):
        yield check


def _folder_check(name: str, folder: Path) -> Check:
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Check(name, Grade.BAD, f"{folder} cannot be read and written", "give this user the rights to it")
    free = shutil.disk_usage(folder).free
    seen = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _MIN_FREE_BYTES:
        return Check(name, Grade.POOR, seen, "make room on this disk")
    return Check(name, Grade.GOOD, seen)


def _watch_check(settings: Settings) -> Check:
    inbox = settings.folders.inbox
    kind = file_system(inbox) or "unknown file system"
    how = "by polling" if must_poll(inbox, settings.intake.polling) else "by the system's events"
    return Check("watching", Grade.GOOD, f"{how} ({kind}), and a look every {settings.intake.rescan_seconds:g} s")


def _daemon_check(settings: Settings) -> Check:
    other = holder(settings.folders.outbox)
    seen = "not running" if other is None else f"process {other.get('pid')} ({other.get('doing')})"
    return Check("daemon", Grade.GOOD, seen)


async def _probe(settings: Settings) -> HostFacts:
    llm = settings.llm
    return await probe(
        llm.base_url,
        api_key=llm.api_key.get_secret_value(),
        timeout_seconds=llm.probe_timeout_seconds,
        allow_public_host=llm.allow_public_host,
    )


def _host_check(facts: HostFacts) -> Check:
    if not facts.reachable:
        remedy = facts.hint or "start LM Studio's server: `lms server start`"
        return Check("LM Studio", Grade.BAD, f"{facts.address}: {facts.error}", remedy)
    if not facts.is_lm_studio:
        seen = f"{facts.address} answers, but not as LM Studio does"
        return Check("LM Studio", Grade.POOR, seen, "check the address; other OpenAI-compatible servers may work")
    return Check("LM Studio", Grade.GOOD, facts.address)


def _model_check(facts: HostFacts, model: ModelFacts | None, *, asked: str) -> Check:
    names = ", ".join(one.name for one in facts.models[:8]) or "none"
    if model is None:
        wanted = f"{asked} is not there" if asked else "none is loaded"
        remedy = "load one: lms load google/gemma-3-12b --context-length 16384 --parallel 4"
        return Check("model", Grade.BAD, f"{wanted} (there are: {names})", remedy)
    if model.loaded is False:
        return Check("model", Grade.POOR, f"{model.name} is not loaded", "the first job loads it; or use `lms load`")
    return Check("model", Grade.GOOD, model.name)


def _context_check(model: ModelFacts) -> Check:
    slots = f"{model.slots} slots" if model.slots else "slots unknown, 4 are assumed"
    if model.context_tokens is None:
        return Check("context", Grade.POOR, f"context unknown, {slots}", "set [llm] context_tokens and slots")
    seen = f"{model.context_tokens} tokens, {slots}"
    if model.context_tokens < _MIN_CONTEXT_TOKENS:
        remedy = f"load the model with --context-length {2 * _MIN_CONTEXT_TOKENS}"
        return Check("context", Grade.POOR, seen, remedy)
    return Check("context", Grade.GOOD, seen)


def _vision_check(model: ModelFacts) -> Check:
    seen = {True: "the model reads images", False: "the model reads no images", None: "not told"}[model.vision]
    return Check("vision", Grade.GOOD, seen)


async def _model_at_work(settings: Settings) -> AsyncIterator[Check]:
    host = host_from(settings.llm.model_copy(update={"max_wait_seconds": _PATIENCE_SECONDS}))
    try:
        yield await _guarded("tool call", _tool_call(host))
        yield await _guarded("JSON answer", _json_answer(host))
    finally:
        await host.aclose()


async def _guarded(name: str, check: object) -> Check:
    try:
        return await check  # type: ignore[misc,no-any-return]
    except PipelineError as error:
        return Check(name, Grade.BAD, error.message, error.hint)


async def _tool_call(model: Model) -> Check:
    question = "What is 17 plus 25? Use the tool, and do not answer yourself."
    messages = ({"role": "user", "content": question},)
    started = time.perf_counter()
    reply = await model.complete(
        ModelRequest(messages=messages, tools=(_ADD_TOOL,), tool_choice="auto", max_tokens=128)
    )
    seconds = time.perf_counter() - started
    names = [call.name for call in reply.tool_calls]
    if names[:1] != ["add_numbers"]:
        remedy = "choose a model that LM Studio marks for tool use, such as gemma-3-12b-it"
        return Check("tool call", Grade.BAD, f"{reply.model} called no tool", remedy)
    return Check("tool call", Grade.GOOD, f"{reply.model} called the tool in {seconds:.1f} s")


async def _json_answer(model: Model) -> Check:
    prompt = "Give the city and the year of this sentence as JSON: The fair was held in Ghent in 1913."
    started = time.perf_counter()
    await prompt_llm_for_json(model, _CITY_SCHEMA, prompt, schema_name="fair", max_tokens=128)
    return Check("JSON answer", Grade.GOOD, f"fits its schema, in {time.perf_counter() - started:.1f} s")
