"""Record a job of every kind for tests/test_traces.py: `python tests/make_traces.py [NAME]`.

Each goes to tests/traces/<name>/: the job's folder as the outbox keeps it, below its state, and the configuration it
was made with. A folder that exists is left alone: traces are kept for ever, so that later versions are held against
them. To add today's format after a change, give a new name, such as the version.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import anyio

from pipeline import __version__
from pipeline.app import open_app
from pipeline.config import Settings, shipped_config
from pipeline.llm.standin import Fault, FaultRule, StandInServer, StandInSettings
from pipeline.outbox import JobFolder

TRACES = Path(__file__).parent / "traces"
_SAMPLES = Path(__file__).parent.parent / "pipeline" / "demo_samples"
_PLAIN = ("kettenglueck-lastenrad.txt", "copper-kettle-receipt.txt", "seaview-catering-damaged.pdf", "*newsletter.pdf")
_MORE = ("halden-hosting-2025-041.pdf", "halden-hosting-credit-note.pdf", "boulangerie-verveine-fevrier.pdf")
_EINVOICES = ("windholz-segelreparatur.pdf", "baumschule-lindenhof-xrechnung.xml")
_SOURCE = "def area(width: float, height: float) -> float:\n    return width * height\n"
_UNEQUAL = """Lantern Works Ltd
7 Quay Street, Bristol BS1 4DB

Invoice number: LW-2041
Date: 2025-03-04
Currency: GBP

Lamp repair              100.00
Net                      100.00
VAT 20 %                  20.00
Total GBP                125.00
"""
_NEVER_READ = "Notice of a change of rooms\n\nFrom May on we are one floor higher. Marker: overflow-please\n"


def main() -> None:
    """Record what is not there yet."""
    target = TRACES / (sys.argv[1] if len(sys.argv) > 1 else f"version-{__version__}")
    if target.exists():
        raise SystemExit(f"{target} exists: recorded traces are kept as they are")
    anyio.run(_record, target)
    sys.stdout.write(f"recorded in {target}\n")


async def _record(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        faults = (FaultRule(fault=Fault.OVERFLOW_NOT_FIT, marker="overflow-please", times=None),)
        async with StandInServer(StandInSettings(faults=faults)) as server:
            settings = Settings.model_validate(
                {
                    "folders": {"inbox": folder / "inbox", "outbox": folder / "outbox"},
                    "llm": {"base_url": server.base_url},
                }
            )
            async with open_app(settings, doing="run", one_shot=True) as app:
                await app.service.run(_files(folder))
        for job in sorted((folder / "outbox").glob("*/*/result.json")):
            _keep(JobFolder(job.parent), target)
        shutil.copytree(shipped_config(), target / "config")


def _files(folder: Path) -> list[tuple[Path, str]]:
    """Return files of every kind with their agents."""
    samples = [path for pattern in (*_PLAIN, *_MORE, *_EINVOICES) for path in sorted(_SAMPLES.glob(pattern))]
    two = "\f".join((_UNEQUAL, _UNEQUAL.replace("LW-2041", "LW-2042").replace("125.00", "120.00")))
    made = {"area.py": _SOURCE, "too-long.txt": _NEVER_READ, "unequal.txt": _UNEQUAL, "two-invoices.txt": two}
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    experts = ("code-review", "test-design", "technical-documentation", "feature-announcement")
    invoices = [*samples, folder / "too-long.txt", folder / "unequal.txt", folder / "two-invoices.txt"]
    return [*((path, "invoice") for path in invoices), *((folder / "area.py", expert) for expert in experts)]


def _keep(job: JobFolder, target: Path) -> None:
    shutil.copytree(job.path, target / job.state / job.name)


if __name__ == "__main__":
    main()
