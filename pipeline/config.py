"""All settings, joined: shipped defaults, then `config/pipeline.toml`, then the environment, then options.

Each section's class stands beside the code it sets; this module only joins them and explains mistakes. It is the one
place where the pipeline reads the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, Field, ValidationError

from pipeline.document.limits import ReadingSettings
from pipeline.document.scan.settings import ScanSettings
from pipeline.errors import ConfigError
from pipeline.inbox import IntakeSettings
from pipeline.llm.pool import LlmSettings
from pipeline.postgres import ClusterSettings
from pipeline.retry import RetrySettings

ENVIRONMENT_PREFIX = "PIPELINE_"
SETTINGS_NAME = "pipeline.toml"
AGENTS_NAME = "agents"
PROMPTS_NAME = "prompts"
_ALIASES = {"LM_STUDIO_API_BASE": ("llm", "base_url"), "LM_STUDIO_API_KEY": ("llm", "api_key")}
_NOT_SETTINGS = {"PIPELINE_CONFIG"}

Values = dict[str, Any]


class FolderSettings(BaseModel, frozen=True, extra="forbid"):
    """Say where files come in and results go out; relative paths start at the current folder."""

    inbox: Path = Field(Path("inbox"), description="drop files here")
    outbox: Path = Field(Path("outbox"), description="jobs, results and the database")


class DaemonSettings(BaseModel, frozen=True, extra="forbid"):
    """Say how much is done at once and how the daemon stops."""

    engine: Literal["files", "cluster"] = Field(
        "files", description="files: all on this machine; cluster: jobs in PostgreSQL for workers on many machines"
    )
    concurrency: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = Field(
        "auto", description="jobs in flight at once; auto: two more than twice the slots of all hosts keep these full"
    )
    concurrency_max: int = Field(96, ge=1, le=256, description="most jobs in flight that auto allows")
    grace_seconds: float = Field(
        60.0, ge=0, le=3600, description="after the first signal running sessions have so many seconds to finish"
    )
    host_wait_seconds: float = Field(
        60.0,
        ge=0,
        le=86400,
        description="`run` and `serve --once` wait so many seconds for an LM Studio that goes away",
    )

    def jobs_in_flight(self, slots: int) -> int:
        """Return how many jobs may be in flight with so many slots in all."""
        if self.concurrency != "auto":
            return self.concurrency
        # One at the model for each slot, one that is read, checked or written meanwhile, and two for the unevenness.
        return min(2 * slots + 2, self.concurrency_max)


class TraceSettings(BaseModel, frozen=True, extra="forbid"):
    """Say what a trace may hold."""

    include_text: bool = Field(
        True, description="keep document text and answers in traces; without them a job cannot be resumed or replayed"
    )


class LogSettings(BaseModel, frozen=True, extra="forbid"):
    """Say how the daemon logs."""

    format: Literal["auto", "console", "json"] = Field("auto", description="auto: readable on a terminal, else JSON")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least level that is logged")


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Join the sections; no part of the pipeline receives the whole."""

    folders: FolderSettings = FolderSettings()
    daemon: DaemonSettings = DaemonSettings()
    intake: IntakeSettings = IntakeSettings()
    jobs: RetrySettings = RetrySettings()
    reading: ReadingSettings = ReadingSettings()
    scan: ScanSettings = ScanSettings()
    llm: LlmSettings = LlmSettings()
    cluster: ClusterSettings = ClusterSettings()
    trace: TraceSettings = TraceSettings()
    logs: LogSettings = LogSettings()


class ConfigFiles(NamedTuple):
    """Name the file of settings and the folders of agents and of their prompts."""

    settings: Path
    agents: Path
    prompts: Path


