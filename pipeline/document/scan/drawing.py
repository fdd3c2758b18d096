"""Draw a page as a PNG picture for a model that can see, in a process made for it: drawing knows no limits.

The picture is not kept: the same file, page and size always give the same one.
"""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

from pipeline.document.child import Json, serve
from pipeline.document.limits import ReadingSettings
from pipeline.document.load import load
from pipeline.document.pdfium import DrawnPage, draw_page
from pipeline.document.process import ReaderExit, ReaderProcess
from pipeline.document.refusal import Reason, refusal
from pipeline.document.scan.settings import ScanSettings
from pipeline.errors import DocumentError


async def draw_png(path: Path, number: int, *, name: str, settings: ScanSettings, reading: ReadingSettings) -> bytes:
    """Return a page of a PDF as a grey PNG file; raise `DocumentError` where it cannot be drawn."""
    try:
        process = await ReaderProcess.launch(
            "pipeline.document.scan.drawing:main",
            settings.model_dump_json(),
            reading.revealed(),
            start_seconds=reading.start_seconds,
            # A grey pixel takes a byte at most, in base64 a third more.
            max_reply_bytes=2 * settings.vision_pixels + 100_000,
        )
    except (ReaderExit, TimeoutError, OSError) as error:
        raise refusal(Reason.READER_DIED, name, transient=True) from error
    try:
        reply = await process.ask({"path": str(path), "name": name, "page": number})
    except ReaderExit as error:
        raise refusal(Reason.TOO_MUCH_MEMORY, name) from error
    finally:
        await process.stop()
    if "png" not in reply:
        raise DocumentError(**reply["error"])
    return base64.b64decode(reply["png"])


def main(settings_json: str, reading_json: str) -> None:
    """Draw pages until the parent process is gone."""
    settings = ScanSettings.model_validate_json(settings_json)
    reading = ReadingSettings.model_validate_json(reading_json)

    def answer(request: Json) -> Json:
        name = request["name"]
        data = load(Path(request["path"]), name=name, max_bytes=reading.max_bytes)
        pixels = settings.vision_pixels
        drawn = draw_page(data, request["page"], name=name, dpi=settings.dpi, max_pixels=pixels, settings=reading)
        return {"png": base64.b64encode(png_of(drawn)).decode()}

    serve(answer, cpu_seconds=reading.cpu_seconds, memory_bytes=reading.memory_bytes)


def png_of(drawn: DrawnPage) -> bytes:
    """Return the page as a PNG file; grey pictures need no library for that."""
    rows = (drawn.grey[row * drawn.stride : row * drawn.stride + drawn.columns] for row in range(drawn.rows))
    # A zero before each row says that it is written as it is.
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    header = struct.pack(">IIBBBBB", drawn.columns, drawn.rows, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
