"""Regular expressions of users: taken only where no text makes them slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.invoice.patterns import LONGEST_MATCHED, fits, pattern_problem


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("[0-9]{4}", "4711"),
        (r"(?:KST|CC)[ -]?\d{3,6}", "KST-1234"),
        (r"\d{2}(?:\.\d{3}){2}", "12.345.678"),
        (r"(\d+)?", ""),
        (r"[(?a]\(x\)", "?(x)"),
        (r"(?P<year>20\d\d)/(?!0)\w+", "2026/A1"),
    ],
)
def test_usual_patterns_are_taken(pattern: str, text: str) -> None:
    """What people write for codes and numbers works, and has to fit the whole text."""
    assert pattern_problem(pattern) is None
    assert fits(pattern, text)
    assert not fits(pattern, f"{text}§")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a+)+", "repeated group"),
        ("(a|a)*", "repeated group"),
        ("((a?){3}b)*", "repeated group"),
        ("(?:x*){20}", "repeated group"),
        (r"(a)\1+", "refers back"),
        ("(?P<x>a)(?P=x)", "forms"),
        ("(?i)abc", "forms"),
        ("a*b*c*d*e*", "more than 4"),
        ("[0-9", "no regular expression"),
        ("a" * 201, "longer"),
    ],
)
def test_dangerous_and_broken_patterns_are_refused(pattern: str, reason: str) -> None:
    """A repeat in a repeat, references back, too many repeats and mistakes are told in a few words."""
    assert reason in (pattern_problem(pattern) or "")


@given(st.lists(st.sampled_from(["a", "a?", "a*", "(", ")", "(?:", "+", "{2}", "|", "b"]), max_size=12).map("".join))
def test_no_accepted_pattern_takes_long(pattern: str) -> None:
    """Whatever is taken decides on the worst text at once."""
    if pattern_problem(pattern) is None:
        started = time.process_time()
        fits(pattern, "a" * (LONGEST_MATCHED - 1) + "!")
        assert time.process_time() - started < 1


def test_a_long_text_fits_nothing() -> None:
    """The length of what is matched is bounded."""
    assert not fits("a*", "a" * (LONGEST_MATCHED + 1))
