"""The commands as a user types them: output, exit codes, clear errors."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from conftest import process_as_before

from pipeline.cli import main
from pipeline.cli.look import host_line
from pipeline.invoice.model import loads
from pipeline.status import Status

SAMPLES = Path(str(resources.files("pipeline.demo_samples")))
PIPELINE = [sys.executable, "-m", "pipeline"]
TIME_LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Run the stand-in as a process of its own and give its address."""
    command = [sys.executable, "-m", "pipeline.llm.standin"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["base_url"]
        process.terminate()


@pytest.fixture(scope="module")
def worked(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Send three samples through `pipeline run` and give the folder they ended in."""
    place = tmp_path_factory.mktemp("worked")
    done = pipeline(
        "run", *samples("kettenglueck-lastenrad.txt", "seaview-catering-damaged.pdf"), place=place, url=server
    )
    assert done.returncode == 1, done.stderr
    return place


def samples(*names: str) -> list[str]:
    """Return the paths of samples."""
    return [str(SAMPLES / name) for name in names]


@dataclass(frozen=True)
class Ended:
    """Hold what a command has printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def pipeline(*arguments: str, place: Path, url: str = "http://127.0.0.1:9/v1") -> Ended:
    """Run a command over the folders of a place, in this process: its start and the model library are paid for once."""
    with process_as_before():
        done = CliRunner(catch_exceptions=False).invoke(main, arguments, env=environment(place, url))
    return Ended(done.exit_code, done.stdout, done.stderr)


def pipeline_process(*arguments: str, place: Path, url: str = "http://127.0.0.1:9/v1") -> Ended:
    """Run a command over the folders of a place, in a process of its own."""
    command = [*PIPELINE, *arguments]
    variables = {name: value for name, value in environment(place, url).items() if value is not None}
    done = subprocess.run(
        command, capture_output=True, text=True, env=variables, timeout=TIME_LIMIT_SECONDS, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def environment(place: Path, url: str) -> dict[str, str | None]:
    """Return the variables of a command; None takes one away."""
    settings = {name: None for name in os.environ if name.startswith(("PIPELINE_", "LM_STUDIO_"))}
    return {
        **os.environ,
        **settings,
        "PIPELINE_FOLDERS__INBOX": str(place / "inbox"),
        "PIPELINE_FOLDERS__OUTBOX": str(place / "outbox"),
        "PIPELINE_LLM__BASE_URL": url,
        "PIPELINE_INTAKE__SETTLE_SECONDS": "0.2",
        "PIPELINE_DAEMON__HOST_WAIT_SECONDS": "1",
    }


def job_of(place: Path, state: str) -> str:
    """Return the only job in that state."""
    (job,) = (place / "outbox" / state).iterdir()
    return job.name


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["status", "--json"]])
def test_help_and_status_do_not_load_the_model_library(arguments: list[str], tmp_path: Path) -> None:
    """Commands that call no model do not pay for litellm's import."""
    script = (
        "import sys\n"
        "from pipeline.cli import main\n"
        f"sys.argv = ['pipeline', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'litellm' not in sys.modules\n"
    )
    environment = {
        **os.environ,
        "PIPELINE_FOLDERS__INBOX": str(tmp_path / "in"),
        "PIPELINE_FOLDERS__OUTBOX": str(tmp_path / "out"),
    }
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def test_run_prints_results_as_json_lines(worked: Path, server: str) -> None:
    """With --json every file gives one line that is its whole result, says whose, and whether that was known."""
    done = pipeline("run", "--json", *samples("kettenglueck-lastenrad.txt"), place=worked, url=server)
    (line,) = done.stdout.splitlines()
    assert done.returncode == 0
    assert loads(line)["source"]["name"] == "kettenglueck-lastenrad.txt"
    assert (loads(line)["file"], loads(line)["known"]) == (samples("kettenglueck-lastenrad.txt")[0], True)


def test_run_says_that_it_knows_a_file_and_by_which_job(worked: Path, server: str, tmp_path: Path) -> None:
    """A copy under another name stands in the table under that name; a line names the job that has its content."""
    copy = shutil.copy(samples("kettenglueck-lastenrad.txt")[0], tmp_path / "copy.txt")
    done = pipeline("run", str(copy), place=worked, url=server)
    assert "done   copy.txt" in done.stdout
    assert (
        f"copy.txt: known already, nothing was asked again; see `pipeline show {job_of(worked, 'done')}`" in done.stdout
    )
    assert "kettenglueck-lastenrad.txt" not in done.stdout


def test_run_refuses_what_the_inbox_refuses_and_goes_on(worked: Path, server: str, tmp_path: Path) -> None:
    """A kind of file that the agent does not take is named with the reason, makes no job, and ends with 1."""
    (tmp_path / "notes.md").write_text("# Notes")
    files = [str(tmp_path / "notes.md"), *samples("kettenglueck-lastenrad.txt")]
    before = len(list(worked.glob("outbox/*/*/")))
    done = pipeline("run", "--json", *files, place=worked, url=server)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    assert f"{tmp_path / 'notes.md'} is not taken: not a kind of file" in done.stderr
    assert len(list(worked.glob("outbox/*/*/"))) == before
    # Where nothing is left, nothing has to be there: no model server, and no folders.
    alone = pipeline("run", str(tmp_path / "notes.md"), place=tmp_path)
    assert (alone.returncode, (tmp_path / "outbox").exists()) == (1, False)


def test_run_says_how_the_files_of_a_folder_are_named(tmp_path: Path) -> None:
    """A folder is the first thing somebody tries who has one full of bills."""
    (tmp_path / "my bills").mkdir()
    done = pipeline("run", str(tmp_path / "my bills"), place=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path / 'my bills'} is a folder" in done.stderr
    assert f"pipeline run '{tmp_path / 'my bills'}'/*" in done.stderr


def test_a_reader_may_go_before_the_end(tmp_path: Path) -> None:
    """`pipeline ... | head` ends in silence, also when more is written than a pipe holds."""
    command = [*PIPELINE, "export", "--format", "csv"]
    variables = {name: value for name, value in environment(tmp_path, "http://127.0.0.1:9/v1").items() if value}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(TIME_LIMIT_SECONDS) == 1


def test_run_copies_and_does_not_move(worked: Path) -> None:
    """The files given to `run` stay where they are, and their bytes lie beside the result."""
    job = worked / "outbox" / "failed" / job_of(worked, "failed")
    assert (job / "source.pdf").read_bytes() == (SAMPLES / "seaview-catering-damaged.pdf").read_bytes()


def test_a_failed_job_says_why_and_how_to_try_again(worked: Path) -> None:
    """`result.json` of a failed job names the file, the cause, a remedy and the command."""
    job = job_of(worked, "failed")
    error = json.loads((worked / "outbox" / "failed" / job / "result.json").read_text())["error"]
    assert error["type"] == "DocumentError.damaged"
    assert "seaview-catering-damaged.pdf" in error["message"]
    assert f"pipeline replay {job}" in error["hint"]


def test_show_tells_the_story_and_the_evidence(worked: Path) -> None:
    """`show` prints the steps and, for each value, the words of the document."""
    done = pipeline("show", "kettenglueck", place=worked)
    assert done.returncode == 0
    assert "tool extract_invoice_data" in done.stdout
    assert "where it says so" in done.stdout
    (row,) = (line for line in done.stdout.splitlines() if "│ invoice_number" in line)
    assert "p. 1: " in row


def test_show_says_that_the_program_ended_and_went_on(worked: Path, tmp_path: Path) -> None:
    """An attempt that has no end of its own died; the story says when, though the result counts one attempt."""
    shutil.copytree(worked / "outbox", tmp_path / "outbox")
    (trace,) = (tmp_path / "outbox" / "done").glob("*/trace.jsonl")
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    number = next(n for n, one in enumerate(events) if one["event"] == "document.read")
    again = {"at": events[number + 1]["at"], "event": "attempt.started", "attempt": 2, "recorded_steps": 1}
    died_at = events[number]["at"][11:19]
    trace.write_text("".join(json.dumps(one) + "\n" for one in [*events[: number + 1], again, *events[number + 1 :]]))
    shown = pipeline("show", "kettenglueck", place=tmp_path).stdout
    assert f"the program had ended after {died_at}: went on as attempt 2, with 1 step on record" in shown
    assert f"1 attempt (gone on with after the program had ended: {died_at}), " in shown
    # Cut off there, nobody works on it.
    trace.write_text("".join(json.dumps(one) + "\n" for one in events[: number + 1]))
    trace.parent.rename(tmp_path / "outbox" / "working" / trace.parent.name)
    assert "To go on with it: pipeline serve --once" in pipeline("show", "kettenglueck", place=tmp_path).stdout


def test_show_prints_json(worked: Path) -> None:
    """`show --json` holds the result and all events."""
    shown = loads(pipeline("show", "kettenglueck", "--json", place=worked).stdout)
    assert shown["events"][0]["event"] == "trace.opened"
    assert {urlsplit(one["host"]).hostname for one in shown["events"] if one["event"] == "model.replied"} == {
        "127.0.0.1"
    }
    assert shown["result"]["job"] == shown["job"]


def test_an_unknown_job_is_a_clear_error(worked: Path) -> None:
    """A job that is not there ends with exit code 2 and a hint, without a traceback."""
    done = pipeline("show", "nothing-of-that-name", place=worked)
    assert done.returncode == 2
    assert "no job nothing-of-that-name" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_counts_what_lies_where(worked: Path) -> None:
    """`status --json` counts jobs by state, and names what is ignored with the reason."""
    (worked / "inbox" / "letter.docx").write_bytes(b"PK")
    status = json.loads(pipeline("status", "--json", place=worked).stdout)
    assert status["failed"] == 1
    assert status["waiting"] == 0
    assert status["daemon"] is None
    assert [host["reachable"] for host in status["hosts"]] == [False]
    assert [Path(one["path"]).name for one in status["ignored"]] == ["letter.docx"]


def test_status_names_the_jobs_that_wait_for_a_person(worked: Path) -> None:
    """`status` prints name, file and reason of a failed job, with --json as a list; a wrong name's hint is true."""
    job = job_of(worked, "failed")
    assert "`pipeline status` lists the latest in review and failed" in pipeline("show", "nosuch", place=worked).stderr
    lines = pipeline("status", place=worked).stdout.splitlines()
    place = lines.index(f"failed {job}")
    assert lines[place + 1] == "  seaview-catering-damaged.pdf is damaged or incomplete"
    (listed,) = json.loads(pipeline("status", "--json", place=worked).stdout)["failed_jobs"]
    assert (listed["name"], listed["file"]) == (job, "seaview-catering-damaged.pdf")
    assert listed["finished_at"]
    assert "seaview-catering-damaged.pdf" in listed["reason"]


@pytest.mark.parametrize(("states", "said"), [(("down", "up"), "away since"), (("down", "down"), "daemon waits since")])
def test_status_says_whether_the_daemon_does_without_a_host(states: tuple[str, str], said: str) -> None:
    """One host that is away keeps the daemon from nothing while another is there, and the reason stands once."""
    hosts = [{"address": name, "model": "m", "reachable": name == "b", "error": "refused"} for name in "ab"]
    note = {"since": "2026-01-01", "reason": "refused", "hint": "start it"}
    told = {name: {**note, "status": state} for name, state in zip("ab", states, strict=True)}
    status = Status(
        inbox="",
        outbox="",
        waiting=0,
        working=0,
        done=0,
        review=0,
        failed=0,
        ignored=[],
        oldest_waiting_seconds=None,
        finished_per_hour=0.0,
        seconds_left=None,
        daemon={"hosts": told},
        hosts=hosts,
    )
    line = host_line(hosts[0], status)
    assert f"{said} 2026-01-01: refused; to do: start it" in line
    assert line.count("refused") == 1


def test_status_lists_the_latest_and_counts_the_rest(worked: Path, tmp_path: Path) -> None:
    """Of many only the latest are printed; a folder that a person took away is not, whatever the index says."""
    shutil.copytree(worked / "outbox", tmp_path / "outbox")
    (tmp_path / "outbox" / "pipeline.sqlite").unlink()
    first = tmp_path / "outbox" / "failed" / job_of(tmp_path, "failed")
    names = [f"copy-{number}-{number:012x}" for number in range(12)]
    for number, name in enumerate(names):
        copy = shutil.copytree(first, first.with_name(name))
        for file in ("trace.jsonl", "result.json"):
            (copy / file).write_text((copy / file).read_text().replace(first.name, name))
        result = json.loads((copy / "result.json").read_text())
        (copy / "result.json").write_text(json.dumps({**result, "finished_at": f"2031-01-{number + 1:02}T00:00:00Z"}))
    pipeline("status", place=tmp_path)
    shutil.rmtree(first.with_name(names.pop()))
    out = pipeline("status", place=tmp_path).stdout
    listed = [line.removeprefix("failed ") for line in out.splitlines() if line.startswith("failed copy")]
    assert listed == names[:0:-1]
    assert "… and 2 more in failed" in out


def test_what_is_left_of_a_claim_is_no_working_job(worked: Path, tmp_path: Path) -> None:
    """A file whose claim was cut short counts once: it waits."""
    shutil.copytree(worked / "outbox", tmp_path / "outbox")
    done = next((tmp_path / "outbox").glob("*/kettenglueck*"))
    left = tmp_path / "outbox" / "working" / "bill-0123456789ab"
    left.mkdir()
    (left / "trace.jsonl").write_text("".join((done / "trace.jsonl").read_text().splitlines(keepends=True)[:2]))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "bill.txt").write_text("bill")
    status = json.loads(pipeline("status", "--json", place=tmp_path).stdout)
    assert (status["waiting"], status["working"]) == (1, 0)
    (left / "source.txt").write_text("bill")
    assert json.loads(pipeline("status", "--json", place=tmp_path).stdout)["working"] == 1


