"""A whole cluster in trouble, in short; `python tests/cluster_harness.py` plays the long forms."""

from __future__ import annotations

import pytest
from cluster_harness import run
from postgres_server import EXISTING, Server

pytestmark = pytest.mark.slow


def test_no_trouble_loses_or_doubles_anything(postgres_server: Server) -> None:
    """Workers killed, frozen and cut off, the database stopped, the hub killed, a new release with jobs waiting."""
    if postgres_server.handle is None:
        pytest.skip(f"the server that {EXISTING} names is not ours to stop")
    figures = run("troubles", postgres_server, jobs=6, database_away_seconds=2.0)
    assert (figures["lost"], figures["doubled"], figures["doubled_records"]) == (0, 0, 0)
    assert figures["by_status"] == {"done": figures["files"]}, figures["errors"]
    # A step that was kept is never taken again: a lost session repeats the one call it was waiting for.
    assert figures["repeated_answers"] <= figures["sessions_of_lost_workers"]


def test_a_file_that_ends_its_workers_ends_in_failed_and_alone(postgres_server: Server) -> None:
    """It gets its attempts and no more; files that were in work beside it end well."""
    figures = run("poison", postgres_server, jobs=4)
    assert figures["deaths"] == 3
    assert figures["by_status"] == {"done": figures["files"] - 1, "failed": 1}
    assert (figures["lost"], figures["doubled"], figures["doubled_records"]) == (0, 0, 0)
