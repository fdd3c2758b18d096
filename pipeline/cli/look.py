"""The commands that only look: `status` and `show`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from rich.markup import escape

from pipeline.app import Folders, open_folders
from pipeline.cli.follow_up import next_commands, options_of
from pipeline.cli.tables import about_file, coloured, compact, counted, facts_table, hint_of, print_json, screen
from pipeline.cli.values import print_corrections, print_values
from pipeline.config import Settings
from pipeline.corrections import CorrectionsFile
from pipeline.job import REFUSED_EVENT, STEP_EVENTS, State
from pipeline.llm.hosts import HostSettings, look_at
from pipeline.lock import holder
from pipeline.outbox import JobFolder
from pipeline.status import MOST_LISTED, Status, look
from pipeline.trace import Event, read_events

_HOUR_SECONDS = 3600.0
_PACE_JOBS = 100
_MAX_IGNORED_SHOWN = 10
_MAX_JOBS_SHOWN = 10
_ENDS_OF_ATTEMPTS = frozenset({"attempt.failed", "attempt.interrupted", "job.finished", "job.reopened"})

# A long scan would fill the screen.
_MOST_PAGES = 6


async def show_status(settings: Settings, *, as_json: bool) -> int:
    """Print the status; return the exit code."""
    with open_folders(settings) as folders:
        status = look(
            folders.inbox,
            folders.outbox,
            agents=folders.extensions,
            rate=folders.index.finished_within(_HOUR_SECONDS),
            finishes=folders.index.latest_finishes(_PACE_JOBS),
            hosts=[await _look_at(host) for host in settings.llm.each()] if folders.shared is None else [],
            cluster=_survey(folders, settings),
            most_listed=MOST_LISTED if as_json else _MAX_JOBS_SHOWN,
        )
    if as_json:
        print_json(status.to_json())
    else:
        screen.print(facts_table(_status_rows(status)))
        _print_waiting_for_person(State.REVIEW, status.review, status.review_jobs, settings)
        _print_waiting_for_person(State.FAILED, status.failed, status.failed_jobs, settings)
        _print_ignored(status)
    return 0


def show_job(settings: Settings, name: str, *, as_json: bool) -> None:
    """Print one job's story."""
    with open_folders(settings) as folders:
        job = folders.outbox.find(name)
        events = list(read_events(job.trace_path))
        result = job.result()
        corrections = CorrectionsFile(job.path).lines()
        if as_json:
            found = {"job": job.name, "state": job.state, "path": str(job.path), "result": result}
            print_json({**found, "corrections": corrections, "events": events})
            return
        options = options_of(settings)
        _print_job(job, result, events)
        print_corrections(corrections)
        told = next_commands(job.name, job.state, options, kind=result["kind"]) if result else []
        if job.state is State.WORKING and holder(folders.outbox.root) is None:
            told = [f"go on with it: pipeline serve --once{options}"]
        for one in told:
            screen.print(f"  To {escape(one)}", highlight=False, soft_wrap=True)


def host_line(host: dict[str, Any], status: Status) -> str:
    """Say what a host is at this moment, and since when the daemon does without it."""
    told = (status.daemon or {}).get("hosts", {})
    seen = told.get(host["address"], {})
    model = host["model"] or "no model loaded"
    if not _is_lost(seen):
        return escape(f"{host['address']}: {model if host['reachable'] else 'away: ' + host['error']}")
    is_last = all(_is_lost(told.get(one["address"], {})) for one in status.hosts)
    since = f"{'the daemon waits' if is_last else 'away'} since {seen['since']}"
    now = f"{model}; {since}: {seen['reason']}" if host["reachable"] else f"{since}: {host['error']}"
    remedy = f"; to do: {seen['hint']}" if seen.get("hint") else ""
    return escape(f"{host['address']}: {now}{remedy}")


def _survey(folders: Folders, settings: Settings) -> dict[str, Any] | None:
    if folders.shared is None:
        return None
    from pipeline.cluster.survey import survey  # noqa: PLC0415 - loads what only clusters need

    return survey(folders.shared, settings.cluster)


async def _look_at(host: HostSettings) -> dict[str, Any]:
    facts = await look_at(host)
    model = facts.pick(host.model)
    return {
        "address": facts.address,
        "reachable": facts.reachable,
        "is_lm_studio": facts.is_lm_studio,
        "model": model.name if model else None,
        "loaded": model.loaded if model else None,
        "error": facts.error,
        "hint": facts.hint,
    }


