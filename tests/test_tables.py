"""What the tables and lines on the screen never lose: state, date, amount with currency, and names of jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from test_cli import SAMPLES, Ended, pipeline

from pipeline.cli import tables
from pipeline.cli.tables import compact, counted

JOB = "a-long-slug-of-forty-characters-made-up-here-0123456789ab"
LONG = "Société générale de l'éclairage et des installations électriques du Rhône et de la Loire réunies S.A."


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work off an e-invoice, which needs no server, and give its vendor the longest name and the total many digits."""
    place = tmp_path_factory.mktemp("ended")
    assert run(place).returncode == 0
    (path,) = (place / "outbox").glob("*/*/result.json")
    result: dict[str, Any] = json.loads(path.read_text())
    result["invoice"] = {**result["invoice"], "total_amount": 863107.34, "currency": "EUR", "date": "2031-12-24"}
    result["invoice"]["vendor"]["name"] = LONG
    path.write_text(json.dumps(result))
    return place


def run(place: Path) -> Ended:
    return pipeline("run", str(next(SAMPLES.glob("*.xml"))), place=place)


@pytest.mark.parametrize("width", [30, 50, 60, 80, 100, 120])
def test_no_terminal_loses_state_date_and_total(width: int, ended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However narrow the terminal and long the vendor's name, an amount stands there whole with its currency."""
    monkeypatch.setattr(tables, "screen", Console(width=width))
    out = run(ended).stdout
    state = next((ended / "outbox").glob("*/*/result.json")).parent.parent.name
    assert all(text in out for text in (state, "2031-12-24", "863107.34 EUR"))
    assert all(len(line) <= width for line in out.splitlines() if "863107.34" in line)


def test_what_is_cut_in_a_table_says_so(ended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only file and vendor become shorter, with an ellipsis; the vendor has a place on a usual terminal."""
    monkeypatch.setattr(tables, "screen", Console(width=80))
    (row,) = (line for line in run(ended).stdout.splitlines() if "863107.34 EUR" in line)
    assert "Société" in row
    assert row.count("…") >= 1


def test_a_pipe_gets_everything(ended: Path) -> None:
    """Without a terminal no cell is cut."""
    (row,) = (line for line in run(ended).stdout.splitlines() if "863107.34 EUR" in line)
    assert LONG in row
    assert "…" not in row


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("short enough", 20, "short enough"),
        ("two lines\n of one text", 40, "two lines of one text"),
        ("the total, which no line explains", 20, "the total, which no…"),
        ("x" * 50, 20, "x" * 19 + "…"),
        (f"as {JOB}", 20, "as…"),
        (f"{JOB} is the one", 20, f"{JOB}…"),
        (f"this invoice was told before by {JOB} as well", 60, "this invoice was told before by…"),
    ],
)
def test_a_text_is_cut_between_words_and_never_in_a_jobs_name(text: str, limit: int, shown: str) -> None:
    """What is left out is always told by an ellipsis."""
    assert compact(text, limit) == shown


def test_one_is_not_told_in_the_plural() -> None:
    """Numbers go with their things."""
    assert [counted(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
