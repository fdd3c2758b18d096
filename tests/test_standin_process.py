"""The stand-in as a process of its own."""

from __future__ import annotations

import json
import socket
import sys

import aiohttp
import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from pipeline.llm.standin.__main__ import settings_from


async def test_serves_as_a_child_process() -> None:
    """The child prints one line of JSON with its address, serves there, and ends with code 0 when terminated."""
    command = [sys.executable, "-m", "pipeline.llm.standin", "--slots", "2", "--delay-seconds", "0.01"]
    with anyio.fail_after(30):
        async with await anyio.open_process([*command, "--models", "one,two"]) as process:
            assert process.stdout is not None
            line = ""
            async for text in TextReceiveStream(process.stdout):
                line += text
                if "\n" in line:
                    break
            ready = json.loads(line)
            async with aiohttp.ClientSession() as session, session.get(f"{ready['base_url']}/models") as response:
                assert [model["id"] for model in (await response.json())["data"]] == ["one", "two"]
            process.terminate()
            assert await process.wait() == 0


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--slots", "many", "--slots many: "),
        ("--grammars", "some", "--grammars some: "),
        ("--faults", "[{", "--faults, entry 1 [{: "),
        ("--faults", '[{"fault": "nope"}]', "--faults, entry 1, fault nope: "),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    """The option and the value are named, and no library speaks for itself."""
    with pytest.raises(SystemExit) as ended:
        settings_from([option, value])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.startswith(said)
    assert "pydantic" not in line


async def test_a_taken_port_is_one_clear_line() -> None:
    """The child ends with code 2 and says which port is taken and what to do, without a traceback."""
    with socket.socket() as taken, anyio.fail_after(30):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = await anyio.run_process([sys.executable, "-m", "pipeline.llm.standin", "--port", port], check=False)
    told = ended.stderr.decode().splitlines()
    assert ended.returncode == 2
    assert [(port in line, "--port" in line) for line in told] == [(True, True)]
