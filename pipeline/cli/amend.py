"""The command that puts values right: `correct`."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import anyio
from rich.markup import escape

from pipeline.app import Folders, open_folders
from pipeline.cli.follow_up import options_of
from pipeline.cli.tables import notes, print_json, print_results, screen
from pipeline.config import Settings
from pipeline.correcting import Corrector
from pipeline.corrections import Correction, CorrectionsFile
from pipeline.document.model import Document
from pipeline.document.reader import DocumentReader
from pipeline.errors import ConfigError
from pipeline.invoice.einvoice.found import find_einvoice
from pipeline.invoice.entered import EnteredValue, NotReadable, read_entered
from pipeline.invoice.index import DocumentIndex, index_of
from pipeline.invoice.own_fields import OwnField, OwnType, misfit
from pipeline.invoice.paths import Leaf, close_names, leaf_of, value_at, with_value
from pipeline.invoice.removed import LINES, entry_position
from pipeline.job import DOCUMENT_STEP, State
from pipeline.lock import holder, only_one
from pipeline.outbox import JobFolder
from pipeline.trace import utc_now

_MAX_SHOWN = 12
# A daemon looks at least once in `rescan_seconds`, and may be busy at that moment.
_LOOKS = 2
_PAUSE_SECONDS = 0.1
# The checks name so what a required value lacks.
_MISSING = "_missing"


async def correct_job(settings: Settings, name: str, values: tuple[str, ...], *, accept: bool, as_json: bool) -> int:
    """Correct one job; return 0 where it is done now, 1 where a person should still look."""
    with open_folders(settings) as folders:
        job = folders.outbox.find(name)
        result = _correctable(job)
        if values and result.get("parts"):
            raise _is_split(job, result["parts"])
        own = {field.path: field for field in folders.own_fields.get(result["agent"], ())}
        correction = _correction(job, result, values, own=own, accept=accept)
        async with DocumentReader(settings.reading, settings.scan) as reader:
            corrector = Corrector(folders.outbox, folders.store, folders.disk, reader, own_fields=folders.own_fields)
            daemon = holder(folders.outbox.root)
            if daemon and daemon.get("doing") == "serve":
                if not await _make_by_daemon(corrector, job.name, correction, daemon, settings):
                    return 0
            else:
                with only_one(folders.outbox.root, doing="correct"):
                    corrector.ask(job.name, correction)
                    await corrector.make_all()
        return _told(folders, job.name, correction, options=options_of(settings), as_json=as_json)


async def _make_by_daemon(
    corrector: Corrector, job: str, correction: Correction, daemon: Mapping[str, Any], settings: Settings
) -> bool:
    """Leave the correction to the daemon that holds the outbox; say whether that has made it after some time.

    Raises ConfigError where it took it up and did not make it.
    """
    corrector.ask(job, correction)
    told = f"the running daemon, process {daemon.get('pid')}, makes the correction at its next look"
    notes.print(told, markup=False, highlight=False, soft_wrap=True)
    with anyio.move_on_after(_LOOKS * settings.intake.rescan_seconds):
        while corrector.is_asked(job, correction):  # noqa: ASYNC110 - another process does it
            await anyio.sleep(_PAUSE_SECONDS)
        if not corrector.has_made(job, correction):
            raise ConfigError(f"the daemon did not correct {job}", hint="its log says why: correction.refused")
        return True
    told = f"it has not looked yet; see `pipeline show {job}{options_of(settings)}`"
    notes.print(told, markup=False, highlight=False, soft_wrap=True)
    return False


def _correctable(job: JobFolder) -> dict[str, Any]:
    """Return the job's result, where that is an invoice's; raise ConfigError with what to do instead."""
    if job.state is State.WORKING:
        raise ConfigError(f"{job.name} is being worked on", hint="wait until it has ended: pipeline status")
    result = job.result()
    if job.state is State.FAILED or result is None:
        hint = f"find out why with `pipeline show {job.name}`, then try it again: pipeline replay {job.name}"
        raise ConfigError(f"{job.name} failed: there are no values to correct", hint=hint)
    if result["invoice"] is None and result["agent"] != "invoice":
        raise ConfigError(f"{job.name} is the answer of the agent {result['agent']}, no invoice", hint="replay it")
    return result


def _is_split(job: JobFolder, parts: Sequence[Mapping[str, Any]]) -> ConfigError:
    names = ", ".join(part["job"] for part in parts[:_MAX_SHOWN])
    more = f" and {len(parts) - _MAX_SHOWN} more" if len(parts) > _MAX_SHOWN else ""
    hint = f"correct the one that holds the value: {names}{more}"
    return ConfigError(f"{job.name} holds no values: its {len(parts)} invoices are jobs of their own", hint=hint)


def _correction(
    job: JobFolder, result: dict[str, Any], values: Iterable[str], *, own: Mapping[str, OwnField], accept: bool
) -> Correction:
    """Return what was asked for, read value by value.

    Raises ConfigError for a field that invoices do not have, and for a value that such a field cannot hold.
    """
    document = _document(job)
    index = index_of(document) if document else None
    read: dict[str, EnteredValue] = {}
    data = {**(result["invoice"] or {}), "kind": result["kind"]}
    for text in values:
        path, separator, typed = text.partition("=")
        path = path.strip()
        if not separator:
            raise ConfigError(
                f"“{text}” names no value", hint=f"write {path}=VALUE; {path}= alone means nothing is known"
            )
        if entry_position(path) is not None:
            _require_removable(path, typed, result, document)
            read[path] = None
            continue
        read[path] = _entered(path, typed, index, result, data=data, own=own)
        try:
            data = with_value(data, path, read[path])
        except ValueError as error:
            raise ConfigError(str(error), hint="entries count from 0; the next one adds an entry") from error
    if not read and not accept:
        raise ConfigError("nothing is to be corrected", hint="name FIELD=VALUE, or --accept what is left to look at")
    at = utc_now()
    key = f"{at.replace(':', '').replace('.', '')}-{secrets.token_hex(2)}"
    return Correction(key, at, _person(), read, accept)


def _entered(
    path: str,
    typed: str,
    index: DocumentIndex | None,
    result: Mapping[str, Any],
    *,
    data: Mapping[str, Any],
    own: Mapping[str, OwnField],
) -> EnteredValue:
    """Return one value as it is meant; `data` are all fields that there are."""
    leaf = _leaf(path, own)
    if leaf is None:
        alike = [*(name for name in own if path.startswith("own_fields")), *close_names(path, data)]
        raise ConfigError(f"there is no field {path}", hint=f"fields like it: {', '.join(alike)}")
    currency = (result["invoice"] or {}).get("currency")
    try:
        value = read_entered(path, typed, index, leaf=leaf, currency=currency)
        if path in own:
            _require_form(own[path], value, typed, agent=result["agent"])
    except NotReadable as error:
        raise ConfigError(str(error), hint=error.hint) from error
    return value


def _leaf(path: str, own: Mapping[str, OwnField]) -> Leaf | None:
    """Return what the field of that path holds; None where there is no such field."""
    if not path.startswith("own_fields."):
        return leaf_of(path)
    return _LEAVES.get(own[path].type, Leaf.TEXT) if path in own else None


def _require_form(field: OwnField, value: EnteredValue, typed: str, *, agent: str) -> None:
    """Raise NotReadable for a value that the field's own settings do not allow, whatever the document shows.

    A pattern is one of the printed value, so an amount or a day may fit it as it was typed.
    """
    wrong = misfit(field, str(value)) if value is not None else None
    if wrong is not None and misfit(field, typed.strip()) is not None:
        hint = f"what {field.name} may be stands in config/agents/{agent}.toml"
        raise NotReadable(f"{field.path}={value}: {wrong.message}", hint=hint)


_LEAVES = {
    OwnType.AMOUNT: Leaf.AMOUNT,
    OwnType.NUMBER: Leaf.AMOUNT,
    OwnType.INTEGER: Leaf.AMOUNT,
    OwnType.DATE: Leaf.DAY,
}


def _document(job: JobFolder) -> Document | None:
    """Return the document, for values that are written as it prints them; None where it is not on record."""
    steps = job.record().steps
    return Document.from_json(steps[DOCUMENT_STEP].output) if DOCUMENT_STEP in steps else None


def _require_removable(path: str, typed: str, result: Mapping[str, Any], document: Document | None) -> None:
    """Raise ConfigError where that line cannot be removed, or a value stands where none can."""
    if typed.strip():
        raise ConfigError(
            f"{path} is a whole line", hint=f"{path}= removes it; {path}.total=VALUE puts one value right"
        )
    if value_at(result["invoice"] or {}, path) is None:
        count = len((result["invoice"] or {}).get(LINES) or ())
        raise ConfigError(f"there is no line {path}: there are {count}", hint="lines count from 0")
    if document and find_einvoice(document).verified is not None:
        hint = "put its values right one by one, or ask the sender for another e-invoice"
        raise ConfigError(f"{path} stands so in the e-invoice and cannot be removed", hint=hint)


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a process without a name, as in some containers
        return "somebody"


def _told(folders: Folders, name: str, correction: Correction, *, options: str, as_json: bool) -> int:
    job = folders.outbox.find(name)
    result = job.result() or {}
    left = [one for one in result["findings"] if one["severity"] == "error"]
    if as_json:
        print_json(result)
    else:
        print_results([result])
        changed = {LINES if entry_position(path) is not None else path for path in correction.values}
        told = [one for one in result["findings"] if one["field"] in changed or one in left]
        for one in told[:_MAX_SHOWN]:
            _print_line(f"{one['severity']}: {one['field']}: {one['message']}")
        if correction.accept:
            _print_accepted(job, result, correction)
        if left:
            _print_line(f"correct more, or answer for what is left: pipeline correct {job.name} --accept{options}")
    return 0 if job.state is State.DONE else 1


def _print_accepted(job: JobFolder, result: Mapping[str, Any], correction: Correction) -> None:
    """Print what the person answers for now, and which required values are still not known."""
    accepted = [
        one for line in CorrectionsFile(job.path).lines() if line["key"] == correction.key for one in line["accepted"]
    ]
    if not accepted:
        _print_line("accepted: nothing was left to look at")
    for one in accepted:
        _print_line(f"accepted: {one['field'] or '(all)'}: {one['code']}: {one['message']}")
    empty = [one["field"] for one in result["findings"] if "accepted_by" in one and one["code"].endswith(_MISSING)]
    if empty:
        _print_line(f"warning: accepted without a value for: {', '.join(dict.fromkeys(empty))}")


def _print_line(text: str) -> None:
    screen.print(f"  {escape(text)}", highlight=False, soft_wrap=True)
