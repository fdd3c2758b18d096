"""What a job is called, and what its trace adds up to."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.job import Claim, JobRecord, StepRecord, content_digest, fold, job_name, printable_name, seconds_between
from pipeline.llm.protocol import Usage
from pipeline.trace import Event

DIGEST = "0123456789ab"
ERROR = {"type": "OutputFault", "message": "empty", "hint": "", "transient": True}


def at(second: int, name: str, /, **fields: Any) -> Event:
    return {"at": f"2024-01-01T00:{second // 60:02}:{second % 60:02}.000Z", "event": name, **fields}


def claimed() -> Event:
    fields = {"job": f"a-{DIGEST}", "agent": "invoice", "name": "a.pdf", "sha256": "x", "size": 3, "received_at": "t"}
    return at(0, "job.claimed", **fields)


def started(second: int, attempt: int) -> Event:
    return at(second, "attempt.started", attempt=attempt, recorded_steps=0)


def failed(second: int, *, charged: bool) -> Event:
    return at(second, "attempt.failed", attempt=1, charged=charged, error=ERROR)


def document(second: int) -> Event:
    return at(second, "document.read", step="document-1", request={"sha256": "x"}, output={"pages": []})


def model(second: int, step: str = "model-1", **fields: Any) -> Event:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 1}
    shown = {"request": {"n": 1}, "output": {"text": "hello"}}
    return at(second, "model.replied", step=step, usage=usage, model="m", **(fields or shown))


def action(second: int, state: dict[str, Any]) -> Event:
    return at(second, "action.executed", step="action-1", request={}, output={"ok": True}, state=state)


@pytest.mark.parametrize(
    ("file_name", "slug"),
    [
        ("Rechnung Nr. 17.pdf", "rechnung-nr-17"),
        ("Übergröße.PDF", "ubergroe"),
        ("..evil.pdf", "evil"),
        ("-rf.pdf", "rf"),
        ("a\nb.pdf", "a-b"),
        ("请求书.pdf", "file"),
        ("no suffix", "no-suffix"),
        ("x" * 251 + ".pdf", "x" * 40),
        ("a" * 39 + " b.pdf", "a" * 39),
        ("$(reboot).pdf", "reboot"),
        ("CON.pdf", "con"),
    ],
)
def test_a_job_is_named_by_a_safe_slug_and_its_digest(file_name: str, slug: str) -> None:
    """Whatever a file is called, its job's folder has a plain short name."""
    assert job_name(file_name, DIGEST) == f"{slug}-{DIGEST}"


def test_both_unicode_forms_of_a_name_give_one_job_name() -> None:
    """Systems differ in how they store an umlaut."""
    names = {job_name(unicodedata.normalize(form, "Müller.pdf"), DIGEST) for form in ("NFC", "NFD")}
    assert names == {f"muller-{DIGEST}"}


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=255))
def test_no_name_can_leave_its_folder(file_name: str) -> None:
    """A job's name is made of letters, digits and inner hyphens only."""
    name = job_name(file_name, DIGEST)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name[0] != "-"
    assert len(name) <= 53


@pytest.mark.parametrize(
    ("file_name", "source"),
    [
        ("a.pdf", "source.pdf"),
        ("a.PDF", "source.pdf"),
        ("a.tar.gz", "source.gz"),
        ("a", "source"),
        ("a.p d", "source"),
        ("a.pdf\n", "source"),
        ("a.abcdefghijk", "source"),
        ("a.жук", "source"),
    ],
)
def test_the_source_keeps_only_a_plain_suffix(file_name: str, source: str) -> None:
    """The reader knows a kind by its suffix; an odd one is dropped."""
    assert Claim("j", "invoice", file_name, "", 0, "").source_name == source


def test_a_name_in_no_known_encoding_is_replaced_where_it_is_odd() -> None:
    """Names may hold any bytes; what is written about them is text."""
    assert printable_name(Path("R\udcfcckgabe.pdf")) == "R\ufffdckgabe.pdf"
    assert printable_name(Path("Rückgabe.pdf")) == "Rückgabe.pdf"


