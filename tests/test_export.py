"""Exports as spreadsheets and programs read them: columns, separators, signs, formulas, sheets."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from pydantic import Field
from xlsxwriter.utility import xl_range

from pipeline.cli.hand_over import export_invoices
from pipeline.config import Settings
from pipeline.disk import Disk
from pipeline.errors import ConfigError
from pipeline.export import Filter, Form, export_to, invoice_columns, line_columns, since_day, stream_text, undated
from pipeline.export.rows import invoice_row
from pipeline.export.writing import Dialect
from pipeline.invoice.database import open_engine
from pipeline.invoice.model import Invoice, Kind, LineItem, Party, loads
from pipeline.invoice.store import InvoiceStore, StoredInvoice

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ATTACK = '=HYPERLINK("http://x.example","pay")'
NAMESPACE = {"s": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


class OwnInvoice(Invoice):
    """Stand for an invoice with fields that a user added."""

    own_fields: Mapping[str, Any] = Field(default_factory=dict)


def invoice(number: str, total: str, **more: Any) -> Invoice:
    """Return an invoice with one line."""
    lines = (LineItem(description="Lamp, repaired", quantity=Decimal("1.5"), total=Decimal(total)),)
    vendor = Party(name=more.pop("vendor", "Lantern Works"))
    values = {"date": date(2026, 2, 3), "currency": "GBP", "total_amount": Decimal(total), "line_items": lines}
    return Invoice(invoice_number=number, vendor=vendor, **{**values, **more})


@pytest.fixture
def store() -> Iterator[InvoiceStore]:
    """Give a store with an invoice, a credit note that prints no minus, and a vendor who attacks."""
    database = open_engine(None)
    store = InvoiceStore(database)
    put(store, invoice("A-1", "1234.50"), job="a")
    put(store, invoice("A-2", "34.50"), job="b", kind=Kind.CREDIT_NOTE, status="review")
    put(store, invoice("-2+3", "-1.00", vendor=ATTACK), job="c")
    yield store
    database.dispose()


def put(store: InvoiceStore, one: Invoice, *, job: str, kind: Kind = Kind.INVOICE, status: str = "done") -> None:
    """Store one invoice."""
    store.store(one, kind=kind, job=job, status=status, at=AT)


def text(store: InvoiceStore, form: Form = Form.CSV, wanted: Filter | None = None, **options: Any) -> str:
    """Return the export as text."""
    out = io.StringIO()
    stream_text(store, out, form=form, wanted=wanted or Filter(), **options)
    return out.getvalue()


def rows(exported: str, separator: str = ",") -> list[dict[str, str]]:
    """Read CSV as a program does."""
    return list(csv.DictReader(io.StringIO(exported), delimiter=separator))


def test_there_is_one_row_an_invoice_with_stable_columns(store: InvoiceStore) -> None:
    """Names and order of the columns are what people script against; new ones come behind."""
    exported = rows(text(store))
    first = "invoice_number kind status date due_date currency total_amount net_amount tax_amount vendor_name"
    then = "vendor_vat_id vendor_iban buyer_name lines version job stored_at signed_total signed_net signed_tax"
    assert list(exported[0])[:20] == [*first.split(), *then.split()]
    assert list(exported[0]) == invoice_columns()
    assert (exported[0]["date"], exported[0]["total_amount"], exported[0]["lines"]) == ("2026-02-03", "1234.50", "1")


def test_signed_amounts_add_up_to_what_is_owed(store: InvoiceStore) -> None:
    """A credit note counts against, whether it prints a minus or not; nothing changes what is printed."""
    exported = rows(text(store))
    assert [row["total_amount"] for row in exported] == ["1234.50", "34.50", "-1.00"]
    assert [row["signed_total"] for row in exported] == ["1234.50", "-34.50", "-1.00"]
    put(store, invoice("A-3", "-7"), job="d", kind=Kind.CREDIT_NOTE)
    assert rows(text(store))[-1]["signed_total"] == rows(text(store, lines=True))[-1]["signed_total"] == "-7"


def test_lines_are_rows_of_their_own(store: InvoiceStore) -> None:
    """Each says which invoice it belongs to; those of a credit note count against."""
    exported = rows(text(store, lines=True))
    assert list(exported[0]) == line_columns()
    assert [(row["invoice_number"], row["line"], row["quantity"]) for row in exported[:2]] == [
        ("A-1", "1", "1.5"),
        ("A-2", "1", "1.5"),
    ]
    assert [row["signed_total"] for row in exported] == ["1234.50", "-34.50", "-1.00"]
    objects = [loads(line) for line in text(store, Form.JSON, lines=True).splitlines()]
    assert (objects[1]["description"], objects[1]["total"]) == ("Lamp, repaired", Decimal("34.50"))


def test_what_a_spreadsheet_would_run_is_a_text(store: InvoiceStore) -> None:
    """Formulas in names and numbers are defused, amounts below zero are none."""
    (row,) = (row for row in rows(text(store)) if row["job"] == "c")
    assert (row["vendor_name"], row["invoice_number"], row["total_amount"]) == (f"'{ATTACK}", "'-2+3", "-1.00")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝"])
def test_every_start_of_a_formula_is_defused(start: str) -> None:
    """Also behind a blank, and in the full width of East Asian keyboards."""
    assert Dialect().text(f"{start}1+1") == f"'{start}1+1"
    assert Dialect("de_DE").text(Decimal("-1.5")) == "-1,5"


@pytest.mark.parametrize(
    ("locale", "separator", "total"),
    [(None, ",", "1234.50"), ("de_DE", ";", "1234,50"), ("fr-FR", ";", "1234,50"), ("en_GB", ",", "1234.50")],
)
def test_a_locale_changes_separator_and_decimal_mark(
    locale: str | None, separator: str, total: str, store: InvoiceStore
) -> None:
    """Amounts come without grouping, dates stay ISO."""
    first = rows(text(store, locale=locale), separator)[0]
    assert (first["total_amount"], first["date"]) == (total, "2026-02-03")


def test_an_unknown_locale_and_a_date_that_is_none_are_clear_errors() -> None:
    """The hint shows the form."""
    with pytest.raises(ConfigError, match="xx_XX"):
        Dialect("xx_XX")
    with pytest.raises(ConfigError, match="no date"):
        since_day("last week")


def test_only_what_was_asked_for_is_exported(store: InvoiceStore) -> None:
    """By status, and by the day on which it was stored."""
    assert [row["job"] for row in rows(text(store, wanted=Filter(status="review")))] == ["b"]
    assert rows(text(store, wanted=Filter(since=since_day("2026-03-02")))) == []
    assert len(rows(text(store, wanted=Filter(since=since_day("2026-03-01"))))) == 3


def test_a_bookkeepers_month_goes_by_the_invoices_own_dates(store: InvoiceStore) -> None:
    """First and last day count in; one without a date is left out, and counted so that it can be told."""
    put(store, invoice("A-4", "5.00", date=date(2026, 2, 28)), job="d")
    put(store, invoice("A-5", "5.00", date=None), job="e", status="review")
    february = Filter(dated_from=date(2026, 2, 4), dated_to=date(2026, 2, 28))
    assert [row["job"] for row in rows(text(store, wanted=february))] == ["d"]
    assert [row["job"] for row in rows(text(store, wanted=Filter(dated_to=date(2026, 2, 3))))] == ["a", "b", "c"]
    assert (undated(store, february), undated(store, Filter())) == (1, 0)
    assert undated(store, replace(february, status="done")) == 0


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ({"dated_from": "February"}, "--dated-from February is no date"),
        (
            {"dated_from": "2026-03-01", "dated_to": "2026-02-01"},
            "no day is from 2026-03-01 on and not after 2026-02-01",
        ),
    ],
)
def test_days_that_make_no_sense_are_refused(days: dict[str, str], said: str) -> None:
    """Before anything is opened or written."""
    with pytest.raises(ConfigError, match=said):
        export_invoices(Settings(), **days)


def test_own_fields_are_columns_behind_all_others() -> None:
    """What a user's agent adds is exported under `own_<name>`, as what it is."""
    one = OwnInvoice(invoice_number="A", own_fields={"cost_centre": "=77", "weight": Decimal("2.5")})
    row = invoice_row(StoredInvoice(1, 1, Kind.INVOICE, one, "a", "done", AT))
    assert (row["own_cost_centre"], row["own_weight"]) == ("=77", Decimal("2.5"))
    assert invoice_columns(["cost_centre", "weight"])[-2:] == ["own_cost_centre", "own_weight"]


