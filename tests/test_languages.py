"""What is remembered of how a model is spoken with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from pipeline.languages import Known, KnownLanguages, Language

HOST, MODEL = "http://localhost:1234/v1", "small"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'pipeline.sqlite'}")
    yield engine
    engine.dispose()


def test_a_language_is_known_to_the_next_process_until_it_is_corrected(engine: Engine) -> None:
    """What one process learned another finds, and what is learned later holds."""
    KnownLanguages(engine).learn(HOST, MODEL, Language.JSON, learned_from="a session")
    again = KnownLanguages(engine)
    assert again.read(HOST, MODEL).language is Language.JSON
    again.learn(HOST, MODEL, Language.TOOLS, learned_from="doctor")
    assert KnownLanguages(engine).read(HOST, MODEL).language is Language.TOOLS


@pytest.mark.parametrize(("address", "model"), [(HOST, "other"), ("http://localhost:4321/v1", MODEL), (HOST, "")])
def test_another_model_or_host_is_unknown(engine: Engine, address: str, model: str) -> None:
    """A name that changes is found out anew, and nothing is kept of a model without a name."""
    known = KnownLanguages(engine)
    known.learn(HOST, MODEL, Language.JSON, learned_from="a session")
    known.learn(HOST, "", Language.JSON, learned_from="a session")
    assert known.read(address, model) == Known()


def test_a_damaged_memory_knows_nothing_and_stops_nobody(engine: Engine) -> None:
    """Neither a strange value, nor a table of another form, nor a lost one is an error."""
    known = KnownLanguages(engine)
    known.learn(HOST, MODEL, Language.JSON, learned_from="a session")
    with engine.begin() as connection:
        connection.execute(text("UPDATE languages SET language = 'klingon'"))
    assert known.read(HOST, MODEL).language is None
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE languages"))
        connection.execute(text("CREATE TABLE languages (strange TEXT)"))
    again = KnownLanguages(engine)
    again.learn(HOST, MODEL, Language.JSON, learned_from="a session")
    assert again.read(HOST, MODEL).language is None
