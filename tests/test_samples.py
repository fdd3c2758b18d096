from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from make_samples import SAMPLES, Sample
from stdnum import iban

from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document
from pipeline.document.parse import parse_file
from pipeline.errors import DocumentError

FOLDER = Path(str(resources.files("pipeline.demo_samples")))
TRUTH: dict[str, dict[str, Any]] = json.loads((FOLDER / "truth.json").read_text())
READABLE = [name for name, truth in TRUTH.items() if truth["state"] != "failed"]
BILLS = [name for name in READABLE if TRUTH[name]["number"]]


def parse(path: Path) -> Document:
    return parse_file(path, name=path.name, settings=ReadingSettings())


def flat(name: str) -> str:
    return " ".join(parse(FOLDER / name).text.split())


def test_the_folder_holds_the_samples_and_their_truth() -> None:
    """What is shipped is what the generator makes, file for file."""
    files = {path.name for path in FOLDER.iterdir() if path.suffix in {".pdf", ".txt", ".xml"}}
    assert files == {sample.name for sample in SAMPLES} == set(TRUTH)
    assert {sample.name: sample.expected() for sample in SAMPLES} == TRUTH


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_making_a_sample_again_gives_the_same_document(sample: Sample, tmp_path: Path) -> None:
    """The generator and the shipped files do not drift apart; bytes may differ between versions of the PDF library."""
    again = tmp_path / sample.name
    again.write_bytes(sample.make())
    if TRUTH[sample.name]["state"] != "failed":
        assert parse(again).pages == parse(FOLDER / sample.name).pages
        assert parse(again).attachments == parse(FOLDER / sample.name).attachments
    assert sample.make() == sample.make()


@pytest.mark.parametrize("name", BILLS)
def test_the_truth_is_printed_on_the_page(name: str) -> None:
    """Number, date and total can be found by whoever looks for them."""
    truth, text = TRUTH[name], flat(name)
    assert truth["number"] in text
    assert any(print_of in text for print_of in dates(truth["date"]))
    assert any(print_of in text for print_of in amounts(truth["total"]))


def dates(iso: str) -> set[str]:
    day = date.fromisoformat(iso)
    german_months = {6: "Juni"}
    return {
        iso,
        f"{day:%d.%m.%Y}",
        f"{day:%d/%m/%Y}",
        f"{day:%m/%d/%Y}",
        f"{day.day} {day:%B} {day.year}",
        f"{day.day}. {german_months.get(day.month, '-')} {day.year}",
    }


def amounts(value: str) -> set[str]:
    english = f"{Decimal(value):,.2f}"
    return {value, english, *(english.translate(str.maketrans(",.", marks)) for marks in (".,", " ,", "'."))}


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.bill], ids=lambda sample: sample.name)
def test_sums_add_up_unless_the_sample_is_for_review(sample: Sample) -> None:
    """Only the sample that is meant to be doubtful has a total that differs from net and tax."""
    assert sample.bill is not None
    adds_up = sample.bill.net + sample.bill.tax == sample.bill.total
    assert adds_up == (sample.bill.state == "done")


@pytest.mark.parametrize("name", [name for name in READABLE if "IBAN" in flat(name)])
def test_account_numbers_have_valid_check_digits(name: str) -> None:
    """The samples do not raise findings that they are not meant to raise."""
    words = flat(name).partition("IBAN")[2].lstrip(": ").split()
    starts = ("".join(words[:count]).rstrip(".") for count in range(1, 10))
    assert any(iban.is_valid(start) for start in starts)


def test_the_damaged_sample_cannot_be_read() -> None:
    """It ends in `failed` with a reason that a person understands."""
    (name,) = set(TRUTH) - set(READABLE)
    with pytest.raises(DocumentError) as caught:
        parse(FOLDER / name)
    assert caught.value.reason == "damaged"


def test_the_duplicate_has_the_same_bytes_under_another_name() -> None:
    """One sample comes twice, as invoices do."""
    twins = {name: truth["duplicate_of"] for name, truth in TRUTH.items() if "duplicate_of" in truth}
    ((copy, original),) = twins.items()
    assert (FOLDER / copy).read_bytes() == (FOLDER / original).read_bytes()


def test_the_samples_show_what_the_demo_is_to_show() -> None:
    """Several currencies, kinds and outcomes, two e-invoices, one document of two pages."""
    truths = TRUTH.values()
    assert len(TRUTH) >= 12
    assert {truth["currency"] for truth in truths if truth["currency"]} >= {"EUR", "GBP", "USD", "CHF"}
    assert {truth["kind"] for truth in truths} >= {"invoice", "credit_note", "other"}
    assert {truth["state"] for truth in truths} == {"done", "review", "failed"}
    assert {Path(name).suffix for name in TRUTH} == {".pdf", ".txt", ".xml"}
    assert sum(bool(parse(FOLDER / name).attachments) for name in READABLE) == 2
    assert max(len(parse(FOLDER / name).pages) for name in READABLE) == 2
