"""What a model wins and loses: against a person's corrections, and against files with a known truth."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline.bench import Case, Change, by_field, find_cases, judge_case, totals_of, wrong_in
from pipeline.cli.amend import correct_job
from pipeline.cli.measure import print_outcomes, run_bench
from pipeline.cli.work import run_files
from pipeline.config import Settings
from pipeline.errors import ConfigError
from pipeline.invoice.model import loads
from pipeline.truths import Truth

INVOICE = """Lantern Works Ltd
7 Quay Street, Halifax

Invoice number: LW-2041
Date: 03/04/2025
Currency: CAD

Lamp repair              100.00
Net                      100.00
Tax 20 %                  20.00
Total CAD                120.00
"""


def result(status: str = "done", **invoice: Any) -> dict[str, Any]:
    """Return the parts of a result that are judged."""
    usage = {"model_calls": 2, "prompt_tokens": 10, "completion_tokens": 1, "seconds": 0.5}
    return {"status": status, "kind": "invoice", "invoice": {"line_items": [], **invoice}, "usage": usage}


def case(recorded: dict[str, Any] | None, *, whole: bool = False, **values: Any) -> Case:
    """Return a case that knows these values."""
    truth = Truth(Path("a.pdf"), "pdf", values)
    return Case("a.pdf", truth, "invoice", tuple(values), recorded, whole=whole)


@pytest.mark.parametrize(
    ("recorded", "found", "change"),
    [("1", "2", Change.WON), ("2", "1", Change.LOST), ("2", "2", Change.RIGHT), ("1", None, Change.WRONG)],
)
def test_a_field_is_won_lost_or_as_it_was(recorded: str, found: str | None, change: Change) -> None:
    """Both results are held against the truth, not against each other."""
    one = case(result(invoice_number=recorded), invoice_number="2")
    (field,) = judge_case(one, result(invoice_number=found)).fields
    assert (field.change, field.wanted, field.recorded, field.found) == (change, "2", recorded, found)


def test_without_a_result_on_record_a_field_is_right_or_wrong() -> None:
    """Nothing can be won or lost there; a job that did not end has nothing right."""
    one = case(None, invoice_number="2", total_amount="10")
    changes = [each.change for each in judge_case(one, result(invoice_number="2", total_amount=11)).fields]
    assert changes == [Change.RIGHT, Change.WRONG]
    ended = judge_case(one, None)
    assert (ended.status, {each.change for each in ended.fields}) == ("failed", {Change.WRONG})


def test_a_wrong_value_in_a_job_that_is_done_is_silent() -> None:
    """One in review is told of, and a null is no value."""
    one = case(None, invoice_number="2", date="2026-01-01")
    assert judge_case(one, result(invoice_number="1", date=None)).silent == ["invoice_number"]
    assert judge_case(one, result("review", invoice_number="1")).silent == []


def test_against_a_corrected_job_an_invented_line_is_wrong() -> None:
    """A person's result is the whole truth: a value that it does not have was made up."""
    one = case(result(), whole=True, invoice_number="2")
    new = judge_case(one, result(invoice_number="2", line_items=[{"total": 5}]))
    assert [each.field for each in new.fields if each.change is Change.LOST] == ["line_items.0.total"]


def test_totals_and_fields_add_up() -> None:
    """Positions in lists are taken together, what was used is summed."""
    one = case(None, line_items=[{"total": "1"}, {"total": "2"}])
    lines = Case(one.name, one.truth, one.agent, ("line_items.0.total", "line_items.1.total"))
    outcome = judge_case(lines, result(line_items=[{"total": 1}, {"total": 3}]))
    assert list(by_field([outcome])) == [("line_items.*.total", {Change.RIGHT: 1, Change.WRONG: 1})]
    totals = totals_of([outcome, outcome])
    assert (totals.files, totals.states, totals.model_calls, totals.prompt_tokens) == (2, {"done": 2}, 4, 20)
    assert (totals.silent, totals.seconds) == (2, 1.0)


