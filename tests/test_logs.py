"""Logs: one JSON object a line for machines, readable for people, all on standard error."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from pipeline.logs import set_up_logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave logging as the other tests expect it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_an_event_is_one_json_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Event, level, UTC time and the fields, nothing on standard output."""
    set_up_logs(format="json")
    structlog.get_logger().info("job.claimed", name="Grüße\n.pdf")
    (line,) = lines(capsys)
    assert line["event"] == "job.claimed"
    assert line["level"] == "info"
    assert line["name"] == "Grüße\n.pdf"
    assert str(line["at"]).endswith("Z")


def test_auto_is_json_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A service manager gets JSON without being told."""
    set_up_logs()
    structlog.get_logger().info("job.claimed")
    assert lines(capsys)[0]["event"] == "job.claimed"


def test_the_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the event stands in plain words, not in JSON."""
    set_up_logs(format="console")
    structlog.get_logger().info("job.claimed", name="a.pdf")
    text = capsys.readouterr().err
    assert "job.claimed" in text
    assert not text.startswith("{")


def test_events_below_the_level_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """The level is a lower bound."""
    set_up_logs(format="json", level="warning")
    structlog.get_logger().info("job.claimed")
    structlog.get_logger().warning("file.ignored")
    assert [line["event"] for line in lines(capsys)] == ["file.ignored"]


def test_libraries_lines_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads the log by machine must not stumble over a library's warning; its chatter is left out."""
    set_up_logs(format="json", level="debug")
    logging.getLogger("somebody.elses").warning("%d things", 3)
    logging.getLogger("somebody.elses").info("chatter")
    (line,) = lines(capsys)
    assert (line["event"], line["logger"], line["level"]) == ("3 things", "somebody.elses", "warning")


def test_a_traceback_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors of ours and of libraries carry their traceback as a field."""
    set_up_logs(format="json")
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("job.left")
        logging.getLogger("somebody.elses").exception("oh")
    assert ["ValueError: broken" in str(line["exception"]) for line in lines(capsys)] == [True, True]


def test_setting_up_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The last set-up holds."""
    set_up_logs(format="json")
    set_up_logs(format="json")
    logging.getLogger("somebody.elses").warning("once")
    structlog.get_logger().info("job.claimed")
    assert len(lines(capsys)) == 2
