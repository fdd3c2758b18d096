"""Run the stand-in as a process of its own: one line of JSON with its address, then serving until it is stopped."""

from __future__ import annotations

import argparse
import json
import signal
import sys

import anyio
import structlog
from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.llm.standin import StandInServer, StandInSettings

_NOT_STARTED = 2


def main() -> None:
    """Read the options and serve; standard output is for the one line, logs go to standard error."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = settings_from(sys.argv[1:])
    try:
        anyio.run(_serve, settings)
    except ConfigError as error:
        sys.stderr.write(f"{error.message}: {error.hint}\n")
        sys.exit(_NOT_STARTED)


def settings_from(arguments: list[str]) -> StandInSettings:
    """Make an option of each setting; pydantic reads the values, and what is wrong with one ends the program."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.llm.standin", description="A stand-in for LM Studio.")
    for name, field in StandInSettings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=field.description)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    for name in ("models", "faults"):
        if name in given:
            given[name] = _listed(given[name])
    try:
        return StandInSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name, places = str(first["loc"][0]), first["loc"][1:]
        where = "".join(f", entry {place + 1}" if isinstance(place, int) else f", {place}" for place in places)
        shown = f" {first['input']}" if isinstance(first["input"], str | int | float) else ""
        option = f"--{name.replace('_', '-')}"
        parser.exit(_NOT_STARTED, f"{option}{where}{shown}: {first['msg'].removeprefix('Value error, ')}\n")


async def _serve(settings: StandInSettings) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with StandInServer(settings) as server:
            ready = {"base_url": server.base_url, "origin": server.origin, "stand_in": True}
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            async for _ in signals:
                return


def _listed(text: str) -> list[object]:
    """Read a list of JSON, or words with commas between them."""
    try:
        found = json.loads(text) if text.startswith("[") else None
    except ValueError:
        found = None  # what is wrong with it shows as one word that is no name
    return found if isinstance(found, list) else list(text.split(","))


if __name__ == "__main__":
    main()
