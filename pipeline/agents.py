"""Agents as files: goals, tools, limits and prompts of each stand in `config/agents/<name>.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from pipeline.agent import CompletionSettings, Goal, SessionLimits
from pipeline.document.parts import PartSettings
from pipeline.errors import ConfigError
from pipeline.invoice.asking import Asked, FurtherField
from pipeline.invoice.own_fields import MOST_OWN_FIELDS, OwnField

_MAX_SHOWN = 40


class GoalSettings(BaseModel, frozen=True, extra="forbid"):
    """Set one goal; higher priorities come first in the system message."""

    name: str = Field(min_length=1, description="a short name of the goal")
    description: str = Field(min_length=1, description="what the agent should do, in full sentences")
    priority: int = Field(0, description="goals with higher numbers stand first")


class AnswerSettings(BaseModel, frozen=True, extra="forbid"):
    """Set what one model call of this agent may produce."""

    max_tokens: int = Field(2048, ge=16, le=65536, description="tokens one answer may have")
    step_max_tokens: int = Field(512, ge=16, le=65536, description="tokens one choice of a tool may have")
    language: Literal["auto", "tools", "json"] = Field(
        "auto", description="how the model acts: by tool calls, by JSON, or by JSON once it has failed at tool calls"
    )
    temperature: float = Field(0.0, ge=0, le=2, description="0 for the most likely answer")


class FileSettings(BaseModel, frozen=True, extra="forbid"):
    """Set which files the agent takes."""

    extensions: tuple[str, ...] = Field((), description="suffixes with their dot, in small letters; none means all")


class ExtractionSettings(BaseModel, frozen=True, extra="forbid"):
    """Set what the model is asked for beyond number, dates, currency, totals, taxes, parties and lines."""

    further: tuple[FurtherField, ...] = Field(
        (), description="further fields of EN 16931 to ask for; each one left out saves a few tokens of an answer"
    )


class AgentSettings(BaseModel, frozen=True, extra="forbid"):
    """Set one agent; `prompts` maps a prompt's name to its text."""

    name: str
    description: str = Field(description="what the agent is for, in one sentence")
    result: Literal["invoice", "answer"] = Field(description="what its result is")
    task: str = Field(description="what stands before the document in the session's first message")
    tools: tuple[str, ...] = Field((), description="tools by name")
    tags: tuple[str, ...] = Field((), description="tools by tag")
    goals: tuple[GoalSettings, ...] = Field(min_length=1)
    limits: SessionLimits = SessionLimits()
    model: AnswerSettings = AnswerSettings()
    prompts: dict[str, str] = Field(default_factory=dict)
    files: FileSettings = FileSettings()
    parts: PartSettings = PartSettings()
    extraction: ExtractionSettings = ExtractionSettings()
    fields: tuple[OwnField, ...] = Field((), max_length=MOST_OWN_FIELDS, description="fields of your own")

    @model_validator(mode="after")
    def _has_distinct_fields(self) -> Self:
        names = [field.name for field in self.fields]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two fields are named {twice}: every name counts once")
        if self.result != "invoice" and (names or self.extraction.further):
            raise ValueError('only an agent with result = "invoice" has fields to extract')
        return self

    def asked(self) -> Asked:
        """Return what its model is asked for besides the fields of every invoice."""
        return Asked(self.extraction.further, self.fields)

    def session_goals(self) -> list[Goal]:
        """Return the goals as the agent core wants them."""
        return [Goal(goal.name, goal.description, priority=goal.priority) for goal in self.goals]

    def step_completion(self) -> CompletionSettings:
        """Return how the loop asks for the next tool call."""
        return CompletionSettings(max_tokens=self.model.step_max_tokens, temperature=self.model.temperature)

    def answer_completion(self) -> CompletionSettings:
        """Return how tools ask for data or prose."""
        return CompletionSettings(max_tokens=self.model.max_tokens, temperature=self.model.temperature)


def load_agents(config: Path, *, prompts: Path | None = None) -> dict[str, AgentSettings]:
    """Return every agent of a configuration folder by name; their prompts lie beside them unless a folder is named.

    Raises ConfigError that names file, key and remedy.
    """
    files = sorted((config / "agents").glob("*.toml"))
    if not files:
        raise ConfigError(f"no agents in {config / 'agents'}", hint="restore the shipped invoice.toml there")
    return {path.stem: _load(path, prompts or config / "prompts") for path in files}


def _load(path: Path, prompts: Path) -> AgentSettings:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint="correct that line") from error
    data["prompts"] = {name: _prompt(prompts / str(file), path) for name, file in data.get("prompts", {}).items()}
    try:
        return AgentSettings.model_validate({**data, "name": path.stem})
    except ValidationError as error:
        raise _explained(error, data, path) from error


def _explained(error: ValidationError, data: Mapping[str, Any], path: Path) -> ConfigError:
    """Turn the first mistake into one sentence and a remedy."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    where = f"{path}: {key}{_name_of(first['loc'], data)}" if key else f"{path}"
    if first["type"] == "extra_forbidden":
        return ConfigError(f"{where}: unknown key", hint=f"known here: {', '.join(_known_keys(first['loc'][:-1]))}")
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{where}: {message}", hint="compare with the shipped invoice.toml")


def _name_of(place: Sequence[int | str], data: Any) -> str:
    """Return in brackets the name that the file gives to what stands at a numbered place; nobody counts from 0."""
    names = []
    for part in place:
        try:
            data = data[part]
        except (LookupError, TypeError):
            break
        if isinstance(part, int) and isinstance(data, dict) and "name" in data:
            names.append(str(data["name"])[:_MAX_SHOWN])
    return f" (of “{names[-1]}”)" if names else ""


def _known_keys(place: Sequence[int | str]) -> list[str]:
    """Return the keys of the table at that place; an agent is named by its file, and not in it."""
    table: type[BaseModel] = AgentSettings
    for part in place:
        if isinstance(part, str):
            annotation = table.model_fields[part].annotation
            inner = (annotation, *get_args(annotation))
            table = next(one for one in inner if isinstance(one, type) and issubclass(one, BaseModel))
    return sorted(name for name in table.model_fields if table is not AgentSettings or name != "name")


def _prompt(path: Path, agent_file: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{agent_file} names the prompt {path}, which cannot be read", hint="put it there") from error
