"""Documents that do not fit the loaded context: whole sessions against a stand-in with a small one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.app import App, open_app
from pipeline.cli.look import show_job
from pipeline.config import Settings
from pipeline.invoice.model import loads
from pipeline.llm.standin import Fault, StandInServer, StandInSettings
from pipeline.replay import replay_recorded
from pipeline.trace import read_events

_HEAD = """Ropewalk Chandlers Ltd
14 Harbour Row, Bristol BS1 4DB
VAT ID: GB123456782

Invoice number: RC-2025-0117
Date: 2025-03-04
Currency: GBP

Bill to:
Tidewater Sailing School
2 Pier Road, Bristol BS8 1AA

"""
_COLUMNS = f"{'Description':44}{'Quantity':>10}{'Unit price':>14}{'Total':>14}\n"


def price_of(number: int) -> Decimal:
    """Return a price; every fiftieth row is the same as the one before it."""
    number -= number % 50 == 49
    return Decimal(100 + 7 * number) / 100


def row(number: int) -> str:
    same = number - (number % 50 == 49)
    price = price_of(number)
    name = f"Shackle type {same:04d} stainless, bolt and ring"
    return f"{name:44}{2:>10}{price:>14.2f}{2 * price:>14.2f}\n"


def long_invoice(*, pages: int = 12, rows: int = 25, number: str = "RC-2025-0117") -> str:
    """Return an invoice with a table over many pages, each under the heads of its columns."""
    texts = []
    for page in range(pages):
        head = _HEAD.replace("RC-2025-0117", number) if page == 0 else f"Invoice {number}, continued\n\n"
        body = "".join(row(page * rows + n) for n in range(rows))
        texts.append(f"{head}{_COLUMNS}{body}")
    net = 2 * sum(price_of(number) for number in range(pages * rows))
    tax = (net * Decimal("0.20")).quantize(Decimal("0.01"))
    sums = f"\nNet total {net:>40.2f}\nVAT 20 % {tax:>41.2f}\nTotal GBP {net + tax:>40.2f}\n"
    return "\f".join([*texts[:-1], texts[-1] + sums])


@asynccontextmanager
async def working(settings: Settings, server: StandInServer, **llm: Any) -> AsyncIterator[App]:
    """Open the pipeline against this server."""
    own = settings.llm.model_copy(update={"base_url": server.base_url, **llm})
    async with open_app(settings.model_copy(update={"llm": own}), doing="test", one_shot=True) as app:
        yield app


def result_of(settings: Settings, name: str) -> dict[str, Any]:
    """Return the result of the one job whose file had that name."""
    found = [loads(path.read_text(encoding="utf-8")) for path in settings.folders.outbox.glob("*/*/result.json")]
    return next(result for result in found if result["source"]["name"] == name)


def dropped(tmp_path: Path, text: str, name: str = "long.txt") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


@pytest.mark.parametrize(
    "host",
    [
        {},
        pytest.param({"tells_context": False}, marks=pytest.mark.slow),
        pytest.param({"tells_context": False, "overflow": Fault.OVERFLOW_SIZE_EXCEEDED}, marks=pytest.mark.slow),
        pytest.param({"tells_context": False, "overflow": Fault.OVERFLOW_SILENT}, marks=pytest.mark.slow),
        pytest.param({"tells_context": False, "overflow": Fault.OVERFLOW_GARBAGE}, marks=pytest.mark.slow),
        {"tool_template": False, "strict_roles": True},
    ],
    ids=["told", "told by the refusal", "not told", "answered with nothing", "answered with anything", "no tools"],
)
async def test_an_invoice_of_twelve_pages_is_read_at_a_small_context(
    tmp_path: Path, settings: Settings, host: dict[str, Any]
) -> None:
    """All three hundred lines and the right totals, done in one attempt, and the same again from the record."""
    async with (
        StandInServer(StandInSettings(context_tokens=8192, **host)) as server,
        working(settings, server) as app,
    ):
        await app.service.run([(dropped(tmp_path, long_invoice()), "invoice")])
        (job,) = app.folders.outbox.all_jobs()
        assert (await replay_recorded(job, app.worker)).same
    result = result_of(settings, "long.txt")
    assert (result["status"], result["usage"]["attempts"]) == ("done", 1), result["findings"][:3]
    lines = result["invoice"]["line_items"]
    assert len(lines) == 300
    assert [line["unit_price"] for line in lines] == [price_of(number) for number in range(300)]
    assert result["invoice"]["invoice_number"] == "RC-2025-0117"
    assert result["invoice"]["net_amount"] == 2 * sum(price_of(number) for number in range(300))
    assert "read_in_parts" in {finding["code"] for finding in result["findings"]}


async def test_a_page_that_does_not_fit_is_cut_between_its_lines(tmp_path: Path, settings: Settings) -> None:
    """One endless page is read in parts as well, each with the heads of the table's columns."""
    async with StandInServer(StandInSettings(context_tokens=8192)) as server, working(settings, server) as app:
        await app.service.run([(dropped(tmp_path, long_invoice(pages=1, rows=180)), "invoice")])
    result = result_of(settings, "long.txt")
    assert result["status"] == "done", result["findings"][:3]
    assert [line["unit_price"] for line in result["invoice"]["line_items"]] == [price_of(n) for n in range(180)]


