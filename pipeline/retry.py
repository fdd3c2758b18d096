"""When a failed attempt is tried again: a pure decision, told what happened and what is allowed."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field

from pipeline.errors import HostFault, HostRefuses, PipelineError, StorageFault

_SHORTEST_WAIT_SECONDS = 0.2


class RetrySettings(BaseModel, frozen=True, extra="forbid"):
    """Bound what one job may cost."""

    attempts: int = Field(3, ge=1, le=20, description="attempts a job has before it ends in failed/")
    first_delay_seconds: float = Field(2.0, ge=0, le=3600, description="pause before the second attempt")
    delay_factor: float = Field(4.0, ge=1, le=100, description="each further pause is so many times longer")
    longest_delay_seconds: float = Field(300.0, ge=0, le=86400, description="no pause is longer than this")


@dataclass(frozen=True)
class Retry:
    """Try again after so many seconds; `charged` says whether the attempt counts."""

    delay_seconds: float
    charged: bool


@dataclass(frozen=True)
class GiveUp:
    """Do not try again, for this reason."""

    reason: str


def decide(error: BaseException, *, charged: int, settings: RetrySettings) -> Retry | GiveUp:
    """Say what follows on an error; `charged` counts the attempts that count, this one included."""
    if isinstance(error, HostFault | HostRefuses | StorageFault):
        # Nothing is counted here, so a pause of nothing would be a loop without end.
        return Retry(max(settings.first_delay_seconds, _SHORTEST_WAIT_SECONDS), charged=False)
    if not isinstance(error, PipelineError) or not error.transient:
        return GiveUp("trying again would not help")
    if charged >= settings.attempts:
        return GiveUp(f"all {settings.attempts} attempts are used up")
    return Retry(delay_before(charged + 1, settings), charged=True)


def delay_before(attempt: int, settings: RetrySettings) -> float:
    """Return the pause before that attempt (2 for the second), in seconds."""
    return min(settings.first_delay_seconds * settings.delay_factor ** (attempt - 2), settings.longest_delay_seconds)
