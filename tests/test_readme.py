"""What the README shows is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.llm.scripted import ScriptedModel, calls

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SAMPLES = Path(str(resources.files("pipeline.demo_samples")))
# Made by the build, by CI itself, or only where LM Studio is installed.
NOT_RUN_HERE = ("make ", "pip ", "lms ")
ENDLESS = "pipeline serve"
# They need a database: `tests/cluster_world.py` runs them.
OF_THE_CLUSTER = ("pipeline migrate", "pipeline worker --host gpu-1", "pipeline serve --engine cluster")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Return the shell lines without their comments, each once."""
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


def pipeline_commands() -> list[str]:
    """Return those that a test can run here."""
    return [line for line in commands() if not line.startswith(NOT_RUN_HERE)]


def test_every_shell_line_is_known() -> None:
    """No command in the README escapes: each is one of ours or on the list of those that are not run here."""
    assert pipeline_commands()
    assert all(line.startswith("pipeline ") for line in pipeline_commands())


def test_every_command_is_in_the_readme() -> None:
    """Each command of the program is shown at least once."""
    shown = {shlex.split(line)[1] for line in pipeline_commands()}
    assert set(main.commands) - {"demo"} <= shown


def test_help_names_every_command() -> None:
    """`pipeline --help` lists what there is."""
    output = CliRunner().invoke(main, ["--help"]).output
    assert all(name in output for name in main.commands)


async def test_the_agent_of_ones_own_runs(tmp_path: Path) -> None:
    """The README's agent calls its tool and reports."""
    (source,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(source, "README.md", "exec"), names)
    (tmp_path / "a.py").touch()
    model = ScriptedModel(
        [calls(("list_files", {"folder": str(tmp_path)})), calls(("terminate", {"message": "One program."}))]
    )
    assert await names["describe"](str(tmp_path), model) == "One program."  # type: ignore[operator]
    assert model.requests[1].messages[-1]["content"] == '["a.py"]'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """Give a folder with two bills and a worked-off job, and the environment that points at a stand-in."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copyfile(SAMPLES / "halden-hosting-2025-041.pdf", folder / "bill.pdf")
    shutil.copyfile(SAMPLES / "bluefern-analytics-10077.pdf", folder / "other.pdf")
    command = [sys.executable, "-m", "pipeline.llm.standin"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["base_url"]
        environment = {**os.environ, "LM_STUDIO_API_BASE": address, "PIPELINE_INTAKE__SETTLE_SECONDS": "0.1"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        subprocess.run(["pipeline", "run", "bill.pdf"], cwd=folder, env=environment, check=False, capture_output=True)
        _keep_as_truth(folder)
        yield folder, environment
        server.terminate()


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in pipeline_commands() if line not in OF_THE_CLUSTER])
def test_a_command_of_the_readme_works(line: str, place: tuple[Path, dict[str, str]]) -> None:
    """The command ends with 0 (an endless one after a signal), in the folder a user would be in."""
    folder, environment = place
    (job,) = (path.name for path in (folder / "outbox").glob("*/bill-*"))
    arguments = shlex.split(line.replace("JOB", job).replace("--model M", "--model stand-in/rules"))
    arguments = ["known" if argument == "FOLDER" else argument for argument in arguments]
    with subprocess.Popen(arguments, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        if line == ENDLESS:
            assert "service.started" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def _keep_as_truth(folder: Path) -> None:
    """Put the bill beside its result, as a file whose values are known."""
    known = folder / "known"
    known.mkdir()
    shutil.copyfile(folder / "bill.pdf", known / "bill.pdf")
    (result,) = folder.glob("outbox/*/bill-*/result.json")
    shutil.copyfile(result, known / "bill.json")
