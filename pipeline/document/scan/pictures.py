"""Pictures of pages, from PDFs and from picture files; the only module that knows Pillow.

Both can ask for any amount of memory: call this only in a process made for it.
"""

from __future__ import annotations

import io
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from pipeline.document.limits import ReadingSettings
from pipeline.document.pdfium import draw_page
from pipeline.document.refusal import Reason, refusal
from pipeline.document.scan.settings import ScanSettings


class PagePicture(NamedTuple):
    """Hold the pixels of a page in red, green and blue, and its size in points; `of` counts the pages of the file."""

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    width: float
    height: float
    of: int


def pdf_page(data: bytes, number: int, *, name: str, settings: ScanSettings, reading: ReadingSettings) -> PagePicture:
    """Return a page of a PDF as it is seen."""
    drawn = draw_page(data, number, name=name, dpi=settings.dpi, max_pixels=settings.max_pixels, settings=reading)
    grey = np.frombuffer(drawn.grey, dtype=np.uint8).reshape(drawn.rows, drawn.stride)[:, : drawn.columns]
    return PagePicture(np.repeat(grey[:, :, None], 3, axis=2), drawn.width, drawn.height, drawn.of)


def file_page(data: bytes, number: int, *, name: str, settings: ScanSettings) -> PagePicture:
    """Return a picture file as a page, or one of the pages of a TIFF file; upright as the camera noted it."""
    # The size is checked by ourselves, before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as file:
            if file.width * file.height > settings.max_file_pixels:
                detail = f"is a picture of {file.width} × {file.height} pixels"
                raise refusal(Reason.TOO_LARGE, name, detail=detail, hint="Save it smaller and drop that.")
            # The further pictures of other formats are previews of the first.
            count = getattr(file, "n_frames", 1) if file.format == "TIFF" else 1
            frame = next(islice(ImageSequence.Iterator(file), number - 1, number))
            return _page(frame, count, settings)
    except (OSError, SyntaxError, ValueError, StopIteration) as error:
        raise refusal(Reason.DAMAGED, name, hint="Take or save the picture again and drop that.") from error


_FORMATS = ("PNG", "JPEG", "TIFF")
# What a file says of its resolution is often a default that means nothing.
_CREDIBLE_DPI = range(100, 1201)
_USUAL_DPI = 200


def _page(frame: Image.Image, count: int, settings: ScanSettings) -> PagePicture:
    points = 72 / _dpi(frame)
    upright = ImageOps.exif_transpose(_on_white(frame))
    width, height = upright.size
    shrink = (settings.max_pixels / (width * height)) ** 0.5
    if shrink < 1:
        upright = upright.resize((max(1, round(width * shrink)), max(1, round(height * shrink))))
    return PagePicture(np.asarray(upright), round(width * points, 1), round(height * points, 1), count)


def _dpi(frame: Image.Image) -> float:
    given = frame.info.get("dpi")
    dpi = float(given[0]) if isinstance(given, tuple) and given else 0.0
    return dpi if round(dpi) in _CREDIBLE_DPI else _USUAL_DPI


def _on_white(frame: Image.Image) -> Image.Image:
    """Return the picture without transparency: on white, as it would be printed."""
    if "A" not in frame.getbands() and "transparency" not in frame.info:
        return frame.convert("RGB")
    layered = frame.convert("RGBA")
    paper = Image.new("RGBA", layered.size, "white")
    paper.alpha_composite(layered)
    return paper.convert("RGB")
