"""Play every fault on the first planning, extraction and store call of jobs of their own, and see how they fare.

    python tests/fault_harness.py

Prints the table: the fault, what the client made of it, and what the job that met it experienced.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio

from pipeline.app import open_app
from pipeline.config import Settings
from pipeline.errors import ModelError
from pipeline.invoice.model import loads
from pipeline.llm.lm_studio import EndpointSettings, LMStudioModel
from pipeline.llm.protocol import ModelRequest
from pipeline.llm.standin import CallKind, Fault, FaultRule, StandInServer, StandInSettings
from pipeline.trace import read_events

KINDS = (CallKind.PLAN, CallKind.EXTRACTION, CallKind.STORE)
SHAPES = (
    Fault.SERVER_ERROR,
    Fault.RATE_LIMITED,
    Fault.DISCONNECT_BEFORE,
    Fault.DISCONNECT_MIDWAY,
    Fault.BAD_JSON_200,
    Fault.HTML_200,
    Fault.NO_MODELS_TEXT,
    Fault.MODEL_UNLOADED,
    Fault.BROKEN_ARGUMENTS,
    Fault.WRONG_ARGUMENTS,
    Fault.UNKNOWN_TOOL,
    Fault.EMPTY,
    Fault.TEXT_INSTEAD_OF_CALL,
    Fault.LENGTH_EMPTY,
    Fault.HANG,
)
TIMEOUT_SECONDS = 2.0
_TEXT = """Harbour Repairs Ltd
{number} Quay Street, Bristol BS1 4DB

Invoice number: {name}
Date: 2025-03-04
Currency: GBP

