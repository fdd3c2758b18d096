"""Text out of bytes of unknown encoding, and text freed of what no reader of the page would see."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from charset_normalizer import from_bytes

from pipeline.document.model import Notice


class CleanText(NamedTuple):
    """Hold tidy text; `hidden` counts the invisible characters that were taken out."""

    text: str
    hidden: int


def decode(data: bytes) -> str | None:
    """Return the text of a file, or None where the bytes are no text in any usual encoding."""
    for encoding in _marked_encodings(data):
        with suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            return None if _looks_binary(text.encode()) else text
    if _looks_binary(data):
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_guess_encoding(data), errors="replace")


def clean(text: str) -> CleanText:
    """Repair and remove characters that are not text: controls, lone surrogates, zero-width and direction marks."""
    text = _LOST_HYPHEN.sub("-", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _CONTROL.sub("", _SURROGATE.sub("\ufffd", _SOFT_HYPHEN_PRINTED.sub("-", text)))
    text = text.replace("\xad", "")
    text, hidden = _HIDDEN.subn("", text)
    return CleanText("\n".join(line.rstrip() for line in text.split("\n")).strip("\n"), hidden)


def hidden_notice(hidden: int) -> Notice:
    """Return the notice for a document that had invisible characters."""
    return Notice(f"{hidden} invisible characters were taken out of the text.")


def visible_characters(text: str) -> int:
    """Count characters that carry meaning: no blanks, and none that a font without a mapping leaves behind."""
    signs = signs_of(text)
    return signs if text.isascii() else signs - len(_WITHOUT_MEANING.findall(text))


def signs_of(text: str) -> int:
    """Count the characters that are no blanks."""
    return sum(map(len, text.split()))


# Some generators' fonts give U+0000 where the page shows a hyphen, as in invoice numbers.
_LOST_HYPHEN = re.compile(r"(?<=\w)\x00(?=\w)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Where a line or a number goes on behind it, a soft hyphen is printed; elsewhere it only says where a word may break.
_SOFT_HYPHEN_PRINTED = re.compile(r"(?<=\S)\xad(?=[^\S\n]*(?:\n|\Z))|(?<=\d)\xad(?=\w)|(?<=\w)\xad(?=\d)")
# Zero-width, direction, filler and tag characters, and variants of characters: a model reads them, a person does not
# see them, and a variant can stand for any letter.
_HIDDEN = re.compile(
    r"[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    r"\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)

# The replacement character, and those for private use.
_WITHOUT_MEANING = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY_BYTES = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
_SAMPLE_BYTES = 50_000

# In order of preference where several fit equally well, as they do on a short text with few letters beyond ASCII.
_ENCODINGS = (
    *("cp1252", "cp1250", "cp850", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1257", "iso8859_2"),
    *("shift_jis", "euc_jp", "euc_kr", "big5", "gb18030"),
)
_EQUALLY_WELL = 0.02


def _marked_encodings(data: bytes) -> Iterator[str]:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            yield encoding
    # Without a mark: in most scripts every other byte of UTF-16 is mostly zero.
    even, odd = data[:4000:2], data[1:4000:2]
    if odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.05 * len(even):
        yield "utf-16-le"
    if even.count(0) > 0.4 * len(even) and odd.count(0) < 0.05 * len(odd):
        yield "utf-16-be"


def _looks_binary(data: bytes) -> bool:
    sample = data[:_SAMPLE_BYTES]
    controls = len(sample) - len(sample.translate(None, _BINARY_BYTES))
    return b"\0" in data or controls > 0.01 * len(sample)


def _guess_encoding(data: bytes) -> str:
    sample = data[: data.rfind(b"\n", 0, _SAMPLE_BYTES) + 1] or data[:_SAMPLE_BYTES]
    matches = list(from_bytes(sample, cp_isolation=list(_ENCODINGS), threshold=0.5))
    best = min((match.chaos for match in matches), default=0.0)
    fitting = {name for match in matches if match.chaos <= best + _EQUALLY_WELL for name in match.could_be_from_charset}
    return next((name for name in _ENCODINGS if name in fitting), _ENCODINGS[0])
