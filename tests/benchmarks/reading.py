"""What of the true values stands in the text that is read, and what reading costs.

    python tests/benchmarks/reading.py [--missing] FOLDER...

A folder holds documents and beside each its truth, NAME.json. Compared are the reading of the product (both processes'
work and their joining, done here in one) and four plain ways to read: pypdf's two views, PDFium's text, and rows made
from PDFium's words; `any` is what at least one of them sees. Counted is what stands literally in the text, blanks
aside; amounts and dates in any of the usual ways to write them. A row is kept where a line of the text that a model is
shown has two neighbouring words of the line's text (or its only one) and its total. Values that the truth names in
`meta.not_in_text` are in no text layer and are counted apart. CPU is per page, median file, with the libraries loaded.
`--missing` names what the product's text lacks.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pypdf
import pypdfium2
from babel.dates import format_date

from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.model import PDF_TYPE
from pipeline.document.parse import parse_file
from pipeline.document.rows import rows_of
from pipeline.document.second import parse_again
from pipeline.errors import DocumentError

SETTINGS = ReadingSettings()
HEADER = ("number", "date", "total", "vendor")
MEASURES = (*HEADER, "line total", "line text", "row")
LANGUAGES = ("en_US", "en_GB", "de", "fr", "nl", "pl", "pt", "es", "it", "sv", "da", "fi")
NUMERIC_DATES = (
    *("dd.MM.y", "d.M.y", "dd/MM/y", "d/M/y", "MM/dd/y", "M/d/y", "dd-MM-y", "y-MM-dd", "y/MM/dd", "y.MM.dd", "d-M-y"),
    *("dd.MM.yy", "dd/MM/yy", "MM/dd/yy", "dd-MM-yy", "ddMMy", "yMMdd", "dd MM y"),
)
WORDED_DATES = (
    *("d MMMM y", "dd MMMM y", "d. MMMM y", "dd. MMMM y", "d MMM y", "dd MMM y", "MMM d, y", "MMM dd, y"),
    *("MMMM dd, y", "d-MMM-y", "dd-MMM-y", "dd-MMM-yy"),
)
# What stands between thousands and before decimals.
MARKS = (",.", ".,", " ,", " .", "'.")


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

    found: dict[Path, set[int]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    cpu_ms_per_page: list[float] = field(default_factory=list)

    def share(self, checks: Mapping[Path, list[Check]], measure: str) -> float:
        """Return how many of a measure's values were found, in %."""
        wanted = [(path, n) for path, ones in checks.items() for n, one in enumerate(ones) if one.measure == measure]
        return 100 * sum(n in self.found.get(path, ()) for path, n in wanted) / max(1, len(wanted))

    def whole(self, checks: Mapping[Path, list[Check]]) -> float:
        """Return how many documents have number, date, total, vendor and line totals, in %."""
        needed = (*HEADER, "line total")
        whole = [
            path in self.found and all(n in self.found[path] for n, one in enumerate(ones) if one.measure in needed)
            for path, ones in checks.items()
        ]
        return 100 * sum(whole) / max(1, len(whole))

    def missing(self, checks: Mapping[Path, list[Check]]) -> list[str]:
        """Name what was not found."""
        return [
            f"{path.name}: {one.measure} {one.value}"
            for path, ones in checks.items()
            for n, one in enumerate(ones)
            if n not in self.found.get(path, ())
        ]


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


def by_rows(path: Path) -> Views:
    """Read with rows made from PDFium's words alone."""
    pages = parse_again(path, name=path.name, settings=SETTINGS).pages
    return Views("\n".join(rows_of(page.words) for page in pages), "", len(pages))


READERS: dict[str, Callable[[Path], Views]] = {
    "product": by_product,
    "pypdf plain": by_pypdf_plain,
    "pypdf layout": by_pypdf_layout,
    "pypdfium2": by_pypdfium2,
    "its rows": by_rows,
}


