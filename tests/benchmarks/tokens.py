"""Tokens per invoice: as the pipeline works, beside a session in which the model copies the document.

    python tests/benchmarks/tokens.py [FOLDER]

Sends the files of the folder (default: the samples) through the pipeline against a stand-in server and adds up the
server's own counts. Then the same server counts the conversations of the plain way of doing it: the model passes the
document's text to the extraction tool as an argument, and the extracted data to the storing tool as another.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from pipeline.agent import ActionRegistry, FunctionCallingLanguage
from pipeline.agents import load_agents
from pipeline.app import open_app
from pipeline.config import Settings, config_folder
from pipeline.llm.standin import StandInServer, StandInSettings
from pipeline.outbox import JobFolder
from pipeline.trace import read_events
from pipeline.worker import session_prefix

SUFFIXES = {".pdf", ".txt", ".xml"}
Message = dict[str, Any]


async def main(folder: Path) -> None:
    """Print both counts per file and in all."""
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    async with StandInServer(StandInSettings()) as server:
        with tempfile.TemporaryDirectory() as place:
            jobs = await _work_off(files, Path(place), server.base_url)
            rows = [(job, row) for job in jobs if (row := await _row(job, server.base_url))]
    print(f"{'job':52} {'calls':>5} {'prompt':>7} {'compl.':>7}   copying {'calls':>6} {'prompt':>7} {'compl.':>7}")
    for name, numbers in rows:
        ours, theirs = numbers[:3], (4, *numbers[3:])
        print(f"{name.name[:52]:52} {_columns(ours)}   {'':8} {_columns(theirs)}")
    sums = [sum(numbers[i] for _, numbers in rows) for i in range(5)]
    print(
        f"\n{len(rows)} invoices; per invoice {sums[1] / len(rows):.0f} + {sums[2] / len(rows):.0f} tokens "
        f"instead of {sums[3] / len(rows):.0f} + {sums[4] / len(rows):.0f}: "
        f"{sums[3] / sums[1]:.2f} times the prompt, {sums[4] / sums[2]:.2f} times the completion"
    )


def _columns(numbers: tuple[int, ...]) -> str:
    return f"{numbers[0]:5} {numbers[1]:7} {numbers[2]:7}"


async def _work_off(files: list[Path], place: Path, base_url: str) -> list[JobFolder]:
    settings = Settings.model_validate(
        {"folders": {"inbox": place / "inbox", "outbox": place / "outbox"}, "llm": {"base_url": base_url}}
    )
    async with open_app(settings, doing="benchmark", one_shot=True) as app:
        names = await app.service.run([(path, "invoice") for path in files])
        return [app.folders.outbox.find(name) for name in dict.fromkeys(names)]


async def _row(job: JobFolder, base_url: str) -> tuple[int, int, int, int, int] | None:
    """Return calls, prompt and completion tokens as counted, and both as they would be with copying."""
    events = list(read_events(job.trace_path))
    extraction = next((e["state"]["extraction"] for e in events if "extraction" in e.get("state", {})), None)
    result = job.result()
    if extraction is None or result is None or result["usage"]["attempts"] != 1:
        return None
    usage = result["usage"]
    task = next(e["content"] for e in events if e["event"] == "memory.added" and e["type"] == "user")
    opening = [_goals(), {"role": "user", "content": task}]
    prompt, completion = await _copying(opening, json.dumps(extraction, ensure_ascii=False), base_url)
    return usage["model_calls"], usage["prompt_tokens"], usage["completion_tokens"], prompt, completion


async def _copying(opening: list[Message], data: str, base_url: str) -> tuple[int, int]:
    """Let the server count the four prompts; what a message adds to the next prompt is what the model wrote."""
    document = str(opening[-1]["content"])
    first = [*opening]
    called = [*first, _call("extract_invoice_data", {"document_text": document}, 1)]
    answered = [*called, _answer(data, 1)]
    stored = [*answered, _call("store_invoice", {"invoice_data": data}, 2)]
    confirmed = [*stored, _answer('{"stored": "created"}', 2)]
    ended = [*confirmed, _call("terminate", {"message": "The invoice was stored."}, 3)]
    steps = (first, called, answered, stored, confirmed, ended)
    counts = [await _count(messages, base_url, tools=_TOOLS) for messages in steps]
    extraction = await _count([{"role": "user", "content": f"Extract the invoice data.\n{document}"}], base_url)
    written = await _count([{"role": "user", "content": data}], base_url)
    prompts = counts[0] + extraction + counts[2] + counts[4]
    completions = (counts[1] - counts[0]) + written + (counts[3] - counts[2]) + (counts[5] - counts[4])
    return prompts, completions


async def _count(messages: list[Message], base_url: str, *, tools: list[Message] | None = None) -> int:
    body = {"model": "stand-in/rules", "messages": messages, "max_tokens": 1, **({"tools": tools} if tools else {})}
    async with aiohttp.ClientSession() as session, session.post(f"{base_url}/chat/completions", json=body) as reply:
        data = await reply.json()
    return int(data["usage"]["prompt_tokens"])


def _goals() -> Message:
    """Return the same goals as the pipeline's own sessions have."""
    agent = load_agents(config_folder())["invoice"]
    language, actions = FunctionCallingLanguage(), ActionRegistry(tool_names=agent.tools)
    return dict(session_prefix(language, agent, actions, "")[0])


def _tool(name: str, argument: str) -> Message:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


_TOOLS = [
    _tool("extract_invoice_data", "document_text"),
    _tool("store_invoice", "invoice_data"),
    _tool("terminate", "message"),
]


def _call(name: str, arguments: dict[str, str], number: int) -> Message:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _answer(content: str, number: int) -> Message:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": content}


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(str(resources.files("pipeline.demo_samples")))
    anyio.run(main, chosen)
