"""Whether the text of a page is one: something is there, and its letters make words of a language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from pipeline.document.model import PageReason
from pipeline.document.text import signs_of, visible_characters


def doubt_of(text: str) -> PageReason | None:
    """Return what is wrong with the text of a page, None where nothing is."""
    signs = signs_of(text)
    visible = visible_characters(text)
    if not signs:
        return PageReason.NO_TEXT
    if visible < _MOST * signs or _looks_garbled(text):
        return PageReason.UNMAPPED
    return None


# Of the signs of a page, this share must be ones with a meaning.
_MOST = 0.8
_SAMPLE_CHARACTERS = 5_000
# Fewer letters tell nothing about a language.
_MIN_LETTERS = 40
# Languages in Latin letters have 33 to 50 % vowels, pages full of codes still 30 %; shifted letters have about 15 %.
_MIN_VOWELS = 0.22
_VOWELS = frozenset("aeiouy\N{LATIN SMALL LETTER O WITH STROKE}\N{LATIN SMALL LETTER AE}\N{LATIN SMALL LIGATURE OE}")
# What readers write for a glyph of which they know the number only.
_GLYPH_NUMBER = re.compile(r"\(cid:\d+\)|/(?:g|G|gid|glyph|cid|C)\d{1,5}\b|\\x[0-9a-f]{2}")


def _looks_garbled(text: str) -> bool:
    if len(_GLYPH_NUMBER.findall(text)) * 5 > len(text.split()) + 10:
        return True
    plain = unicodedata.normalize("NFD", text[:_SAMPLE_CHARACTERS].casefold())
    letters = {sign: count for sign, count in Counter(plain).items() if sign.isalpha()}
    latin = sum(count for sign, count in letters.items() if sign < "\u0250")
    if latin < max(_MIN_LETTERS, sum(letters.values()) / 2):
        return False
    return sum(letters.get(sign, 0) for sign in _VOWELS) < _MIN_VOWELS * latin