@pytest.mark.slow
def test_serve_once_works_off_what_is_there(server: str, tmp_path: Path) -> None:
    """`serve --once` ends by itself, with 0 when nothing failed, and logs JSON lines when not on a terminal."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "bill.txt").write_bytes((SAMPLES / "kettenglueck-lastenrad.txt").read_bytes())
    done = pipeline_process("serve", "--once", place=tmp_path, url=server)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events[0] == "service.started"
    assert {"job.claimed", "job.finished", "service.stopped"} <= set(events)
    assert list((tmp_path / "inbox").iterdir()) == []


def test_serve_once_gives_up_when_lm_studio_stays_away(tmp_path: Path) -> None:
    """Without LM Studio `serve --once` ends with 2 after its wait; the file is kept, resumable, and nothing failed."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "bill.txt").write_bytes((SAMPLES / "kettenglueck-lastenrad.txt").read_bytes())
    done = pipeline("serve", "--once", place=tmp_path)
    assert done.returncode == 2
    assert "base_url. 1 job waits in working/ and goes on with the next `pipeline serve`" in done.stderr
    assert len(list((tmp_path / "outbox" / "working").iterdir())) == 1
    assert not list((tmp_path / "outbox" / "failed").iterdir())


def test_run_without_lm_studio_says_so_at_once(tmp_path: Path) -> None:
    """`run` does not start anything when nobody answers, and says what to do."""
    done = pipeline("run", *samples("kettenglueck-lastenrad.txt"), place=tmp_path)
    assert done.returncode == 2
    assert "does not answer" in done.stderr


