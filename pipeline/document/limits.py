"""What reading one file may cost, and the operating system's own limits that hold a reader process to it."""

from __future__ import annotations

import json
import math
import sys
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr, field_validator

if sys.platform != "win32":
    import resource


# The exit code of a reader process that ran into its memory limit.
OUT_OF_MEMORY_EXIT = 77
# The exit code of one that ended because it had nothing to do.
IDLE_EXIT = 78


class ReadingSettings(BaseModel, frozen=True, extra="forbid"):
    """Bound the reading of one document; a file beyond a bound is refused, never cut."""

    max_bytes: int = Field(default=20_000_000, gt=0, description="largest file that is read, in bytes")
    max_pages: int = Field(default=50, gt=0, description="most pages of a document; counted before reading")
    max_characters: int = Field(
        default=200_000, gt=0, description="most characters of text in a document, all pages together"
    )
    max_words_per_page: int = Field(
        default=2_000, ge=0, description="most words of a PDF page whose places are kept; 0 keeps none"
    )
    min_pdf_characters: int = Field(
        default=60,
        ge=0,
        description="least visible characters of a PDF; one with fewer is taken for a scan without text",
    )
    cpu_seconds: int = Field(
        default=10, gt=0, description="processor time for one document, in seconds (not on Windows)"
    )
    wall_seconds: float = Field(default=30, gt=0, description="time for one document by the clock, in seconds")
    start_seconds: float = Field(default=60, gt=0, description="time for a reader process to start, in seconds")
    memory_bytes: int = Field(
        default=1_000_000_000,
        gt=0,
        description="address space that a document may take on top of what the started reader process needs itself, "
        "in bytes (Linux only)",
    )
    processes: int = Field(
        default=2, gt=0, description="reader processes at most, that is, documents read side by side"
    )
    reads_per_process: int = Field(default=200, gt=0, description="documents after which a reader process is replaced")
    pdf_stream_bytes: int = Field(default=5_000_000, gt=0, description="largest unpacked stream in a PDF, in bytes")
    pdf_decoding_bytes: int = Field(
        default=20_000_000, gt=0, description="unpacking work for one stream in a PDF, in bytes"
    )
    pdf_operations: int = Field(default=300_000, gt=0, description="most operations in one content stream of a PDF")
    pdf_forms: int = Field(default=300, gt=0, description="most uses of form objects on one PDF page")
    pdf_tree_entries: int = Field(default=2_000, gt=0, description="most entries in the page tree of a PDF")
    passwords: tuple[SecretStr, ...] = Field(
        default=(),
        max_length=20,
        description="passwords tried on locked PDF files, in this order, 20 at most. They appear in no log, trace or "
        "result; to keep them out of this file as well, set PIPELINE_READING__PASSWORDS to one password, or to several "
        'as ["one", "two"]',
    )

    @field_validator("passwords", mode="before")
    @classmethod
    def _from_environment(cls, value: object) -> object:
        """Take what an environment variable can hold: a JSON list, or one password as it is."""
        if not isinstance(value, str):
            return value
        with suppress(ValueError):
            listed = json.loads(value)
            if isinstance(listed, list):
                return listed
        return [value] if value else []

    def revealed(self) -> str:
        """Return the settings as JSON with the passwords in them, for the reader process alone."""
        words = [word.get_secret_value() for word in self.passwords]
        return json.dumps({**self.model_dump(mode="json"), "passwords": words})


def limit_memory(extra_bytes: int) -> None:
    """Allow this process `extra_bytes` of address space more than it has now, and no core dumps.

    Only Linux tells the present size and keeps to the limit; elsewhere nothing is limited.
    """
    statm = Path("/proc/self/statm")
    if sys.platform == "win32" or not statm.exists():
        return
    size = int(statm.read_text().split()[0]) * resource.getpagesize()
    _set_soft_limit(resource.RLIMIT_AS, size + extra_bytes)
    _set_soft_limit(resource.RLIMIT_CORE, 0)


def limit_cpu(extra_seconds: int) -> None:
    """Let the system end this process once it has used `extra_seconds` more of the processor than until now."""
    if sys.platform == "win32":
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + extra_seconds))


def _set_soft_limit(kind: int, value: int) -> None:
    if sys.platform == "win32":
        return
    hard = resource.getrlimit(kind)[1]
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (soft, hard))
