"""Wall time, slot use, processor time and memory: this pipeline beside the loops one would write by hand.

    python tests/benchmarks/throughput.py [--jobs 64] [--slots 8] [--delay 0.25] [--mixed] [--rounds 1] [--only NAME…]
    python tests/benchmarks/throughput.py --slots 1 4 8 32 --delay 0.25 1 --mixed --only semaphore pipeline

Each contestant is a process of its own and works off the same invoices against one stand-in server, a process as
well, that takes `--delay` seconds for every call and works `--slots` of them at a time. Slot use is the time the slots
were at work, by the server's own record, from the contestant's first request to its last. Loading libraries and one
call to warm up come before the measuring, for all of them.

- serial: one file after the other with `litellm.completion`
- semaphore: `litellm.acompletion` under a semaphore of as many places as there are slots, written by hand
- pipeline: this one, with checks, evidence, a synced trace, the database and results that survive a crash

Several `--slots` and `--delay` give a table for each pair; `--mixed` adds calls whose time depends on what is written
(a tenth of a second, and one second for each hundred tokens): an extraction then takes many times as long as a choice
of tool.

The loops make the calls that a session with these tools takes (choose, extract, store, terminate) and write the answer
to a file, unchecked and unsynced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent.parent
CONTESTANTS = ("serial", "semaphore", "pipeline")
Json = dict[str, Any]
_HEAD = """Kingfisher Marine Supplies Ltd
{number} Quay Street, Bristol BS1 4DB
VAT registration GB 123 4567 82

Invoice to: Albion Boatyard, 7 Mill Lane, Exeter EX2 8DP

Invoice number: TP-{number}
Date: 2025-03-04
Due date: 2025-04-03
Currency: GBP

Description                          Quantity   Unit price     Amount
"""
_LINE = "Stainless shackle, size {size:<3}               {quantity:>5}        {price:>6.2f}    {total:>7.2f}\n"
_TAIL = """
Net                                                           {net:.2f}
VAT 20 %                                                      {tax:.2f}
Total GBP                                                     {total:.2f}

Payment within 30 days to IBAN GB33 BUKB 2020 1555 5555 55, reference TP-{number}.
"""


def main() -> None:
    """Read the options; measure, or be one of the contestants."""
    parser = argparse.ArgumentParser(description="Compare the pipeline with loops written by hand.")
    parser.add_argument("--jobs", type=int, default=0, help="0: eight for each slot, at least 24")
    parser.add_argument("--slots", type=int, nargs="+", default=[8])
    parser.add_argument("--delay", type=float, nargs="*", default=[0.25], help="seconds a call takes")
    parser.add_argument("--mixed", action="store_true", help="calls of mixed length as well")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=0, help="jobs in flight in the pipeline; 0: its default")
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--base-url", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(_compete(options)))
    else:
        paces = [_Pace(f"{delay:g} s a call", {"delay-seconds": delay}) for delay in options.delay]
        for slots in options.slots:
            for pace in [*paces, *([_MIXED] if options.mixed else [])]:
                _measure(options, slots, pace)


class _Pace(NamedTuple):
    """Say how long a call takes, as the stand-in's options."""

    name: str
    options: dict[str, float]


_MIXED = _Pace("calls of mixed length", {"delay-seconds": 0.1, "completion-tokens-per-second": 100})


def _measure(options: argparse.Namespace, slots: int, pace: _Pace) -> None:
    options = argparse.Namespace(**{**vars(options), "slots": slots, "jobs": options.jobs or max(8 * slots, 24)})
    print(f"\n{options.jobs} jobs, S = {slots}, {pace.name}; the best of {options.rounds} rounds")
    print(
        f"{'':10} {'wall s':>7} {'slot use':>8} {'calls':>5} {'CPU ms/job':>10} {'ms/call':>7} {'peak MB':>7}",
        flush=True,
    )
    with _stand_in(slots, pace) as server, tempfile.TemporaryDirectory() as place:
        write_invoices(Path(place), options.jobs)
        for name in options.only:
            rounds = [_round(name, options, server, place) for _ in range(options.rounds)]
            best = min(rounds, key=lambda one: float(one["cpu_seconds"]))
            use = max(float(one["slot_use"]) for one in rounds)
            wall = statistics.median(float(one["wall_seconds"]) for one in rounds)
            cpu = 1000 * best["cpu_seconds"]
            print(
                f"{name:10} {wall:7.2f} {use:8.1%} {best['calls']:5} {cpu / options.jobs:10.1f} "
                f"{cpu / best['calls']:7.1f} {best['peak_mb']:7.0f}  {best.get('states', '')}",
                flush=True,
            )