def test_correct_puts_a_value_right_and_says_what_is_left(worked: Path, tmp_path: Path) -> None:
    """A wrong value ends with 1 and the command that answers for it, which ends with 0; a slip ends with 2."""
    shutil.copytree(worked / "outbox", tmp_path / "outbox")
    slip = pipeline("correct", "kettenglueck", "totl_amount=1", place=tmp_path)
    assert (slip.returncode, "fields like it: total_amount" in slip.stderr) == (2, True)
    left = pipeline("correct", "kettenglueck", "due_date=2031-01-31", place=tmp_path)
    assert (left.returncode, "--accept" in left.stdout) == (1, True)
    done = pipeline("correct", "kettenglueck", "--accept", "--json", place=tmp_path)
    assert (done.returncode, loads(done.stdout)["invoice"]["due_date"]) == (0, "2031-01-31")
    assert "2031-01-31" in pipeline("export", place=tmp_path).stdout
    shown = pipeline("show", "kettenglueck", place=tmp_path).stdout
    assert "accepted by" in shown
    assert "→ 2031-01-31" in shown
    (first, second) = loads(pipeline("show", "kettenglueck", "--json", place=tmp_path).stdout)["corrections"]
    assert (first["changes"][0]["to"], [one["field"] for one in second["accepted"]]) == ("2031-01-31", ["due_date"])


