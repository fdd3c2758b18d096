"""A job's trace: appended lines that a crash may tear, but never spoil."""

from __future__ import annotations

import errno
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.disk import Disk
from pipeline.trace import TRACE_FORMAT, Trace, _line, event, read_events, utc_now


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace.jsonl", Disk())


def names(trace: Trace) -> list[str]:
    return [one["event"] for one in trace.events()]


def test_times_are_utc_with_milliseconds() -> None:
    """All times have one form, so that they sort as text."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_now())


def test_the_first_line_names_the_format(trace: Trace) -> None:
    """The format stands at the top, once."""
    trace.append([event("a.done", size_bytes=1)])
    trace.append([event("b.done"), event("c.done")])
    assert names(trace) == ["trace.opened", "a.done", "b.done", "c.done"]
    assert trace.events()[0]["format"] == TRACE_FORMAT
    assert trace.events()[1]["size_bytes"] == 1


def test_one_event_is_one_line_whatever_text_it_holds(trace: Trace) -> None:
    """Line ends in a text do not end the line."""
    text = "one\ntwo\r\nthree\u2028four\x85five\x00"
    trace.append([event("document.read", text=text)])
    assert trace.path.read_bytes().count(b"\n") == 2
    assert trace.events()[1]["text"] == text


def test_text_is_readable_in_the_file(trace: Trace) -> None:
    """A person reads the trace; umlauts are written as they are."""
    trace.append([event("document.read", text="Grüße €")])
    assert "Grüße €".encode() in trace.path.read_bytes()


def test_half_a_surrogate_pair_is_kept(trace: Trace) -> None:
    """Models write such halves now and then; they must not end the job."""
    trace.append([event("model.replied", text="\ud83d and \udce9")])
    trace.path.read_bytes().decode()
    assert trace.events()[1]["text"] == "\ud83d and \udce9"


def test_a_torn_last_line_is_passed_over_and_cut_off(trace: Trace) -> None:
    """A power cut costs the line it tore, no other."""
    trace.append([event("a.done")])
    whole = trace.path.read_bytes()
    trace.path.write_bytes(whole + b'{"at":"2024-01-01T00:00:00.000Z","ev')
    assert names(trace) == ["trace.opened", "a.done"]
    assert trace.mend() == 36
    assert trace.path.read_bytes() == whole
    trace.append([event("b.done")])
    assert names(trace) == ["trace.opened", "a.done", "b.done"]


def test_mending_a_whole_or_missing_trace_changes_nothing(trace: Trace) -> None:
    """Mending is done at every start and mostly finds nothing."""
    assert trace.mend() == 0
    assert not trace.path.exists()
    trace.append([event("a.done")])
    whole = trace.path.read_bytes()
    assert trace.mend() == 0
    assert trace.path.read_bytes() == whole


def test_a_trace_that_was_torn_in_its_first_line_begins_again(trace: Trace) -> None:
    """The first line names the format even where a crash left an empty file."""
    trace.path.write_bytes(b'{"at":"20')
    trace.mend()
    trace.append([event("a.done")])
    assert names(trace) == ["trace.opened", "a.done"]


def test_a_line_the_disk_had_no_room_for_leaves_no_half(tmp_path: Path) -> None:
    """After a full disk the trace goes on with whole lines."""

    class FullOnce(Disk):
        full = False

        def _write(self, path: Path, data: bytes, *, flags: int) -> None:
            if self.full:
                super()._write(path, data[:10], flags=flags)
                raise OSError(errno.ENOSPC, "full")
            super()._write(path, data, flags=flags)

    disk = FullOnce()
    trace = Trace(tmp_path / "trace.jsonl", disk)
    trace.append([event("a.done")])
    disk.full = True
    with pytest.raises(OSError, match="full"):
        trace.append([event("b.done")])
    disk.full = False
    trace.append([event("c.done")])
    assert names(trace) == ["trace.opened", "a.done", "c.done"]


def test_there_are_no_events_without_a_file(trace: Trace) -> None:
    """A job that was cut off before its first line has an empty trace."""
    assert trace.events() == []


def test_amounts_are_written_exactly_and_other_objects_refused(trace: Trace) -> None:
    """A decimal becomes its digits; an object that JSON does not know is a mistake of the caller."""
    trace.append([event("a.done", amount=Decimal("10.10"))])
    assert trace.events()[1]["amount"] == "10.10"
    with pytest.raises(TypeError, match="set does not go into a trace"):
        trace.append([event("a.done", amount={1})])
    assert names(trace) == ["trace.opened", "a.done"]


@given(st.lists(st.text(st.characters(), max_size=8), max_size=4), st.data())
def test_wherever_a_write_is_cut_whole_events_before_it_are_read(texts: list[str], data: st.DataObject) -> None:
    """Any prefix of a trace gives exactly the events whose line ends lie in it."""
    lines = [_line({"at": "2024-01-01T00:00:00.000Z", "event": "a.done", "text": text}) for text in texts]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    torn = whole[:cut]
    events = [json.loads(line) for line in torn.split(b"\n")[:-1]]
    assert [one["text"] for one in events] == texts[: torn.count(b"\n")]


def test_reading_does_not_change_the_file(trace: Trace) -> None:
    """Looking at a running job from another process leaves its torn line alone."""
    trace.append([event("a.done")])
    trace.path.write_bytes(trace.path.read_bytes() + b"{")
    torn = trace.path.read_bytes()
    assert len(list(read_events(trace.path))) == 2
    assert trace.path.read_bytes() == torn


def test_events_are_added_whole_or_not_at_all(tmp_path: Path) -> None:
    """A crash in the middle leaves the trace as it was, and what was cut off is done again."""

    class Crashing(Disk):
        def _rename(self, source: Path, target: Path) -> None:  # noqa: ARG002 - the names of what it stands for
            raise OSError("power cut")

    path = tmp_path / "trace.jsonl"
    Trace(path, Disk()).append([event("one.happened")])
    before = path.read_bytes()
    with pytest.raises(OSError, match="power cut"):
        Trace(path, Crashing()).append_whole([event("two.happened"), event("three.happened")])
    assert path.read_bytes() == before
    Trace(path, Disk()).append_whole([event("two.happened"), event("three.happened")])
    names = [one["event"] for one in Trace(path, Disk()).events()]
    assert names == ["trace.opened", "one.happened", "two.happened", "three.happened"]