def cells(path: Path, sheet: int) -> list[list[tuple[str, str, str]]]:
    """Return type, style and content of every cell of a sheet."""
    with zipfile.ZipFile(path) as workbook:
        tree = etree.fromstring(workbook.read(f"xl/worksheets/sheet{sheet}.xml"))
    return [
        [(cell.get("t", "n"), cell.get("s", ""), "".join(cell.itertext())) for cell in row.iterfind("s:c", NAMESPACE)]
        for row in tree.iterfind(".//s:row", NAMESPACE)
    ]


@pytest.fixture
def workbook(store: InvoiceStore, tmp_path: Path) -> Path:
    """Give the export as a workbook."""
    export_to(tmp_path / "all.xlsx", store, Disk(), form=Form.XLSX, wanted=Filter())
    return tmp_path / "all.xlsx"


def test_a_workbook_has_a_sheet_of_invoices_and_one_of_lines(workbook: Path) -> None:
    """Both with their heads frozen, a filter over every column, and the same columns as csv."""
    with zipfile.ZipFile(workbook) as parts:
        names = etree.fromstring(parts.read("xl/workbook.xml")).xpath("//s:sheet/@name", namespaces=NAMESPACE)
        first = etree.fromstring(parts.read("xl/worksheets/sheet1.xml"))
    assert names == ["Invoices", "Lines"]
    assert first.xpath("//s:pane/@state", namespaces=NAMESPACE) == ["frozen"]
    assert first.xpath("//s:autoFilter/@ref", namespaces=NAMESPACE) == [xl_range(0, 0, 3, len(invoice_columns()) - 1)]
    assert [content for _, _, content in cells(workbook, 1)[0]] == invoice_columns()
    assert [content for _, _, content in cells(workbook, 2)[0]] == line_columns()
    assert len(cells(workbook, 2)) == 4