def main() -> None:
    """Print one table with a column for each way to read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--missing", action="store_true", help="name what the product's text lacks")
    options = parser.parse_args()
    files = [path for folder in options.folders for path in sorted(folder.iterdir()) if _is_document(path)]
    truths = {path: json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in files}
    checks = {path: _checks(truth) for path, truth in truths.items()}
    pdfs = {path: ones for path, ones in checks.items() if path.suffix.lower() == ".pdf"}
    others = {path: ones for path, ones in checks.items() if path not in pdfs}
    tallies = {name: _tally(read, pdfs) for name, read in READERS.items()}
    _print({**tallies, "any": _any(tallies.values())}, pdfs)
    rest = _tally(by_product, others)
    print(f"\n{len(others)} files that are no PDF: {rest.whole(others):.0f} % complete, {len(rest.lost)} lost")
    apart = sum(len(_not_in_text(truth)) for truth in truths.values())
    print(f"{apart} kinds of value are in no text layer (meta.not_in_text) and not counted")
    if options.missing:
        print("\nNot in the product's text:", *tallies["product"].missing(pdfs), *rest.missing(others), sep="\n  ")


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
    words, prints = text.split(), _amounts(amount)
    pairs = [_dense(f"{one}{two}") for one, two in pairwise(words)] or [_dense(text)]

    def found(views: Views) -> bool:
        lines = [line for line in views.shown.split("\n") if _stands_in(prints, line)]
        return any(pair in _dense(line) for line in lines for pair in pairs)

    return found


def _stands_in(prints: set[str], text: str) -> bool:
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("\N{MINUS SIGN}", "-")
    text = re.sub(r"[^\S\n]+", " ", text).casefold()
    return any(re.search(rf"(?<!\d){re.escape(one)}(?!\d)", text) for one in prints)


def _dense(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).casefold()


def _amounts(value: str) -> set[str]:
    """Return the usual ways to print an amount, without its sign."""
    amount = abs(Decimal(value))
    decimals = max(0, -int(amount.as_tuple().exponent))
    whole = {0} if amount == amount.to_integral_value() else set()
    forms: set[str] = set()
    for places in {decimals, *whole, *range(max(2, decimals), 5)}:
        for grouped in (f"{amount:,.{places}f}", f"{amount:.{places}f}"):
            forms.update(grouped.translate(str.maketrans(",.", marks)) for marks in MARKS)
    return forms


def _dates(day: date) -> set[str]:
    prints = {format_date(day, pattern, locale="en_US") for pattern in NUMERIC_DATES}
    for language in LANGUAGES:
        prints.update(format_date(day, style, locale=language) for style in ("medium", "long", "full", *WORDED_DATES))
    return {text.casefold() for text in prints}


def _tally(read: Callable[[Path], Views], checks: Mapping[Path, list[Check]]) -> Tally:
    tally = Tally()
    for path, ones in checks.items():
        before = time.process_time()
        try:
            views = read(path)
        except (DocumentError, pypdfium2.PdfiumError, pypdf.errors.PyPdfError) as error:
            tally.lost.append(f"{path.name}: {error}")
            continue
        tally.cpu_ms_per_page.append((time.process_time() - before) * 1000 / max(1, views.pages))
        tally.found[path] = {number for number, one in enumerate(ones) if one.found(views)}
    return tally


def _any(tallies: Iterable[Tally]) -> Tally:
    """Return what at least one way to read sees."""
    together = Tally()
    for tally in tallies:
        for path, found in tally.found.items():
            together.found.setdefault(path, set()).update(found)
    return together


def _print(tallies: Mapping[str, Tally], checks: Mapping[Path, list[Check]]) -> None:
    print(f"{'share in %':34}{'n':>5}" + "".join(f"{name:>13}" for name in tallies))
    labels = {"line text": "line text, whole", "row": "line text and total on one line"}
    for measure in MEASURES:
        count = sum(one.measure == measure for ones in checks.values() for one in ones)
        _print_row(labels.get(measure, measure), count, [tally.share(checks, measure) for tally in tallies.values()])
    _print_row("documents complete", len(checks), [tally.whole(checks) for tally in tallies.values()])
    _print_row("files lost", len(checks), [len(tally.lost) for tally in tallies.values()])
    costs = [statistics.median(tally.cpu_ms_per_page or [0]) for tally in tallies.values()]
    _print_row("CPU ms a page, median file", len(checks), costs)
    for name, tally in tallies.items():
        for lost in tally.lost:
            print(f"lost by {name}: {lost}")


def _print_row(label: str, count: int, values: Iterable[float]) -> None:
    print(f"{label:34}{count:>5}" + "".join(f"{value:>13.1f}" for value in values))


if __name__ == "__main__":
    main()
