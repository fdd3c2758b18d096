"""Which engine reads scans of invoices best, and what it costs.

    python tests/benchmarks/scans.py FOLDER [--files N] [--pages N] [--engine rapidocr tesseract] [--how NAME ...]

Takes N PDFs spread over a folder that has the truth beside each file, makes scans of them in several ways, and lets
each engine that is installed read them in a process of its own. Shown are the shares of true values that stand
literally in the text (blanks aside), of line totals that share a row with the first word of their line, processor
seconds a page, and the most memory. `--doubts` shows instead how sure the engine was of the numbers it read right and
of those it read wrongly. `--write TARGET` writes the scans made in the first way, with their truths, for
`tests/benchmarks/accuracy.py TARGET`.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pypdfium2
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
from scan_files import Scanning, picture_pdf, scan_pages

HOWS = {
    "150 dpi": Scanning(dpi=150),
    "200 dpi": Scanning(dpi=200),
    "300 dpi": Scanning(dpi=300),
    "200, noise, JPEG 40": Scanning(dpi=200, noise=18, jpeg_quality=40),
    "150, noise, slant 1": Scanning(dpi=150, noise=18, jpeg_quality=50, slant=1),
    "200, slant 3": Scanning(dpi=200, slant=3),
    "200, turned 90": Scanning(dpi=200, turn=90),
    "200, turned 180": Scanning(dpi=200, turn=180, noise=10),
    "100, noise": Scanning(dpi=100, noise=12, jpeg_quality=50),
    "200, blur, shade": Scanning(dpi=200, blur=1.6, shade=0.6, noise=10, jpeg_quality=60, slant=-1.5),
}
LANGUAGES = "eng+deu+fra+ita+nld+spa"
FIND_PIXELS = 1280


class Reading(NamedTuple):
    """Hold what an engine made of one page; `sure` are its words with their confidence."""

    text: str
    cpu_seconds: float
    peak_megabytes: float
    sure: tuple[tuple[str, float], ...] = ()


class Truth(NamedTuple):
    """Hold a file, the values that its text layer shows, and the text of its first pages."""

    path: Path
    values: Mapping[str, Sequence[str]]
    lines: Sequence[tuple[str, str]]
    text: str


def main(options: argparse.Namespace) -> None:
    """Print a table for each engine."""
    truths = _truths(options.folder, options.files, options.pages)
    hows = {name: how for name, how in HOWS.items() if not options.how or name in options.how}
    if options.write:
        _write(truths, next(iter(hows.values())), options.write)
        return
    for engine in options.engine:
        if not ENGINES[engine].present():
            print(f"{engine}: not installed, left out")
            continue
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            readings = {name: _read_all(pool, engine, truths, how, options.pages) for name, how in hows.items()}
        if options.doubts:
            _print_doubts(engine, truths, readings)
        else:
            _print_table(engine, truths, readings)


def _write(truths: Sequence[Truth], how: Scanning, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for truth in truths:
        pages = scan_pages(truth.path.read_bytes(), how)
        (target / truth.path.name).write_bytes(picture_pdf(pages, how.dpi))
        shutil.copyfile(truth.path.with_suffix(".json"), target / f"{truth.path.stem}.json")


def _read_all(pool: Any, engine: str, truths: Sequence[Truth], how: Scanning, pages: int) -> dict[Path, list[Reading]]:
    return {
        truth.path: [
            pool.apply(ENGINES[engine].read, (_png(page),))
            for page in scan_pages(truth.path.read_bytes(), how, most=pages)
        ]
        for truth in truths
    }


def _png(page: Image.Image) -> bytes:
    target = io.BytesIO()
    page.save(target, "PNG")
    return target.getvalue()


_engine: Any = None


def _with_rapidocr(png: bytes) -> Reading:
    global _engine
    from pipeline.document.scan.engine import Engine  # noqa: PLC0415 - it may not be installed
    from pipeline.document.scan.rows import blocks_of, rows_of  # noqa: PLC0415

    _engine = _engine or Engine(threads=1, find_pixels=FIND_PIXELS)
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    begun = time.process_time()
    lines = _engine.read(picture).lines
    used = time.process_time() - begun
    words = tuple((word.text, word.confidence) for line in lines for word in line.words)
    return Reading(f"{rows_of(lines)}\n\f{blocks_of(lines)}", used, _peak(resource.RUSAGE_SELF), words)


def _with_tesseract(png: bytes) -> Reading:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    texts = []
    # 1 finds the way up by itself; 6 keeps rows together.
    for mode in ("1", "6"):
        command = ["tesseract", "-", "-", "-l", LANGUAGES, "--psm", mode, "-c", "preserve_interword_spaces=1"]
        done = subprocess.run(command, input=png, capture_output=True, env={"OMP_THREAD_LIMIT": "1"}, check=False)
        texts.append(done.stdout.decode(errors="replace"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Reading("\n\f".join(reversed(texts)), used, _peak(resource.RUSAGE_CHILDREN))


class EngineUnderTest(NamedTuple):
    """Hold how an engine is found and asked."""

    present: Callable[[], bool]
    read: Callable[[bytes], Reading]


ENGINES = {
    "rapidocr": EngineUnderTest(lambda: find_spec("rapidocr") is not None, _with_rapidocr),
    "tesseract": EngineUnderTest(lambda: shutil.which("tesseract") is not None, _with_tesseract),
}


def _peak(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def _truths(folder: Path, files: int, pages: int) -> list[Truth]:
    paths = [path for path in sorted(folder.glob("*.pdf")) if path.with_suffix(".json").exists()]
    chosen = paths[:: max(1, len(paths) // files)][:files]
    return [_truth(path, pages) for path in chosen]


def _truth(path: Path, pages: int) -> Truth:
    data = json.loads(path.with_suffix(".json").read_text())
    with pypdfium2.PdfDocument(path) as document:
        text = "\n".join(page.get_textpage().get_text_range() for page, _ in zip(document, range(pages), strict=False))
    lines = [
        (line["description"].split()[0], line["total"])
        for line in data.get("line_items", ())
        if line.get("description") and line.get("total")
    ]
    values = {
        "number": [data.get("invoice_number", "")],
        "vendor": [data.get("vendor_name", "")],
        "total": [data.get("total_amount", "")],
        "line total": [total for _, total in lines],
    }
    shown = {name: [one for one in listed if one and _holds(text, one)] for name, listed in values.items()}
    return Truth(path, shown, [line for line in lines if _holds(text, line[1])], text)


def _holds(text: str, value: str) -> bool:
    squeezed = _squeeze(text)
    return any(_squeeze(printed) in squeezed for printed in _printed(value))


def _printed(value: str) -> set[str]:
    try:
        amount = abs(Decimal(value))
    except ArithmeticError:
        return {value}
    plain = f"{amount:.2f}"
    return {
        plain,
        f"{amount:,.2f}",
        plain.replace(".", ","),
        f"{amount:,.2f}".translate(str.maketrans(".,", ",.")),
        value,
    }


def _squeeze(text: str) -> str:
    return "".join(text.split()).casefold()


def _print_table(engine: str, truths: Sequence[Truth], readings: Mapping[str, Mapping[Path, list[Reading]]]) -> None:
    names = ("number", "vendor", "total", "line total")
    print(f"\n== {engine}: {len(truths)} files ==")
    print(f"{'scan':22}{''.join(f'{name:>12}' for name in names)}{'rows':>9}{'whole':>9}{'CPU s':>8}{'MB':>7}")
    for how, read in readings.items():
        found: Counter[str] = Counter()
        known: Counter[str] = Counter()
        for truth in truths:
            text = "\n".join(reading.text for reading in read[truth.path])
            _count(truth, text, found, known)
        pages = [reading for listed in read.values() for reading in listed]
        shares = "".join(f"{_share(found[name], known[name]):>12}" for name in names)
        rest = f"{_share(found['row'], known['row']):>9}{_share(found['whole'], len(truths)):>9}"
        cpu = sum(page.cpu_seconds for page in pages) / len(pages)
        print(f"{how:22}{shares}{rest}{cpu:8.1f}{max(page.peak_megabytes for page in pages):7.0f}", flush=True)


def _count(truth: Truth, text: str, found: Counter[str], known: Counter[str]) -> None:
    whole = True
    for name, listed in truth.values.items():
        for value in listed:
            held = _holds(text, value)
            known[name] += 1
            found[name] += held
            whole = whole and held
    rows = text.splitlines()
    for word, total in truth.lines:
        known["row"] += 1
        found["row"] += any(_squeeze(word) in _squeeze(row) and _holds(row, total) for row in rows)
    found["whole"] += whole


def _print_doubts(engine: str, truths: Sequence[Truth], readings: Mapping[str, Mapping[Path, list[Reading]]]) -> None:
    """Show how many words with digits are right and wrong at each confidence."""
    steps = (0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.0)
    table: dict[float, Counter[bool]] = defaultdict(Counter)
    for read in readings.values():
        for truth in truths:
            shown = _squeeze(truth.text)
            for word, confidence in (pair for reading in read[truth.path] for pair in reading.sure):
                if any(sign.isdigit() for sign in word):
                    right = _squeeze(word) in shown
                    table[next(step for step in steps if confidence >= step)][right] += 1
                    if not right and confidence >= 0.9:
                        print(f"  {truth.path.name}: {word} {confidence:.3f}")
    print(f"\n== {engine}: words with digits ==\n{'least confidence':18}{'right':>8}{'wrong':>8}")
    for step in steps:
        print(f"{step:<18}{table[step][True]:8}{table[step][False]:8}")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--pages", type=int, default=2)
    parser.add_argument("--engine", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--how", nargs="+", default=[], choices=HOWS)
    parser.add_argument("--doubts", action="store_true")
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main(_options())
