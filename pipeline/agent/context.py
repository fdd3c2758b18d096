"""What a tool may use besides its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, Field

from pipeline.agent.answer_form import AnswerForms
from pipeline.agent.memory import Memory
from pipeline.agent.steps import DirectSteps, MeteredModel, Steps
from pipeline.errors import ConfigError
from pipeline.llm.protocol import Model, ModelReply, ModelRequest

_REQUIRED = object()


class CompletionSettings(BaseModel, frozen=True, extra="forbid"):
    """Say how replies are asked for, by the loop and by tools that ask the model themselves."""

    max_tokens: int = Field(default=2048, ge=16, description="longest reply, in tokens")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="0 for the likeliest words, higher for variety")


class NoModel:
    """Stand where no model was given, and say so when one is asked."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Refuse."""
        raise ConfigError(
            f"a tool asked a model ({len(request.messages)} messages) and the context has none",
            hint="pass ActionContext(model=...), or run the tool through an Agent",
        )


@dataclass(frozen=True)
class ActionContext:
    """Carry what tools may use: the model, the memory, the steps, and whatever the embedding program adds.

    Calls to `model` are counted and recorded like those of the loop. `forms` knows in which form the server lets
    itself be asked for JSON. `properties` holds the rest under names the program and its tools agree on, such as
    `document`, `store` or `prompts`.
    """

    model: Model = field(default_factory=NoModel)
    memory: Memory = field(default_factory=Memory)
    steps: Steps = field(default_factory=DirectSteps)
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    forms: AnswerForms = field(default_factory=AnswerForms)
    properties: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return the property; without a default a missing one is an error that names those there are."""
        if name in self.properties:
            return self.properties[name]
        if default is not _REQUIRED:
            return default
        known = ", ".join(sorted(self.properties)) or "none"
        raise ConfigError(
            f"a tool needs `{name}`, which this session was not given",
            hint=f"put it into ActionContext.properties (there now: {known})",
        )

    def with_(self, **changes: Any) -> ActionContext:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)

    def inside(self, scope: str) -> ActionContext:
        """Return a copy for work that may run beside other work: what it asks the model are steps of that scope.

        What it learns of forms of answers it keeps to itself, or what is asked would depend on who came first.
        """
        steps = self.steps.scope(scope)
        model = self.model.within(steps) if isinstance(self.model, MeteredModel) else self.model
        return replace(self, steps=steps, model=model, forms=self.forms.copy())
