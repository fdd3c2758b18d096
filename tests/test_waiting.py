"""What counts as a session's waiting, and what as its own time."""

from __future__ import annotations

from contextlib import ExitStack

from pipeline.llm.waiting import Waiting


class Clock:
    """A clock that goes on when it is told to."""

    now = 5.0

    def __call__(self) -> float:
        return self.now


def test_a_call_waits_until_it_is_worked_on() -> None:
    """Before, and between two tries; neither the work counts, nor what the session does without a call."""
    clock = Clock()
    waiting = Waiting(clock)
    clock.now += 100
    with waiting.call():
        clock.now += 1
        assert waiting.seconds == 1
        with waiting.work():
            clock.now += 10
        clock.now += 2
        with waiting.work():
            clock.now += 20
    clock.now += 100
    assert waiting.seconds == 3


def test_a_session_works_while_any_of_its_calls_does() -> None:
    """Calls that wait beside one that is worked on cost the session no time of its own."""
    clock = Clock()
    waiting = Waiting(clock)
    with waiting.call(), waiting.call():
        clock.now += 1
        with ExitStack() as work:
            work.enter_context(waiting.work())
            clock.now += 10
        clock.now += 2
    assert waiting.seconds == 3
