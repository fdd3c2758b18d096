"""What the stand-in counted, for tests and benchmarks."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from pipeline.llm.protocol import JsonObject
from pipeline.llm.standin.wire import TokenUse

_MOST_INTERVALS = 100_000


@dataclass(frozen=True)
class Busy:
    """Hold when a slot worked, in seconds since the server's start."""

    slot: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class LoggedRequest:
    """Hold one request without its text; the digests are those of `ModelRequest.fingerprint`."""

    number: int
    kind: str
    model: str
    status: int
    fault: str
    message_digests: tuple[str, ...]
    tools_digest: str
    schema_digest: str
    document_digest: str
    max_tokens: int | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    stream: bool
    seconds: float


@dataclass
class Statistics:
    """Count requests, tokens and the time slots were busy."""

    requests: int = 0
    completed: int = 0
    cancelled: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    max_waiting: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    busy: deque[Busy] = field(default_factory=lambda: deque(maxlen=_MOST_INTERVALS))

    @property
    def busy_slot_seconds(self) -> float:
        """Return the time all slots together have worked."""
        return sum(each.end_seconds - each.start_seconds for each in self.busy)

    def work_began(self) -> None:
        """Count a request that got its slot."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def work_ended(self, busy: Busy) -> None:
        """Count a request that gave its slot back."""
        self.in_flight -= 1
        self.busy.append(busy)

    def tokens_used(self, usage: TokenUse) -> None:
        """Add the tokens of a completion."""
        self.completed += 1
        self.prompt_tokens += usage.prompt
        self.completion_tokens += usage.completion
        self.cached_tokens += usage.cached

    def to_json(self) -> JsonObject:
        """Return the counts and the busy times as plain JSON."""
        return {
            **vars(self),
            "by_status": {str(status): count for status, count in self.by_status.items()},
            "busy_slot_seconds": self.busy_slot_seconds,
            "busy": [(each.slot, each.start_seconds, each.end_seconds) for each in self.busy],
        }
