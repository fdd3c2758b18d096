"""Faults on the first planning, extraction and store call: what jobs experience of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_harness import SHAPES, Row, play, play_in_turn

from pipeline.llm.standin import Fault

# What would be refused again: sessions go on in JSON, but an extraction has no other form, and ends the job.
# Only where its schema is refused it is asked for in another one.
REFUSALS = {Fault.TEMPLATE, Fault.INVALID_MESSAGES, Fault.SCRIPT_ERROR}
# A value that the document does not show must not pass as done.
INVENTIONS = {Fault.INVENTED_VALUE}


def told(rows: list[Row]) -> str:
    return "\n".join(f"{row.fault} on {row.kind}: {row}" for row in rows)


async def test_no_job_notices_a_fault_that_passes(tmp_path: Path) -> None:
    """Each of fifteen shapes, met on one of a session's calls, leaves a job done and right in its first attempt."""
    rows = await play_in_turn(SHAPES, tmp_path)
    assert {row.fault for row in rows} == set(SHAPES)
    assert all(row.finished_right for row in rows), told([row for row in rows if not row.finished_right])
    assert max(row.calls for row in rows) <= 5


@pytest.mark.slow
async def test_no_call_of_a_job_notices_a_fault_that_passes(tmp_path: Path) -> None:
    """The same with each of fifteen shapes on each call of a session."""
    rows = await play(SHAPES, tmp_path)
    assert all(row.finished_right for row in rows), told([row for row in rows if not row.finished_right])
    assert max(row.calls for row in rows) <= 5


@pytest.mark.slow
async def test_every_known_fault_is_met_as_it_should_be(tmp_path: Path) -> None:
    """Only an extraction whose conversation is refused fails its job; only an invented value sends one to a person."""
    rows = await play([fault for fault in Fault if fault not in SHAPES], tmp_path)
    for row in rows:
        if row.fault in REFUSALS and row.kind == "extraction":
            assert (row.status, row.failures, row.attempts) == ("failed", ("RequestRefused",), 1), row
        elif row.fault in INVENTIONS and row.kind == "extraction":
            assert (row.status, row.attempts) == ("review", 1), row
        else:
            assert row.finished_right, row
