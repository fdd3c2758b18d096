"""What of the true values stands in the text that is read, and what reading costs.

    python tests/benchmarks/reading.py [--missing] FOLDER...

A folder holds documents and beside each its truth, NAME.json. Compared are the reading of the product (both processes'
work and their joining, done here in one) and three plain ways to read: pypdf's two views and PDFium alone. Counted is
what stands literally in the text, blanks aside; amounts and dates in any of the usual ways to write them. Values that
the truth names in `meta.not_in_text` are in no text layer and are counted apart. CPU is per page, median file, with
the libraries loaded. `--missing` names what the product's text lacks.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pypdf
import pypdfium2
from babel.dates import format_date

from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import PDF_TYPE
from pipeline.document.parse import parse_file
from pipeline.document.second import parse_again
from pipeline.errors import DocumentError

SETTINGS = ReadingSettings()
HEADER = ("number", "date", "total", "vendor")
MEASURES = (*HEADER, "line total", "line text", "row")
LANGUAGES = ("en_US", "en_GB", "de", "fr", "nl", "pl", "pt", "es", "it", "sv", "da", "fi")
NUMERIC_DATES = (
    "dd.MM.y",
    "d.M.y",
    "dd/MM/y",
    "d/M/y",
    "MM/dd/y",
    "M/d/y",
    "dd-MM-y",
    "y-MM-dd",
    "dd.MM.yy",
    "dd/MM/yy",
)
NUMERIC_DATES = (*NUMERIC_DATES, "y/MM/dd", "MM/dd/yy", "ddMMy", "yMMdd", "dd MM y", "dd-MM-yy", "y.MM.dd", "d-M-y")


class Views(NamedTuple):
    """Hold a file's text: as a model is shown it, whatever other view there is, and the number of pages."""

    shown: str
    beside: str
    pages: int


class Check(NamedTuple):
    """Name one true value, and say how it is looked for."""

    measure: str
    value: str
    found: Callable[[Views], bool]


@dataclass
class Tally:
    """Count for one way to read."""

    hits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lost: list[str] = field(default_factory=list)
    whole: int = 0
    cpu_ms_per_page: list[float] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def by_product(path: Path) -> Views:
    """Read as the product does."""
    first = parse_file(path, name=path.name, settings=SETTINGS)
    is_pdf = first.media_type == PDF_TYPE
    second = parse_again(path, name=path.name, settings=SETTINGS) if is_pdf else None
    document = combined(first, second, settings=SETTINGS)
    return Views(document.text, "\n".join(page.plain for page in document.pages), len(document.pages))


def by_pypdf_plain(path: Path) -> Views:
    """Read with pypdf's view in the order of the file."""
    texts = [page.extract_text() for page in pypdf.PdfReader(path).pages]
    return Views("\n".join(texts), "", len(texts))


def by_pypdf_layout(path: Path) -> Views:
    """Read with pypdf's view that keeps rows."""
    pages = pypdf.PdfReader(path).pages
    texts = [page.extract_text(extraction_mode="layout", layout_mode_space_vertically=False) for page in pages]
    return Views("\n".join(texts), "", len(texts))


def by_pypdfium2(path: Path) -> Views:
    """Read with PDFium alone."""
    with pypdfium2.PdfDocument(path) as pdf:
        texts = [page.get_textpage().get_text_bounded() for page in pdf]
    return Views("\n".join(texts), "", len(texts))


READERS: dict[str, Callable[[Path], Views]] = {
    "product": by_product,
    "pypdf plain": by_pypdf_plain,
    "pypdf layout": by_pypdf_layout,
    "pypdfium2": by_pypdfium2,
}


def main() -> None:
    """Print one table with a column for each way to read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--missing", action="store_true", help="name what the product's text lacks")
    options = parser.parse_args()
    files = [path for folder in options.folders for path in sorted(folder.iterdir()) if _is_document(path)]
    pdfs = [path for path in files if path.suffix.lower() == ".pdf"]
    checks = {path: _checks(json.loads(path.with_suffix(".json").read_text())) for path in files}
    counts = {measure: sum(check.measure == measure for path in pdfs for check in checks[path]) for measure in MEASURES}
    tallies = {name: _tally(read, pdfs, checks) for name, read in READERS.items()}
    others = _tally(by_product, [path for path in files if path not in pdfs], checks)
    _print(tallies, counts, len(pdfs))
    apart = sum(len(_not_in_text(json.loads(path.with_suffix(".json").read_text()))) for path in files)
    print(f"\n{len(files) - len(pdfs)} files that are no PDF: {others.whole} complete, {len(others.lost)} lost")
    print(f"{apart} kinds of value are in no text layer (meta.not_in_text) and not counted")
    if options.missing:
        print("\nNot in the product's text:", *tallies["product"].missing, *others.missing, sep="\n  ")


def _is_document(path: Path) -> bool:
    return path.suffix.lower() in {".pdf", ".txt", ".xml"} and path.with_suffix(".json").exists()


def _not_in_text(truth: Mapping[str, Any]) -> list[str]:
    return list((truth.get("meta") or {}).get("not_in_text") or ())


def _checks(truth: Mapping[str, Any]) -> list[Check]:
    apart = set(_not_in_text(truth))
    checks: list[Check] = []
    if number := truth.get("invoice_number"):
        checks.append(Check("number", number, _text_finder(number)))
    if (issued := truth.get("issue_date")) and "issue_date" not in apart:
        checks.append(Check("date", issued, _any_finder(_dates(date.fromisoformat(issued)))))
    if (total := truth.get("total_amount")) and "total_amount" not in apart:
        checks.append(Check("total", total, _any_finder(_amounts(total))))
    if (vendor := truth.get("vendor_name")) and "vendor_name" not in apart:
        checks.append(Check("vendor", vendor, _text_finder(vendor)))
    for line in truth.get("line_items") or ():
        text, amount = line.get("description"), line.get("total")
        has_text = text and "line_items.description" not in apart
        has_amount = amount and "line_items.total" not in apart
        if has_amount:
            checks.append(Check("line total", amount, _any_finder(_amounts(amount))))
        if has_text:
            checks.append(Check("line text", text, _text_finder(text)))
        if has_text and has_amount:
            checks.append(Check("row", f"{text} | {amount}", _row_finder(text, amount)))
    return checks


def _text_finder(value: str) -> Callable[[Views], bool]:
    wanted = _dense(value)
    return lambda views: wanted in _dense(views.shown) or wanted in _dense(views.beside)


def _any_finder(prints: set[str]) -> Callable[[Views], bool]:
    return lambda views: any(_stands_in(prints, text) for text in (views.shown, views.beside))


def _row_finder(text: str, amount: str) -> Callable[[Views], bool]:
    """Look for a line with the start of a line's text (it may wrap) and its total, in the view a model is shown."""
    start, prints = _dense(" ".join(text.split()[:2]))[:12], _amounts(amount)
    return lambda views: any(start in _dense(line) and _stands_in(prints, line) for line in views.shown.split("\n"))


