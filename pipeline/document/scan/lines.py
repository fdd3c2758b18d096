"""What text recognition finds in a picture: lines of words with their places."""

from __future__ import annotations

from typing import NamedTuple


class ScannedWord(NamedTuple):
    """Hold a word and its place in the picture, in pixels; `confidence` is that of its worst character."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float


class ScannedPage(NamedTuple):
    """Hold the lines of a picture as it came; they fall by `slant` degrees, 90 where they run straight down."""

    lines: tuple[ScannedLine, ...] = ()
    slant: float = 0


class ScannedLine(NamedTuple):
    """Hold words that were found side by side.

    `lefts`, `rights`, `middle` and `height` are places in the picture turned upright and made level, in pixels.
    """

    words: tuple[ScannedWord, ...]
    lefts: tuple[float, ...]
    rights: tuple[float, ...]
    middle: float
    height: float
