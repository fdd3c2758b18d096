"""Documents that do not fit the loaded context: whole sessions against a stand-in with a small one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.app import App, open_app
from pipeline.config import Settings
from pipeline.invoice.model import loads
from pipeline.llm.standin import Fault, StandInServer, StandInSettings
from pipeline.replay import replay_recorded

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
    """Return a price; every fourth row is the same as the one before it."""
    number -= number % 4 == 3
    return Decimal(100 + 7 * number) / 100


def row(number: int) -> str:
    same = number - (number % 4 == 3)
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
        {"tells_context": False},
        {"tells_context": False, "overflow": Fault.OVERFLOW_SIZE_EXCEEDED},
        {"tool_template": False, "strict_roles": True},
    ],
    ids=["told", "told by the refusal", "not told", "no tools"],
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
    assert [line["unit_price"] for line in lines] == [price_of(number) for number in range(300)]
    assert result["invoice"]["invoice_number"] == "RC-2025-0117"
    assert result["invoice"]["net_amount"] == 2 * sum(price_of(number) for number in range(300))
    assert "read_in_parts" in {finding["code"] for finding in result["findings"]}
