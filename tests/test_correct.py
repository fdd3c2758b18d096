"""A person puts values right: what is kept, what is checked again, and that no crash loses or halves it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import anyio
import pytest
from faulty_disk import Died, Fault, Scenario, World
from jsonschema import Draft202012Validator
from test_own_fields import with_fields

from pipeline.app import open_app, open_folders
from pipeline.cli.again import Selection, replay_jobs
from pipeline.cli.amend import correct_job
from pipeline.cli.look import show_job
from pipeline.cli.work import run_files
from pipeline.config import Settings
from pipeline.correcting import Corrector
from pipeline.corrections import Correction, CorrectionsFile
from pipeline.disk import Disk
from pipeline.document.reader import DocumentReader
from pipeline.errors import ConfigError, JobNotFound, StorageFault, TraceDamaged
from pipeline.inbox import IntakeSettings
from pipeline.index import JobIndex
from pipeline.invoice.database import open_engine
from pipeline.invoice.model import loads
from pipeline.invoice.removed import lines_left, removed_line
from pipeline.invoice.store import InvoiceStore
from pipeline.llm.standin import StandInServer, StandInSettings
from pipeline.lock import only_one
from pipeline.outbox import DATABASE_NAME, Outbox
from pipeline.requests import Requests

INVOICE = """Lantern Works Ltd
7 Quay Street, Halifax

Invoice number: LW-2041
Date: 03/04/2025
Currency: CAD

Lamp repair              100.00
Net                      100.00
Tax 20 %                  20.00
Total CAD                120.00
"""
SCHEMA = json.loads((Path(__file__).parent.parent / "pipeline" / "result.schema.json").read_text())


async def work_off(settings: Settings, path: Path, content: str) -> None:
    """Send one file through the pipeline."""
    await anyio.Path(path).write_text(content)
    await run_files(settings, (path,), agent="invoice", as_json=True)


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an outbox with one invoice in review, made once for all tests that copy it."""
    place = tmp_path_factory.mktemp("reviewed")

    async def work() -> None:
        async with StandInServer(StandInSettings()) as server:
            folders = {"inbox": place / "inbox", "outbox": place / "outbox"}
            values = {"folders": folders, "llm": {"base_url": server.base_url}}
            await work_off(Settings.model_validate(values), place / "lamp.txt", INVOICE)

    anyio.run(work)
    return place / "outbox"


@pytest.fixture
def settings(reviewed: Path, tmp_path: Path) -> Settings:
    """Return settings over a copy of that outbox, without a model at their address."""
    shutil.copytree(reviewed, tmp_path / "outbox")
    folders = {"inbox": tmp_path / "inbox", "outbox": tmp_path / "outbox"}
    return Settings.model_validate({"folders": folders, "llm": {"base_url": "http://127.0.0.1:9/v1"}})


def with_model(settings: Settings, stand_in: StandInServer) -> Settings:
    """Return the settings with the stand-in at their address."""
    return settings.model_copy(update={"llm": settings.llm.model_copy(update={"base_url": stand_in.base_url})})


async def correct(settings: Settings, *values: str, accept: bool = False) -> int:
    """Correct the only job."""
    return await correct_job(settings, "lamp", values, accept=accept, as_json=True)


def outcome(settings: Settings) -> tuple[str, dict[str, Any]]:
    """Return the only job's state and result, which keeps to the schema."""
    (path,) = settings.folders.outbox.glob("*/*/result.json")
    result = loads(path.read_text())
    Draft202012Validator(SCHEMA).validate(json.loads(path.read_text()))
    assert result["status"] == path.parent.parent.name
    return result["status"], result


def stored(settings: Settings) -> list[tuple[str, str, str | None]]:
    """Return status, number and total of every invoice in the database."""
    with open_folders(settings) as folders:
        return [(r.status, r.invoice.invoice_number or "", str(r.invoice.total_amount)) for r in folders.store.rows()]


async def test_a_printed_value_that_a_person_chose_is_a_fact_again(settings: Settings) -> None:
    """The person settles which day 03/04 is; the document shows it, so the job is done and the day has its place."""
    assert outcome(settings)[0] == "review"
    assert await correct(settings, "date=2025-04-03") == 0
    status, result = outcome(settings)
    assert (status, result["invoice"]["date"]) == ("done", "2025-04-03")
    assert result["evidence"]["date"] == {"page": 1, "quote": "Date: 03/04/2025"}
    assert [one["severity"] for one in result["findings"] if one["code"] == "corrected_by_person"] == ["info"]
    assert stored(settings) == [("done", "LW-2041", "120.00")]