def _stands_in(prints: set[str], text: str) -> bool:
    text = re.sub(
        r"[^\S\n]+", " ", text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("\u2212", "-")
    ).casefold()
    return any(re.search(rf"(?<![\d]){re.escape(one)}(?![\d])", text) for one in prints)


def _dense(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).casefold()


def _amounts(value: str) -> set[str]:
    """Return the usual ways to print an amount, without its sign."""
    amount = abs(Decimal(value))
    decimals = max(0, -int(amount.as_tuple().exponent))
    forms: set[str] = set()
    for places in {decimals, *range(max(2, decimals), 5)}:
        for grouped in (f"{amount:,.{places}f}", f"{amount:.{places}f}"):
            forms.update(
                grouped.translate(str.maketrans(",.", marks)) for marks in (",.", ".,", " ,", " .", "',"[0] + ".")
            )
    if amount == amount.to_integral_value():
        forms.update(
            {f"{amount:.0f}", f"{amount:,.0f}", f"{amount:,.0f}".replace(",", "."), f"{amount:,.0f}".replace(",", " ")}
        )
    return forms


def _dates(day: date) -> set[str]:
    prints = {format_date(day, pattern, locale="en_US") for pattern in NUMERIC_DATES}
    for language in LANGUAGES:
        prints.update(format_date(day, style, locale=language) for style in ("medium", "long", "full"))
        patterns = ("d MMMM y", "dd MMMM y", "d. MMMM y", "dd. MMMM y", "d MMM y", "dd MMM y", "MMM d, y", "d-MMM-y")
        prints.update(
            format_date(day, pattern, locale=language)
            for pattern in (*patterns, "MMM dd, y", "MMMM dd, y", "dd-MMM-y", "dd-MMM-yy")
        )
    return {text.casefold() for text in prints}


def _tally(read: Callable[[Path], Views], files: list[Path], checks: Mapping[Path, list[Check]]) -> Tally:
    tally = Tally()
    for path in files:
        before = time.process_time()
        try:
            views = read(path)
        except (DocumentError, pypdfium2.PdfiumError, pypdf.errors.PyPdfError) as error:
            tally.lost.append(f"{path.name}: {error}")
            continue
        tally.cpu_ms_per_page.append((time.process_time() - before) * 1000 / max(1, views.pages))
        missed = [check for check in checks[path] if not check.found(views)]
        for check in checks[path]:
            tally.hits[check.measure] += check not in missed
        tally.whole += not any(check.measure in (*HEADER, "line total") for check in missed)
        tally.missing += [f"{path.name}: {check.measure} {check.value}" for check in missed]
    return tally


def _print(tallies: Mapping[str, Tally], counts: Mapping[str, int], files: int) -> None:
    print(f"{'share in %':34}{'n':>5}" + "".join(f"{name:>14}" for name in tallies))
    for label, count, values in _rows(tallies, counts, files):
        print(f"{label:34}{count:>5}" + "".join(f"{value:>14.1f}" for value in values))
    for name, tally in tallies.items():
        for lost in tally.lost:
            print(f"lost by {name}: {lost}")


def _rows(
    tallies: Mapping[str, Tally], counts: Mapping[str, int], files: int
) -> Iterator[tuple[str, int, list[float]]]:
    labels = {"line text": "line text, whole", "row": "line text and total on one line"}
    for measure in MEASURES:
        shares = [100 * tally.hits[measure] / max(1, counts[measure]) for tally in tallies.values()]
        yield labels.get(measure, measure), counts[measure], shares
    yield "documents complete", files, [100 * tally.whole / max(1, files) for tally in tallies.values()]
    yield "files lost", files, [float(len(tally.lost)) for tally in tallies.values()]
    yield "CPU ms a page, median file", files, [statistics.median(tally.cpu_ms_per_page) for tally in tallies.values()]


if __name__ == "__main__":
    main()
