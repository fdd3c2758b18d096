"""Promises 1 and 2 at every operation on the disk: whatever goes wrong there, a restart comes to the same end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from faulty_disk import Died, Fault, Scenario, World

from pipeline.config import Settings
from pipeline.document.reader import DocumentReader
from pipeline.errors import PipelineError

INVOICE = """Lantern Works Ltd
7 Quay Street, Bristol BS1 4DB
VAT no. GB123456782

Invoice number: LW-2041
Date: 2025-03-04
Currency: GBP

Lamp repair              100.00
Net                      100.00
VAT 20 %                  20.00
Total GBP                120.00
"""
DONE = Scenario("done", "lamp.txt", INVOICE.encode(), "done")
REVIEW = Scenario("review", "lamp.txt", INVOICE.replace("120.00", "125.00").encode(), "review")
FAILED = Scenario("failed", "lamp.pdf", b"%PDF-1.7 nothing of a PDF but its ends %%EOF", "failed")
OVERFLOW = Scenario("failed in the session", "lamp.txt", INVOICE.encode(), "failed", overflows=True)
APART = Scenario("two file systems", "lamp.txt", INVOICE.encode(), "done", two_file_systems=True)
TWO = "\f".join((INVOICE.replace("Works", "Works Invoice"), INVOICE.replace("LW-2041", "LW-2042")))
SPLIT = Scenario("two invoices", "lamps.txt", TWO.encode(), "done", jobs=3)
SCENARIOS = (DONE, APART, REVIEW, FAILED, OVERFLOW, SPLIT)
_ALL = slice(None)


@pytest.fixture
async def reader() -> AsyncIterator[DocumentReader]:
    """Share one reader process between the worlds of a test."""
    async with DocumentReader(Settings().reading) as reader:
        yield reader


@pytest.fixture(scope="module", autouse=True)
def summary() -> Iterator[list[str]]:
    """Print at the end how many points there were and how many came out right (shown with -s)."""
    lines: list[str] = []
    yield lines
    print("\n".join(["", *lines]))  # noqa: T201


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_every_operation_on_the_disk_may_go_wrong(
    scenario: Scenario, fault: Fault, tmp_path: Path, reader: DocumentReader, summary: list[str]
) -> None:
    """A job whose n-th operation fails, tears or is the last before a kill ends, for every n, as one without faults."""
    summary.append(await _go_wrong(scenario, fault, tmp_path, reader))


@pytest.mark.parametrize(
    ("scenario", "fault", "first"),
    [
        (DONE, Fault.ERROR, 1),
        pytest.param(DONE, Fault.TORN, 2, marks=pytest.mark.slow),
        pytest.param(DONE, Fault.BEFORE, 3, marks=pytest.mark.slow),
        (APART, Fault.TORN, 4),
    ],
    ids=["error", "torn", "before", "two file systems"],
)
async def test_an_operation_on_the_disk_may_go_wrong(
    scenario: Scenario, fault: Fault, first: int, tmp_path: Path, reader: DocumentReader
) -> None:
    """The same at each fourth operation, and at another fourth for each fault, so that none is left out."""
    await _go_wrong(scenario, fault, tmp_path, reader, points=slice(first - 1, None, 4))


async def _go_wrong(
    scenario: Scenario, fault: Fault, tmp_path: Path, reader: DocumentReader, *, points: slice = _ALL
) -> str:
    """Work once for each of the points, hold the end of each against one without a fault, and return a line on it."""
    reference = World(tmp_path / "reference", scenario, reader)
    reference.drop()
    counting = reference.disk()
    await reference.work(counting)
    expected = reference.seen()
    assert [one["status"] for one in expected["result"]] == [scenario.status] * scenario.jobs
    assert (expected["inbox"], expected["bytes"], expected["leftovers"]) == ([], scenario.jobs, [])
    count = len(counting.operations)
    chosen = range(1, count + 1)[points]
    in_place = 0
    for point in chosen:
        world = World(tmp_path / str(point), scenario, reader)
        world.drop()
        in_place += await _one_fault(world, point, fault)
        where = f"operation {point} of {count} ({counting.operations[point - 1]})"
        assert world.seen() == expected, where
        asked, usual = world.model.asked, reference.model.asked
        assert set(asked) == set(usual), where
        assert asked.total() <= usual.total() + 1, f"{where}: more than the call in flight was repeated"
    return f"{scenario.name:22} {fault.value:7} {count:3} points, {len(chosen)} recovered, {in_place} without restart"


async def _one_fault(world: World, point: int, fault: Fault) -> bool:
    """Work with the fault, then restart where that is needed; say whether it was not."""
    disk = world.disk(at=point, fault=fault)
    died = False
    try:
        await world.work(disk)
    except BaseExceptionGroup as group:
        died = group.subgroup(Died) is not None
        if not died:
            raise
    except Died:
        died = True
    except (OSError, PipelineError):
        # Where the folders cannot be made the command ends with a clear error; a person starts it again.
        assert len(disk.operations) <= _OPENING
        died = True
    if died:
        await world.work(world.disk())
    return not died


# Folders that are made when the outbox is opened: itself and one for each state, each made and its parent synced.
_OPENING = 10
