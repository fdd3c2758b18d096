"""Retry decisions, as a table and as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.errors import (
    ConfigError,
    ContextOverflow,
    DocumentError,
    HostFault,
    HostRefuses,
    ModelSetupFault,
    OutputFault,
    SessionLimit,
    StorageFault,
)
from pipeline.retry import GiveUp, Retry, RetrySettings, decide, delay_before

SETTINGS = RetrySettings(attempts=3, first_delay_seconds=2, delay_factor=4, longest_delay_seconds=30)


@pytest.mark.parametrize("error", [HostFault("away"), HostRefuses("401"), StorageFault("full")])
@pytest.mark.parametrize("charged", [1, 3, 50])
def test_what_the_job_cannot_help_is_tried_again_without_charge(error: Exception, charged: int) -> None:
    """A dead LM Studio delays all and fails none, however often."""
    assert decide(error, charged=charged, settings=SETTINGS) == Retry(2, charged=False)


@pytest.mark.parametrize(
    "error",
    [
        ModelSetupFault("401"),
        ContextOverflow("too long"),
        SessionLimit("spent", limit="steps"),
        DocumentError("damaged", reason="damaged"),
        ConfigError("wrong"),
        ValueError("a bug"),
        OSError("disk full"),
    ],
)
def test_what_trying_again_would_not_help_ends_at_once(error: Exception) -> None:
    """Lasting errors and bugs cost one attempt."""
    assert isinstance(decide(error, charged=1, settings=SETTINGS), GiveUp)


@pytest.mark.parametrize("error", [OutputFault("empty"), DocumentError("slow", reason="slow", transient=True)])
def test_a_passing_fault_is_tried_again_until_the_attempts_are_used_up(error: Exception) -> None:
    """Each attempt is charged and waits longer; the last one ends the job."""
    decisions = [decide(error, charged=charged, settings=SETTINGS) for charged in (1, 2, 3)]
    assert decisions == [Retry(2, charged=True), Retry(8, charged=True), GiveUp("all 3 attempts are used up")]


def test_one_allowed_attempt_means_no_second() -> None:
    """The bound counts attempts, not repetitions."""
    assert isinstance(decide(OutputFault("empty"), charged=1, settings=RetrySettings(attempts=1)), GiveUp)


@given(st.builds(RetrySettings), st.integers(2, 20))
def test_pauses_grow_up_to_their_bound(settings: RetrySettings, attempt: int) -> None:
    """No pause is shorter than the one before it or longer than the setting."""
    pause, following = delay_before(attempt, settings), delay_before(attempt + 1, settings)
    assert 0 <= pause <= following <= settings.longest_delay_seconds


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"delay_factor": 0.5}, {"first_delay_seconds": -1}, {"tries": 3}])
def test_settings_out_of_bounds_are_refused(wrong: dict[str, float]) -> None:
    """No attempts, shrinking pauses and unknown keys are mistakes."""
    with pytest.raises(ValidationError):
        RetrySettings.model_validate(wrong)