async def test_a_value_that_breaks_the_pattern_of_its_field_is_refused_at_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pattern is named, and the agent's file that holds it; one that keeps to it is taken."""
    field = {"name": "job_number", "description": "number", "pattern": "[A-Z]{2}-[0-9]{4}"}
    monkeypatch.setenv("PIPELINE_CONFIG", str(with_fields(tmp_path, field)))
    with pytest.raises(ConfigError, match="is not of the form") as refused:
        await correct(settings, "own_fields.job_number=120.00")
    assert "[A-Z]{2}-[0-9]{4}" in refused.value.message
    assert "config/agents/invoice.toml" in refused.value.hint
    assert not list(settings.folders.outbox.glob("*/*/corrections.jsonl"))
    assert await correct(settings, "own_fields.job_number=LW-2041", "date=2025-04-03") == 0


async def test_an_amount_may_fit_its_pattern_as_it_is_printed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pattern with a decimal comma refuses what is typed otherwise, and not the amount itself."""
    field = {"name": "deposit", "type": "amount", "description": "deposit", "pattern": "[0-9]+,[0-9]{2}"}
    monkeypatch.setenv("PIPELINE_CONFIG", str(with_fields(tmp_path, field)))
    with pytest.raises(ConfigError, match="is not of the form"):
        await correct(settings, "own_fields.deposit=100.00")
    await correct(settings, "own_fields.deposit=100,00")
    assert str(outcome(settings)[1]["invoice"]["own_fields"]["deposit"]) == "100.00"


async def test_a_value_no_page_shows_needs_somebody_to_answer_for_it(settings: Settings) -> None:
    """It stays in review, without evidence and told, until it is accepted; then the finding stays, with a name."""
    assert await correct(settings, "date=2025-04-03", "due_date=2025-05-01") == 1
    status, result = outcome(settings)
    assert (status, result["invoice"]["due_date"]) == ("review", "2025-05-01")
    assert "due_date" not in result["evidence"]
    assert await correct(settings, accept=True) == 0
    status, result = outcome(settings)
    marked = [one for one in result["findings"] if "accepted_by" in one]
    assert [(one["code"], one["field"], one["severity"]) for one in marked] == [("not_in_document", "due_date", "info")]
    assert "due_date" not in result["evidence"]
    assert stored(settings)[0][0] == status == "done"


async def test_what_was_accepted_is_looked_at_again_when_it_changes(settings: Settings) -> None:
    """An acceptance holds for one finding, not for every other value of that field."""
    await correct(settings, "date=2025-04-03", "total_amount=130", accept=True)
    assert await correct(settings, "total_amount=140") == 1
    assert await correct(settings, "total_amount=120") == 0


async def test_the_record_of_corrections_says_who_when_what_and_what_came_of_it(
    settings: Settings,
) -> None:
    """One line a correction, in the order in which they were made; nothing of an earlier one is changed."""
    await correct(settings, "date=2025-04-03")
    await correct(settings, "vendor.name=", accept=True)
    (path,) = settings.folders.outbox.glob("*/*/corrections.jsonl")
    first, second = (loads(line) for line in path.read_text().splitlines())
    assert first["changes"] == [{"field": "date", "from": None, "to": "2025-04-03"}]
    assert (first["by"] != "", first["at"][-1], first["status"]) == (True, "Z", "done")
    assert second["changes"] == [{"field": "vendor.name", "from": "Lantern Works Ltd", "to": None}]
    assert [one["code"] for one in second["accepted"]] == ["vendor_name_missing"]


async def test_a_document_that_is_no_invoice_leaves_the_database(settings: Settings) -> None:
    """`kind=other` takes the record out of the store, and `kind=invoice` brings it back."""
    await correct(settings, "kind=other", accept=True)
    assert (outcome(settings)[1]["invoice"], stored(settings)) == (None, [])
    await correct(settings, "kind=invoice", "date=2025-04-03")
    assert stored(settings) == [("done", "LW-2041", "120.00")]


async def test_an_einvoice_is_corrected_without_a_model(settings: Settings) -> None:
    """The XML's values stay, but for the person's; what neither XML nor page says needs somebody to answer for it."""
    sample = resources.files("pipeline.demo_samples").joinpath("baumschule-lindenhof-xrechnung.xml")
    await run_files(settings, (Path(str(sample)),), agent="invoice", as_json=True)
    before = (settings.folders.outbox / "done").glob("baumschule*/result.json")
    read = loads(next(before).read_text())["invoice"]
    assert await correct_job(settings, "baumschule", ("invoice_number=X-1",), accept=False, as_json=True) == 1
    assert await correct_job(settings, "baumschule", (), accept=True, as_json=True) == 0
    (path,) = (settings.folders.outbox / "done").glob("baumschule*/result.json")
    result = loads(path.read_text())
    assert result["invoice"] == {**read, "invoice_number": "X-1"}
    assert "invoice_number" not in result["evidence"]
    assert "total_amount" in result["evidence"]


async def test_a_missing_line_is_added_and_checked_like_the_others(settings: Settings) -> None:
    """A path one behind the last line makes a new one, whose values are looked for in the document."""
    count = len(outcome(settings)[1]["invoice"]["line_items"])
    line = f"line_items.{count}"
    await correct(settings, "date=2025-04-03", f"{line}.description=Lamp repair", f"{line}.total=100.00")
    _, result = outcome(settings)
    assert len(result["invoice"]["line_items"]) == count + 1
    assert result["evidence"][f"{line}.total"]["quote"].startswith("Lamp repair")


def described(settings: Settings) -> list[str]:
    """Return what the lines of the only job's invoice say."""
    return [line["description"] for line in outcome(settings)[1]["invoice"]["line_items"]]