def test_what_is_accepted_is_told_and_what_is_still_empty_too(worked: Path, tmp_path: Path) -> None:
    """`--accept` prints field, code and message of each finding, and warns of required values that are not known."""
    shutil.copytree(worked / "outbox", tmp_path / "outbox")
    assert pipeline("correct", "kettenglueck", "date=", "total_amount=", place=tmp_path).returncode == 1
    done = pipeline("correct", "kettenglueck", "--accept", place=tmp_path)
    assert done.returncode == 0
    assert "accepted: date: date_missing: The " in done.stdout
    (warning,) = (line for line in done.stdout.splitlines() if "warning: accepted without a value" in line)
    assert {"date", "total_amount"} <= set(warning.replace(",", "").split())
    again = pipeline("correct", "kettenglueck", "--accept", place=tmp_path)
    assert "accepted: nothing was left" in again.stdout


@pytest.mark.parametrize(("form", "options"), [("csv", ()), ("json", ()), ("xlsx", ()), ("csv", ("--lines",))])
def test_export_to_a_file_says_how_much_went_where(
    form: str, options: tuple[str, ...], worked: Path, tmp_path: Path
) -> None:
    """The number of rows goes to standard error, and standard output stays empty."""
    path = tmp_path / "all"
    done = pipeline("export", "--format", form, *options, "--out", str(path), place=worked)
    rows = len(pipeline("export", "--format", "json", *options, place=worked).stdout.splitlines())
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{rows} row{'' if rows == 1 else 's'} written to {path}\n"