def test_content_and_agent_name_a_job(tmp_path: Path) -> None:
    """The same bytes are one job for one agent and another for another; agent and content cannot be shifted."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * 2_500_000)
    sha256, digest = content_digest(path, "invoice")
    assert sha256 == hashlib.sha256(b"x" * 2_500_000).hexdigest()
    assert len(digest) == 12
    assert content_digest(path, "code-review") != (sha256, digest)
    path.write_bytes(b"xy")
    first = content_digest(path, "a")
    path.write_bytes(b"y")
    assert content_digest(path, "ax") != first


def test_nothing_folds_to_nothing() -> None:
    """A trace without events is an empty record."""
    assert fold([]) == JobRecord()
    assert fold([at(0, "trace.opened", format="x"), at(1, "something.new", foo=1)]) == JobRecord(
        last_at="2024-01-01T00:00:01.000Z"
    )


def test_the_claim_is_read_back() -> None:
    """Who, from where, how large."""
    assert fold([claimed()]).claim == Claim(f"a-{DIGEST}", "invoice", "a.pdf", "x", 3, "t")


def test_steps_and_their_cost_add_up() -> None:
    """Model calls, actions and tokens are counted; every step can be answered from."""
    record = fold([claimed(), started(1, 1), document(2), model(3), action(4, {"k": 1}), model(5, "model-2")])
    assert (record.model_calls, record.actions, record.model) == (2, 1, "m")
    assert record.usage == Usage(20, 4, 2)
    assert list(record.steps) == ["document-1", "model-1", "action-1", "model-2"]
    assert record.steps["action-1"] == StepRecord({}, {"ok": True}, {"k": 1})


def test_steps_without_their_text_count_but_cannot_be_answered_from() -> None:
    """What was withheld cost all the same."""
    record = fold([claimed(), started(1, 1), model(2, withheld=True)])
    assert (record.model_calls, record.usage.prompt_tokens, record.steps) == (1, 10, {})


def test_a_running_attempt_is_charged_from_its_start() -> None:
    """An attempt that kills the process has been paid for already."""
    record = fold([claimed(), started(1, 1)])
    assert (record.running, record.attempts, record.charged) == (True, 1, 1)


def test_an_attempt_that_died_lasted_until_its_last_event() -> None:
    """The time the machine was off is not the job's."""
    record = fold([claimed(), started(0, 1), document(7), started(1000, 2)])
    assert (record.attempts, record.running, record.seconds) == (2, True, 7.0)
    assert list(record.steps) == ["document-1"]


def test_an_attempt_that_died_without_getting_further_is_charged() -> None:
    """Again and again at the same place: that is the file's doing."""
    events = [claimed(), started(0, 1), document(1), started(10, 2), document(11), started(20, 3)]
    assert fold(events).charged == 2
    assert fold(events[:-1]).charged == 1


def test_an_attempt_that_died_after_a_new_step_is_not_charged() -> None:
    """It was getting somewhere when the daemon was killed; the bounded number of steps bounds such attempts."""
    events = [claimed(), started(0, 1), document(1), started(10, 2), model(11), started(20, 3)]
    assert fold(events).charged == 1
    assert fold(events[:-1]).charged == 0


def test_an_attempt_that_got_further_and_failed_is_charged() -> None:
    """Progress excuses a death, not a failure."""
    assert fold([claimed(), started(0, 1), document(1), model(2), failed(3, charged=True)]).charged == 1


def waited(second: int, happened: str) -> Event:
    return at(second, f"wait.{happened}", attempt=1)


@pytest.mark.parametrize(
    ("happened", "charged"),
    [
        ([waited(1, "started")], 0),
        ([waited(1, "started"), waited(9, "ended")], 1),
        ([waited(1, "started"), waited(2, "started"), waited(9, "ended")], 0),
        ([waited(1, "started"), waited(9, "ended"), model(10)], 0),
        ([model(1), waited(2, "started")], 0),
        ([waited(1, "started"), failed(9, charged=False)], 0),
        ([waited(1, "started"), failed(9, charged=True)], 1),
    ],
)
def test_an_attempt_that_died_waiting_for_the_server_is_not_charged(happened: list[Event], charged: int) -> None:
    """The server was away, and the program ended meanwhile: the job did neither."""
    record = fold([claimed(), started(0, 1), *happened])
    assert (record.charged, record.is_suspect) == (charged, charged > 0 and record.running)
    assert fold([started(20, 2)], record).charged == charged + 1