def said_of_lines(settings: Settings) -> list[tuple[str, str]]:
    """Return the findings about all lines."""
    return [(one["code"], one["message"]) for one in outcome(settings)[1]["findings"] if one["field"] == "line_items"]


async def with_lines(settings: Settings, *lines: str) -> None:
    """Let the only job have been read with these lines, as `description total`."""
    (folder,) = settings.folders.outbox.glob("*/*/result.json")
    items = [
        {"description": line.rpartition(" ")[0], "quantity": None, "unit_price": None, "total": float(line.split()[-1])}
        for line in lines
    ]
    result = json.loads(folder.read_text())
    result["invoice"]["line_items"] = items
    folder.write_text(json.dumps(result))
    trace = folder.parent / "trace.jsonl"
    events = [json.loads(event) for event in trace.read_text().splitlines()]
    for state in (event["state"] for event in events if "extraction" in event.get("state", {})):
        state["extraction"]["line_items"] = items
    trace.write_text("".join(json.dumps(event) + "\n" for event in events))


async def test_a_line_is_removed_and_the_others_move_up(settings: Settings) -> None:
    """A line that is none, such as a sum read as one, goes; values that persons gave keep to their lines."""
    await with_lines(settings, "Lamp repair 100", "Net 100", "Tax 20", "Total CAD 120")
    await correct(settings, "line_items.2.quantity=1", "line_items.4.description=Lamp", "line_items.1=")
    assert described(settings) == ["Lamp repair", "Tax", "Total CAD", "Lamp"]
    assert [str(line["quantity"]) for line in outcome(settings)[1]["invoice"]["line_items"]] == [
        "None",
        "1",
        "None",
        "None",
    ]
    assert await correct(settings, "date=2025-04-03", "line_items.1=", "line_items.2=", "line_items.3=") == 0
    assert described(settings) == ["Lamp repair"]
    assert [code for code, _ in said_of_lines(settings)] == ["corrected_by_person"] * 3
    (path,) = settings.folders.outbox.glob("*/*/corrections.jsonl")
    changes = [one for line in path.read_text().splitlines() for one in json.loads(line)["changes"]]
    removed = {one["from"]["description"] for one in changes if one["field"] in ("line_items.1", "line_items.2")}
    assert removed == {"Net", "Tax", "Total CAD"}
    show_job(settings, "lamp", as_json=False)


async def test_of_equal_lines_one_is_removed(settings: Settings) -> None:
    """A line that was read twice stays once."""
    await with_lines(settings, "Lamp repair 100", "Lamp repair 100", "Net 100")
    await correct(settings, "line_items.2=", "line_items.0=")
    assert described(settings) == ["Lamp repair"]