async def test_an_answer_that_is_too_long_is_asked_for_in_parts(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document fits and its answer does not, unforeseen: after a try with twice the length it is read in parts."""
    monkeypatch.setattr("pipeline.tools.reading_in_parts._MOST_CHARACTERS_PER_ANSWER_TOKEN", 100)
    async with StandInServer(StandInSettings(context_tokens=65_536)) as server, working(settings, server) as app:
        await app.service.run([(dropped(tmp_path, long_invoice()), "invoice")])
        sizes = [entry.max_tokens for entry in server.log if entry.kind == "extraction"]
    result = result_of(settings, "long.txt")
    assert (result["status"], len(result["invoice"]["line_items"])) == ("done", 300), result["findings"][:3]
    assert sizes[:2] == [4096, 8192]


async def test_an_answer_that_would_surely_be_too_long_is_not_asked_for(tmp_path: Path, settings: Settings) -> None:
    """By its rows: nothing is paid for an answer that is thrown away, and the record replays."""
    async with StandInServer(StandInSettings(context_tokens=65_536)) as server, working(settings, server) as app:
        await app.service.run([(dropped(tmp_path, long_invoice()), "invoice")])
        (job,) = app.folders.outbox.all_jobs()
        asked = [entry for entry in server.log if entry.kind == "extraction"]
        assert all(entry.max_tokens == 4096 and entry.completion_tokens < 4096 for entry in asked)
        result = result_of(settings, "long.txt")
        assert (result["status"], len(result["invoice"]["line_items"])) == ("done", 300), result["findings"][:3]
        assert (await replay_recorded(job, app.worker)).same


@pytest.mark.slow
async def test_the_session_of_a_long_document_sees_only_its_ends(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loop is told of pages and size, no answered request holds the whole document, and `show` tells of it."""
    async with StandInServer(StandInSettings(context_tokens=5120)) as server, working(settings, server) as app:
        await app.service.run([(dropped(tmp_path, long_invoice(rows=16)), "invoice")])
        (job,) = app.folders.outbox.all_jobs()
        assert all(entry.prompt_tokens < 5120 for entry in server.log if entry.status == 200)
    events = list(read_events(job.trace_path))
    told = [one["content"] for one in events if one["event"] == "memory.added" and one["type"] == "user"]
    assert "The document has 12 pages and" in told[1]
    assert "Shackle type 0100" not in told[1]
    refused = [one["step"] for one in events if one["event"] == "request.refused"]
    assert refused == ["model-1", "action-1/model-1"]
    parts = [one["request"]["pages"] for one in events if one.get("step", "").startswith("action-1/part-")]
    assert parts[0].startswith("page")
    assert parts[-1].endswith("12")
    show_job(settings, job.name, as_json=False)
    story = " ".join(capsys.readouterr().out.split())
    assert "request refused: the request has at least" in story
    assert f"read {parts[0]} by themselves: " in story


@pytest.mark.parametrize("context_tokens", [512, 1024])
async def test_a_context_too_small_for_any_part_fails_with_what_would_do(
    tmp_path: Path, settings: Settings, context_tokens: int
) -> None:
    """Where not even a few lines fit, the job fails once and its hint names a context length."""
    host = StandInSettings(context_tokens=context_tokens, max_context_tokens=131_072)
    async with StandInServer(host) as server, working(settings, server) as app:
        await app.service.run([(dropped(tmp_path, long_invoice()), "invoice")])
        assert server.stats.requests < 20
    result = result_of(settings, "long.txt")
    assert (result["status"], result["error"]["type"], result["usage"]["attempts"]) == ("failed", "ContextOverflow", 1)
    assert re.search(r"--context-length \d+` would do", result["error"]["hint"])


async def test_more_parts_than_allowed_are_not_begun(tmp_path: Path, settings: Settings) -> None:
    """A document that would need too many parts fails at once, and its hint names the context for the whole."""
    host = StandInSettings(context_tokens=4096, max_context_tokens=131_072)
    async with StandInServer(host) as server, working(settings, server) as app:
        await app.service.run([(dropped(tmp_path, long_invoice(pages=45, rows=45)), "invoice")])
        assert server.stats.by_kind["extraction"] == 0
    result = result_of(settings, "long.txt")
    assert (result["status"], result["error"]["type"]) == ("failed", "ContextOverflow")
    assert "--context-length" in result["error"]["hint"]


@pytest.mark.slow
async def test_victims_of_an_overflow_are_done_and_its_culprit_is_split(tmp_path: Path, settings: Settings) -> None:
    """When a shared context overflows nobody pays for it: neighbours run again, the culprit alone and then in parts."""
    # What the pipeline believes of the context is wrong, so only the server can stop it.
    host = StandInSettings(context_tokens=8192, shared_context=True, delay_seconds=0.05, tells_context=False)
    short = [dropped(tmp_path, long_invoice(pages=1, rows=20, number=f"S-{n}"), f"short-{n}.txt") for n in range(6)]
    async with StandInServer(host) as server, working(settings, server) as app:
        await app.service.run([(path, "invoice") for path in (dropped(tmp_path, long_invoice()), *short)])
        assert server.stats.by_status[400] > 2
    for path in (tmp_path / "long.txt", *short):
        result = result_of(settings, path.name)
        assert (result["status"], result["usage"]["attempts"]) == ("done", 1), (path.name, result["error"])
    assert len(result_of(settings, "long.txt")["invoice"]["line_items"]) == 300


@pytest.mark.slow
async def test_a_culprit_that_cannot_be_split_fails_alone(tmp_path: Path, settings: Settings) -> None:
    """An agent that must see its document as a whole fails with a hint; the jobs beside it are done."""
    host = StandInSettings(context_tokens=8192, shared_context=True, delay_seconds=0.05, tells_context=False)
    short = [dropped(tmp_path, long_invoice(pages=1, rows=20, number=f"S-{n}"), f"short-{n}.txt") for n in range(4)]
    source = dropped(tmp_path, "def area(width, height):\n    return width * height\n" * 900, "long.py")
    async with StandInServer(host) as server, working(settings, server) as app:
        await app.service.run([(source, "code-review"), *((path, "invoice") for path in short)])
    result = result_of(settings, "long.py")
    assert (result["status"], result["error"]["type"]) == ("failed", "ContextOverflow")
    assert re.search(r"about \d+ tokens are needed", result["error"]["hint"])
    for path in short:
        assert (result_of(settings, path.name)["status"], result_of(settings, path.name)["usage"]["attempts"]) == (
            "done",
            1,
        )
