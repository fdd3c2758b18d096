"""Words made comparable."""

from __future__ import annotations

from pipeline.invoice.words import fold, squeeze, words_of


def test_folding() -> None:
    """Case, accents, ligatures and invisible characters do not count."""
    assert fold("ÉMETTEUR Straße ﬁn\u200b Łódź") == "emetteur strasse fin lodz"


def test_words() -> None:
    """Words are runs of letters and digits."""
    assert words_of("Müller & Söhne, INV-100_a") == ["muller", "sohne", "inv", "100", "a"]
    assert squeeze("DE 123.456-789") == "de123456789"
