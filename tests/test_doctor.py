"""The set-up proved: which lines come, in which order, and what each says to do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.app import open_folders
from pipeline.config import Settings, shipped_config
from pipeline.doctor import Check, Grade, cluster_checks, context_check, examine_setup, model_check, verdict
from pipeline.errors import ConfigError
from pipeline.llm.discovery import HostFacts, ModelFacts
from pipeline.llm.pool import LlmSettings
from pipeline.llm.standin import Fault, FaultRule, StandInServer, StandInSettings

ORDER = [
    "settings",
    "agents",
    "inbox",
    "outbox",
    "watching",
    "daemon",
    "scans",
    "LM Studio",
    "model",
    "context",
    "vision",
    "tool call",
    "JSON answer",
    "speed",
    "estimate",
]


async def examined(settings: Settings, server: StandInServer | None = None) -> dict[str, Check]:
    url = server.base_url if server else "http://127.0.0.1:9/v1"
    llm = settings.llm.model_copy(update={"base_url": url, "probe_interval_seconds": 0.01})
    return {check.name: check async for check in examine_setup(settings.model_copy(update={"llm": llm}))}


async def test_a_good_set_up_is_proved_in_order(settings: Settings) -> None:
    """All lines come in their order, all good, with the speed of the slots together and what follows from it."""
    speeds = {"prompt_tokens_per_second": 20_000, "completion_tokens_per_second": 500}
    async with StandInServer(StandInSettings.model_validate({"slots": 2, **speeds})) as server:
        checks = await examined(settings, server)

    assert list(checks) == ORDER
    assert {check.grade for check in checks.values()} == {Grade.GOOD}, checks
    reads, writes = map(int, re.findall(r"(\d+)", checks["speed"].seen)[:2])
    # A busy computer makes both lower, nothing makes them higher than two slots are.
    assert 0 < reads < 40_000
    assert 0 < writes < 1_000
    assert server.stats.max_in_flight == 2
    assert re.search(r"about [\d,]+ one-page invoices per hour", checks["estimate"].seen)


async def test_a_model_that_calls_no_tools_still_works(settings: Settings) -> None:
    """Without tool calls but with JSON the line is a note and says what will be done instead."""
    async with StandInServer(StandInSettings(tool_use=False)) as server:
        checks = await examined(settings, server)

    assert (checks["tool call"].grade, checks["JSON answer"].grade) == (Grade.POOR, Grade.GOOD)
    assert "JSON instead" in checks["tool call"].remedy
    assert "choose" not in checks["tool call"].remedy


async def test_a_model_that_gives_no_json_cannot_work(settings: Settings) -> None:
    """Without JSON nothing can be extracted: that line is bad, and no speed is measured."""
    rules = (FaultRule(fault=Fault.WRONG_TYPE, times=None),)
    async with StandInServer(StandInSettings(faults=rules)) as server:
        checks = await examined(settings, server)

    assert checks["JSON answer"].grade is Grade.BAD
    assert "speed" not in checks


async def test_an_absent_server_ends_the_examination(settings: Settings) -> None:
    """Where nothing answers, the last line is bad and says how to start the server."""
    checks = await examined(settings)

    assert list(checks) == ORDER[: ORDER.index("LM Studio") + 1]
    assert checks["LM Studio"].grade is Grade.BAD
    assert "lms server start" in checks["LM Studio"].remedy


@pytest.mark.parametrize(("away", "last"), [(False, "2 of 2 hosts"), (True, "1 of 2 hosts")])
async def test_one_host_is_enough(settings: Settings, away: bool, last: str) -> None:
    """What a host lacks that is away is a note with its remedy, and the last line says how many hosts there are."""
    async with StandInServer() as server, StandInServer() as other:
        urls = ("http://127.0.0.1:9/v1" if away else other.base_url, server.base_url)
        llm = LlmSettings.model_validate({"hosts": [{"base_url": url} for url in urls]})
        checks = [check async for check in examine_setup(settings.model_copy(update={"llm": llm}))]

    assert Grade.BAD not in {check.grade for check in checks}
    assert checks[-1].seen == last
    assert verdict(checks) == (f"The pipeline works, with {last}." if away else "Everything needed is there.")
    noted = [check for check in checks if check.grade is Grade.POOR]
    assert all(check.remedy for check in noted)
    assert [check.name for check in noted] == (["LM Studio", "hosts"] if away else [])


async def test_without_any_host_nothing_works(settings: Settings) -> None:
    """Where all of several hosts are away, each is bad."""
    llm = LlmSettings.model_validate({"hosts": [{"base_url": f"http://127.0.0.1:{port}/v1"} for port in (9, 10)]})
    checks = [check async for check in examine_setup(settings.model_copy(update={"llm": llm}))]
    assert [check.grade for check in checks if check.name == "LM Studio"] == [Grade.BAD, Grade.BAD]
    assert verdict(checks) == "The pipeline cannot work yet."


@pytest.mark.parametrize(("given", "said"), [("", "asks for a key"), ("wrong", "the key is refused")])
async def test_a_wrong_key_is_told_from_none(settings: Settings, given: str, said: str) -> None:
    """Who has set a key looks for a slip in it, who has none makes one."""
    own = settings.model_copy(update={"llm": settings.llm.model_copy(update={"api_key": SecretStr(given)})})
    async with StandInServer(StandInSettings(api_key="secret")) as server:
        check = (await examined(own, server))["LM Studio"]
    assert said in check.seen
    assert check.seen.count(server.base_url) == 1


@pytest.mark.parametrize(
    ("asked", "models", "seen", "remedy"),
    [
        ("gone", (ModelFacts("a", loaded=True),), "gone is not there", "set [llm] model to one of these, or load it"),
        ("", (ModelFacts("a", loaded=False), ModelFacts("b", loaded=False)), "none is loaded", "lms load a "),
        ("", (), "none is loaded", "lms load google/gemma-3-12b "),
        ("b", (ModelFacts("a", loaded=True), ModelFacts("b", loaded=False)), "b is not", "set [llm] model to a, "),
    ],
)
def test_a_model_that_is_not_loaded_comes_with_the_command_that_loads_it(
    asked: str, models: tuple[ModelFacts, ...], seen: str, remedy: str
) -> None:
    """It is the model asked for that is to be loaded, or one of those there are is to be asked for."""
    facts = HostFacts("http://one/v1", reachable=True, is_lm_studio=True, models=models)
    check = model_check(facts, facts.pick(asked), asked=asked)
    assert seen in check.seen
    assert remedy in check.remedy
    assert f"lms load {asked}" in check.remedy
    assert "--context-length 32768" in check.remedy


@pytest.mark.parametrize(
    ("model", "seen", "remedy"),
    [
        (ModelFacts("a", slots=4), "context unknown, 4 slots", "set [llm] context_tokens"),
        (ModelFacts("a"), "slots unknown", "set [llm] context_tokens and slots"),
        (ModelFacts("a", context_tokens=4096, slots=4), "4096 tokens, 4 slots", "--context-length 32768"),
        (ModelFacts("a", context_tokens=2048, slots=4), "read in parts, and slowly", "--context-length 32768"),
    ],
)
def test_a_context_says_what_it_comes_to(model: ModelFacts, seen: str, remedy: str) -> None:
    """Nobody is asked to set what the server has told."""
    check = context_check(model, LlmSettings())
    assert seen in check.seen
    assert check.remedy.endswith(remedy)


@pytest.mark.parametrize(
    ("server", "name", "grade", "remedy"),
    [
        ({"api_key": "secret"}, "LM Studio", Grade.BAD, "API token"),
        ({"loaded": False, "models": ["one", "two"]}, "model", Grade.BAD, "lms load"),
        ({"context_tokens": 4096}, "context", Grade.POOR, "--context-length"),
    ],
)
async def test_what_is_wrong_comes_with_a_remedy(
    server: dict[str, object], name: str, grade: Grade, remedy: str, settings: Settings
) -> None:
    """A missing key, a missing model and a short context are each named where they show, with what to do."""
    async with StandInServer(StandInSettings.model_validate(server)) as running:
        checks = await examined(settings, running)
    assert checks[name].grade is grade
    assert remedy in checks[name].remedy


async def test_every_check_that_is_not_good_has_a_remedy(settings: Settings) -> None:
    """Nobody is told of a problem without being told what to do."""
    async with StandInServer(StandInSettings(tool_use=False, context_tokens=4096)) as server:
        checks = await examined(settings, server)
    poor = [check for check in checks.values() if check.grade is not Grade.GOOD]
    assert poor
    assert all(check.remedy for check in poor)


@pytest.mark.parametrize(("line", "said"), [('tools = ["fly"]', "`fly`"), ('tags = ["flying"]', "`flying`")])
async def test_an_agent_that_names_an_unknown_tool_is_found_before_any_document(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    """Every command that opens the folders names file and tool, and the tools there are; `doctor` has a line for it."""
    shutil.copytree(shipped_config(), tmp_path / "config")
    file = tmp_path / "config" / "agents" / "code-review.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"^tools = .*$", line, text, count=1, flags=re.MULTILINE), encoding="utf-8")
    monkeypatch.setenv("PIPELINE_CONFIG", str(tmp_path / "config"))
    with pytest.raises(ConfigError) as refused, open_folders(settings):
        pass
    assert str(file) in refused.value.message
    assert said in refused.value.message
    assert "store_invoice, terminate" in refused.value.hint
    check = (await examined(settings))["agents"]
    assert (check.grade, check.remedy) == (Grade.BAD, refused.value.hint)


def worker(**how: Any) -> dict[str, Any]:
    at_work = {"machine": "gpu-1", "pid": 7, "host": "http://gpu-1:1234/v1", "places": 4}
    return {**at_work, "silent_seconds": 1.0, "lost": False, **how}


@pytest.mark.parametrize(
    ("workers", "grades", "told"),
    [
        ([worker()], [Grade.GOOD], "Everything needed"),
        ([worker(), worker(lost=True)], [Grade.GOOD, Grade.POOR], "Everything needed"),
        ([worker(places=0)], [Grade.POOR, Grade.BAD], "cannot work"),
        ([], [Grade.BAD], "cannot work"),
    ],
)
def test_a_cluster_works_while_a_worker_does(workers: list[dict[str, Any]], grades: list[Grade], told: str) -> None:
    """One that waits or is lost is told of; without any at work nothing is done."""
    found = {"queued": 3, "running": 1, "workers": workers, "error": None, "hint": ""}
    database, *checks = cluster_checks(found)
    assert (database.grade, [check.grade for check in checks]) == (Grade.GOOD, grades)
    assert told in verdict([database, *checks])
    assert all(check.remedy for check in checks if check.grade is not Grade.GOOD)
