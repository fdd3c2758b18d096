"""The recognition process from inside: it loads the models once and reads pages one after the other."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.document.child import Json, serve
from pipeline.document.limits import ReadingSettings
from pipeline.document.load import load
from pipeline.document.scan.engine import Engine
from pipeline.document.scan.page import read_page
from pipeline.document.scan.settings import ScanSettings

# The daemon answers first; reading a page takes seconds anyway.
_NICE = 5


def main(settings_json: str, reading_json: str) -> None:
    """Read pages until the parent process is gone, or there was nothing to do for a while."""
    settings = ScanSettings.model_validate_json(settings_json)
    reading = ReadingSettings.model_validate_json(reading_json)
    if hasattr(os, "nice"):
        os.nice(_NICE)
    engine = Engine(threads=settings.threads, find_pixels=settings.find_pixels)

    def answer(request: Json) -> Json:
        name = request["name"]
        data = load(Path(request["path"]), name=name, max_bytes=reading.max_bytes)
        seen = read_page(engine, data, request["page"], name=name, settings=settings, reading=reading)
        return {"page": seen.page.to_json(), "pages": seen.of}

    serve(
        answer,
        cpu_seconds=settings.page_cpu_seconds,
        memory_bytes=settings.memory_bytes,
        idle_seconds=settings.idle_seconds,
    )
