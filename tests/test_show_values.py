"""Values on the screen: wide ones side by side, narrow ones below each other, nothing of a document as markup."""

from __future__ import annotations

from decimal import Decimal

import pytest
from rich.console import Console

from pipeline.cli import values as shown

RESULT = {
    "kind": "invoice",
    "invoice": {"vendor": {"name": "[red]Acme[/]", "iban": None}, "total_amount": Decimal("120.00")},
    "evidence": {"total_amount": {"page": 2, "quote": "Total GBP 120.00", "box": [1, 2, 3, 4]}},
    "findings": [
        {"code": "date_missing", "severity": "error", "field": "date", "message": "No date."},
        {"code": "x", "severity": "info", "field": "", "message": "All in all.", "accepted_by": "ann"},
    ],
}


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, width: int) -> str:
    """Return what is printed on a screen of that width."""
    monkeypatch.setattr(shown, "screen", Console(width=width))
    shown.print_values(RESULT)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [40, 160])
def test_every_value_stands_with_its_words_and_findings(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fields without a value are shown where something is to be said of them; no line is wider than the screen."""
    out = printed(monkeypatch, capsys, width=width)
    for text in ("[red]Acme[/]", "120.00", "p. 2: Total GBP 120.00", "date", "error: No date.", "accepted by ann"):
        assert text in out
    assert "iban" not in out
    assert max(map(len, out.splitlines())) <= width


def test_a_wide_screen_has_one_row_a_field(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Value, place and finding are side by side."""
    out = printed(monkeypatch, capsys, width=160)
    (row,) = (line for line in out.splitlines() if "total_amount" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][:3] == [
        "total_amount",
        "120.00",
        "p. 2: Total GBP 120.00",
    ]