def _round(name: str, options: argparse.Namespace, server: Json, files: str) -> Json:
    command = [sys.executable, __file__, "--contestant", name, "--base-url", server["base_url"], "--files", files]
    command += ["--jobs", str(options.jobs), "--slots", str(options.slots), "--concurrency", str(options.concurrency)]
    before = _stats(server)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    after = _stats(server)
    report: Json = json.loads(done.stdout.splitlines()[-1])
    # The call that warms up is the first of each contestant.
    busy = after["busy"][len(before["busy"]) + 1 :]
    first, last = min(start for _, start, _ in busy), max(end for _, _, end in busy)
    used = sum(end - start for _, start, end in busy) / (options.slots * (last - first))
    return {**report, "slot_use": used, "calls": len(busy)}


@contextmanager
def _stand_in(slots: int, pace: _Pace) -> Iterator[Json]:
    command = [sys.executable, "-m", "pipeline.llm.standin", "--slots", str(slots), "--context-tokens", "1048576"]
    command += [text for name, value in pace.options.items() for text in (f"--{name}", str(value))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def _stats(server: Json) -> Json:
    with urllib.request.urlopen(f"{server['origin']}/stand-in/stats") as reply:
        stats: Json = json.load(reply)
    return stats


def write_invoices(folder: Path, count: int) -> None:
    """Write so many invoices, each with a number, amounts and lines of its own."""
    for number in range(1001, 1001 + count):
        (folder / f"tp-{number}.txt").write_text(_invoice(number), encoding="utf-8")


def _invoice(number: int) -> str:
    rows = [(size, 1 + (number + size) % 9, 1.25 + size) for size in range(4, 14)]
    net = round(sum(quantity * price for _, quantity, price in rows), 2)
    lines = (
        _LINE.format(size=size, quantity=quantity, price=price, total=quantity * price)
        for size, quantity, price in rows
    )
    tax = round(net * 0.2, 2)
    return _HEAD.format(number=number) + "".join(lines) + _TAIL.format(net=net, tax=tax, total=net + tax, number=number)


def _compete(options: argparse.Namespace) -> Json:
    sys.path.insert(0, str(ROOT))
    files = sorted(options.files.glob("*.txt"))
    with tempfile.TemporaryDirectory() as place:
        match options.contestant:
            case "serial":
                report = _serial(files, options.base_url, Path(place))
            case "semaphore":
                report = asyncio.run(_semaphore(files, options.base_url, Path(place), options.slots[0]))
            case _:
                report = asyncio.run(_pipeline(files, options.base_url, Path(place), options.concurrency))
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {**report, "peak_mb": (own.ru_maxrss + children.ru_maxrss) / 1024}


class _Clock:
    """Measure wall and processor time of this process and its children, also of those that go on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), _cpu_seconds()

    def report(self) -> Json:
        return {"wall_seconds": time.monotonic() - self._wall, "cpu_seconds": _cpu_seconds() - self._cpu}


def _cpu_seconds() -> float:
    times = os.times()
    ended = times.user + times.system + times.children_user + times.children_system
    return ended + sum(_seconds_of(process) for process in _children())


def _children() -> list[str]:
    try:
        lists = [task / "children" for task in Path("/proc/self/task").iterdir()]
        return [process for one in lists for process in one.read_text().split()]
    except OSError:  # not Linux: what started before the clock did counts as well
        return []


def _seconds_of(process: str) -> float:
    """Return the processor time of a living process: fields 14 and 15 of its stat, behind the name in brackets."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _litellm() -> Any:
    os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_MODE="PRODUCTION", LITELLM_LOG="ERROR")
    import litellm  # noqa: PLC0415 - takes seconds, and only the loops need it here

    litellm.suppress_debug_info = True
    return litellm


def _serial(files: list[Path], base_url: str, out: Path) -> Json:
    litellm, session = _litellm(), _Session(base_url)
    litellm.completion(**session.warm_up())
    clock = _Clock()
    for file in files:
        messages = session.opening(file.read_text(encoding="utf-8"))
        for step in session.steps:
            reply = litellm.completion(**session.request(step, messages))
            session.go_on(step, messages, reply, out / f"{file.stem}.json")
    return clock.report()


