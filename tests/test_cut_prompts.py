"""Servers that answer a prompt from a part of it: told by their count, never where it may mean another thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_long_documents import dropped, long_invoice, price_of, result_of, working

from pipeline.config import Settings
from pipeline.llm.cut_prompts import PromptCounts, words_of
from pipeline.llm.protocol import ModelRequest, Usage
from pipeline.llm.standin import StandInServer, StandInSettings
from pipeline.replay import replay_recorded
from pipeline.trace import read_events


def asked(words: int, *, again: bool = False) -> ModelRequest:
    """Return a request of so many words, the second one of a session or the first."""
    return ModelRequest(messages=({"role": "user", "content": "word " * words},), schema={} if again else None)


def counts(*, full: int = 10, tokens_a_word: float = 2.0, words: int = 200) -> PromptCounts:
    """Return what has seen so many prompts counted in full, every second one a repetition."""
    seen = PromptCounts()
    for number in range(full):
        assert not seen.is_cut(asked(words, again=number % 2 == 1), Usage(int(words * tokens_a_word)))
    return seen


def one_by_one(settings: Settings) -> Settings:
    return settings.model_copy(update={"daemon": settings.daemon.model_copy(update={"concurrency": 1})})


def test_a_count_far_below_the_words_is_a_cut() -> None:
    """A prompt of 4,000 words that is counted as 3,000 tokens is not the one that was sent."""
    assert counts().is_cut(asked(4000), Usage(3000))
    assert counts().is_cut(asked(4000), Usage(3000, cached_tokens=3000))
    assert not counts().is_cut(asked(4000), Usage(3900))


@pytest.mark.parametrize(
    ("seen", "words", "usage"),
    [
        (counts(full=5), 4000, Usage(3000)),
        (counts(tokens_a_word=1.0), 4000, Usage(3000)),
        (counts(words=5000), 4000, Usage(3000)),
        (counts(), 250, Usage(20)),
        (counts(), 4000, Usage(0)),
        (counts(), 4000, Usage(1000, 0, 3500)),
    ],
    ids=["too few counts", "a short count is usual", "a larger one fitted", "small", "not counted", "cached beside"],
)
def test_what_is_in_doubt_is_no_cut(seen: PromptCounts, words: int, usage: Usage) -> None:
    """Where a count may mean something else, the answer is taken."""
    assert not seen.is_cut(asked(words), usage)


def test_a_server_that_leaves_out_what_it_cached_is_not_accused() -> None:
    """Its counts of first requests are full, and those of repeated ones are not: it is never believed."""
    seen = PromptCounts()
    for words in range(100, 4000, 50):
        assert not seen.is_cut(asked(words), Usage(2 * words))
        assert not seen.is_cut(asked(words + 10, again=True), Usage(20))


def test_pictures_are_left_out() -> None:
    """Nobody knows how many tokens a picture has."""
    parts = [{"type": "text", "text": "word " * 4000}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert not counts().is_cut(ModelRequest(messages=({"role": "user", "content": parts},)), Usage(300))


@given(st.lists(st.tuples(st.integers(1, 20_000), st.floats(1.0, 12.0), st.booleans()), max_size=40))
def test_no_tokenizer_is_taken_for_a_cut(prompts: list[tuple[int, float, bool]]) -> None:
    """Whatever lengths and densities come in whatever order, a word that is a token at least is enough."""
    seen = PromptCounts()
    for words, density, again in prompts:
        request = ModelRequest(messages=({"role": "user", "content": "a " * words},), schema={} if again else None)
        assert not seen.is_cut(request, Usage(int(words * density)))


def test_words_are_what_every_tokenizer_keeps_apart() -> None:
    """Signs, blanks and marks of other scripts count for nothing by themselves; digits go four to a token."""
    messages = (
        {"role": "user", "content": "Rechnung-Nr. 2024/00117 ------ ।कृपया "},
        {"role": "assistant", "content": "left out"},
    )
    assert words_of(ModelRequest(messages=messages)) == 2 + 1 + 2 + 1


@pytest.mark.slow
async def test_a_document_that_the_server_would_cut_is_read_in_parts(tmp_path: Path, settings: Settings) -> None:
    """All lines of a long invoice come out right though the server never refuses it, and replay so."""
    host = StandInSettings(context_tokens=6144, tells_context=False, cuts_prompts=True)
    async with StandInServer(host) as server, working(one_by_one(settings), server) as app:
        short = [dropped(tmp_path, long_invoice(pages=1, rows=9, number=f"S-{n}"), f"s-{n}.txt") for n in range(5)]
        await app.service.run([(path, "invoice") for path in (*short, dropped(tmp_path, long_invoice(rows=35)))])
        (job,) = [job for job in app.folders.outbox.all_jobs() if job.name.startswith("long")]
        assert (await replay_recorded(job, app.worker)).same
    result = result_of(settings, "long.txt")
    assert (result["status"], result["usage"]["attempts"]) == ("done", 1), result["findings"][:3]
    assert [line["unit_price"] for line in result["invoice"]["line_items"]] == [price_of(n) for n in range(420)]
    refused = [one["output"]["refused"] for one in read_events(job.trace_path) if one["event"] == "request.refused"]
    assert "left out a part" in refused[0]["message"]
    assert refused[0]["context_tokens"] == 4608


@pytest.mark.slow
async def test_counts_without_what_was_cached_accuse_nobody(tmp_path: Path, settings: Settings) -> None:
    """With a server that counts so, longer and longer invoices are each read at once."""
    host = StandInSettings(counts_cached=False)
    async with StandInServer(host) as server, working(one_by_one(settings), server) as app:
        texts = {f"c-{rows}.txt": long_invoice(pages=1, rows=rows, number=f"C-{rows}") for rows in range(5, 35, 5)}
        await app.service.run([(dropped(tmp_path, text, name), "invoice") for name, text in texts.items()])
        assert server.stats.requests == 1 + 2 * 6
    assert {result_of(settings, name)["status"] for name in texts} == {"done"}