async def test_a_replay_removes_again_what_it_reads_again(
    settings: Settings, stand_in: StandInServer, tmp_path: Path
) -> None:
    """Live again, the line that a person removed is found by what it holds, and goes; the next removal comes on top."""
    sample = resources.files("pipeline.demo_samples").joinpath("kettenglueck-lastenrad.txt").read_text("cp1252")
    online = with_model(settings, stand_in)
    await work_off(online, tmp_path / "bicycle.txt", sample)

    def read() -> tuple[str, list[str]]:
        (path,) = settings.folders.outbox.glob("*/bicycle*/result.json")
        result = loads(path.read_text())
        return result["status"], [line["description"] for line in result["invoice"]["line_items"]]

    _, whole = read()
    for left in (whole[1:], whole[2:]):
        await correct_job(settings, "bicycle", ("line_items.0=",), accept=False, as_json=True)
        await replay_jobs(online, Selection(("bicycle",)), verb="live", as_json=True)
        # The document prints the line, so this is looked at.
        assert read() == ("review", left)


def test_a_removed_line_that_is_not_read_any_more_is_told() -> None:
    """Neither another line goes in its place, nor the one that is left where it had been read twice."""
    lines = [
        {"description": "Lamp", "total": 5},
        {"description": "Lamp", "total": 5},
        {"description": "Net", "total": 5},
    ]
    twice, net = removed_line(lines, 1, by="Ada"), removed_line(lines, 2, by="Ada")
    assert lines_left(lines, [twice, net]).gone == {1, 2}
    assert lines_left(lines[::-1], [twice, net]).gone == {1, 0}
    left = lines_left(lines[:1], [twice, net])
    assert (left.gone, [one.code for one in left.findings]) == (frozenset(), ["correction_not_applied"] * 2)
    assert "“Net”, 5" in left.findings[1].message


async def test_a_line_of_an_einvoice_is_not_removed(settings: Settings, tmp_path: Path) -> None:
    """What its XML says so is not put aside by its reader."""
    sample = resources.files("pipeline.demo_samples").joinpath("baumschule-lindenhof-xrechnung.xml").read_text()
    await work_off(settings, tmp_path / "baumschule.xml", sample)
    with pytest.raises(ConfigError, match="stands so in the e-invoice"):
        await correct_job(settings, "baumschule", ("line_items.0=",), accept=False, as_json=True)


async def test_a_replay_keeps_what_a_person_said(settings: Settings, stand_in: StandInServer) -> None:
    """Live again, the person's value stands over what was read, and the finding names both."""
    await correct(settings, "date=2025-04-03", "total_amount=130", accept=True)
    assert await replay_jobs(with_model(settings, stand_in), Selection(("lamp",)), verb="live", as_json=True) == 0
    status, result = outcome(settings)
    assert (status, str(result["invoice"]["total_amount"])) == ("done", "130")
    told = [one["message"] for one in result["findings"] if one["code"] == "corrected_by_person"]
    assert any("total_amount from 120.00 to 130" in message for message in told)
    assert stored(settings) == [("done", "LW-2041", "130")]