async def test_corrected_jobs_and_given_files_are_run_and_nothing_is_replaced(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same model has the same gap again; the outbox is as it was, and a duplicate number is no finding."""
    given = tmp_path / "given"
    await anyio.Path(given).mkdir()
    await anyio.Path(tmp_path / "lamp.txt").write_text(INVOICE)
    await anyio.Path(given / "other.txt").write_text(INVOICE.replace("03/04/2025", "2025-04-30"))
    truth = {"invoice_number": "LW-2041", "issue_date": "2025-04-30", "total_amount": "121.00", "currency": "CAD"}
    await anyio.Path(given / "other.json").write_text(json.dumps(truth))
    await run_files(settings, (tmp_path / "lamp.txt",), agent="invoice", as_json=True)
    await correct_job(settings, "lamp", ("date=2025-04-03",), accept=False, as_json=True)
    before = {path: path.read_bytes() for path in settings.folders.outbox.glob("done/*/*")}
    capsys.readouterr()
    assert await run_bench(settings, (given,), agent=None, as_json=True) == 0
    shown = loads(capsys.readouterr().out.splitlines()[-1])
    other, lamp = shown["files"]
    assert [(one["field"], one["wanted"]) for one in lamp["fields"] if one["change"] != "right"] == [
        ("date", "2025-04-03")
    ]
    assert (other["status"], other["silent"], other["recorded_status"]) == ("done", ["total_amount"], None)
    assert shown["totals"]["states"] == {"done": 1, "review": 1}
    assert {path: path.read_bytes() for path in settings.folders.outbox.glob("done/*/*")} == before


def test_nothing_to_measure_against_is_a_clear_error(settings: Settings, tmp_path: Path) -> None:
    """The hint says how to come by a truth."""
    with pytest.raises(ConfigError, match="nothing to measure") as refused:
        find_cases(settings, [], agent=None)
    assert "pipeline correct" in refused.value.hint
    with pytest.raises(ConfigError, match="holds no file"):
        find_cases(settings, [tmp_path], agent=None)
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    (tmp_path / "a.json").write_text('{"total": 1}')
    with pytest.raises(ConfigError, match=r"a\.json is no truth of a\.pdf: total_amount is missing") as refused:
        find_cases(settings, [tmp_path], agent=None)
    assert "issue_date" in refused.value.hint
    assert "result.json" in refused.value.hint
    with pytest.raises(ConfigError, match="no agent"):
        find_cases(settings, [], agent="nobody")


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "invoice", "status": "done", "invoice": {"date": "2026-01-31", "total_amount": 120.5}},
        {"date": "2026-01-31", "total_amount": "120.50", "vendor": {"name": None}},
        {"issue_date": "2026-01-31", "total_amount": 120.5},
    ],
)
def test_a_truth_has_the_form_of_a_result_or_its_own(settings: Settings, tmp_path: Path, row: dict[str, Any]) -> None:
    """What a result is written as is a truth too; what it leaves open counts for nothing."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    (tmp_path / "a.json").write_text(json.dumps(row))
    (one,) = find_cases(settings, [tmp_path], agent=None)
    assert one.fields == ("kind", "date", "total_amount")
    outcome = judge_case(one, result(date="2026-01-31", total_amount=Decimal("120.50")))
    assert {each.change for each in outcome.fields} == {Change.RIGHT}


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("a.json", {"invoice": {"total": 1}}, r"a\.json is no truth of a\.pdf: total: Extra"),
        ("a.json", {"date": "soon"}, r"a\.json is no truth of a\.pdf: date: "),
        ("a.json", {"kind": "poem", "invoice": None}, "poem"),
        ("a.json", [], r"a\.json is no truth"),
        ("truth.json", {"a.pdf": {"number": "1"}}, r"truth\.json is no list of truths: date is missing"),
        ("truth.json", [], r"truth\.json is no list"),
    ],
)
def test_a_truth_of_no_known_form_is_named(
    settings: Settings, tmp_path: Path, name: str, row: object, said: str
) -> None:
    """The message names the file and the key."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    (tmp_path / name).write_text(json.dumps(row))
    with pytest.raises(ConfigError, match=said):
        find_cases(settings, [tmp_path], agent=None)


def test_a_wrong_field_names_its_files(capsys: pytest.CaptureFixture[str]) -> None:
    """Positions in lists are taken together and a file is named once; of many files the table shows a few."""
    lines = case(None, line_items=[{"total": "1"}, {"total": "2"}])
    both = replace(lines, fields=("line_items.0.total", "line_items.1.total"))
    outcomes = [judge_case(replace(both, name=f"{number}.pdf"), None) for number in range(5)]
    assert wrong_in(outcomes) == {"line_items.*.total": [f"{number}.pdf" for number in range(5)]}
    print_outcomes(outcomes, totals_of(outcomes))
    assert "0.pdf, 1.pdf, 2.pdf and 2" in " ".join(capsys.readouterr().out.split())