def test_show_ends_with_commands_that_work_as_they_stand(worked: Path, tmp_path: Path) -> None:
    """A job in review, or failed, is told what to do next, with the folders where settings do not name them."""
    shutil.copytree(worked / "outbox", tmp_path / "out box")
    folders = ("--inbox", str(tmp_path / "in"), "--outbox", str(tmp_path / "out box"))
    assert pipeline("correct", "kettenglueck", "due_date=2031-01-31", *folders, place=worked).returncode == 1
    shown = pipeline("show", "kettenglueck", *folders, place=worked).stdout
    assert "FIELD=VALUE" in shown
    (command,) = (line.partition("pipeline ")[2] for line in shown.splitlines() if "--accept" in line)
    assert pipeline(*shlex.split(command), place=worked).returncode == 0
    assert "To " not in pipeline("show", "kettenglueck", *folders, place=worked).stdout
    shown = pipeline("show", "seaview", *folders, place=worked).stdout
    assert shown.count("pipeline replay") == 1
    assert f"pipeline replay {job_of(worked, 'failed')} --inbox" in shown
    assert "1 attempt, 0 model calls" in shown
    assert "None" not in shown
    usual = pipeline("show", "seaview", place=worked).stdout
    assert usual.rstrip().endswith(f"pipeline replay {job_of(worked, 'failed')}")


def test_replay_takes_a_failed_job_and_keeps_its_attempts(worked: Path, server: str) -> None:
    """`replay --failed` tries again live; the trace keeps the attempts before."""
    job = job_of(worked, "failed")
    done = pipeline("replay", "--failed", "--json", place=worked, url=server)
    assert done.returncode == 1
    events = [
        json.loads(line) for line in (worked / "outbox" / "failed" / job / "trace.jsonl").read_text().splitlines()
    ]
    assert [one["attempt"] for one in events if one["event"] == "attempt.started"] == [1, 2]


def test_replay_recorded_needs_no_server(worked: Path) -> None:
    """`replay --recorded` gives the same result again from the trace, with nobody at the address."""
    done = pipeline("replay", "kettenglueck", "--recorded", place=worked)
    assert done.returncode == 0
    assert "same result" in done.stdout