async def test_a_correction_that_finds_no_place_any_more_is_told(settings: Settings, stand_in: StandInServer) -> None:
    """A replay that reads fewer lines than were corrected ends in review instead of dropping the correction."""
    await correct(settings, "date=2025-04-03", "line_items.0.description=Lamp repair", "line_items.1.total=1")
    (path,) = settings.folders.outbox.glob("*/*/corrections.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["changes"] = [one for one in lines[0]["changes"] if one["field"] != "line_items.0.description"]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    await replay_jobs(with_model(settings, stand_in), Selection(("lamp",)), verb="live", as_json=True)
    status, result = outcome(settings)
    assert status == "review"
    assert [one["field"] for one in result["findings"] if one["code"] == "correction_not_applied"] == [
        "line_items.1.total"
    ]


async def test_the_record_is_held_against_what_the_session_came_to(settings: Settings, stand_in: StandInServer) -> None:
    """`replay --recorded` gives the uncorrected result again, before and after a live replay."""
    await correct(settings, "date=2025-04-03", "total_amount=130", accept=True)
    assert await replay_jobs(settings, Selection(("lamp",)), verb="recorded", as_json=True) == 0
    await replay_jobs(with_model(settings, stand_in), Selection(("lamp",)), verb="live", as_json=True)
    assert await replay_jobs(settings, Selection(("lamp",)), verb="recorded", as_json=True) == 0


async def test_a_database_made_anew_holds_the_corrected_values(settings: Settings) -> None:
    """What was corrected and accepted comes back from the folders."""
    await correct(settings, "date=2025-04-03", "total_amount=130", accept=True)
    (settings.folders.outbox / DATABASE_NAME).unlink()
    assert stored(settings) == [("done", "LW-2041", "130")]


async def test_a_job_whose_trace_holds_no_text_can_be_corrected(settings: Settings) -> None:
    """The document is read once more from the job's folder."""
    (path,) = settings.folders.outbox.glob("*/*/trace.jsonl")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [{k: v for k, v in one.items() if k not in ("request", "output", "state")} for one in events]
    lines = [{**one, "withheld": True} if "step" in one else one for one in kept]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert await correct(settings, "date=2025-04-03") == 0
    assert outcome(settings)[1]["evidence"]["date"]["quote"] == "Date: 03/04/2025"


async def test_an_earlier_invoice_counts_as_history_and_a_later_one_does_not(
    settings: Settings, stand_in: StandInServer, tmp_path: Path
) -> None:
    """Of two files with one number the second is the duplicate; correcting the first does not make it one."""
    await work_off(with_model(settings, stand_in), tmp_path / "copy.txt", INVOICE + "\nThank you.")
    assert await correct(settings, "date=2025-04-03") == 0
    assert await correct_job(settings, "copy", ("date=2025-04-03",), accept=False, as_json=True) == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("totl_amount=1",), "no field totl_amount"),
        (("vendor=x",), "no field vendor"),
        (("total_amount",), "names no value"),
        (("total_amount=many",), "no number"),
        (("line_items.9.total=1",), "no entry 9"),
        (("line_items.9=",), "no line line_items.9: there are 0"),
        (("line_items.0=Lamp",), "line_items.0 is a whole line"),
        ((), "nothing is to be corrected"),
    ],
)
async def test_a_slip_is_refused_before_anything_is_written(
    values: tuple[str, ...], said: str, settings: Settings
) -> None:
    """The message says what is wrong, the hint what to write, and the job is as it was."""
    before = outcome(settings)
    with pytest.raises(ConfigError, match=said) as refused:
        await correct(settings, *values)
    assert refused.value.hint
    assert outcome(settings) == before
    assert not list(settings.folders.outbox.glob("*/*/corrections.jsonl"))


async def test_a_failed_job_says_what_to_do_instead(
    settings: Settings, stand_in: StandInServer, tmp_path: Path
) -> None:
    """There is nothing to correct in it: it is to be replayed."""
    await work_off(with_model(settings, stand_in), tmp_path / "bad.pdf", "%PDF-1.7 nothing but its ends %%EOF")
    with pytest.raises(ConfigError, match="failed") as refused:
        await correct_job(settings, "bad", ("total_amount=1",), accept=False, as_json=True)
    assert "pipeline replay bad-" in refused.value.hint
    with pytest.raises(JobNotFound):
        await correct_job(settings, "nothing", ("total_amount=1",), accept=False, as_json=True)


async def test_a_running_daemon_makes_the_correction(settings: Settings) -> None:
    """The command leaves it in the outbox while `serve` holds that; the daemon makes it when it looks."""
    seldom = settings.model_copy(update={"intake": IntakeSettings(rescan_seconds=0.05)})
    with only_one(settings.folders.outbox, doing="serve"):
        assert await correct(seldom, "date=2025-04-03") == 0
        assert outcome(settings)[0] == "review"
    settings.folders.inbox.mkdir(exist_ok=True)
    async with open_app(settings, doing="serve", one_shot=True) as app:
        await app.service.serve(once=True)
    assert outcome(settings)[0] == "done"
    assert not list(Requests(settings.folders.outbox, Disk()).corrections())