Repair of pump {number}    {net}
Net       {net}
VAT 20 %   {tax}
Total GBP {total}
"""
_QUESTION = {
    "type": "function",
    "function": {"name": "look_it_up", "description": "Look.", "parameters": {"type": "object", "properties": {}}},
}


@dataclass(frozen=True)
class Row:
    """Hold how one job fared; `calls` are its requests that the server saw, two or three where nothing happens."""

    fault: str
    kind: str
    status: str
    right: bool
    attempts: int
    calls: int
    failures: tuple[str, ...]

    @property
    def finished_right(self) -> bool:
        """Say whether the job ended in the first attempt, done, with the values of its document."""
        return self.status == "done" and self.right and self.attempts == 1


@dataclass(frozen=True)
class _Case:
    fault: Fault
    kind: CallKind
    number: int

    @property
    def name(self) -> str:
        return f"FM-{self.number}-{self.kind.value}"

    @property
    def total(self) -> Decimal:
        return Decimal(self.number) * Decimal("1.20")

    def text(self) -> str:
        net, tax = Decimal(self.number), Decimal(self.number) * Decimal("0.20")
        return _TEXT.format(number=self.number, name=self.name, net=f"{net:.2f}", tax=f"{tax:.2f}", total=self.total)


async def play(faults: Iterable[Fault], folder: Path, *, kinds: Sequence[CallKind] = KINDS) -> list[Row]:
    """Send one invoice for each fault and kind of call through the pipeline; return how each fared.

    A store call of its own is made by models that call one tool at a time; the others get a model that calls both.
    """
    return await _played_apart([(fault, kind) for fault in faults for kind in kinds], folder)


async def play_in_turn(faults: Iterable[Fault], folder: Path) -> list[Row]:
    """Do the same with each fault on one kind of call only, the kinds taking turns."""
    return await _played_apart(list(zip(faults, cycle(KINDS), strict=False)), folder)


async def _played_apart(wanted: Sequence[tuple[Fault, CallKind]], folder: Path) -> list[Row]:
    cases = [_Case(fault, kind, 1000 + 5 * number) for number, (fault, kind) in enumerate(wanted)]
    together = [case for case in cases if case.kind is not CallKind.STORE]
    apart = [case for case in cases if case.kind is CallKind.STORE]
    rows = await _played(together, folder / "together", several_calls=True)
    return [*rows, *await _played(apart, folder / "apart", several_calls=False)]


async def _played(cases: Sequence[_Case], folder: Path, *, several_calls: bool) -> list[Row]:
    rules = tuple(FaultRule(fault=case.fault, kind=case.kind, marker=case.name) for case in cases)
    files = folder / "files"
    files.mkdir(parents=True)
    for case in cases:
        (files / f"{case.name}.txt").write_text(case.text(), encoding="utf-8")
    host = StandInSettings(faults=rules, slots=8, log_requests=100_000, several_calls=several_calls)
    async with StandInServer(host) as server:
        async with open_app(_settings(folder, server.base_url), doing="faults", one_shot=True) as app:
            await app.service.run([(files / f"{case.name}.txt", "invoice") for case in cases])
        met = {entry.document_digest: entry.fault for entry in server.log if entry.fault}
        calls = Counter(entry.document_digest for entry in server.log)
        by_fault_and_kind = {
            (entry.fault, entry.kind): calls[entry.document_digest] for entry in server.log if entry.fault
        }
    assert len(met) == len(cases), "a fault was not played"
    results = _results(folder / "outbox")
    return [_row(case, results[case.name], by_fault_and_kind[case.fault.value, case.kind.value]) for case in cases]


async def classes(faults: Iterable[Fault]) -> dict[Fault, str]:
    """Return for each fault what one call that meets it comes to: an error's name, or the answer's form."""
    found = {}
    for fault in faults:
        async with StandInServer(StandInSettings(hang_seconds=0.2)) as server:
            server.faults.add(FaultRule(fault=fault))
            model = LMStudioModel(EndpointSettings(base_url=server.base_url, model=server.settings.models[0]))
            try:
                reply = await model.complete(
                    ModelRequest(messages=({"role": "user", "content": "hello"},), tools=(_QUESTION,))
                )
                found[fault] = "call" if reply.tool_calls else f"answer without a call ({reply.finish_reason})"
            except ModelError as error:
                found[fault] = type(error).__name__
            finally:
                await model.aclose()
    return found


def _settings(folder: Path, base_url: str) -> Settings:
    return Settings.model_validate(
        {
            "folders": {"inbox": folder / "inbox", "outbox": folder / "outbox"},
            "daemon": {"concurrency": 16},
            "llm": {
                "base_url": base_url,
                "timeout_seconds": TIMEOUT_SECONDS,
                "cool_off_seconds": 0.1,
                "probe_interval_seconds": 0.05,
                "probe_interval_max_seconds": 0.2,
            },
            "jobs": {"first_delay_seconds": 0.05},
        }
    )


def _results(outbox: Path) -> dict[str, tuple[dict[str, Any], Path]]:
    found = {}
    for path in outbox.glob("*/*/result.json"):
        result = loads(path.read_text(encoding="utf-8"))
        found[Path(result["source"]["name"]).stem] = (result, path.parent)
    return found


def _row(case: _Case, ended: tuple[dict[str, Any], Path], calls: int) -> Row:
    result, folder = ended
    invoice = result["invoice"] or {}
    shown = (invoice.get("invoice_number"), invoice.get("date"), invoice.get("total_amount"))
    failures = [one["error"]["type"] for one in read_events(folder / "trace.jsonl") if one["event"] == "attempt.failed"]
    return Row(
        fault=case.fault.value,
        kind=case.kind.value,
        status=result["status"],
        right=shown == (case.name, "2025-03-04", case.total),
        attempts=result["usage"]["attempts"],
        calls=calls,
        failures=tuple(failures),
    )


async def _main() -> None:
    made = await classes(Fault)
    with tempfile.TemporaryDirectory() as place:
        rows = await play(Fault, Path(place))
    print(f"{'fault':30} {'one call comes to':38} {'on':10} {'job':7} {'right':5} {'attempts':>8} {'calls':>5}")
    for row in rows:
        mark = "" if row.finished_right else f"  <- {', '.join(row.failures) or 'not right'}"
        print(
            f"{row.fault:30} {made[Fault(row.fault)]:38} {row.kind:10} {row.status:7} {row.right!s:5} "
            f"{row.attempts:8} {row.calls:5}{mark}"
        )
    print(f"\n{sum(row.finished_right for row in rows)} of {len(rows)} jobs finished right in their first attempt")


if __name__ == "__main__":
    anyio.run(_main)
