"""A model that answers from a record and never live: what the record does not hold is a divergence."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from pipeline.errors import ReplayDiverged
from pipeline.llm.protocol import JsonObject, ModelReply, ModelRequest, digest


class RecordedModel:
    """Answer each recorded request as it was answered, in order where the same was asked more than once.

    Without a record every call diverges: a replay whose steps hold the answers must never reach its model.
    """

    def __init__(self, recorded: Iterable[tuple[JsonObject, ModelReply]] = ()) -> None:
        self._fingerprints: list[JsonObject] = []
        self._replies: defaultdict[str, deque[ModelReply]] = defaultdict(deque)
        for fingerprint, reply in recorded:
            self._fingerprints.append(fingerprint)
            self._replies[digest(fingerprint)].append(reply)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Return the recorded reply, or raise `ReplayDiverged` with the part of the request that is new."""
        fingerprint = request.fingerprint()
        replies = self._replies.get(digest(fingerprint))
        if replies:
            return replies.popleft()
        raise ReplayDiverged(
            f"the session asked the model something that its record does not hold: {self._difference(fingerprint)}",
            step="model",
            hint="replay it live (without --recorded), or with the version and settings that made the record",
        )

    def _difference(self, fingerprint: JsonObject) -> str:
        if not self._fingerprints:
            return "no replies are recorded"
        if fingerprint in self._fingerprints:
            return "this request was recorded less often"
        nearest = max(self._fingerprints, key=lambda recorded: _likeness(recorded, fingerprint))
        for part in ("tools", "schema", "max_tokens", "temperature"):
            if nearest.get(part) != fingerprint[part]:
                return f"its {part.replace('_', ' ')} differ"
        return f"its messages differ from number {_shared_messages(nearest, fingerprint) + 1} on"


def _likeness(recorded: JsonObject, asked: JsonObject) -> tuple[int, int]:
    equal_parts = sum(recorded.get(part) == value for part, value in asked.items())
    return _shared_messages(recorded, asked), equal_parts


def _shared_messages(recorded: JsonObject, asked: JsonObject) -> int:
    count = 0
    for one, other in zip(recorded.get("messages", ()), asked["messages"], strict=False):
        if one != other:
            break
        count += 1
    return count