async def _semaphore(files: list[Path], base_url: str, out: Path, slots: int) -> Json:
    litellm, session = _litellm(), _Session(base_url)
    await litellm.acompletion(**session.warm_up())
    places = asyncio.Semaphore(slots)

    async def work(file: Path) -> None:
        async with places:
            messages = session.opening(file.read_text(encoding="utf-8"))
            for step in session.steps:
                reply = await litellm.acompletion(**session.request(step, messages))
                session.go_on(step, messages, reply, out / f"{file.stem}.json")

    clock = _Clock()
    await asyncio.gather(*map(work, files))
    return clock.report()


async def _pipeline(files: list[Path], base_url: str, out: Path, concurrency: int) -> Json:
    import structlog  # noqa: PLC0415 - the loops are measured without this package

    from pipeline.app import open_app  # noqa: PLC0415
    from pipeline.config import Settings  # noqa: PLC0415

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    daemon = {"concurrency": concurrency} if concurrency else {}
    settings = Settings.model_validate(
        {
            "folders": {"inbox": out / "inbox", "outbox": out / "outbox"},
            "llm": {"base_url": base_url},
            "daemon": daemon,
        }
    )
    async with open_app(settings, doing="benchmark", one_shot=True) as app:
        await app.ready()
        clock = _Clock()
        await app.service.run([(file, "invoice") for file in files])
        states = {state.value: count for state, count in app.engine.counts.items() if count}
    return {**clock.report(), "states": states}


class _Session:
    """Make the calls of a session by hand, with the tools, goals and schema the pipeline uses."""

    def __init__(self, base_url: str) -> None:
        from pipeline.agent import ActionRegistry  # noqa: PLC0415 - loaded in the contestants only
        from pipeline.agents import load_agents  # noqa: PLC0415
        from pipeline.config import config_folder  # noqa: PLC0415
        from pipeline.invoice.model import extraction_schema  # noqa: PLC0415
        from pipeline.tools import invoices, terminate  # noqa: F401, PLC0415 - importing registers the tools

        agent = load_agents(config_folder())["invoice"]
        self._goals = "\n\n".join(f"{goal.name}:\n{goal.description}" for goal in agent.goals)
        self._task, self._prompt = agent.task, agent.prompts["extraction"]
        self._tools = [action.to_tool() for action in ActionRegistry(tool_names=agent.tools).get_actions()]
        self._schema = {"name": "invoice", "strict": True, "schema": extraction_schema()}
        self._base_url = base_url
        self.steps = ("choose", "extract", "store", "terminate")

    def warm_up(self) -> Json:
        return {**self._shared(), "messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 1}

    def opening(self, text: str) -> list[Json]:
        task = f"{self._task}\n\n<document>\n{text}\n</document>"
        return [{"role": "system", "content": self._goals}, {"role": "user", "content": task}]

    def request(self, step: str, messages: list[Json]) -> Json:
        if step != "extract":
            return {**self._shared(), "messages": messages, "tools": self._tools, "max_tokens": 512}
        asked = [*messages[:2], {"role": "user", "content": self._prompt}]
        response_format = {"type": "json_schema", "json_schema": self._schema}
        return {**self._shared(), "messages": asked, "response_format": response_format, "max_tokens": 4096}

    def go_on(self, step: str, messages: list[Json], reply: Any, target: Path) -> None:
        message = reply.choices[0].message
        if step == "extract":
            target.write_text(message.content, encoding="utf-8")
            result = {"kind": "invoice", "next": "call store_invoice"}
            messages.append(
                {"role": "tool", "tool_call_id": messages[-1]["tool_calls"][0]["id"], "content": str(result)}
            )
            return
        call = message.tool_calls[0]
        function = {"name": call.function.name, "arguments": call.function.arguments}
        calls = [{"id": call.id, "type": "function", "function": function}]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        if step == "store":
            messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"stored": "created"}'})

    def _shared(self) -> Json:
        return {
            "model": "lm_studio/stand-in/rules",
            "api_base": self._base_url,
            "api_key": "lm-studio",
            "temperature": 0.0,
            "max_retries": 0,
        }


if __name__ == "__main__":
    main()