def test_a_workbook_holds_real_numbers_and_dates_and_no_formulas(workbook: Path) -> None:
    """Amounts can be added, days sorted; texts stay texts, whatever they begin with."""
    first, _, attack = cells(workbook, 1)[1:]
    columns = invoice_columns()
    total, day = first[columns.index("total_amount") - 1], first[columns.index("date")]
    assert (total[0], total[2]) == ("n", "1234.5")
    assert (day[0], day[2]) == ("n", str((date(2026, 2, 3) - date(1899, 12, 30)).days))
    assert day[1] != total[1] != ""
    assert {kind for kind, _, content in attack if content in (ATTACK, "-2+3")} == {"inlineStr"}
    with zipfile.ZipFile(workbook) as parts:
        assert b"<f>" not in parts.read("xl/worksheets/sheet1.xml")
        assert b"yyyy-mm-dd" in parts.read("xl/styles.xml")


def test_a_number_too_long_for_a_spreadsheet_stays_exact(store: InvoiceStore, tmp_path: Path) -> None:
    """Beyond fifteen digits it is written as text."""
    put(store, invoice("long", "12345678901234567.89"), job="e")
    export_to(tmp_path / "all.xlsx", store, Disk(), form=Form.XLSX, wanted=Filter())
    assert ("inlineStr", "", "12345678901234567.89") in cells(tmp_path / "all.xlsx", 1)[-1]


def test_a_file_comes_to_be_whole_or_not_at_all(store: InvoiceStore, tmp_path: Path) -> None:
    """When writing ends in an error, the earlier export is still there and nothing else."""
    path = tmp_path / "all.csv"
    path.write_text("earlier")
    with pytest.raises(ConfigError):
        export_to(path, store, Disk(), form=Form.CSV, wanted=Filter(), locale="xx_XX")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("all.csv", "earlier")]
    export_to(path, store, Disk(), form=Form.CSV, wanted=Filter(), locale="de_DE")
    assert path.read_bytes().startswith(b"\xef\xbb\xbfinvoice_number;")


def test_a_folder_that_is_not_there_is_a_clear_error(store: InvoiceStore, tmp_path: Path) -> None:
    """The message names the file, for text and for workbooks."""
    for form in (Form.CSV, Form.XLSX):
        with pytest.raises(ConfigError, match="cannot be written"):
            export_to(tmp_path / "none" / "all", store, Disk(), form=form, wanted=Filter())


@pytest.mark.parametrize(
    ("name", "form", "start"),
    [
        ("k.xlsx", None, b"PK"),
        ("q.json", None, b""),
        ("k.CSV", None, b"\xef\xbb\xbf"),
        ("k", None, b"\xef\xbb\xbf"),
        ("k.txt", "csv", b"\xef\xbb\xbf"),
        ("k.txt", "xlsx", b"PK"),
        ("k.json", "json", b""),
    ],
)
def test_without_a_format_a_file_is_written_as_its_name_ends(
    own_folders: Settings, tmp_path: Path, name: str, form: str | None, start: bytes
) -> None:
    """No spreadsheet's file holds csv unseen; an ending that means nothing leaves the choice to the option."""
    export_invoices(own_folders, form=form, out=tmp_path / name)
    assert (tmp_path / name).read_bytes()[:3].startswith(start)
    assert bool((tmp_path / name).read_bytes()) == bool(start)


@pytest.mark.parametrize("name", ["k.pdf", "k.txt"])
def test_an_ending_that_no_form_has_is_refused(own_folders: Settings, tmp_path: Path, name: str) -> None:
    """No csv lies in a file that calls itself something else; the hint names the endings there are."""
    with pytest.raises(ConfigError, match=name) as refused:
        export_invoices(own_folders, out=tmp_path / name)
    assert all(form in refused.value.hint for form in (".csv", ".json", ".xlsx", "--format"))
    assert not (tmp_path / name).exists()


def test_a_format_that_contradicts_the_ending_is_refused(own_folders: Settings, tmp_path: Path) -> None:
    """Nothing is written, and the hint says which ending goes with the format."""
    with pytest.raises(ConfigError, match="do not go together") as refused:
        export_invoices(own_folders, form="csv", out=tmp_path / "k.xlsx")
    assert ".csv" in refused.value.hint
    assert not (tmp_path / "k.xlsx").exists()


@pytest.fixture
def own_folders(tmp_path: Path) -> Settings:
    """Return settings over empty folders."""
    return Settings.model_validate({"folders": {"inbox": tmp_path / "in", "outbox": tmp_path / "out"}})
