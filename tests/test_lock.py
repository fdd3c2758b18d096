"""One process per outbox, and a note who it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.lock import DaemonNote, holder, only_one

HOLD = """
import sys, time
from pathlib import Path
from pipeline.lock import only_one
with only_one(Path(sys.argv[1]), doing="serve"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the outbox in another process."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()
        process.wait()


def test_a_second_process_is_refused_and_told_who_the_first_is(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """The error names process and purpose and says what to do; the holder is not disturbed."""
    message = rf"in use by process {other.pid} \(pipeline serve"
    with pytest.raises(ConfigError, match=message) as caught, only_one(tmp_path, doing="run"):
        pytest.fail("two processes hold the outbox")
    assert "--outbox" in caught.value.hint
    assert (holder(tmp_path) or {})["pid"] == other.pid


def test_a_killed_holder_frees_the_outbox(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """The lock dies with its process; the note it left is no lock."""
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert DaemonNote(tmp_path).read()["pid"] == other.pid
    assert holder(tmp_path) is None
    with only_one(tmp_path, doing="run"):
        assert (holder(tmp_path) or {})["pid"] == os.getpid()


def test_leaving_frees_the_outbox_and_takes_the_note_away(tmp_path: Path) -> None:
    """After an error inside as well, the next process may have it."""
    with pytest.raises(ValueError, match="inside"), only_one(tmp_path, doing="run"):
        raise ValueError("inside")
    assert holder(tmp_path) is None
    assert DaemonNote(tmp_path).read() == {}
    with only_one(tmp_path, doing="serve") as note:
        assert note.read()["doing"] == "serve"


def test_an_outbox_that_was_never_held_has_no_holder(tmp_path: Path) -> None:
    """Asking makes no lock file."""
    assert holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_told_is_added_to_what_was_told(tmp_path: Path) -> None:
    """A part tells its news without knowing those of others."""
    with only_one(tmp_path, doing="serve") as note:
        note.tell(host={"status": "up"})
        note.tell(host={"status": "down"})
        told = holder(tmp_path) or {}
    assert told["host"] == {"status": "down"}
    assert told["pid"] == os.getpid()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_an_unreadable_note_is_no_note(tmp_path: Path, content: bytes) -> None:
    """The note is news: a spoiled one is passed over."""
    (tmp_path / ".pipeline.json").write_bytes(content)
    assert DaemonNote(tmp_path).read() == {}


def test_a_note_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """A full or broken disk must not end the daemon over a piece of news."""
    (tmp_path / ".pipeline.json").mkdir()
    (tmp_path / ".pipeline.json" / "in the way").touch()
    note = DaemonNote(tmp_path)
    note.tell(pid=1)
    assert note.read() == {}
