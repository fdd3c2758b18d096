"""Models that are shown the pages of a scan."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path

import pytest
from odd_files import make_picture_pdf

from pipeline.app import open_app
from pipeline.config import Settings
from pipeline.document.pdfium import DrawnPage
from pipeline.document.scan.drawing import png_of
from pipeline.document.scan.settings import ScanSettings
from pipeline.llm.protocol import ModelReply, ModelRequest
from pipeline.llm.seeing import SeeingModel, picture_part
from pipeline.llm.standin import StandInServer, StandInSettings, wire
from pipeline.llm.standin.answers import answer as by_rules
from pipeline.outbox import JobFolder
from pipeline.replay import replay_recorded

CLAIM = {
    "kind": "invoice",
    "invoice_number": "S-17",
    "date": "2026-03-14",
    "currency": "EUR",
    "total_amount": "119.00",
    "net_amount": "100.00",
    "tax_amount": "19.00",
    "due_date": None,
    "taxes": [],
    "vendor": {"name": "Brightwater", "address": None, "vat_id": None, "iban": None},
    "buyer": {"name": None, "address": None, "vat_id": None, "iban": None},
    "line_items": [],
}


class Eyes:
    """Answer as a model that sees, and keep the pictures it was shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, request: wire.ChatRequest) -> wire.Answer:
        parts = [part for message in request.messages for part in wire.content_parts(message)]
        self.seen += [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        return by_rules(request) if request.schema is None else wire.Answer(text=json.dumps(CLAIM))


async def run(settings: Settings, path: Path, *, eyes: Eyes, vision: bool, method: str = "vision") -> JobFolder:
    """Return the job's folder after a run against a model that sees, or does not; its replay agrees."""
    async with StandInServer(StandInSettings(vision=vision), answering=eyes) as server:
        llm = settings.llm.model_copy(update={"base_url": server.base_url})
        own = settings.model_copy(update={"llm": llm, "scan": ScanSettings(method=method)})
        async with open_app(own, doing="test", one_shot=True) as app:
            [name] = await app.service.run([(path, "invoice")])
            job = app.folders.outbox.find(name)
            assert (await replay_recorded(job, app.worker)).same
            return job


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.pdf"
    path.write_bytes(make_picture_pdf())
    return path


async def test_what_only_a_model_saw_is_shown_and_never_done(settings: Settings, scan: Path) -> None:
    """Values come with the note that no code found them, each of them, and a person looks."""
    eyes = Eyes()
    job = await run(settings, scan, eyes=eyes, vision=True)
    result = job.result()
    assert result["status"] == "review"
    assert result["invoice"]["invoice_number"] == "S-17"
    marked = {one["field"] for one in result["findings"] if one["code"] == "not_verifiable"}
    assert {"invoice_number", "date", "currency", "total_amount", "net_amount", "vendor.name"} <= marked
    assert result["evidence"] == {}
    assert eyes.seen
    assert all(base64.b64decode(url.removeprefix("data:image/png;base64,"))[:4] == b"\x89PNG" for url in eyes.seen)


async def test_the_trace_names_pictures_and_holds_none(settings: Settings, scan: Path) -> None:
    """A picture is drawn again from the source; the record stays small and replays without a model."""
    job = await run(settings, scan, eyes=Eyes(), vision=True)
    assert "base64" not in (job.path / "trace.jsonl").read_text()
    assert (job.path / "trace.jsonl").stat().st_size < 50_000


async def test_a_model_that_sees_nothing_is_shown_nothing(
    settings: Settings, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without recognition and without a model that sees, the job fails with the command that helps."""
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    eyes = Eyes()
    job = await run(settings, scan, eyes=eyes, vision=False, method="auto")
    assert job.result()["status"] == "failed"
    assert "pip install 'invoice-pipeline[scan]'" in job.result()["error"]["hint"]
    assert eyes.seen == []


async def test_pictures_are_put_in_when_a_request_is_sent() -> None:
    """The session holds a name; the server gets the picture."""
    sent: list[ModelRequest] = []

    class Server:
        async def complete(self, request: ModelRequest) -> ModelReply:
            sent.append(request)
            return ModelReply("seen")

    async def draw(name: str) -> bytes:
        return name.encode()

    content = [{"type": "text", "text": "Look:"}, picture_part("abc/1")]
    request = ModelRequest(messages=({"role": "user", "content": content}, {"role": "assistant", "content": "Yes."}))
    await SeeingModel(Server(), draw).complete(request)
    [text, image] = sent[0].messages[0]["content"]
    assert text == content[0]
    assert base64.b64decode(image["image_url"]["url"].partition(",")[2]) == b"abc/1"
    assert request.messages[0]["content"] == content


def test_a_page_is_a_png_file_with_its_pixels() -> None:
    """Rows come without the bytes that pad them."""
    png = png_of(DrawnPage(bytes([1, 2, 0, 3, 4, 0]), rows=2, columns=2, stride=3, width=1, height=1, of=1))
    start = png.index(b"IDAT") + 4
    length = int.from_bytes(png[start - 8 : start - 4], "big")
    assert zlib.decompress(png[start : start + length]) == bytes([0, 1, 2, 0, 3, 4])