def _status_rows(status: Status) -> list[tuple[str, str]]:
    oldest = f" (oldest {_ago(status.oldest_waiting_seconds)})" if status.waiting else ""
    rows = [("waiting", f"{status.waiting}{oldest}")]
    rows += [(name, str(getattr(status, name))) for name in ("working", "done", "review", "failed")]
    rows.append(("ignored", str(len(status.ignored))))
    rows.append(("last hour", f"{status.finished_per_hour:.0f} finished"))
    if status.seconds_left is not None:
        rows.append(("time left", f"about {_ago(status.seconds_left)}"))
    rows.append(("daemon", _daemon_line(status)))
    rows += [("LM Studio", host_line(host, status)) for host in status.hosts]
    rows += _cluster_rows(status.cluster) if status.cluster else []
    rows.append(("inbox", escape(status.inbox_error or status.inbox)))
    rows.append(("outbox", escape(status.outbox)))
    return rows


def _daemon_line(status: Status) -> str:
    daemon = status.daemon
    if daemon is None:
        return "not running"
    return f"{daemon.get('doing')} as process {daemon.get('pid')} since {daemon.get('since')}"


def _cluster_rows(cluster: dict[str, Any]) -> list[tuple[str, str]]:
    if cluster["error"]:
        return [("cluster", escape(f"{cluster['error']}; to do: {cluster['hint']}"))]
    rows = [("cluster", f"{cluster['queued']} queued, {cluster['running']} running")]
    for one in cluster["workers"]:
        told = "lost" if one["lost"] else "waits for a place" if not one["places"] else counted(one["places"], "place")
        rows.append(
            ("worker", escape(f"{one['worker']} at {one['host']}: {told}, seen {_ago(one['silent_seconds'])} ago"))
        )
    return rows


def _is_lost(seen: dict[str, Any]) -> bool:
    return seen.get("status") in ("down", "refused")


def _print_waiting_for_person(state: State, count: int, jobs: list[dict[str, Any]], settings: Settings) -> None:
    for one in jobs:
        screen.print(f"{coloured(state)} {escape(one['name'])}", highlight=False, soft_wrap=True)
        told = about_file(one["file"] or "", compact(one["reason"]))
        screen.print(f"  {escape(told)}", highlight=False, soft_wrap=True)
    if count > len(jobs):
        where = settings.folders.outbox / state
        told = f"… and {count - len(jobs)} more in {state} (--json lists {MOST_LISTED}; all lie in {where})"
        screen.print(f"  {escape(told)}", highlight=False, soft_wrap=True)


def _print_ignored(status: Status) -> None:
    for one in status.ignored[:_MAX_IGNORED_SHOWN]:
        screen.print(f"  ignored: {escape(one['path'])}: {escape(one['reason'])}")
    if len(status.ignored) > _MAX_IGNORED_SHOWN:
        screen.print(f"  … and {len(status.ignored) - _MAX_IGNORED_SHOWN} more (--json lists all)")


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _print_job(job: JobFolder, result: dict[str, Any] | None, events: list[Event]) -> None:
    screen.print(f"[bold]{escape(job.name)}[/]  {coloured(job.state)}  {escape(str(job.path))}")
    gone_on = _gone_on(events)
    for number, one in enumerate(events):
        line = _gone_on_line(one, gone_on[number]) if number in gone_on else _story_line(one)
        if line:
            screen.print(f"  [dim]{one['at'][11:19]}[/] {escape(line)}", highlight=False)
    if result is None:
        return
    if result["invoice"] or result["findings"]:
        print_values(result)
    if result["error"]:
        _print_error(result)
    if result["answer"]:
        screen.print(escape(result["answer"]))
    if result.get("part_of"):
        screen.print(
            f"  one of several invoices in a file, split by {escape(result['part_of']['job'])}", highlight=False
        )
    for part in result.get("parts", ()):
        screen.print(f"  pages {', '.join(map(str, part['pages']))}: {escape(part['job'])}", highlight=False)
    usage = result["usage"]
    model = result["versions"]["model"]
    asked = f"model {escape(model)}" if model else "no model asked"
    since_opened = max((number for number, one in enumerate(events) if one["event"] == "job.reopened"), default=0)
    resumed = _resumed([at for number, at in gone_on.items() if number > since_opened])
    screen.print(
        f"  {counted(usage['attempts'], 'attempt')}{resumed}, {counted(usage['model_calls'], 'model call')}, "
        f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens, {usage['seconds']} s, {asked}"
    )


