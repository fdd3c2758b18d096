"""A file with several invoices becomes a job for each, and every page of it is accounted for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from conftest import process_as_before
from test_pipeline import SCHEMA, finished, results, serving, until

from pipeline.cli import main
from pipeline.cli.amend import correct_job
from pipeline.config import Settings
from pipeline.errors import ConfigError
from pipeline.invoice.model import loads
from pipeline.replay import replay_recorded

INVOICE = """Lantern Works Ltd                      INVOICE
VAT no. GB123456782

Invoice number: {number}
Date: 2025-03-04

Lamp repair              {net}
Net                      {net}
VAT 20 %                 {tax}
Total GBP                {total}
"""
PAGES = (
    INVOICE.format(number="LW-2041", net="100.00", tax="20.00", total="120.00"),
    "Timesheet\nMonday        8 h",
    INVOICE.format(number="LW-2042", net="200.00", tax="40.00", total="240.00"),
)


async def dropped(settings: Settings, *, jobs: int) -> list[dict[str, Any]]:
    """Drop the file and return the results by the first page of their job, the whole file first."""
    async with serving(settings) as app:
        (settings.folders.inbox / "lamps.txt").write_text("\f".join(PAGES))
        await until(lambda: finished(app) == jobs and not any(settings.folders.inbox.iterdir()))
    assert results(settings.folders.outbox)
    found = [loads(path.read_text()) for path in settings.folders.outbox.glob("*/*/result.json")]
    return sorted(found, key=lambda result: (result["part_of"] or {"pages": [0]})["pages"])


async def test_each_invoice_becomes_a_job_that_names_its_parent(settings: Settings) -> None:
    """The file's own job lists the parts; each part has its values, with the file's page numbers as evidence."""
    whole, one, two = await dropped(settings, jobs=3)
    assert (whole["status"], whole["kind"], whole["invoice"], whole["source"]["pages"]) == ("done", "other", None, 3)
    assert [part["pages"] for part in whole["parts"]] == [[1, 2], [3]]
    assert [part["job"] for part in whole["parts"]] == [one["job"], two["job"]]
    assert [result["part_of"]["job"] for result in (one, two)] == [whole["job"]] * 2
    assert [result["invoice"]["invoice_number"] for result in (one, two)] == ["LW-2041", "LW-2042"]
    assert [result["invoice"]["total_amount"] for result in (one, two)] == [Decimal("120.00"), Decimal("240.00")]
    assert [result["status"] for result in (one, two)] == ["done", "done"]
    assert {place["page"] for place in one["evidence"].values()} == {1}
    assert {place["page"] for place in two["evidence"].values()} == {3}
    for result in (whole, one, two):
        jsonschema.validate(loads(result_text(settings, result)), SCHEMA)


async def test_split_jobs_replay_and_the_file_dropped_again_changes_nothing(settings: Settings) -> None:
    """Parent and parts give the same result from their records; the same file again makes no job."""
    before = await dropped(settings, jobs=3)
    assert await dropped(settings, jobs=3) == before
    async with serving(settings) as app:
        for result in before:
            job = app.folders.outbox.find(result["job"])
            recorded = await replay_recorded(job, app.worker)
            assert recorded.same, recorded


async def test_show_names_parts_and_parent(settings: Settings) -> None:
    """The file's story lists its jobs with their pages, and each job's story names the file's."""
    whole, one, _ = await dropped(settings, jobs=3)
    folders = ["--inbox", str(settings.folders.inbox), "--outbox", str(settings.folders.outbox)]
    with process_as_before():
        of_whole, of_one = (CliRunner().invoke(main, ["show", job["job"], *folders]).output for job in (whole, one))
    assert f"pages 1, 2: {one['job']}" in of_whole
    assert f"split by {whole['job']}" in of_one
    assert "pages 1, 2 of it" in of_one


async def test_values_are_corrected_in_the_parts_and_not_in_the_whole_file(settings: Settings) -> None:
    """The file's own job refuses values and names the jobs of its parts, which take them."""
    whole, one, two = await dropped(settings, jobs=3)
    with pytest.raises(ConfigError, match="2 invoices are jobs of their own") as refused:
        await correct_job(settings, whole["job"], ("total_amount=1",), accept=False, as_json=True)
    assert one["job"] in refused.value.hint
    assert two["job"] in refused.value.hint
    assert await correct_job(settings, one["job"], ("total_amount=120.00",), accept=False, as_json=True) == 0


def result_text(settings: Settings, result: dict[str, Any]) -> str:
    """Return the bytes of a result as text."""
    return (settings.folders.outbox / result["status"] / result["job"] / "result.json").read_text()
