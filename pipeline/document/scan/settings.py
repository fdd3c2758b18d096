"""What reading a picture of a page may cost, and by what means it is read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class ScanSettings(BaseModel, frozen=True, extra="forbid"):
    """Set how pages without a usable text layer, and picture files, are read."""

    method: Literal["auto", "ocr", "vision", "both", "off"] = Field(
        "auto",
        description="ocr: text recognition (pip install 'invoice-pipeline[scan]'); vision: a model that reads images "
        "sees the pages, and a person checks all values; both: recognised text and the picture; auto: text "
        "recognition where it is installed, else vision; off: neither",
    )
    dpi: int = Field(200, ge=72, le=600, description="dots per inch in which a page is drawn before it is read")
    max_pixels: int = Field(
        12_000_000, ge=100_000, description="most pixels of the picture that is read; a larger one is made smaller"
    )
    vision_pixels: int = Field(
        2_000_000, ge=100_000, le=20_000_000, description="most pixels of the picture of a page that a model is shown"
    )
    max_file_pixels: int = Field(
        60_000_000, ge=100_000, description="most pixels of a picture file; one with more is not even decoded"
    )
    max_pages: int = Field(20, gt=0, description="most pages of a document that are read in this way")
    min_confidence: float = Field(
        0.95,
        ge=0,
        le=1,
        description="a word with a character less sure than this is doubtful: a required value that rests on it is "
        "reviewed unless sums bear it out",
    )
    find_pixels: int = Field(
        1280, ge=320, le=4000, description="longer side of the picture in which lines of text are looked for, in pixels"
    )
    threads: int = Field(1, gt=0, le=64, description="threads for recognition; the rest of the machine stays free")
    page_cpu_seconds: int = Field(60, gt=0, description="processor time for one page, in seconds (not on Windows)")
    page_wall_seconds: float = Field(120, gt=0, description="time for one page by the clock, in seconds")
    start_seconds: float = Field(60, gt=0, description="time for the recognition process to start, in seconds")
    memory_bytes: int = Field(
        2_000_000_000,
        gt=0,
        description="address space that a page may take beyond what the started process has, in bytes (Linux only)",
    )
    idle_seconds: float = Field(120, gt=0, description="after so long without work the recognition process ends")
    pages_per_process: int = Field(500, gt=0, description="pages after which the recognition process is replaced")

    @property
    def recognises(self) -> bool:
        """Say whether text recognition is wanted."""
        return self.method in ("auto", "ocr", "both")

    def shows(self, *, recognition: bool) -> bool:
        """Say whether a model is to be shown the pages, given whether text recognition is installed."""
        return self.method in ("vision", "both") or (self.method == "auto" and not recognition)
