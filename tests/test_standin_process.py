"""The stand-in as a process of its own."""

from __future__ import annotations

import json
import sys

import aiohttp
import anyio
from anyio.streams.text import TextReceiveStream


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
