"""Files made to hurt: each ends in a clear state within its limits, and the next file is read as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_files import Hostile, hostile_files
from hostile_harness import besiege, usable
from odd_files import save

from pipeline.document.combine import combined
from pipeline.document.limits import ReadingSettings
from pipeline.document.parse import parse_file
from pipeline.errors import DocumentError

FILES = list(hostile_files())
# Through the daemon go all that are dear, and some of those that every run of the suite reads anyway.
BESIEGERS = [file for number, file in enumerate(FILES) if file.heavy or number % 5 == 0]
LIGHT = [file for file in FILES if not file.heavy]
_SECONDS = 20.0
# What draws and recognises pictures takes up to 830 MB of it; the readers have limits of their own.
_READER_MB = 1400.0
_GROWTH_MB = 64.0


def outcome_of(path: Path) -> tuple[str, str]:
    """Return `read` and the text, or the reason and the hint."""
    try:
        settings = ReadingSettings()
        return "read", combined(parse_file(path, name=path.name, settings=settings), None, settings=settings).text
    except DocumentError as error:
        return error.reason, error.hint


@pytest.mark.parametrize("file", LIGHT, ids=lambda file: file.name)
def test_a_hostile_file_is_read_or_refused_with_a_reason(file: Hostile, tmp_path: Path) -> None:
    """No other error, and nothing of this machine in what was read."""
    outcome, told = outcome_of(save(tmp_path, file.name, file.make()))
    assert outcome in file.outcomes
    assert told
    assert "root:" not in told


@pytest.mark.slow
@pytest.mark.skipif(not usable(), reason="only Linux tells the memory of other processes")
def test_the_daemon_outlives_every_hostile_file(tmp_path: Path) -> None:
    """State, time and memory of each are within bounds, the next file is done, and the daemon stays as small."""
    siege = besiege(tmp_path, BESIEGERS)
    for file, measured in zip(BESIEGERS, siege.measured, strict=True):
        assert measured.reason in file.outcomes, measured
        assert (measured.state == "failed") == (measured.reason != "read"), measured
        assert measured.seconds < _SECONDS, measured
        assert measured.peak_mb < _READER_MB, measured
        assert measured.next_state == "done", measured
    assert siege.after_mb - siege.before_mb < _GROWTH_MB
