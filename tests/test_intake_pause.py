"""While nobody answers, files stay where they were dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from pipeline.app import App, open_app
from pipeline.cli.look import show_status
from pipeline.config import Settings
from pipeline.job import State
from pipeline.llm.standin import StandInServer
from pipeline.lock import holder

_TEXT = """Harbour Repairs Ltd
{number} Quay Street, Bristol BS1 4DB

Invoice number: IP-{number}
Date: 2025-03-04
Currency: GBP

Repair of pump {number}    100.00
Net       100.00
VAT 20 %   20.00
Total GBP 120.00
"""
_COUNT = 6


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - looks at folders from outside, as a user would
            await anyio.sleep(0.02)


def waiting(app: App) -> int:
    return len(list(app.folders.inbox.glob("*.txt")))


def wrong_key(server: StandInServer) -> None:
    server.settings = server.settings.model_copy(update={"api_key": "secret"})


def right_key(server: StandInServer) -> None:
    server.settings = server.settings.model_copy(update={"api_key": ""})


def other_model(server: StandInServer) -> None:
    server.settings = server.settings.model_copy(update={"models": ("stand-in/other", "stand-in/third")})


def asked_model(server: StandInServer) -> None:
    server.settings = server.settings.model_copy(update={"models": ("stand-in/rules",)})


async def pause(server: StandInServer) -> None:
    await server.pause()


async def resume(server: StandInServer) -> None:
    await server.resume()


async def call(function: Callable[[StandInServer], Any], server: StandInServer) -> None:
    outcome = function(server)
    if outcome is not None:
        await outcome


@pytest.mark.parametrize(
    ("spoil", "mend", "remedy"),
    [
        pytest.param(wrong_key, right_key, "set api_key", id="wrong key"),
        pytest.param(other_model, asked_model, "set `model`", id="no such model", marks=pytest.mark.slow),
        pytest.param(pause, resume, "start LM Studio", id="away", marks=pytest.mark.slow),
    ],
)
async def test_one_job_waits_for_all_and_the_others_stay_in_the_inbox(
    settings: Settings,
    stand_in: StandInServer,
    spoil: Callable[[StandInServer], Any],
    mend: Callable[[StandInServer], Any],
    remedy: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The log says so once with the remedy, `status` since when, and all go on by themselves without a charge."""
    await call(spoil, stand_in)
    own = settings.model_copy(update={"llm": settings.llm.model_copy(update={"model": "stand-in/rules"})})
    own.folders.inbox.mkdir(parents=True)
    for number in range(_COUNT):
        (own.folders.inbox / f"{number}.txt").write_text(_TEXT.format(number=number), encoding="utf-8")
    with capture_logs() as logs:
        async with open_app(own, doing="test") as app, anyio.create_task_group() as tasks:
            tasks.start_soon(app.service.serve)
            await until(lambda: any(entry["event"] == "intake.paused" for entry in logs))
            await until(lambda: app.folders.outbox.count(State.WORKING) == 1)
            await until(lambda: app.hosts.states[0].waiting)
            for name in ("first.docx", "second.docx"):  # the second look begins when the first has come to its end
                (own.folders.inbox / name).write_text("seen")
                await until(lambda name=name: any(str(entry.get("path", "")).endswith(name) for entry in logs))
            assert (waiting(app), app.folders.outbox.count(State.WORKING)) == (_COUNT - 1, 1)
            told = (holder(own.folders.outbox) or {})["hosts"]
            (host,) = told.values()
            assert remedy in host["hint"]
            await show_status(own, as_json=False)
            await call(mend, stand_in)
            await until(lambda: app.folders.outbox.count(State.DONE) == _COUNT)
            app.service.stop.set()
    (paused,) = [entry for entry in logs if entry["event"] == "intake.paused"]
    assert remedy in paused["hint"]
    assert [entry["event"] for entry in logs if entry["event"] == "intake.resumed"] == ["intake.resumed"]
    for path in own.folders.outbox.glob("done/*/result.json"):
        assert json.loads(path.read_text())["usage"]["attempts"] == 1
    screen = " ".join(capsys.readouterr().out.split())
    assert "the daemon waits since" in screen
    assert remedy in screen


async def test_a_one_shot_command_ends_at_a_refusal_and_its_jobs_are_not_charged(
    settings: Settings, stand_in: StandInServer
) -> None:
    """With a wrong key nothing fails: the run ends with the remedy, and the next one goes on where it stopped."""
    wrong_key(stand_in)
    file = settings.folders.inbox.parent / "one.txt"
    file.write_text(_TEXT.format(number=1), encoding="utf-8")
    async with open_app(settings, doing="test", one_shot=True) as app:
        await app.service.run([(file, "invoice")])
        assert "set api_key" in (app.engine.host_lost.hint if app.engine.host_lost else "")
        assert app.folders.outbox.count(State.WORKING) == 1
    right_key(stand_in)
    async with open_app(settings, doing="test", one_shot=True) as app:
        await app.service.serve(once=True)
    (path,) = settings.folders.outbox.glob("done/*/result.json")
    assert json.loads(path.read_text())["usage"]["attempts"] == 1