def test_an_interrupted_attempt_costs_nothing_and_loses_nothing() -> None:
    """A stop on request is not the job's fault; its time still counts."""
    record = fold([claimed(), started(0, 1), document(5), at(8, "attempt.interrupted", attempt=1)])
    assert (record.running, record.attempts, record.charged, record.seconds) == (False, 1, 0, 8.0)
    assert list(record.steps) == ["document-1"]


def test_a_charged_failure_starts_anew_with_the_document() -> None:
    """The same answers would lead to the same failure; the document was read once and for all."""
    events = [claimed(), started(0, 1), document(1), at(2, "memory.added", type="user"), model(3)]
    record = fold([*events, failed(4, charged=True), at(4, "retry.scheduled", retry_at="then")])
    assert (list(record.steps), record.notes) == (["document-1"], ())
    assert (record.charged, record.seconds, record.retry_at, record.last_error) == (1, 4.0, "then", ERROR)
    assert record.model_calls == 1


def test_an_uncharged_failure_goes_on_where_it_stood() -> None:
    """What was paid for before the host went away is kept."""
    record = fold([claimed(), started(0, 1), at(1, "memory.added", type="user"), model(2), failed(3, charged=False)])
    assert (record.charged, list(record.steps), len(record.notes)) == (0, ["model-1"], 1)


def test_the_next_attempt_ends_the_wait() -> None:
    """A pause that is over is not shown any more."""
    record = fold([claimed(), at(1, "retry.scheduled", retry_at="then"), started(2, 2)])
    assert record.retry_at == ""


def test_a_finished_job_says_how() -> None:
    """The event itself is kept, with its time and status."""
    finished = at(9, "job.finished", attempt=1, status="done", finished_at="f", error=None)
    record = fold([claimed(), started(0, 1), finished])
    assert (record.finished, record.running, record.seconds) == (finished, False, 9.0)


@pytest.mark.parametrize(("fresh", "steps"), [(True, []), (False, ["model-1"])])
def test_a_reopened_job_pays_anew(fresh: bool, steps: list[str]) -> None:
    """Attempts go on counting up, costs start at zero, and only a fresh one forgets its steps."""
    finished = at(3, "job.finished", attempt=1, status="failed", finished_at="f", error=ERROR)
    reopened = at(4, "job.reopened", reason="asked for", fresh=fresh)
    record = fold([claimed(), started(0, 1), model(2), finished, reopened])
    assert (record.finished, record.charged, record.attempts) == (None, 0, 1)
    assert (record.usage, record.model_calls, record.seconds) == (Usage(), 0, 0.0)
    assert record.claim is not None
    assert list(record.steps) == steps


def test_a_divergence_drops_what_came_after_it() -> None:
    """A second resume answers from what the first one kept, not from what it threw away."""
    notes = [at(2, "memory.added", type="user"), at(2, "memory.added", type="assistant")]
    diverged = at(5, "record.diverged", at_step="model-2", notes=1, parts=["messages"])
    events = [claimed(), started(0, 1), model(1), *notes, model(3, "model-2"), action(4, {}), diverged]
    record = fold(events)
    assert list(record.steps) == ["model-1"]
    assert record.notes == (notes[0],)
    assert list(fold([*events, model(6, "model-2")]).steps) == ["model-1", "model-2"]


def test_a_finished_job_that_fails_at_its_result_is_not_finished() -> None:
    """Making a lost result again may fail; the job then goes on as any other that failed."""
    finished = at(3, "job.finished", attempt=1, status="done", finished_at="f", error=None)
    assert fold([claimed(), started(0, 1), finished, failed(4, charged=True)]).finished is None


def test_seconds_lie_between_two_times() -> None:
    """Milliseconds count."""
    assert seconds_between("2024-01-01T23:59:59.500Z", "2024-01-02T00:00:01.000Z") == 1.5