@pytest.mark.slow
def test_replay_compare_replaces_nothing(worked: Path, server: str) -> None:
    """`replay --compare` prints both and leaves the job's folder as it is."""
    (folder,) = (path for state in ("done", "review") for path in (worked / "outbox" / state).iterdir())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = pipeline("replay", folder.name, "--compare", place=worked, url=server)
    assert done.returncode == 0, done.stderr
    assert "fields: same" in done.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow
def test_doctor_proves_the_set_up(server: str, tmp_path: Path) -> None:
    """`doctor` makes a tool call and a JSON answer, and ends with 0 when all is there."""
    done = pipeline("doctor", "--json", place=tmp_path, url=server)
    report = json.loads(done.stdout)
    grades = {check["name"]: check["grade"] for check in report["checks"]}
    assert (done.returncode, report["good"]) == (0, True)
    assert (grades["tool call"], grades["model"], grades["context"]) == ("good", "good", "good")


def test_doctor_says_what_is_missing(tmp_path: Path) -> None:
    """Without LM Studio `doctor` ends with 1 and a remedy."""
    done = pipeline("doctor", place=tmp_path)
    assert done.returncode == 1
    assert "bad" in done.stdout
    assert "→" in done.stdout


def test_a_wrong_setting_names_variable_key_and_remedy(tmp_path: Path) -> None:
    """A mistake in the settings ends with 2 and says where it stands."""
    environment = {**os.environ, "PIPELINE_DAEMON__CONCURENCY": "3"}
    done = subprocess.run(
        [*PIPELINE, "status", "--inbox", str(tmp_path / "i"), "--outbox", str(tmp_path / "o")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "PIPELINE_DAEMON__CONCURENCY" in done.stderr
    assert "concurrency" in done.stderr


def test_an_outbox_without_the_rights_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the database in it, which a user did not name."""
    outbox = tmp_path / "outbox"
    monkeypatch.setattr(os, "access", lambda path, *_: Path(path) != outbox)
    done = pipeline("status", place=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"[folders] outbox {outbox} cannot be read and written" in done.stderr


def test_folders_inside_each_other_are_refused(tmp_path: Path) -> None:
    """An outbox inside the inbox is a clear error."""
    done = subprocess.run(
        [*PIPELINE, "status", "--inbox", str(tmp_path), "--outbox", str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "inside the other" in done.stderr


@pytest.mark.slow
def test_demo_shows_all_samples(tmp_path: Path) -> None:
    """`demo` needs nothing but itself and ends with a table and the folder to look into."""
    done = pipeline_process("demo", "--folder", str(tmp_path / "demo"), "--delay", "0", place=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "demo" / "outbox") in done.stdout
    commands = [line.partition(": pipeline ")[2] for line in done.stdout.splitlines() if ": pipeline show" in line]
    assert len(commands) == 3
    assert [pipeline(*shlex.split(command), place=tmp_path).returncode for command in commands] == [0, 0, 0]
    assert len(list((tmp_path / "demo" / "outbox").glob("*/*/result.json"))) >= 10


def test_a_lost_database_is_filled_again_from_the_results(worked: Path) -> None:
    """Every stored invoice comes back from the outbox, and the log says so."""
    before = pipeline("export", "--format", "json", place=worked).stdout
    (worked / "outbox" / "pipeline.sqlite").unlink()
    after = pipeline("export", "--format", "json", place=worked)
    assert before
    assert [loads(line)["invoice"] for line in after.stdout.splitlines()] == [
        loads(line)["invoice"] for line in before.splitlines()
    ]


def test_all_jobs_are_not_done_again_by_a_slip(worked: Path) -> None:
    """`replay --all` alone is refused: it goes with --recorded or --compare."""
    done = pipeline("replay", "--all", place=worked)
    assert done.returncode == 2
    assert "--recorded or --compare" in done.stderr


def test_a_broken_result_is_a_clear_error(worked: Path, tmp_path: Path) -> None:
    """`show` names the file instead of ending in a traceback."""
    shutil.copytree(worked / "outbox", tmp_path / "outbox")
    (tmp_path / "outbox" / "failed" / job_of(tmp_path, "failed") / "result.json").write_text("{")
    done = pipeline("show", job_of(tmp_path, "failed"), place=tmp_path)
    assert done.returncode == 2
    assert "is not valid JSON" in done.stderr
    assert "Traceback" not in done.stderr
