"""Make words comparable: no case, no accents, no punctuation, no invisible characters."""

from __future__ import annotations

import functools
import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Return a text without case, accents, ligatures and invisible characters."""
    if text.isascii():
        return text.casefold()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(filter(_is_kept, decomposed)).replace("ł", "l")


def words_of(text: str) -> list[str]:
    """Return the folded words of a text: runs of letters and digits."""
    return _WORD.findall(fold(text))


def squeeze(text: str) -> str:
    """Return a text's folded letters and digits without anything between them."""
    return "".join(words_of(text))


@functools.lru_cache(maxsize=4096)
def _is_kept(character: str) -> bool:
    return not unicodedata.combining(character) and unicodedata.category(character) != "Cf"
