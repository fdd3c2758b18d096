"""The bytes of a file, as far as they are worth a look."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.document.refusal import Reason, refusal


def load(path: Path, *, name: str, max_bytes: int) -> bytes:
    """Return the bytes of a file, or raise `DocumentError` where there are none, or too many."""
    try:
        with path.open("rb") as file:
            # Reading makes room for all it is asked for, so a small file is not asked for the most there may be.
            size = path.stat().st_size
            data = file.read(min(size or max_bytes, max_bytes) + 1)
    except OSError as error:
        detail = f"cannot be opened ({error.strerror})"
        raise refusal(Reason.UNREADABLE, name, detail=detail, transient=True) from error
    if len(data) > max_bytes:
        detail = f"is larger than {max_bytes / 1e6:.3g} MB"
        raise refusal(Reason.TOO_LARGE, name, detail=detail)
    if not data:
        raise refusal(Reason.EMPTY, name)
    # A download that was given its room on the disk and never filled.
    if not data.strip(b"\0"):
        raise refusal(Reason.EMPTY, name, detail="is empty: it holds only zero bytes")
    return data


def refuse_cut_off(data: bytes, name: str) -> None:
    """Raise `DocumentError` for a PDF that broke off on its way.

    Readers make what they can of what is there and say nothing; the total is on the page that is not.
    """
    declared = _LINEARIZED_LENGTH.search(data[:1024])
    cut_off = declared is not None and len(data) < int(declared[1])
    if cut_off or (b"%%EOF" not in data and b"startxref" not in data):
        raise refusal(Reason.DAMAGED, name, detail="is incomplete: the end of the file is missing")


_LINEARIZED_LENGTH = re.compile(rb"/Linearized\b[^>]*?/L\s+(\d+)")
