"""What travels from the hub to a worker, and back: plain JSON that anybody can read in the database."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.agents import AgentSettings
from pipeline.invoice.model import dumps, loads
from pipeline.job import State
from pipeline.llm.protocol import JsonObject
from pipeline.result import Outcome
from pipeline.retry import RetrySettings
from pipeline.trace import Event


@dataclass(frozen=True)
class Task:
    """Hold all that a worker needs for one job: its trace so far, with the document in it, and how it is to be done.

    `pictures` are PNG files of the pages that a model is to be shown, by number.
    """

    events: tuple[Event, ...]
    agent: AgentSettings
    retry: RetrySettings
    include_text: bool
    pictures: Mapping[int, bytes] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """Return the task as plain JSON."""
        return {
            "events": list(self.events),
            "agent": self.agent.model_dump(mode="json"),
            "retry": self.retry.model_dump(mode="json"),
            "include_text": self.include_text,
            "pictures": {str(number): base64.b64encode(png).decode() for number, png in self.pictures.items()},
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Task:
        """Rebuild a task from `to_json`."""
        return cls(
            tuple(data["events"]),
            AgentSettings.model_validate(data["agent"]),
            RetrySettings.model_validate(data["retry"]),
            data["include_text"],
            {int(number): base64.b64decode(png) for number, png in data.get("pictures", {}).items()},
        )


@dataclass(frozen=True)
class AwayJob:
    """Name a job whose folder lies elsewhere."""

    name: str
    pictures: Mapping[int, bytes]
    source_path: Path | None = None


def outcome_to_text(outcome: Outcome) -> str:
    """Return the outcome as JSON text with exact decimals."""
    return dumps(asdict(outcome))


def outcome_from_text(text: str) -> Outcome:
    """Rebuild an outcome from `outcome_to_text`."""
    data = loads(text)
    parts = tuple(map(tuple, data["parts"]))
    return Outcome(**{**data, "status": State(data["status"]), "findings": tuple(data["findings"]), "parts": parts})


def flow_of(job: str, events: Sequence[Event]) -> str:
    """Return the id of the workflow for the job's present round; each time it is opened again is a round of its own."""
    rounds = sum(one["event"] == "job.reopened" for one in events)
    return f"{job}.{rounds}" if rounds else job


def job_of(flow: str) -> str:
    """Return the job's name out of its workflow's id."""
    return flow.partition(".")[0]
