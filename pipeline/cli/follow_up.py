"""Which command comes next, so that it can be copied and works as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

from pipeline.config import Settings, load_settings
from pipeline.errors import ConfigError
from pipeline.invoice.model import Kind
from pipeline.job import State


def folder_options(inbox: Path, outbox: Path) -> str:
    """Return the options, each after a space, without which a command would look into other folders; else nothing."""
    try:
        usual = load_settings().folders
    except ConfigError:  # what is wrong there was overruled by an option
        usual = None
    if usual and (usual.inbox.resolve(), usual.outbox.resolve()) == (inbox.resolve(), outbox.resolve()):
        return ""
    return f" --inbox {shlex.quote(str(inbox))} --outbox {shlex.quote(str(outbox))}"


def options_of(settings: Settings) -> str:
    """Return the options for the folders that this command was given."""
    return folder_options(settings.folders.inbox, settings.folders.outbox)


def next_commands(job: str, state: State, options: str, *, kind: str = "") -> list[str]:
    """Return what a person can do about the job now, each command with what it is for."""
    match state:
        case State.REVIEW if kind == Kind.OTHER:
            return [
                f"take it for an invoice: pipeline correct {job} kind=invoice{options}",
                f"answer for its being none: pipeline correct {job} --accept{options}",
            ]
        case State.REVIEW:
            return [
                f"put a value right: pipeline correct {job} FIELD=VALUE{options}",
                f"answer for what is found: pipeline correct {job} --accept{options}",
            ]
        case State.FAILED:
            return [f"try again, once that is mended: pipeline replay {job}{options}"]
        case _:
            return []
