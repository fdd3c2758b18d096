"""What many tests need: a stand-in server, and the pipeline's folders in a temporary place."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
import structlog
from postgres_server import Server, postgres

from pipeline.config import Settings
from pipeline.llm.standin import StandInServer, StandInSettings

# No example is judged by the time it took: on a busy computer each may take long.
hypothesis.settings.register_profile("pipeline", deadline=None)
hypothesis.settings.load_profile("pipeline")

SHARED_INVOICES = Path(__file__).parent.parent.parent / "shared" / "invoices"


@contextmanager
def process_as_before() -> Iterator[None]:
    """Take back what a command changes in the process that it expects to be its own: logs, and what gc looks at."""
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # else the command would close them
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**configured)
        gc.unfreeze()


@pytest.fixture
async def stand_in() -> AsyncIterator[StandInServer]:
    """Serve LM Studio's wire on loopback for one test."""
    async with StandInServer(StandInSettings()) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, stand_in: StandInServer) -> Settings:
    """Return settings for folders of this test and the stand-in."""
    return settings_over(tmp_path, stand_in)


def settings_over(place: Path, server: StandInServer) -> Settings:
    """Return settings for folders in that place and that server, with short waits."""
    return Settings.model_validate(
        {
            "folders": {"inbox": place / "inbox", "outbox": place / "outbox"},
            "llm": {"base_url": server.base_url, "probe_interval_seconds": 0.2, "probe_interval_max_seconds": 0.2},
            "intake": {"settle_seconds": 0.2, "rescan_seconds": 0.5, "unfinished_pdf_seconds": 1.0},
            "jobs": {"first_delay_seconds": 0.1},
        }
    )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Give one PostgreSQL to all tests that need it; each makes a database of its own."""
    with postgres() as server:
        yield server
