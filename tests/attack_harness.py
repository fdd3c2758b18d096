"""Send the attacks through the pipeline with a model that obeys them, and tell what stopped each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from attacks import FORGED, VICTIM, Attack, honest, victim
from gullible import obey

from pipeline.app import App, open_app
from pipeline.config import Settings
from pipeline.document.quoting import without_signs
from pipeline.invoice.model import dumps
from pipeline.invoice.store import StoredInvoice
from pipeline.llm.standin import StandInServer
from pipeline.trace import read_events

_REMOVED = ("nobody can see", "invisible characters", "left out of the text")
LANGUAGES = ("en", "de", "fr", "es", "it")


@dataclass(frozen=True)
class Outcome:
    """Hold what became of one file: its result, and the errors its tools returned to the model."""

    result: Mapping[str, Any]
    refusals: tuple[str, ...]
    defused: bool

    @property
    def values(self) -> str:
        """Return all values of the result in one text without blanks."""
        return dumps(self.result["invoice"]).replace(" ", "")

    @property
    def forged(self) -> tuple[str, ...]:
        """Return what of the forgeries is among the values."""
        return tuple(word for word in FORGED if word in self.values)

    @property
    def stopped_by(self) -> str:
        """Say what kept the attack from its end."""
        messages = " ".join(finding["message"] for finding in self.result["findings"])
        errors = sorted({f["code"] for f in self.result["findings"] if f["severity"] == "error"})
        guards = [
            *["hidden text removed"] * any(words in messages for words in _REMOVED),
            *["tool rights"] * bool(self.refusals),
            *["model signs defused"] * self.defused,
            *[f"session failed ({(self.result['error'] or {}).get('type')})"] * bool(self.result["error"]),
            *[f"checks ({', '.join(errors)})"] * bool(errors),
        ]
        return "; ".join(guards) or "never read: no text of a page"


@dataclass(frozen=True)
class Battle:
    """Hold everything afterwards: outcomes by file name, and the victim's record and result before and after."""

    outcomes: Mapping[str, Outcome]
    honest: Mapping[str, Mapping[str, Any]]
    records: Mapping[str, StoredInvoice]
    victim_before: tuple[StoredInvoice, bytes]
    victim_after: tuple[StoredInvoice, bytes]
    files: tuple[str, ...]


def fight(folder: Path, attacks: Sequence[Attack]) -> Battle:
    """Read the victim and honest files first, then all attacks at once."""
    return anyio.run(_fight, folder, attacks)


async def _fight(folder: Path, attacks: Sequence[Attack]) -> Battle:
    folder_of = partial(_saved, folder / "files")
    async with StandInServer(answering=obey) as server:
        settings = Settings.model_validate(
            {
                "folders": {"inbox": folder / "inbox", "outbox": folder / "outbox"},
                "llm": {"base_url": server.base_url},
                "jobs": {"attempts": 2, "first_delay_seconds": 0.05},
            }
        )
        async with open_app(settings, doing="test", one_shot=True) as app:
            (name,) = await app.service.run([(folder_of({f"{VICTIM}.txt": victim()})[0], "invoice")])
            victim_before = _victim(app, name)
        async with open_app(settings, doing="test", one_shot=True) as app:
            plain = folder_of({f"honest-{each}.pdf": honest(each) for each in LANGUAGES})
            hostile = folder_of({attack.name: attack.data for attack in attacks})
            agents = ["invoice"] * len(plain) + [attack.agent for attack in attacks]
            jobs = await app.service.run(list(zip([*plain, *hostile], agents, strict=True)))
            outcomes = [_outcome(app, job) for job in jobs]
            return Battle(
                outcomes={path.name: one for path, one in zip(hostile, outcomes[len(plain) :], strict=True)},
                honest={path.name: one.result for path, one in zip(plain, outcomes, strict=False)},
                records={row.job: row for row in app.folders.store.rows()},
                victim_before=victim_before,
                victim_after=_victim(app, name),
                files=_names(folder),
            )


def _saved(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir()))


def _victim(app: App, job: str) -> tuple[StoredInvoice, bytes]:
    row = next(row for row in app.folders.store.rows() if row.invoice.invoice_number == VICTIM)
    return row, app.folders.outbox.find(job).result_path.read_bytes()


def _outcome(app: App, name: str) -> Outcome:
    job = app.folders.outbox.find(name)
    result = job.result()
    assert result is not None
    events = list(read_events(job.trace_path))
    told = [str(one.get("content", "")) for one in events if one["event"] == "memory.added"]
    read = [page["text"] for one in events if one["event"] == "document.read" for page in one["output"]["pages"]]
    refusals = tuple(text for text in told if "there is no tool" in text or "do not fit" in text)
    return Outcome(result, refusals, defused=any(without_signs(text) != text for text in read))
