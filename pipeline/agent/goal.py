"""What an agent is to reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """Tell an agent one thing to reach or to keep to; goals of a higher priority are told first."""

    name: str
    description: str
    priority: int = 0


def by_priority(goals: Iterable[Goal]) -> tuple[Goal, ...]:
    """Return the goals, highest priority first; equals keep the order they were given in."""
    return tuple(sorted(goals, key=lambda goal: -goal.priority))