def shipped_config() -> Path:
    """Return the folder of settings and agents that came with the program."""
    packaged = Path(__file__).parent / "shipped_config"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "config"


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the configuration: PIPELINE_CONFIG, else ./config, else what was shipped.

    A folder `config` counts if it holds our settings or agents; other programs have such a folder, too.
    """
    named = environment.get("PIPELINE_CONFIG")
    if named:
        if not Path(named).is_dir():
            raise ConfigError(f"PIPELINE_CONFIG names {named}, which is no folder", hint="correct or unset it")
        return Path(named)
    local = Path("config")
    return local if _holds_settings(local) or _holds_agents(local) else shipped_config()


def config_files(environment: Mapping[str, str] = os.environ) -> ConfigFiles:
    """Return the files in force: those of the configuration folder, and the shipped ones for what it lacks."""
    own, shipped = config_folder(environment), shipped_config()
    has_settings, has_agents = _holds_settings(own), _holds_agents(own)
    if not has_settings and not has_agents:
        shipped = own  # a folder that was named and holds nothing of ours is a slip, and no wish for what was shipped
    return ConfigFiles(
        settings=(own if has_settings else shipped) / SETTINGS_NAME,
        agents=(own if has_agents else shipped) / AGENTS_NAME,
        prompts=(own if (own / PROMPTS_NAME).is_dir() else shipped) / PROMPTS_NAME,
    )


def _holds_settings(folder: Path) -> bool:
    return (folder / SETTINGS_NAME).is_file()


def _holds_agents(folder: Path) -> bool:
    return (folder / AGENTS_NAME).is_dir()


def load_settings(options: Values | None = None, *, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in force.

    `options` maps section to key to value and wins over all. Raises ConfigError that names file or variable, key
    and remedy.
    """
    path = config_files(environment).settings
    sources: dict[tuple[str, str], str] = {}
    values: Values = {}
    for origin, section, key, value in (
        *_from_file(path),
        *_from_environment(environment),
        *_from_options(options or {}),
    ):
        values.setdefault(section, {})[key] = value
        sources[section, key] = origin
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _explained(error, sources, str(path)) from error


def _from_file(path: Path) -> Iterator[tuple[str, str, str, Any]]:
    if not path.is_file():
        return
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint="correct that line") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
    for section, entries in data.items():
        if not isinstance(entries, dict):
            raise ConfigError(f"{path}: {section} stands outside a section", hint="put it below a [section] line")
        for key, value in entries.items():
            yield str(path), section, key, value


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str, Any]]:
    for name, (section, key) in _ALIASES.items():
        if environment.get(name):
            yield name, section, key, environment[name]
    for name, value in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _NOT_SETTINGS:
            continue
        section, separator, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if separator:
            yield name, section, key, value


def _from_options(options: Values) -> Iterator[tuple[str, str, str, Any]]:
    for section, entries in options.items():
        for key, value in entries.items():
            if value is not None:
                yield "an option", section, key, value


def _explained(error: ValidationError, sources: Mapping[tuple[str, str], str], path: str) -> ConfigError:
    """Turn the first mistake into one sentence and a remedy."""
    first = error.errors()[0]
    section, key = (*(str(part) for part in first["loc"][:2]), "")[:2]
    origin = sources.get((section, key)) or next((o for (s, _), o in sources.items() if s == section), path)
    place = _placed(first["loc"])
    match first["type"]:
        case "extra_forbidden":
            return ConfigError(f"{origin}: unknown setting {place.name}", hint=f"known here: {', '.join(place.known)}")
        case "missing":
            return ConfigError(f"{origin}: {place.name} is missing", hint=f"known here: {', '.join(place.known)}")
        case _:
            said = _said(error, place.is_secret)
            return ConfigError(
                f"{origin}: {place.name}{said}", hint=f"see {SETTINGS_NAME} for [{section}] {key}".strip()
            )


class _Place(NamedTuple):
    """Hold a setting's full name, the keys known beside it, and whether no message may show its value."""

    name: str
    known: list[str]
    is_secret: bool


def _placed(loc: Sequence[int | str]) -> _Place:
    """Follow the place of a mistake through the settings; nobody counts entries from 0."""
    names: list[str] = []
    known: type[BaseModel] = Settings
    table: type[BaseModel] | None = known
    is_secret = False
    for part in loc:
        if isinstance(part, int):
            names.append(f"entry {part + 1}:")
            continue
        if table is None:
            break  # no key, but the branch of a choice
        field, known = table.model_fields.get(part), table
        names.append(part if names else f"[{part}]")
        is_secret = field is not None and "SecretStr" in str(field.annotation)
        table = _table_in(field.annotation) if field else None
    return _Place(" ".join(names).removesuffix(":"), sorted(known.model_fields), is_secret)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the class of a section, or of the entries of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for one in get_args(annotation) if (table := _table_in(one))), None)


def _said(error: ValidationError, is_secret: bool) -> str:
    """Return the wrong value, where it may be shown, and what is wrong with it."""
    first, *others = error.errors()
    # A list or a table may hold a secret somewhere inside.
    shown = f" = {first['input']!r}" if isinstance(first["input"], str | int | float) and not is_secret else ""
    message = first["msg"].removeprefix("Value error, ")
    # Of a choice pydantic tells what is wrong with each branch by itself.
    if any(one["loc"] == (*first["loc"][:-1], "literal['auto']") for one in others):
        is_number = not first["type"].startswith("int_")
        message = f'{message}, or "auto"' if is_number else 'a number or "auto" is wanted'
    return f"{shown}: {message}"
