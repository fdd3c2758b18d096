"""Prove the set-up, one check after another, each with a remedy."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import anyio

from pipeline.agent import ActionContext, prompt_llm_for_json
from pipeline.agent.answer_form import AnswerForm
from pipeline.agent.messages import user_message
from pipeline.app import open_folders, usable_agents
from pipeline.config import Settings, config_files
from pipeline.document.scan.presence import INSTALL, missing_libraries
from pipeline.document.scan.settings import ScanSettings
from pipeline.errors import HostFault, ModelSetupFault, PipelineError
from pipeline.languages import Language
from pipeline.llm.discovery import HostFacts, ModelFacts
from pipeline.llm.hosts import HostedModel, HostSettings, host_from, look_at
from pipeline.llm.lm_studio import load_library
from pipeline.llm.pool import LlmSettings
from pipeline.llm.protocol import JsonObject, Model, ModelReply, ModelRequest, Usage
from pipeline.lock import holder
from pipeline.watch import file_system, must_poll

_MIN_FREE_BYTES = 200_000_000
_MIN_CONTEXT_TOKENS = 8192
_USUAL_CONTEXT_TOKENS = 32_768
_SHORT_CONTEXT_TOKENS = 4096
_USUAL_MODEL = "google/gemma-3-12b"
_PATIENCE_SECONDS = 20.0
_MEASURING_SECONDS = 120.0
_MEASURED_WORDS = 25  # some 600 tokens: hexadecimal digits are the worst case of every tokenizer
_MEASURED_ANSWER_TOKENS = 64
# What a one-page invoice takes, by `tests/benchmarks/tokens.py` and the cache of a server that keeps prefixes.
_INVOICE_PROMPT_TOKENS, _INVOICE_ANSWER_TOKENS = 2200, 300
_HOSTS = "hosts"
_TOOL_RESULT = "4242"
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
    AWAY = "away"
    """This host takes no calls; told as bad, or as poor where another host takes them."""


_UNFIT = frozenset({Grade.BAD, Grade.AWAY})


@dataclass(frozen=True)
class Check:
    """Hold one check: what was looked at, how it went, what was seen, and what to do about it."""

    name: str
    grade: Grade
    seen: str
    remedy: str = ""


async def examine_setup(settings: Settings) -> AsyncIterator[Check]:
    """Yield the checks as they are made; what cannot be checked after a bad one is left out."""
    files = config_files()
    yield Check("settings", Grade.GOOD, str(files.settings))
    try:
        yield Check("agents", Grade.GOOD, f"{', '.join(usable_agents())}, from {files.agents}")
    except PipelineError as error:
        yield Check("agents", Grade.BAD, error.message, error.hint)
        return
    try:
        with open_folders(settings) as folders:
            yield _folder_check("inbox", folders.inbox)
            yield _folder_check("outbox", folders.outbox.root)
    except PipelineError as error:
        yield Check("folders", Grade.BAD, error.message, error.hint)
        return
    yield _watch_check(settings)
    yield _daemon_check(settings)
    yield _scan_check(settings.scan)
    if settings.daemon.engine == "cluster":
        for check in await anyio.to_thread.run_sync(_examine_cluster, settings):
            yield check
        return
    async for check in _examine_hosts(settings):
        yield check


def verdict(checks: Sequence[Check]) -> str:
    """Say in one sentence what all checks come to."""
    if any(check.grade is Grade.BAD for check in checks):
        return "The pipeline cannot work yet."
    some = next((check for check in checks if check.name == _HOSTS and check.grade is not Grade.GOOD), None)
    return f"The pipeline works, with {some.seen}." if some else "Everything needed is there."


def model_check(facts: HostFacts, model: ModelFacts | None, *, asked: str) -> Check:
    """Say whether the model is there that is asked for, or any where none is named."""
    names = ", ".join(one.name for one in facts.models[:8]) or "none"
    if model is None:
        wanted = f"{asked} is not there" if asked else "none is loaded"
        instead = "set [llm] model to one of these, or load it" if asked and facts.models else "load one"
        return Check("model", Grade.AWAY, f"{wanted} (there are: {names})", f"{instead}: {_loading(asked, facts)}")
    if model.loaded is False:
        remedy = f"the first job loads it; or do it now: {_loading(model.name, facts)}"
        loaded = facts.loaded_model
        instead = f"; or set [llm] model to {loaded.name}, which is loaded" if loaded else ""
        return Check("model", Grade.POOR, f"{model.name} is not loaded", remedy + instead)
    return Check("model", Grade.GOOD, model.name)


def context_check(model: ModelFacts, llm: HostSettings) -> Check:
    """Say how much the model takes at once, by the settings or by what its server tells."""
    slots = model.slots if llm.slots == "auto" else llm.slots
    context = model.context_tokens if llm.context_tokens == "auto" else llm.context_tokens
    told = f"{slots} slots" if slots else "slots unknown, 4 are assumed"
    if context is None:
        remedy = f"set [llm] context_tokens{'' if slots else ' and slots'}"
        return Check("context", Grade.POOR, f"context unknown, {told}", remedy)
    seen = f"{context} tokens, {told}"
    if context < _SHORT_CONTEXT_TOKENS:
        seen += ": long invoices are read in parts, and slowly"
    if context < _MIN_CONTEXT_TOKENS:
        remedy = f"load the model with --context-length {_USUAL_CONTEXT_TOKENS}"
        return Check("context", Grade.POOR, seen, remedy)
    return Check("context", Grade.GOOD, seen)


def cluster_checks(found: Mapping[str, Any]) -> list[Check]:
    """Say who is there to work, by a survey of the cluster; each worker looks at its host itself."""
    if found["error"]:
        return [Check("database", Grade.BAD, found["error"], found["hint"])]
    seen = f"reached and prepared, {found['queued']} jobs wait and {found['running']} are worked on"
    workers = [_worker_check(one) for one in found["workers"]]
    if not any(check.grade is Grade.GOOD for check in workers):
        workers.append(Check("workers", Grade.BAD, "none is at work", "start one: pipeline worker --host NAME"))
    return [Check("database", Grade.GOOD, seen), *workers]


async def _examine_hosts(settings: Settings) -> AsyncIterator[Check]:
    """Yield the checks of every host; one that is away keeps nobody from working while another is there."""
    hosts = _hosts(settings.llm)
    if len(hosts) == 1:
        async for check in _examine_host(hosts[0], settings):
            yield _told(check, Grade.BAD)
        return
    working, away = 0, []
    for host in hosts:
        checks = [check async for check in _examine_host(host, settings)]
        grades = {check.grade for check in checks}
        working += not _UNFIT & grades
        if Grade.AWAY in grades:
            away += checks
            continue
        for check in checks:
            yield check
    for check in away:
        yield _told(check, Grade.POOR if working else Grade.BAD)
    if working:
        is_all = working == len(hosts)
        remedy = "" if is_all else "mend what is said of the others, or take them out of [[llm.hosts]]"
        yield Check(_HOSTS, Grade.GOOD if is_all else Grade.POOR, f"{working} of {len(hosts)} hosts", remedy)


def _examine_cluster(settings: Settings) -> list[Check]:
    from pipeline.cluster.survey import survey  # noqa: PLC0415 - loads what only clusters need

    with open_folders(settings) as folders:
        assert folders.shared is not None
        return cluster_checks(survey(folders.shared, settings.cluster))


def _worker_check(worker: Mapping[str, Any]) -> Check:
    who = f"{worker['machine']}, process {worker['pid']}"
    if worker["lost"]:
        seen = f"{who}: silent for {worker['silent_seconds']:.0f} s"
        return Check("worker", Grade.POOR, seen, "the others take over its jobs; look at its log")
    if not worker["places"]:
        remedy = f"it steps in when {worker['host']} is there and has a place; `pipeline doctor` there looks at it"
        return Check("worker", Grade.POOR, f"{who}: waits for a place", remedy)
    return Check("worker", Grade.GOOD, f"{who}: at {worker['host']}, places: {worker['places']}")


def _told(check: Check, grade: Grade) -> Check:
    """Return a check with the grade that being away comes to."""
    return replace(check, grade=grade) if check.grade is Grade.AWAY else check


def _failed(name: str, error: PipelineError) -> Check:
    """Return the check that ended in an error; work is sent to no host that is lost or refuses us."""
    grade = Grade.AWAY if isinstance(error, HostFault | ModelSetupFault) else Grade.BAD
    return Check(name, grade, error.message, error.hint)


def _hosts(llm: HostSettings) -> tuple[HostSettings, ...]:
    return llm.each() if isinstance(llm, LlmSettings) else (llm,)


async def _examine_host(llm: HostSettings, settings: Settings) -> AsyncIterator[Check]:
    try:
        async for check in _look_closely(llm, settings):
            yield check
    except PipelineError as error:
        yield _failed("LM Studio", error)


async def _look_closely(llm: HostSettings, settings: Settings) -> AsyncIterator[Check]:
    facts = await look_at(llm)
    yield _host_check(facts)
    if not facts.reachable or facts.needs_key:
        return
    model = facts.pick(llm.model)
    yield model_check(facts, model, asked=llm.model)
    if model is None:
        return
    yield context_check(model, llm)
    yield _vision_check(model)
    host = host_from(llm.model_copy(update={"max_wait_seconds": _PATIENCE_SECONDS}))
    try:
        async for check in _model_at_work(host, learn=lambda language: _learn(language, host, settings)):
            yield check
    finally:
        await host.aclose()


def _learn(language: Language, host: HostedModel, settings: Settings) -> None:
    """Let later sessions begin in the language that the model has just proved to speak."""
    with open_folders(settings) as folders:
        folders.languages.learn(host.state.address, host.state.model, language, learned_from="doctor")


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


def _scan_check(scan: ScanSettings) -> Check:
    missing = missing_libraries()
    if scan.method == "off":
        return Check("scans", Grade.GOOD, "are not read, as the settings want it")
    if missing:
        return Check("scans", Grade.POOR, f"cannot be read: {', '.join(missing)} not installed", INSTALL)
    return Check("scans", Grade.GOOD, f"text recognition is installed, {scan.dpi} dpi, {scan.threads} threads")


def _host_check(facts: HostFacts) -> Check:
    if not facts.reachable or facts.needs_key:
        remedy = facts.hint or "start LM Studio's server: `lms server start`"
        seen = facts.error if facts.address in facts.error else f"{facts.address}: {facts.error}"
        return Check("LM Studio", Grade.AWAY, seen, remedy)
    if not facts.is_lm_studio:
        seen = f"{facts.address} answers, but not as LM Studio does"
        return Check("LM Studio", Grade.POOR, seen, "check the address; other OpenAI-compatible servers may work")
    return Check("LM Studio", Grade.GOOD, facts.address)


def _loading(name: str, facts: HostFacts) -> str:
    """Return the command that loads a model, one of those there are where none is named."""
    chosen = name or (facts.models[0].name if facts.models else _USUAL_MODEL)
    return f"lms load {chosen} --context-length {_USUAL_CONTEXT_TOKENS} --parallel 4"


def _vision_check(model: ModelFacts) -> Check:
    seen = {True: "the model reads images", False: "the model reads no images", None: "not told"}[model.vision]
    return Check("vision", Grade.GOOD, seen)


async def _model_at_work(host: HostedModel, *, learn: Callable[[Language], None]) -> AsyncIterator[Check]:
    """Let the model do what sessions will ask of it: tool calls, or at least answers in JSON."""
    await load_library()  # else the first call is told to take as long
    tools = await _guarded("tool call", _tool_call(host))
    answer = await _guarded("JSON answer", _json_answer(host))
    if tools.grade in _UNFIT and answer.grade not in _UNFIT:
        remedy = "sessions will act by JSON instead; a model that LM Studio marks for tool use may do better"
        tools = replace(tools, grade=Grade.POOR, remedy=remedy)
        learn(Language.JSON)
    elif tools.grade not in _UNFIT:
        learn(Language.TOOLS)
    yield tools
    yield answer
    if not _UNFIT & {tools.grade, answer.grade}:
        async for check in _speed(host):
            yield check


async def _guarded(name: str, check: Awaitable[Check]) -> Check:
    try:
        return await check
    except PipelineError as error:
        return _failed(name, error)


async def _tool_call(model: Model) -> Check:
    """Have a tool called, give it a result that nobody could guess, and look for it in the answer."""
    messages = (user_message("What is 17 plus 25? Use the tool, and answer with its result alone."),)
    started = time.perf_counter()
    reply = await model.complete(ModelRequest(messages=messages, tools=(_ADD_TOOL,), max_tokens=128))
    if [call.name for call in reply.tool_calls][:1] != ["add_numbers"]:
        remedy = "choose a model that LM Studio marks for tool use, such as gemma-3-12b-it"
        return Check("tool call", Grade.BAD, f"{reply.model} called no tool", remedy)
    call = replace(reply.tool_calls[0], id="call_1")
    told = {"role": "assistant", "content": "", "tool_calls": [call.to_message()]}
    result = {"role": "tool", "tool_call_id": call.id, "content": _TOOL_RESULT}
    second = await model.complete(ModelRequest(messages=(*messages, told, result), tools=(_ADD_TOOL,), max_tokens=128))
    seconds = time.perf_counter() - started
    if _TOOL_RESULT not in second.text:
        seen = f"{reply.model} called the tool, and did not use its result"
        return Check("tool call", Grade.POOR, seen, "a larger model keeps to what tools say")
    return Check("tool call", Grade.GOOD, f"{reply.model} called the tool and used its result, in {seconds:.1f} s")


async def _json_answer(model: Model) -> Check:
    prompt = "Give the city and the year of this sentence as JSON: The fair was held in Ghent in 1913."
    started = time.perf_counter()
    context = ActionContext(model=model)
    await prompt_llm_for_json(context, _CITY_SCHEMA, prompt, schema_name="fair", max_tokens=128)
    match context.forms.of("fair"):
        case AnswerForm.SCHEMA:
            return Check("JSON answer", Grade.GOOD, f"fits its schema, in {time.perf_counter() - started:.1f} s")
        case AnswerForm.PLAIN_SCHEMA:
            seen = "fits its schema, but the server refuses schemas with bounds of length, and is asked without them"
            return Check("JSON answer", Grade.POOR, seen, "update LM Studio's runtimes, so that bounds hold too")
        case AnswerForm.WORDS:
            seen = "fits its schema, but the server refuses every schema: the prompt alone says what to answer"
            return Check("JSON answer", Grade.POOR, seen, "update LM Studio's runtimes, or choose another model")


async def _speed(host: HostedModel) -> AsyncIterator[Check]:
    """Measure with all slots at work, as in a full inbox: prompts that no cache knows first, then the writing alone."""
    prompts = [_unknown_prompt() for _ in range(host.state.slots)]
    remedy = "choose a smaller model, a shorter context, or a faster machine"
    try:
        with anyio.fail_after(_MEASURING_SECONDS):
            reading, read = await _together(host, prompts, max_tokens=1)
            writing, written = await _together(host, prompts, max_tokens=_MEASURED_ANSWER_TOKENS)
    except (TimeoutError, PipelineError) as error:
        cause = error.message if isinstance(error, PipelineError) else f"not measured in {_MEASURING_SECONDS:g} s"
        yield Check("speed", Grade.POOR, cause, remedy)
        return
    reads = (read.prompt_tokens - read.cached_tokens) / reading
    writes = written.completion_tokens / writing
    slots = f"{host.state.slots} slots together"
    yield Check("speed", Grade.GOOD, f"reads {reads:.0f} and writes {writes:.0f} tokens per second, {slots}")
    if not reads or not writes:
        yield Check("estimate", Grade.POOR, "the server counts no tokens, so nothing can be told", "")
        return
    seconds = _INVOICE_PROMPT_TOKENS / reads + _INVOICE_ANSWER_TOKENS / writes
    yield Check("estimate", Grade.GOOD, f"about {3600 / seconds:,.0f} one-page invoices per hour")


def _unknown_prompt() -> str:
    words = " ".join(uuid.uuid4().hex for _ in range(_MEASURED_WORDS))
    return f"{words}\nCount from 1 to 200 in words, and write nothing else."


async def _together(host: HostedModel, prompts: Sequence[str], *, max_tokens: int) -> tuple[float, Usage]:
    """Return the seconds that all prompts took beside each other, and their tokens."""
    replies: list[ModelReply] = []

    async def ask(prompt: str) -> None:
        replies.append(await host.complete(ModelRequest(messages=(user_message(prompt),), max_tokens=max_tokens)))

    started = time.perf_counter()
    await _side_by_side(ask, prompts)
    return time.perf_counter() - started, sum((reply.usage for reply in replies), Usage())


async def _side_by_side(ask: Callable[[str], Coroutine[Any, Any, None]], prompts: Sequence[str]) -> None:
    """Ask all at once; the first error of the model is raised as it is."""
    try:
        async with anyio.create_task_group() as tasks:
            for prompt in prompts:
                tasks.start_soon(ask, prompt)
    except ExceptionGroup as group:
        first = next((error for error in group.exceptions if isinstance(error, PipelineError)), None)
        if first is None:
            raise
        raise first from group