async def test_the_command_waits_for_the_daemon_and_tells_what_came_of_it(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script gets the corrected result and its exit code whether or not a daemon runs."""
    settings.folders.inbox.mkdir(exist_ok=True)
    quick = settings.model_copy(update={"intake": IntakeSettings(rescan_seconds=0.2)})
    async with open_app(quick, doing="serve") as app, anyio.create_task_group() as tasks:
        tasks.start_soon(app.service.serve)
        assert await correct(quick, "date=2025-04-03", "total_amount=130") == 1
        assert loads(capsys.readouterr().out.splitlines()[-1])["invoice"]["total_amount"] == 130
        assert await correct(quick, "total_amount=120") == 0
        app.service.stop.set()
        tasks.cancel_scope.cancel()


async def test_a_request_that_makes_no_sense_is_refused_and_the_next_one_made(settings: Settings) -> None:
    """Values that no field can hold do not stop the daemon, and do not stay in the way."""
    with open_folders(settings) as folders:
        requests = Requests(settings.folders.outbox, Disk())
        (job,) = folders.outbox.all_jobs()
        async with DocumentReader(settings.reading) as reader:
            corrector = Corrector(folders.outbox, folders.store, Disk(), reader)
            corrector.ask(job.name, Correction("1", "2026-01-01T00:00:00.000Z", "a", {"date": "never"}))
            corrector.ask("gone-0123456789ab", Correction("2", "2026-01-01T00:00:00.000Z", "a", {}))
            corrector.ask(job.name, Correction("3", "2026-01-01T00:00:00.000Z", "a", {"date": "2025-04-03"}))
            assert await corrector.make_all() == [job.name]
        assert list(requests.corrections()) == []
    assert outcome(settings)[0] == "done"


def test_a_damaged_record_of_corrections_is_told_and_a_torn_end_is_cut(tmp_path: Path) -> None:
    """A line that nothing of ours looks like is an error; half a last line is what a power cut leaves."""
    file = CorrectionsFile(tmp_path)
    line = {"key": "a", "changes": [], "read": {}}
    file.append(line, Disk())
    with file.path.open("ab") as torn:
        torn.write(b'{"key": "b')
    assert [one["key"] for one in file.lines()] == ["a"]
    file.append({**line, "key": "c"}, Disk())
    assert [one["key"] for one in file.lines()] == ["a", "c"]
    file.path.write_bytes(b"[]\n{}\n")
    with pytest.raises(TraceDamaged, match="line 1"):
        file.lines()


WRONG = Scenario("correct", "lamp.txt", INVOICE.encode(), "review")


@pytest.fixture
async def reader() -> AsyncIterator[DocumentReader]:
    """Share one reader process between the worlds of a test."""
    async with DocumentReader(Settings().reading) as reader:
        yield reader


async def _ask(world: World, disk: Disk, key: str) -> None:
    """Do what the command does with the outbox: leave the correction, and make all that lie there."""
    database = open_engine(world.root / "outbox" / DATABASE_NAME)
    try:
        outbox = Outbox(world.root / "outbox", disk, JobIndex(database))
        outbox.prepare()
        corrector = Corrector(outbox, InvoiceStore(database), disk, world.reader)
        (job,) = outbox.all_jobs()
        values = {"date": "2025-04-03", "total_amount": 130}
        corrector.ask(job.name, Correction(key, "2026-01-01T00:00:00.000Z", "somebody", values, accept=True))
        await corrector.make_all()
    finally:
        database.dispose()


def _seen(world: World) -> dict[str, Any]:
    (path,) = (world.root / "outbox").glob("*/*/corrections.jsonl")
    made = [json.loads(line)["changes"] for line in path.read_text().splitlines()]
    return {**world.seen(), "made": made, "requests": list(Requests(world.root / "outbox", Disk()).corrections())}


@pytest.mark.parametrize(
    ("fault", "every"),
    [(Fault.TORN, 3), *(pytest.param(one, 1, marks=pytest.mark.slow) for one in Fault)],
)
async def test_every_operation_of_a_correction_may_go_wrong(
    fault: Fault, every: int, tmp_path: Path, reader: DocumentReader
) -> None:
    """Whatever goes wrong at the n-th operation, the next start makes the correction, once; or nobody asked yet."""
    reference = World(tmp_path / "reference", WRONG, reader)
    reference.drop()
    await reference.work(reference.disk())
    counting = reference.disk()
    await _ask(reference, counting, "k")
    expected = _seen(reference)
    assert [one["status"] for one in expected["result"]] == ["done"]
    for point in range(1, len(counting.operations) + 1, every):
        where = f"operation {point} of {len(counting.operations)} ({counting.operations[point - 1]})"
        world = World(tmp_path / str(point), WRONG, reader)
        world.drop()
        await world.work(world.disk())
        with suppress(Died, StorageFault):
            await _ask(world, world.disk(at=point, fault=fault), "k")
        if not list(world.root.glob("outbox/.requests/*.correct")):
            # The command said that it failed, or died, before anything was asked; or it was all done.
            assert list(world.root.glob("outbox/*/*/corrections.jsonl")) == [] or _seen(world) == expected, where
            await _ask(world, world.disk(), "k")
        await world.work(world.disk())
        assert _seen(world) == expected, where
