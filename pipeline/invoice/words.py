"""Words of a text: made comparable (no case, accents, punctuation or invisible characters), and kept whole."""

from __future__ import annotations

import functools
import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_BETWEEN = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """Return a text without case, accents, ligatures and invisible characters."""
    if text.isascii():
        return text.casefold()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(filter(_is_kept, decomposed)).replace("ł", "l")


def words_of(text: str) -> list[str]:
    """Return the folded words of a text: runs of letters and digits."""
    return words_in(fold(text))


def words_in(folded: str) -> list[str]:
    """Return the words of a text that is folded already."""
    return _WORD.findall(folded)


def squeeze(text: str) -> str:
    """Return a text's folded letters and digits without anything between them."""
    return "".join(words_of(text))


def letters_of(text: str) -> str:
    """Return a text's letters and digits, each as one character whatever its case; accents stay."""
    letters = _BETWEEN.sub("", text)
    return letters.lower() if letters.isascii() else "".join(map(_in_one_case, letters))


def beginning_of(text: str, most: int) -> str:
    """Return as much of a text as that many characters hold, up to the end of a word."""
    return text if len(text) <= most else text[: most + 1].rpartition(" ")[0].rstrip() or text[:most]


@functools.lru_cache(maxsize=4096)
def _is_kept(character: str) -> bool:
    return not unicodedata.combining(character) and unicodedata.category(character) != "Cf"


@functools.lru_cache(maxsize=4096)
def _in_one_case(character: str) -> str:
    folded = character.casefold()
    return (folded if len(folded) == 1 else character.lower()[0]).replace("ı", "i")
