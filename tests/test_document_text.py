from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.document.text import clean, decode, visible_characters

GERMAN = "Rechnung Nr. 2026-17\nMüller & Söhne, Königstraße 5\nGesamtbetrag 119,00 €\nFällig am 12.03.2026\n"
FRENCH = "Facture n° 17\nSociété d'électricité, 3 rue de l'Église\nÀ régler très bientôt : 120,00 €\n"
POLISH = "Faktura nr 17\nSprzedawca: Żółć i Spółka, Łódź, ul. Główna 5\nKwota należności ogółem 316,83 zł\n"
RUSSIAN = "Счёт 17\nПоставщик: ООО Ромашка, Москва\nИтого к оплате 1210,00 руб.\n"
JAPANESE = "請求書 17\n株式会社テスト 東京都\n合計 1,210円\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "cp850"])
def test_german_text_is_decoded_in_every_usual_encoding(encoding: str) -> None:
    """An invoice from old or new programs reads the same."""
    text = GERMAN if encoding != "cp850" else GERMAN.replace("€", "EUR")
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        (FRENCH.replace("€", "EUR"), "latin-1"),
        (POLISH, "cp1250"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (JAPANESE, "shift_jis"),
        ("Gesamt für März: 5,00", "cp1252"),
    ],
)
def test_the_encoding_is_guessed_from_few_lines(text: str, encoding: str) -> None:
    """A short text without any mark of its encoding keeps its letters."""
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    "data", [bytes(range(256)) * 8, b"\xff\xfe" + bytes(range(256)), b"MZ\x90\x00\x03\x00\x00\x00"]
)
def test_binary_data_is_no_text(data: bytes) -> None:
    """Bytes with zeros and control characters are not forced into letters."""
    assert decode(data) is None


@given(st.binary(max_size=300))
def test_decoding_never_fails(data: bytes) -> None:
    """Any bytes are either text or not, and say so without an error."""
    text = decode(data)
    assert text is None or isinstance(text, str)


@settings(max_examples=40)
@given(st.text(max_size=200))
def test_clean_text_is_stable_and_can_be_stored(text: str) -> None:
    """What was cleaned once has nothing left to clean and fits into UTF-8."""
    once = clean(text).text
    assert clean(once) == (once, 0)
    assert once.encode().decode() == once


def test_a_lost_hyphen_comes_back_and_other_controls_go() -> None:
    """U+0000 between word characters stands for a hyphen; elsewhere control characters mean nothing."""
    assert clean("No. B17\x0003\x00 \x07end").text == "No. B17-03 end"


def test_hidden_characters_are_taken_out_and_counted() -> None:
    """Zero-width, direction and tag characters reach neither model nor result."""
    assert clean("12\u200b3\u202e4\U000e0041") == ("1234", 3)


def test_only_characters_that_mean_something_count_as_visible() -> None:
    """Blanks, replacement characters and private-use signs of unmapped fonts are no text."""
    assert visible_characters("a b\n\ufffd\ue001c") == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rech\u00adnung", "Rechnung"),
        ("Rech\u00ad\nnung", "Rech-\nnung"),
        ("INV\u00ad0017", "INV-0017"),
        ("a\U000e0041\U000e01f0\ufe0fb", "ab"),
        ("9\u20609\u2063.\u034f00", "99.00"),
    ],
)
def test_characters_without_a_look_of_their_own_are_taken_out(text: str, expected: str) -> None:
    """Soft hyphens are kept where they are printed; variants, tags and joiners can carry letters that nobody sees."""
    assert clean(text).text == expected