def _gone_on(events: list[Event]) -> dict[int, str]:
    """Find the attempts that went on where one had died: the number of the event that began each, and when that was.

    One that died has no end of its own; what it did last says when it was still alive.
    """
    found: dict[int, str] = {}
    running = False
    for number, one in enumerate(events):
        if one["event"] == "attempt.started":
            if running:
                found[number] = events[number - 1]["at"]
            running = True
        elif one["event"] in _ENDS_OF_ATTEMPTS:
            running = False
    return found


def _gone_on_line(one: Event, last_at: str) -> str:
    kept = counted(one["recorded_steps"], "step") if "recorded_steps" in one else "what was"
    ended = f"the program had ended after {last_at[11:19]}"
    return f"{ended}: went on as attempt {one['attempt']}, with {kept} on record"


def _resumed(ended: list[str]) -> str:
    """Say when the program ended on the way: an attempt that had got somewhere by then is not counted."""
    times = ", ".join(at[11:19] for at in ended)
    return f" (gone on with after the program had ended: {times})" if ended else ""


def _print_error(result: dict[str, Any]) -> None:
    for line in (result["error"]["message"], hint_of(result)):
        if line:
            screen.print(f"  {escape(line)}", style="red", soft_wrap=True)


def _story_line(one: Event) -> str:
    match one["event"]:
        case "job.claimed":
            pages = f", pages {', '.join(map(str, one['pages']))} of it" if one.get("pages") else ""
            return f"claimed {one['name']} ({one['size']} bytes){pages} for the agent {one['agent']}"
        case "job.reopened":
            return f"opened again: {one['reason']}"
        case "attempt.started":
            return f"attempt {one['attempt']} started"
        case "attempt.failed":
            return f"attempt {one['attempt']} failed: {one['error']['message']}"
        case "attempt.interrupted":
            return f"attempt {one['attempt']} was interrupted"
        case "wait.started":
            return f"waits for the model server: {one['reason']}"
        case "wait.ended":
            return "the model server is back"
        case "retry.scheduled":
            return f"next attempt in {one['delay_seconds']} s"
        case "job.finished":
            return f"finished: {one['status']}"
        case name if name in STEP_EVENTS.values():
            return _step_line(name, one)
        case name if name == REFUSED_EVENT and "output" in one:
            return f"request refused: {compact(one['output']['refused']['message'])}"
        case _ if "/part-" in one.get("step", "") and "output" in one:
            return f"read {one['request']['pages']} by themselves: {one['output']['line_items']} lines"
    return ""


def _step_line(name: str, one: Event) -> str:
    output = one.get("output")
    seconds = f"({one['seconds']} s)"
    if name == STEP_EVENTS["model"]:
        usage = one["usage"]
        said = "" if output is None else _said(output)
        who = f"model{_elsewhere(one.get('host', ''))}"
        return f"{who} {seconds}, {usage['prompt_tokens']} + {usage['completion_tokens']} tokens: {said}"
    if output is None:
        return f"{name} {seconds}, kept out of the trace"
    if name == STEP_EVENTS["document"]:
        characters = sum(len(page["text"]) for page in output["pages"])
        return (
            f"read {counted(len(output['pages']), 'page')}, {characters} characters {seconds}{_otherwise_read(output)}"
        )
    tool = one["request"].get("tool", "")
    return f"tool {tool} {seconds}: {compact(output.get('error') or output.get('result') or '')}"


def _elsewhere(address: str) -> str:
    """Name the server that answered, where it is not this machine's own."""
    host = urlsplit(address)
    is_here = host.hostname in (None, "localhost", "127.0.0.1", "::1")
    return "" if is_here else f" at {host.netloc.rpartition('@')[2]}"


def _otherwise_read(output: dict[str, Any]) -> str:
    """Name the pages that the first reader could not read as they are: by whom they were read, and why."""
    told = [
        f"page {page['number']} {reason}, by {page.get('reader') or 'nobody'}"
        for page in output["pages"]
        if (reason := page.get("reason"))
    ]
    return f"; {'; '.join(told[:_MOST_PAGES])}" if told else ""


def _said(output: dict[str, Any]) -> str:
    calls = ", ".join(f"{call['name']}({compact(call['arguments'], 80)})" for call in output["tool_calls"])
    return calls or compact(output["text"])
