"""What is to be seen of a host from outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.llm.protocol import Usage

# LM Studio's own default for "Max Concurrent Predictions".
USUAL_SLOTS = 4


class HostStatus(StrEnum):
    """Say whether a host takes calls."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"
    REFUSED = "refused"


@dataclass(frozen=True)
class HostState:
    """Hold what is to be seen of a host at one moment."""

    address: str
    status: HostStatus
    since: datetime
    reason: str = ""
    hint: str = ""
    model: str = ""
    slots: int = USUAL_SLOTS
    context_tokens: int | None = None
    vision: bool | None = None
    in_flight: int = 0
    waiting: int = 0
    calls: int = 0
    usage: Usage = dataclasses.field(default_factory=Usage)


Observer = Callable[[HostState], Awaitable[None]]
