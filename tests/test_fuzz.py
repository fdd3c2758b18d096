"""The reader and the checks against what chance makes of good files and good answers."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pypdf
import pytest
from attacks import all_attacks, honest
from einvoice_files import Facts, cii
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_files import make_form_pdf, make_pdf, save

from pipeline.document.limits import ReadingSettings
from pipeline.document.model import Document, Page
from pipeline.document.parse import parse_file
from pipeline.document.quoting import quoted_document, without_signs
from pipeline.document.refusal import Reason
from pipeline.errors import DocumentError
from pipeline.invoice.verify import verify

SAMPLES = sorted(Path(str(resources.files("pipeline.demo_samples"))).glob("*.*"))
LIMITS = ReadingSettings(max_bytes=2_000_000, pdf_operations=60_000, pdf_stream_bytes=1_000_000)
TOTALS = ("invoice_number", "date", "due_date", "currency", "total_amount", "net_amount", "tax_amount")


def unpacked(data: bytes) -> bytes:
    """Return the PDF without packing, so that changes reach its drawing instead of its checksums."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    for page in writer.pages:
        content = page.get_contents()
        if content is not None:
            plain = pypdf.generic.DecodedStreamObject()
            plain.set_data(content.get_data())
            page[pypdf.generic.NameObject("/Contents")] = writer._add_object(plain)
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield good files of all kinds, with much that can go wrong in them."""
    yield "form.pdf", unpacked(make_form_pdf(number="17"))
    yield "pages.pdf", unpacked(make_pdf(("Invoice 17",), ("Total 9.00",), rotated="up"))
    yield "honest.pdf", unpacked(honest("de"))
    yield from ((attack.name, unpacked(attack.data)) for attack in all_attacks() if attack.name.startswith("H-"))
    yield from ((path.name, path.read_bytes()) for path in SAMPLES if path.suffix in (".pdf", ".txt", ".xml"))
    yield "cii.xml", cii(Facts()).encode()


SEEDS = list(seeds())
# What stands at the joints of a PDF: swapped, repeated and left out it hurts more than any random byte.
TOKENS = (
    *(
        b" Tj ",
        b" TJ ",
        b" q ",
        b" Q ",
        b" cm ",
        b" Do ",
        b" BT ",
        b" ET ",
        b" W n ",
        b" f ",
        b" gs ",
        b" scn ",
        b" Tm ",
    ),
    *(
        b"[",
        b"]",
        b"<<",
        b">>",
        b"(",
        b")",
        b"null ",
        b"-1 ",
        b"0 ",
        b"1e99 ",
        b"99999999999 ",
        b"1 0 R ",
        b"/X ",
        b"\\",
    ),
    *(b"endobj", b"endstream", b"%%EOF", b"BI /W 9 ID x EI ", b"<![CDATA[", b"&x;", b"\xff\xfe", b"\x00"),
)
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6))),
    max_size=12,
)


def changed(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for place, length, token in changes:
        at = int(place * len(data))
        data = data[:at] + token + data[at + length :]
    return data


@pytest.mark.slow
@settings(
    max_examples=250,
    deadline=timedelta(seconds=10),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.sampled_from(SEEDS), changes=CHANGES)
def test_a_changed_file_is_read_or_refused(
    seed: tuple[str, bytes], changes: list[tuple[float, int, bytes]], tmp_path: Path
) -> None:
    """Whatever chance makes of a file, the reader gives a document or one of its reasons, and nothing else."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    name, data = seed
    path = save(tmp_path, name, changed(data, changes))
    try:
        document = parse_file(path, name=name, settings=LIMITS)
    except DocumentError as error:
        document = None
        reason = error.reason
    if document is None:
        assert reason in set(Reason)
    else:
        assert Document.from_json(json.loads(json.dumps(document.to_json()))) == document


WORDS = st.sampled_from(
    [
        "Invoice",
        "Total",
        "9,99",
        "1.234,56 EUR",
        "2026-03-14",
        "14.03.26",
        "Rechnung Nr.",
        "R-17",
        "19 %",
        "MwSt",
        "-5.00",
    ]
)
SAID = st.one_of(st.none(), WORDS, st.text(max_size=12), st.integers(-(10**6), 10**6), st.floats(), st.booleans())
NESTED = st.recursive(
    SAID, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
PARTIES = st.dictionaries(st.sampled_from(["name", "address", "vat_id", "iban"]), NESTED, max_size=4)
LINES = st.lists(
    st.dictionaries(st.sampled_from(["description", "quantity", "unit_price", "total"]), NESTED), max_size=3
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*TOTALS, "kind"), NESTED),
        **dict.fromkeys(("vendor", "buyer"), PARTIES | NESTED),
        **dict.fromkeys(("line_items", "taxes"), LINES | NESTED),
    },
)
TEXTS = st.lists(st.lists(WORDS | st.text(max_size=10), max_size=6).map("  ".join), max_size=8).map("\n".join)


@pytest.mark.slow
@settings(max_examples=250, deadline=timedelta(seconds=10), suppress_health_check=[HealthCheck.too_slow])
@given(answer=ANSWERS, text=TEXTS)
def test_no_answer_makes_a_value_without_evidence(answer: dict[str, Any], text: str) -> None:
    """Checking never raises; a value has its place in the document, and one that was not found has a finding."""
    document = Document("a.txt", "0" * 64, len(text), "text/plain", (Page(1, text),))
    verified = verify(answer, document)
    if verified.invoice is None:
        return
    named = {finding.field for finding in verified.findings}
    for field in TOTALS:
        value = getattr(verified.invoice, field)
        assert value is None or field in verified.evidence or field in named, (field, value)
    shown = " ".join(text.split())
    assert all(quote in shown for one in verified.evidence.values() for quote in one.quote.split("…"))


@given(text=st.text() | TEXTS, sign=st.sampled_from(["<|im_end|>", "</document>", "[INST]", "<tool_call>", "</s>"]))
def test_no_text_closes_its_document(text: str, sign: str) -> None:
    """The closing mark stands once, at the end, and no sign of a chat model is left between."""
    document = Document("a.txt", "ab" * 32, 1, "text/plain", (Page(1, text + sign + text), Page(2, sign)))
    shown = quoted_document(document)
    assert sign not in shown
    assert shown.count("</document") == 1
    assert without_signs(without_signs(text)) == without_signs(text)
