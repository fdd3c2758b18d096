"""Continuous running with everything going wrong at random."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak_harness import Plan, run


@pytest.mark.slow
def test_whatever_goes_wrong_every_file_ends_once(tmp_path: Path) -> None:
    """Faults, killed hosts, a killed daemon, damaged and repeated files: nothing is lost and nothing done twice."""
    plan = Plan(
        minutes=0.25, seed=7, faults_a_minute=40, host_kills_a_minute=12, daemon_kills_a_minute=24, host_away_seconds=1
    )
    report = run(plan, tmp_path / "soak")
    assert report.good, report
    assert report.host_kills
    assert report.by_state["done"]
