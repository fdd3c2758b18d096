"""Words made comparable."""

from __future__ import annotations

from pipeline.invoice.words import fold, letters_of, squeeze, words_of


def test_folding() -> None:
    """Case, accents, ligatures and invisible characters do not count."""
    assert fold("ÉMETTEUR Straße ﬁn\u200b Łódź") == "emetteur strasse fin lodz"


def test_words() -> None:
    """Words are runs of letters and digits."""
    assert words_of("Müller & Söhne, INV-100_a") == ["muller", "sohne", "inv", "100", "a"]
    assert squeeze("DE 123.456-789") == "de123456789"


def test_letters() -> None:
    """Letters keep their accents and their places; only their case and what is between them do not count."""
    assert letters_of("RÉ-4 711/a") == "ré4711a"
    assert letters_of("DE 12") == letters_of("de12") == "de12"
